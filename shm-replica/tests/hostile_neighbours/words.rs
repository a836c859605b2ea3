//! The words that change, written to by a writer that means harm, while a participant goes on: the
//! state words beside the header, the hint, sequence words, stamps, checksums and images.
//!
//! What a participant shows is whole, whatever it read; what a hot standby holds it keeps; and one
//! that writes goes by nothing that it reads in its own segment but whether it is in force.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bumpless::attach::{Reply, Request, StandbyClass};
use bumpless::image::{ImageReader, ImageWriter, Stamp};
use bumpless::os::page::PageFile;
use bumpless::os::participant::{
    Cycle, Cyclic, Options, Participant, RegionOptions, Restored, Setup,
};
use bumpless::os::segment::Segment;
use bumpless::page::{Office, Role};
use bumpless::segment::Layout;
use nix::fcntl::{FallocateFlags, fallocate};
use rt_core::os::clock::MonotonicClock;
use rt_core::time::Duration;

use crate::forge::{
    CHANGES, COMMITS, CRC, EPOCH, IMAGE, SUPERSEDED, filled, for_writing, schema, set, word,
};
use crate::impostor::{Impostor, encoded};
use crate::{OCTETS, name, soak};

/// What this participant commits.
const OWN: [u8; OCTETS] = [5; OCTETS];

/// A standby of a daemon that the test plays: what it reads, what it will write, and its page.
struct Stand {
    theirs: Arc<Segment>,
    own: Arc<Segment>,
    page: Arc<PageFile>,
    participant: Participant,
    cyclic: Cyclic,
    _impostor: Impostor,
}

fn empty() -> Segment {
    let header = *filled().header();
    Segment::create(&header, &schema()).unwrap()
}

impl Stand {
    fn new(test: &str, class: StandbyClass) -> Self {
        let (theirs, own) = (Arc::new(filled()), Arc::new(empty()));
        let page = Arc::new(PageFile::create(1).unwrap());
        page.change(|it| it.set_region_epoch(0, 1, 1));
        page.change(|it| it.set_office(Office { role: Role::Standby, epoch: 1 }));
        let shown = (Arc::clone(&theirs), Arc::clone(&own), Arc::clone(&page));
        let impostor = Impostor::start(test, move |_, octets| {
            let (theirs, own, page) = &shown;
            Some(match Request::decode(octets).unwrap() {
                Request::Hello { .. } => {
                    let welcome = Reply::Welcome { instance: 1, daemon: "x" };
                    (encoded(&welcome), Some(page.for_reading().unwrap()))
                }
                Request::Register(_) => {
                    (encoded(&Reply::Registered { index: 0 }), Some(for_writing(own)))
                }
                Request::Attach { .. } => {
                    let attached = Reply::Attached { index: 0, epoch: 1 };
                    (encoded(&attached), Some(theirs.for_reading().unwrap()))
                }
                _ => (encoded(&Reply::Done), None),
            })
        });
        let mut options = Options::new(name("plc"), impostor.socket());
        options.class = class;
        let mut setup = Setup::new(options);
        let region =
            RegionOptions { schema: schema(), ..RegionOptions::new(name("plant"), OCTETS) };
        setup.register(RegionOptions { slots: 4, woken: true, ..region }).unwrap();
        let (participant, cyclic) = setup.activate().unwrap();
        Self { theirs, own, page, participant, cyclic, _impostor: impostor }
    }

    /// Everything that a standby does in a cycle.
    fn goes_on(&mut self) -> Cycle {
        let cycle = self.cyclic.begin();
        for in_order in [false, true] {
            let _any = self.cyclic.read(0, in_order);
            self.shows_nothing_that_is_not_whole();
        }
        self.cyclic.catch_up();
        let soon = MonotonicClock::now().saturating_add(Duration::from_micros(50));
        self.cyclic.wait(0, soon).unwrap();
        self.shows_nothing_that_is_not_whole();
        cycle
    }

