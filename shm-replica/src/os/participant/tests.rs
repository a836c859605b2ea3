//! The cyclic half beside a daemon that does one thing at a time: what it finds between two of them.

use std::sync::Arc;

use rt_core::limits::REGIONS_MAX;
use rt_core::time::Duration;

use super::attachment::Plan;
use super::options::{Region, RegionOptions};
use super::shared::{Seat, Shared};
use super::{CycleError, Cyclic, Restored};
use crate::attach::StandbyClass;
use crate::image::{ImageWriter, Stamp};
use crate::os::mapping::Mapping;
use crate::os::page::{PageFile, open_page};
use crate::os::segment::{Segment, boot_id};
use crate::os::wake::wake_all;
use crate::page::{Office, Role};
use crate::segment::{Header, Layout, RegionName};

const OCTETS: [usize; 2] = [64, 1_000];

fn name(text: &str) -> RegionName {
    RegionName::new(text).unwrap()
}

/// A segment of a region, as the daemon has it.
fn segment(region: usize, octets: usize) -> Segment {
    let layout = Layout::new(octets, 4, 0).unwrap();
    let name = name(["plant", "recipe"][region]);
    let header = Header { layout, schema_hash: 0, boot_id: boot_id().unwrap(), name };
    Segment::create(&header, &[]).unwrap()
}

fn writer_of(segment: &Segment) -> ImageWriter<Mapping> {
    let layout = segment.header().layout;
    let file = segment.file().try_clone().unwrap();
    let memory = Segment::open(file, true).unwrap().into_memory();
    ImageWriter::new(memory, layout.place(), layout.image_octets()).unwrap()
}

/// Somebody else who is active: its segments.
struct Other {
    epoch: u64,
    segments: [Segment; 2],
    writers: [ImageWriter<Mapping>; 2],
}

impl Other {
    fn new(epoch: u64, octets: [usize; 2]) -> Self {
        let segments = [0, 1].map(|region| segment(region, octets[region]));
        segments.iter().for_each(|it| it.state().unwrap().set_epoch(epoch));
        let writers = segments.each_ref().map(writer_of);
        Self { epoch, segments, writers }
    }

    fn commits_one(&mut self, region: usize, cycle: u64) {
        let octet = u8::try_from(cycle).unwrap();
        let image = vec![octet; self.segments[region].header().layout.image_octets()];
        let stamp = Stamp { epoch: self.epoch, cycle, ..Stamp::default() };
        self.writers[region].publish(&image, stamp).unwrap();
        let place = self.segments[region].header().layout.place();
        wake_all(self.segments[region].memory(), &place);
    }

    fn commits(&mut self, cycle: u64) {
        self.commits_one(0, cycle);
        self.commits_one(1, cycle);
    }
}

/// A participant of two regions, and what the daemon has of it.
struct Bench {
    page: PageFile,
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    cyclic: Cyclic,
    /// Its own segments.
    own: [Segment; 2],
}

impl Bench {
    fn new(octets: [usize; 2]) -> Self {
        let region = |index: usize| {
            let name = name(["plant", "recipe"][index]);
            Region::written(RegionOptions::new(name, octets[index])).unwrap()
        };
        let plan = Arc::new(Plan {
            application: name("plc"),
            class: StandbyClass::Hot,
            cycle: Duration::ZERO,
            regions: vec![region(0), region(1)],
            commit_cost_ns: vec![0; 2],
        });
        let page = PageFile::create(1).unwrap();
        let mut places = [usize::MAX; REGIONS_MAX];
        places[..2].copy_from_slice(&[0, 1]);
        let seat = Seat { page: open_page(&page.for_reading().unwrap()).unwrap(), places };
        let shared = Arc::new(Shared::new(seat, 2).unwrap());
        let own = [0, 1].map(|region| segment(region, octets[region]));
        for (index, segment) in own.iter().enumerate() {
            let file = segment.file().try_clone().unwrap();
            let (_, writing) = plan.regions[index].writing(file).unwrap();
            shared.posts[index].hand_over(Box::new(writing));
        }
        let cyclic = Cyclic::new(Arc::clone(&shared), Arc::clone(&plan));
        let bench = Self { page, plan, shared, cyclic, own };
        bench.office(Role::Standby, 0);
        bench
    }

    fn office(&self, role: Role, epoch: u64) {
        self.page.change(|page| page.set_office(Office { role, epoch }));
    }

    /// The service thread is done with the message that shows a segment.
    fn shows(&self, region: usize, segment: &Segment, epoch: u64) {
        let file = segment.for_reading().unwrap();
        let reading = self.plan.regions[region].reading(file, epoch).unwrap();
        self.shared.posts[region].sweep();
        self.shared.posts[region].show(Box::new(reading));
    }

