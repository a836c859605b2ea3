//! The cyclic half beside a daemon that does one thing at a time: what it finds between two of
//! them.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::sys::resource::{UsageWho, getrusage};
use rt_core::limits::REGIONS_MAX;
use rt_core::os::clock::MonotonicClock;
use rt_core::time::Duration;

use super::attachment::{NotAttached, Plan, Return};
use super::options::{Region, RegionOptions};
use super::shared::{Seat, Shared};
use super::{AttachError, CycleError, Cyclic, Restored};
use crate::attach::{MESSAGE_OCTETS_MAX, REPLY_OCTETS_MAX, Reply, Request, StandbyClass};
use crate::image::{ImageWriter, NoImage, Stamp};
use crate::os::connection::Listener;
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
        Self::of_class(octets, StandbyClass::Hot)
    }

    fn of_class(octets: [usize; 2], class: StandbyClass) -> Self {
        let region = |index: usize| {
            let name = name(["plant", "recipe"][index]);
            Region::written(RegionOptions::new(name, octets[index])).unwrap()
        };
        let plan = Arc::new(Plan {
            application: name("plc"),
            class,
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
            shared.hand_over(index, writing);
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
        self.shared.show(region, reading);
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
fn a_standby_that_knows_more_than_the_next_daemon_goes_on_with_what_it_knows() {
    let mut bench = Bench::new(OCTETS);
    let mut first = Other::new(1, OCTETS);
    first.commits(7);
    bench.other_is_active(&first);
    let mut second = Other::new(2, OCTETS);
    bench.other_is_active(&second);
    second.commits(8);
    bench.shows(0, &second.segments[0], 2);
    bench.shows(1, &second.segments[1], 2);
    bench.cyclic.begin();
    assert_eq!(bench.held(), [Some((8, 8)); 2]);
    // The daemon died before the service manager had all segments of the second owner, which lives
    // and has not come back yet.
    bench.shows(0, &first.segments[0], 1);
    bench.cyclic.begin();
    second.commits(9);
    bench.cyclic.begin();
    assert_eq!(bench.held(), [Some((9, 9)); 2]);
    second.commits(10);
    bench.is_promoted(3, &second);
    let cycle = bench.cyclic.begin();
    assert!(matches!(cycle.took_over, Some(Restored::State { cycle: 10, .. })), "{cycle:?}");
    assert_eq!(bench.held(), [Some((10, 10)); 2]);
}

#[test]
fn a_segment_without_a_commit_does_not_keep_out_the_state_that_is_shown_after_it() {
    let mut bench = Bench::new(OCTETS);
    let mut first = Other::new(1, OCTETS);
    first.commits(7);
    // A daemon that knew of the second owner alone, and the next one, which found what was before.
    let second = Other::new(2, OCTETS);
    bench.other_is_active(&second);
    for (owner, epoch) in [(&second, 2), (&first, 1)] {
        for region in 0..2 {
            bench.shows(region, &owner.segments[region], epoch);
        }
        bench.cyclic.begin();
    }
    bench.is_promoted(3, &second);
    let cycle = bench.cyclic.begin();
    assert!(matches!(cycle.took_over, Some(Restored::State { cycle: 7, .. })), "{cycle:?}");
    assert_eq!(bench.held(), [Some((7, 7)); 2]);
}

#[test]
fn one_whose_daemon_died_while_it_was_put_in_charge_loses_no_region_when_the_next_one_does() {
    for (shown, octets) in OCTETS.into_iter().enumerate() {
        let mut bench = Bench::new(OCTETS);
        let mut former = Other::new(1, OCTETS);
        bench.other_is_active(&former);
        former.commits(7);
        bench.shows(0, &former.segments[0], 1);
        bench.shows(1, &former.segments[1], 1);
        bench.cyclic.begin();
        former.commits(8);
        // It was shown one of its own segments of epoch 2 that it never wrote to.
        bench.shows(shown, &segment(shown, octets), 2);
        bench.is_promoted(3, &former);
        let cycle = bench.cyclic.begin();
        assert!(matches!(cycle.took_over, Some(Restored::State { cycle: 8, .. })), "{cycle:?}");
        assert_eq!(bench.held(), [Some((8, 8)); 2]);
    }
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

/// Whether a wait for news of the first region is ended by what `happens` in its midst. One that
/// began too late for that found it before: either way it is not slept over.
fn is_woken(bench: &mut Bench, happens: impl FnOnce(&Plan, &Shared) + Send) -> bool {
    let (plan, shared) = (Arc::clone(&bench.plan), Arc::clone(&bench.shared));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            happens(&plan, &shared);
        });
        bench.cyclic.wait(0, MonotonicClock::now().saturating_add(Duration::from_secs(5))).unwrap()
    })
}