    fn shows_nothing_that_is_not_whole(&self) {
        let shown = self.cyclic.image(0);
        assert!(shown.is_none_or(|(_, image)| image == IMAGE || image == OWN), "{shown:?}");
    }

    /// The daemon puts it in charge under epoch 2.
    fn put_in_charge(&mut self) {
        self.own.state().unwrap().set_epoch(2);
        self.page.change(|it| it.set_region_epoch(0, 2, 1));
        self.page.change(|it| it.set_office(Office { role: Role::Active, epoch: 2 }));
    }

    /// Commits, and a reader that comes now finds that.
    fn commits(&mut self, cycle: &Cycle) {
        assert_eq!(cycle.role, Role::Active);
        assert_eq!(self.cyclic.commit(|_| [&OWN[..]]), Ok(cycle.number));
        let place = self.own.header().layout.place();
        let mut reader = ImageReader::new(&**self.own.memory(), place, OCTETS, 2).unwrap();
        let mut image = [0; OCTETS];
        assert_eq!(reader.newest(&mut image).unwrap().stamp.cycle, cycle.number);
        assert_eq!(image, OWN);
    }
}

/// The changing words of a segment, each with its name; two of the header with them, which nobody
/// looks at again.
fn changing(layout: Layout) -> Vec<(String, usize)> {
    let place = layout.place();
    let mut words = vec![
        ("ready".to_owned(), 1),
        ("checksum of the header".to_owned(), CRC),
        ("newest".to_owned(), place.newest),
        ("epoch".to_owned(), EPOCH),
        ("superseded".to_owned(), SUPERSEDED),
    ];
    let parts = [
        ("sequence", 0),
        ("stamp: epoch", 1),
        ("stamp: cycle", 2),
        ("stamp: commit time", 3),
        ("stamp: wall clock", 4),
        ("stamp: application time", 5),
        ("stamp: reserved", 6),
        ("stamp: checksum", 7),
        ("image, first word", 8),
        ("image, last word", 7 + OCTETS / 8),
    ];
    for slot in 0..place.count {
        for (part, at) in parts {
            let at = place.slots + slot * place.stride + at;
            words.push((format!("slot {slot}, {part}"), at));
        }
    }
    words
}

/// A value far off that a word might have.
fn far(segment: &Segment, at: usize) -> u64 {
    // A sequence word of a commit to come, which is not marked as open.
    word(segment, at).wrapping_add(1 << 40)
}

#[test]
fn the_table_of_changing_words_is_the_rings() {
    let segment = filled();
    let words = changing(segment.header().layout);
    let at = |name: &str| word(&segment, words.iter().find(|it| it.0 == name).unwrap().1);
    // Commits 5 and 6 stand in slots 1 and 2, and 3 and 4 in the others.
    assert_eq!([at("newest"), at("epoch"), at("superseded")], [COMMITS, 1, 0]);
    for (slot, commit) in [4, 5, 6, 3].into_iter().enumerate() {
        let at = |part: &str| at(&format!("slot {slot}, {part}"));
        assert_eq!(
            [at("sequence"), at("stamp: epoch"), at("stamp: cycle")],
            [commit << 1, 1, commit]
        );
        assert_eq!(at("stamp: reserved"), 0);
        assert_ne!(at("stamp: checksum"), 0);
        assert_eq!(at("image, first word"), u64::from_le_bytes([9; 8]));
        assert_eq!(at("image, last word"), u64::from_le_bytes([9; 8]));
    }
}