    /// The daemon has put somebody else in charge.
    fn other_is_active(&self, other: &Other) {
        for region in 0..2 {
            self.page.change(|page| page.set_region_epoch(region, other.epoch, 0));
        }
        self.office(Role::Standby, other.epoch);
    }

    /// The daemon has put this participant in charge, after `former`.
    fn is_promoted(&self, epoch: u64, former: &Other) {
        for region in 0..2 {
            former.segments[region].state().unwrap().supersede(epoch);
            self.own[region].state().unwrap().set_epoch(epoch);
            self.page.change(|page| page.set_region_epoch(region, epoch, former.epoch));
        }
        self.office(Role::Active, epoch);
    }

    fn held(&self) -> [Option<(u64, u8)>; 2] {
        [0, 1].map(|region| {
            let (image, octets) = self.cyclic.image(region)?;
            Some((image.stamp.cycle, octets[0]))
        })
    }
}

#[test]
fn an_own_segment_that_is_shown_first_does_not_hide_what_the_former_owner_left() {
    let mut bench = Bench::new(OCTETS);
    let mut former = Other::new(1, OCTETS);
    bench.other_is_active(&former);
    bench.shows(0, &former.segments[0], 1);
    bench.shows(1, &former.segments[1], 1);
    former.commits(7);
    bench.cyclic.begin();
    assert_eq!(bench.held(), [Some((7, 7)); 2]);
    former.commits(8);
    bench.is_promoted(2, &former);
    // Of what the daemon says after that, the service thread has mapped the first only.
    bench.shows(0, &bench.own[0], 2);
    let cycle = bench.cyclic.begin();
    assert!(matches!(cycle.took_over, Some(Restored::State { cycle: 8, newer_lost: false, .. })));
    assert_eq!(bench.held(), [Some((8, 8)); 2]);
    for (region, segment) in bench.own.iter().enumerate() {
        let sequence = writer_of(segment).sequence();
        assert_eq!(sequence, 1, "the new segment of region {region} begins with the state");
    }
}

#[test]
fn one_that_is_promoted_before_it_was_shown_the_state_waits_for_it() {
    let mut bench = Bench::new(OCTETS);
    let mut former = Other::new(1, OCTETS);
    bench.other_is_active(&former);
    former.commits(5);
    bench.is_promoted(2, &former);
    assert_eq!((bench.cyclic.begin().role, bench.cyclic.may_act()), (Role::Standby, false));
    bench.shows(0, &former.segments[0], 1);
    assert_eq!((bench.cyclic.begin().role, bench.cyclic.may_act()), (Role::Standby, false));
    bench.shows(1, &former.segments[1], 1);
    let cycle = bench.cyclic.begin();
    assert!(matches!(cycle.took_over, Some(Restored::State { cycle: 5, .. })), "{cycle:?}");
    assert_eq!(bench.held(), [Some((5, 5)); 2]);
}

#[test]
fn a_standby_holds_one_cut_also_while_the_segments_of_a_new_owner_come_one_by_one() {
    let mut bench = Bench::new(OCTETS);
    let mut first = Other::new(1, OCTETS);
    bench.other_is_active(&first);
    bench.shows(0, &first.segments[0], 1);
    bench.shows(1, &first.segments[1], 1);
    first.commits(7);
    bench.cyclic.begin();
    let mut second = Other::new(2, OCTETS);
    bench.other_is_active(&second);
    second.commits(7);
    second.commits(8);
    bench.shows(0, &second.segments[0], 2);
    bench.cyclic.begin();
    assert_eq!(bench.held(), [Some((7, 7)); 2]);
    bench.shows(1, &second.segments[1], 2);
    bench.cyclic.begin();
    assert_eq!(bench.held(), [Some((8, 8)); 2]);
}

#[test]
fn a_commit_of_one_who_is_relieved_meanwhile_is_told_that_it_may_not_count() {
    let mut bench = Bench::new(OCTETS);
    let Bench { own, page, cyclic, .. } = &mut bench;
    own.iter().for_each(|it| it.state().unwrap().set_epoch(1));
    page.change(|page| page.set_office(Office { role: Role::Active, epoch: 1 }));
    let images = OCTETS.map(|octets| vec![1; octets]);
    assert_eq!(cyclic.begin().took_over, Some(Restored::Nothing));
    assert_eq!(cyclic.commit(|region| [&images[region][..]]), Ok(1));
    cyclic.begin();
    // The page says otherwise, and the next owner has looked, before the commit is there.
    let committed = cyclic.commit(|region| {
        page.change(|page| page.set_office(Office { role: Role::Standby, epoch: 1 }));
        [&images[region][..]]
    });
    assert_eq!(committed, Err(CycleError::NotActive));
}