#[test]
fn a_waiter_sleeps_over_neither_a_new_owner_s_segment_nor_its_first_commit() {
    let mut bench = Bench::new(OCTETS);
    let mut first = Other::new(1, OCTETS);
    bench.other_is_active(&first);
    for region in 0..2 {
        bench.shows(region, &first.segments[region], 1);
    }
    first.commits(1);
    bench.cyclic.begin();
    let mut second = Other::new(2, OCTETS);
    bench.other_is_active(&second);
    bench.cyclic.begin();
    for region in 0..2 {
        let file = second.segments[region].for_reading().unwrap();
        assert!(is_woken(&mut bench, move |plan, shared| {
            shared.show(region, plan.regions[region].reading(file, 2).unwrap());
        }));
        bench.cyclic.begin();
    }
    // It is not what is read yet: it has nothing to read.
    assert!(is_woken(&mut bench, |_, _| second.commits(2)));
    bench.cyclic.begin();
    assert_eq!(bench.held(), [Some((2, 2)); 2]);
}

#[test]
fn nobody_is_woken_twice_by_one_change_or_by_what_is_not_whole() {
    let mut bench = Bench::of_class(OCTETS, StandbyClass::Warm);
    let mut other = Other::new(1, OCTETS);
    bench.other_is_active(&other);
    for region in 0..2 {
        bench.shows(region, &other.segments[region], 1);
    }
    let is_quiet = |bench: &mut Bench| {
        // Without a begin, as one does that only reads.
        let soon = || MonotonicClock::now().saturating_add(Duration::from_millis(1));
        (0..5).any(|_| {
            let _may_be_none = bench.cyclic.read(0, true);
            !bench.cyclic.wait(0, soon()).unwrap()
        })
    };
    assert!(is_quiet(&mut bench), "no end of being woken");
    bench.page.change(|page| page.set_wakes(5, 1));
    assert!(is_quiet(&mut bench), "by a change of the page");
    other.commits(1);
    let at = other.segments[0].header().layout.image_at(1) / 8;
    other.segments[0].memory()[at].fetch_xor(1, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(bench.cyclic.read(0, true), Err(NoImage::Corrupt(1)));
    assert!(is_quiet(&mut bench), "by a commit that is not whole");
    other.commits_one(0, 2);
    let begun = MonotonicClock::now();
    assert!(bench.cyclic.wait(0, begun.saturating_add(Duration::from_secs(5))).unwrap());
}

/// A daemon of one participant that answers all that it is asked, until that is ready. Then it is
/// silent for a while, does what it is told to with its page, and hangs up.
fn daemon(listener: &Listener, then: impl FnOnce(&PageFile)) {
    let page = PageFile::create(2).unwrap();
    let mut accepted = listener.accept();
    while accepted.is_err() {
        std::thread::yield_now();
        accepted = listener.accept();
    }
    let connection = accepted.unwrap();
    let mut buffer = vec![0; MESSAGE_OCTETS_MAX];
    loop {
        let Ok(came) = connection.receive(&mut buffer) else {
            std::thread::yield_now();
            continue;
        };
        let Some(came) = came else { return };
        let file = page.for_reading().unwrap();
        let own = segment(0, OCTETS[0]);
        let (reply, file) = match Request::decode(came.octets).unwrap() {
            Request::Hello { .. } => (Reply::Welcome { instance: 2, daemon: "it" }, Some(&file)),
            Request::Register(_) => (Reply::Registered { index: 0 }, Some(own.file())),
            Request::Attach { .. } => (Reply::Attached { index: 0, epoch: 0 }, None),
            _ => break,
        };
        let mut octets = [0; REPLY_OCTETS_MAX];
        let reply = reply.encode(&mut octets).unwrap();
        connection.send(reply, file.map(AsFd::as_fd)).unwrap();
    }
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    then(&page);
}

#[test]
fn one_who_comes_back_and_is_hung_up_on_knows_whether_it_may_be_in_charge_by_the_old_page() {
    let folder = std::env::temp_dir().join(format!("bumpless-back-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let office = |role| Office { role, epoch: 3 };
    for (last, hung_up_on) in [(Role::None, true), (Role::Standby, false), (Role::Active, false)] {
        let socket = folder.join(format!("{last:?}"));
        let listener = Listener::bind(&socket).unwrap();
        let bench = Bench::new(OCTETS);
        let plan = Plan {
            application: name("plc"),
            class: StandbyClass::Hot,
            cycle: Duration::ZERO,
            regions: vec![bench.plan.regions[0].clone()],
            commit_cost_ns: vec![0],
        };
        let stops = AtomicBool::new(false);
        let returns =
            Return { office: office(Role::Active), held: &[], followed: &[], stops: &stops };
        let attached = std::thread::scope(|scope| {
            scope.spawn(|| {
                daemon(&listener, |page| {
                    // It died in the midst of that, or it put somebody else in charge.
                    page.change(|page| page.set_office(office(last)));
                });
            });
            // Long before the daemon is done.
            let until = MonotonicClock::now().saturating_add(Duration::from_secs(1));
            plan.attach(&socket, Some(returns), until)
        });
        let NotAttached { why, seat } = attached.unwrap_err();
        assert!(matches!(why, AttachError::HungUp), "{why}");
        assert_eq!(seat.is_some(), hung_up_on, "{last:?}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

impl Other {
    /// Changes a bit of the image of a commit.
    fn spoils(&self, region: usize, sequence: u64) {
        let at = self.segments[region].header().layout.image_at(sequence) / 8;
        self.segments[region].memory()[at].fetch_xor(1, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn a_cut_that_is_held_is_not_given_up_for_an_older_one_and_a_lost_one_is_told() {
    for (spoilt, lost) in [(2, false), (3, true)] {
        let mut bench = Bench::new(OCTETS);
        let mut former = Other::new(1, OCTETS);
        bench.other_is_active(&former);
        for region in 0..2 {
            bench.shows(region, &former.segments[region], 1);
        }
        former.commits(1);
        former.commits(2);
        bench.cyclic.begin();
        assert_eq!(bench.held(), [Some((2, 2)); 2]);
        if lost {
            former.commits(3);
        }
        former.spoils(1, spoilt);
        bench.is_promoted(2, &former);
        let cycle = bench.cyclic.begin();
        assert!(
            matches!(cycle.took_over, Some(Restored::State { cycle: 2, newer_lost, .. })
                if newer_lost == lost),
            "{cycle:?}"
        );
        assert_eq!(bench.held(), [Some((2, 2)); 2]);
    }
}

#[test]
fn the_first_cut_is_taken_without_page_faults() {
    let octets = [64, 8 << 20];
    let mut bench = Bench::new(octets);
    let mut other = Other::new(1, octets);
    bench.other_is_active(&other);
    for region in 0..2 {
        bench.shows(region, &other.segments[region], 1);
    }
    for cycle in 1..=2 {
        other.commits(cycle);
        let faults = || getrusage(UsageWho::RUSAGE_THREAD).unwrap().minor_page_faults();
        let before = faults();
        bench.cyclic.begin();
        let faults = faults() - before;
        assert_eq!(bench.held().map(|held| held.map(|it| it.0)), [Some(cycle); 2]);
        // It has 2048 pages; some few are the stack's and the program's.
        assert!(faults < 64, "{faults} page faults in a cycle");
    }
}

#[test]
fn one_who_reads_in_order_goes_on_where_it_is_when_the_next_daemon_shows_the_segment_again() {
    let mut bench = Bench::of_class(OCTETS, StandbyClass::Warm);
    let mut other = Other::new(1, OCTETS);
    bench.other_is_active(&other);
    bench.shows(0, &other.segments[0], 1);
    let read = |bench: &mut Bench| bench.cyclic.read(0, true).map(|it| (it.sequence, it.skipped));
    other.commits(1);
    assert_eq!(read(&mut bench), Ok((1, 0)));
    bench.shows(0, &other.segments[0], 1);
    assert_eq!(read(&mut bench), Err(NoImage::Nothing), "it was read");
    other.commits(2);
    other.commits(3);
    bench.shows(0, &other.segments[0], 1);
    assert_eq!([read(&mut bench), read(&mut bench)], [Ok((2, 0)), Ok((3, 0))]);
}

#[test]
fn takeovers_one_after_the_other_are_followed_without_the_service_thread_fetching_anything() {
    let mut bench = Bench::new(OCTETS);
    for epoch in 1..=9 {
        let mut other = Other::new(epoch, OCTETS);
        bench.other_is_active(&other);
        other.commits(epoch);
        for region in 0..2 {
            let file = other.segments[region].for_reading().unwrap();
            let reading = bench.plan.regions[region].reading(file, epoch).unwrap();
            bench.shared.show(region, reading);
        }
        bench.cyclic.begin();
        assert_eq!(bench.held().map(|held| held.map(|it| it.0)), [Some(epoch); 2]);
    }
}