#[test]
fn a_hot_standby_keeps_the_image_that_it_holds_whatever_word_its_writer_changes() {
    for (what, at) in changing(filled().header().layout) {
        for change in CHANGES {
            let test = format!("hot-{at}-{change:?}");
            let mut stand = Stand::new(&test, StandbyClass::Hot);
            assert_eq!(stand.goes_on().role, Role::Standby);
            let theirs = Arc::clone(&stand.theirs);
            let Some(value) = change.of(word(&theirs, at), far(&theirs, at)) else { continue };
            set(&theirs, at, value);
            stand.goes_on();
            stand.goes_on();
            stand.put_in_charge();
            let cycle = stand.cyclic.begin();
            let state = matches!(cycle.took_over, Some(Restored::State { cycle: COMMITS, .. }));
            assert!(state, "{what} {change:?}: {cycle:?}");
            assert_eq!(cycle.number, COMMITS + 1);
            stand.shows_nothing_that_is_not_whole();
            stand.commits(&cycle);
            stand.participant.deactivate();
        }
    }
}

#[test]
fn a_warm_standby_takes_over_a_whole_image_or_says_that_it_has_none() {
    for (what, at) in changing(filled().header().layout) {
        for change in CHANGES {
            let test = format!("warm-{at}-{change:?}");
            let mut stand = Stand::new(&test, StandbyClass::Warm);
            let theirs = Arc::clone(&stand.theirs);
            let Some(value) = change.of(word(&theirs, at), far(&theirs, at)) else { continue };
            set(&theirs, at, value);
            stand.put_in_charge();
            let cycle = stand.cyclic.begin();
            match cycle.took_over {
                // The other slots are whole.
                Some(Restored::State { cycle: COMMITS, .. }) => {}
                Some(Restored::State { cycle, newer_lost, .. }) => {
                    assert!(cycle == COMMITS - 1 || what == "newest", "{what} {change:?}: {cycle}");
                    assert!(newer_lost || what == "newest", "{what} {change:?}: it says so");
                }
                // Who looks where the hint says finds nothing there.
                Some(Restored::Nothing | Restored::Lost(_)) => {
                    assert_eq!(what, "newest", "{change:?}");
                }
                None => panic!("{what} {change:?}: it was put in charge"),
            }
            stand.shows_nothing_that_is_not_whole();
            stand.commits(&cycle);
            stand.participant.deactivate();
        }
    }
}

#[test]
fn who_writes_goes_by_no_word_of_its_segment_but_whether_it_is_in_force() {
    for (what, at) in changing(filled().header().layout) {
        for change in CHANGES {
            let test = format!("own-{at}-{change:?}");
            let mut stand = Stand::new(&test, StandbyClass::Hot);
            stand.goes_on();
            stand.put_in_charge();
            let first = stand.cyclic.begin();
            stand.commits(&first);
            let own = Arc::clone(&stand.own);
            let Some(value) = change.of(word(&own, at), far(&own, at)) else { continue };
            set(&own, at, value);
            for _ in 0..6 {
                let cycle = stand.goes_on();
                assert_eq!(cycle.took_over, None, "{what} {change:?}");
                stand.commits(&cycle);
            }
            stand.participant.deactivate();
        }
    }
}

#[test]
fn who_is_put_in_charge_of_a_segment_that_is_not_in_force_does_not_act() {
    for (at, far) in [(EPOCH, 1 << 62), (SUPERSEDED, 1 << 62)] {
        for change in CHANGES {
            let mut stand = Stand::new(&format!("force-{at}-{change:?}"), StandbyClass::Hot);
            stand.goes_on();
            stand.put_in_charge();
            let Some(value) = change.of(word(&stand.own, at), far) else { continue };
            set(&stand.own, at, value);
            let cycle = stand.goes_on();
            assert_eq!((cycle.role, cycle.took_over), (Role::Standby, None), "{at} {change:?}");
            assert!(!stand.cyclic.may_act() && stand.cyclic.commit(|_| [&OWN[..]]).is_err());
            // It is once the daemon has put it in force.
            set(&stand.own, SUPERSEDED, 0);
            set(&stand.own, EPOCH, 2);
            let cycle = stand.cyclic.begin();
            stand.commits(&cycle);
            stand.participant.deactivate();
        }
    }
}

#[test]
fn an_image_that_is_sealed_and_says_what_cannot_be_overflows_nothing() {
    const VALUES: [u64; 6] = [0, 1, u64::MAX, u64::MAX - 1, 1 << 63, 1 << 62];
    for part in 0..4 {
        for value in VALUES {
            for class in [StandbyClass::Hot, StandbyClass::Warm] {
                let mut stand = Stand::new(&format!("sealed-{part}-{value:x}-{class:?}"), class);
                let mut stamp = Stamp { epoch: 1, cycle: COMMITS + 1, ..Stamp::default() };
                *[
                    &mut stamp.cycle,
                    &mut stamp.committed_at_ns,
                    &mut stamp.wall_clock_ns,
                    &mut stamp.application_time_ns,
                ][part] = value;
                let theirs = Arc::clone(&stand.theirs);
                let place = theirs.header().layout.place();
                let mut writer = ImageWriter::new(&**theirs.memory(), place, OCTETS).unwrap();
                writer.publish(&IMAGE, stamp).unwrap();
                stand.goes_on();
                stand.put_in_charge();
                let cycle = stand.cyclic.begin();
                let restored = matches!(cycle.took_over, Some(Restored::State { .. }));
                assert!(restored, "{part} {value:x}: {cycle:?}");
                stand.commits(&cycle);
                let next = stand.goes_on();
                assert!(next.number >= cycle.number && next.time_ns >= cycle.time_ns);
                stand.participant.deactivate();
            }
        }
    }
}

/// Stores anything anywhere, publishes now and then, and takes the pages away beneath the readers.
fn rages(theirs: &Segment, stops: &AtomicBool) -> u64 {
    let place = theirs.header().layout.place();
    let file = File::from(for_writing(theirs));
    let mut writer = ImageWriter::new(&**theirs.memory(), place, OCTETS).unwrap();
    let (mut random, mut rounds) = (0x9e37_79b9_7f4a_7c15u64, 0);
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let words = theirs.memory().len();
    let length = i64::try_from(words * 8).unwrap();
    while !stops.load(Ordering::Acquire) {
        let stamp = Stamp { epoch: 1, cycle: next() % 100, ..Stamp::default() };
        writer.publish(&IMAGE, stamp).unwrap();
        for _ in 0..next() % 8 {
            let hint = [place.newest, EPOCH, SUPERSEDED, place.slots + 16];
            let any = usize::try_from(next()).unwrap() % words;
            let at = if next() % 2 == 0 { any } else { hint[usize::try_from(next() % 4).unwrap()] };
            let near = writer.sequence().wrapping_mul(2).wrapping_add(next() % 9);
            let value = [next(), near, next() % 16, u64::MAX][usize::try_from(next() % 4).unwrap()];
            set(theirs, at, value);
        }
        if rounds % 64 == 0 {
            let punches =
                FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            fallocate(&file, punches, 0, length).unwrap();
        }
        rounds += 1;
    }
    rounds
}

#[test]
fn a_participant_beside_a_writer_that_rages_comes_to_the_end_of_each_cycle() {
    let cycles = if soak() { 200_000 } else { 2_000 };
    for class in [StandbyClass::Hot, StandbyClass::Warm] {
        let mut stand = Stand::new(&format!("rages-{class:?}"), class);
        let stops = Arc::new(AtomicBool::new(false));
        let (theirs, stop) = (Arc::clone(&stand.theirs), Arc::clone(&stops));
        let rage = std::thread::spawn(move || rages(&theirs, &stop));
        for _ in 0..cycles {
            assert_eq!(stand.goes_on().role, Role::Standby);
        }
        stand.put_in_charge();
        let cycle = stand.cyclic.begin();
        assert!(cycle.took_over.is_some());
        stand.commits(&cycle);
        stops.store(true, Ordering::Release);
        assert!(rage.join().unwrap() > 0);
        stand.participant.deactivate();
    }
}
