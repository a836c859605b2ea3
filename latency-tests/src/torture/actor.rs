//! Actors: processes that use regions as an application does, look at every octet they are given,
//! and are killed.
//!
//! An actor that is to be killed at a certain instruction stops itself before the window in which
//! that lies, and after it; who traces it steps it from the one to the other.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration as StdDuration;

use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use rt_core::os::clock::MonotonicClock;
use rt_core::time::Duration;
use shm_replica::attach::StandbyClass;
use shm_replica::image::NoImage;
use shm_replica::os::participant::{
    AttachError, Cycle, Cyclic, Options, Participant, ReaderOptions, RegionOptions, Restored, Setup,
};
use shm_replica::page::Role;
use shm_replica::segment::RegionName;

use super::board::{Field, Row};
use super::content::{self, Origin, mixed};

/// The application's name.
pub const APPLICATION: &str = "plc";
/// The regions: two of one cut, of which the second is the larger, one in place, which belongs to
/// the cut too, and one by itself.
pub const REGIONS: [&str; 4] = ["plant", "recipe", "axes", "log"];
const PLANT: usize = 0;
const AXES: usize = 2;
const LOG: usize = 3;
/// Those of the cut.
const CUT: [usize; 3] = [0, 1, 2];

/// How large the images are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes([usize; 4]);

impl Sizes {
    /// So small that a commit is stepped through in no time.
    pub const SMALL: Self = Self([32, 120, 75, 24]);
    /// As large as a controller's state.
    pub const LARGE: Self = Self([64, 65_536, 4_096, 1_000]);
}

/// Where an actor is stopped to be stepped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Window {
    /// Becoming attached, from before it measures what commits cost.
    Attach,
    /// A commit of all regions, after so many others.
    Publish(u64),
    /// The beginning of a cycle of a standby, after so many others.
    Follow(u64),
    /// The beginning of the cycle in which it takes over.
    TakeOver,
    /// A read, after so many others.
    Read(u64),
}

/// What an actor is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// The daemon's socket.
    pub socket: PathBuf,
    /// Of all images.
    pub seed: u64,
    /// Of the images.
    pub sizes: Sizes,
    /// What it does; none: it only reads.
    pub class: Option<StandbyClass>,
    /// Where it is stopped, if it is traced.
    pub window: Option<Window>,
}

/// Rules that an actor may find broken.
pub mod fault {
    /// An image that nobody committed: region, octet, epoch, cycle.
    pub const TORN: u64 = 1;
    /// An image that is of another cycle than it says: region, both cycles, epochs.
    pub const MISLABELLED: u64 = 2;
    /// Two images of one cut are of different cycles or owners: region, both cycles, epochs.
    pub const MIXED: u64 = 3;
    /// An image that is older than the one before it: region, both cycles.
    pub const BACKWARDS: u64 = 4;
    /// What is opened in place is not the last image: both cycles, epochs.
    pub const OTHER_IN_PLACE: u64 = 5;
    /// An owner may not commit, without having been told before: its cycle.
    pub const COMMIT_REFUSED: u64 = 6;
    /// A whole state was found lost at a takeover.
    pub const LOST: u64 = 7;
    /// A region's image is damaged: region.
    pub const CORRUPT: u64 = 8;
    /// The kernel knows no wait.
    pub const NO_WAIT: u64 = 9;
    /// It took over a region of the cut that it holds nothing of: region.
    pub const NOTHING_HELD: u64 = 10;
    /// It cannot become attached, for a reason that is no daemon's end.
    pub const NOT_ATTACHED: u64 = 11;
    /// The cycle goes on from another one than was restored: both.
    pub const OTHER_CYCLE: u64 = 12;
}

fn name(text: &str) -> RegionName {
    RegionName::new(text).unwrap_or_else(|wrong| unreachable!("{text} is a name: {wrong}"))
}

/// Plays a part until it is killed.
pub fn play(part: &Part, row: Row<'_>) {
    if part.window.is_some() && ptrace::traceme().is_err() {
        return;
    }
    let mark = |window: Window| {
        if part.window == Some(window) {
            // Stopped; who traces it goes on from here.
            let _stopped = raise(Signal::SIGSTOP);
        }
    };
    let (participant, cyclic) = loop {
        mark(Window::Attach);
        let attached = setup(part).activate();
        mark(Window::Attach);
        match attached {
            Ok(attached) => break attached,
            Err(error) => {
                row.count(Field::Refused);
                if !is_daemon_s_end(&error) {
                    eprintln!("not attached: {error}");
                    row.fault(fault::NOT_ATTACHED, [0; 6]);
                    return;
                }
            }
        }
    };
    row.count(Field::Attached);
    let last = [const { AtomicU64::new(0) }; REGIONS.len()];
    let actor = Actor { part, row, participant, last, random: AtomicU64::new(part.seed) };
    if part.class.is_some() { actor.control(cyclic, mark) } else { actor.read(cyclic, mark) }
}

/// Whether the daemon was gone, or ended meanwhile: then one tries again.
fn is_daemon_s_end(error: &AttachError) -> bool {
    matches!(
        error,
        AttachError::NoDaemon { .. }
            | AttachError::HungUp
            | AttachError::Silent
            | AttachError::System { what: "write to the daemon" | "read from the daemon", .. }
    )
}

fn setup(part: &Part) -> Setup {
    let mut options = Options::new(name(APPLICATION), part.socket.clone());
    options.class = part.class.unwrap_or(StandbyClass::Warm);
    let mut setup = Setup::new(options);
    for (index, region) in REGIONS.into_iter().enumerate() {
        let woken = index == PLANT;
        let added = if part.class.is_some() {
            setup.register(RegionOptions {
                in_place: index == AXES,
                separate: index == LOG,
                woken,
                ..RegionOptions::new(name(region), part.sizes.0[index])
            })
        } else {
            setup.attach(ReaderOptions { woken, ..ReaderOptions::new(name(region)) })
        };
        debug_assert_eq!(added, Ok(index));
    }
    setup
}

struct Actor<'a> {
    part: &'a Part,
    row: Row<'a>,
    participant: Participant,
    /// One more than the last cycle seen of each region.
    last: [AtomicU64; REGIONS.len()],
    random: AtomicU64,
}

impl Actor<'_> {
    /// What a controller does.
    fn control(&self, mut cyclic: Cyclic, mark: impl Fn(Window)) {
        let (mut followed, mut committed) = (0, 0);
        let mut was_active = false;
        let mut images = self.part.sizes.0.map(|octets| vec![0; octets]);
        loop {
            let is_due = !was_active && self.participant.office().role == Role::Active;
            let window = if is_due { Window::TakeOver } else { Window::Follow(followed) };
            let window = if was_active { None } else { Some(window) };
            window.into_iter().for_each(&mark);
            let cycle = cyclic.begin();
            window.into_iter().for_each(&mark);
            self.note(&cycle);
            if let Some(restored) = cycle.took_over {
                self.took_over(&cyclic, &cycle, restored);
            }
            was_active = cycle.role == Role::Active;
            if was_active {
                self.commit(&mut cyclic, &cycle, &mut images, committed, &mark);
                committed += 1;
                self.rest(300);
            } else {
                followed += 1;
                if self.part.class == Some(StandbyClass::Hot) {
                    self.look_at_cut(&cyclic);
                } else if cyclic.read(PLANT, false).is_ok() {
                    self.look_at(&cyclic, PLANT);
                }
                self.wait(&mut cyclic);
            }
        }
    }

    /// What a program does that shows what a controller is at.
    fn read(&self, mut cyclic: Cyclic, mark: impl Fn(Window)) {
        for round in 0.. {
            self.note(&cyclic.begin());
            for region in 0..REGIONS.len() {
                let in_order = self.below(2) == 0;
                let window = Window::Read(round * 4 + region as u64);
                mark(window);
                let read = cyclic.read(region, in_order);
                mark(window);
                match read {
                    Ok(_) => drop(self.look_at(&cyclic, region)),
                    Err(NoImage::Nothing) => {}
                    Err(NoImage::Lapped) => self.row.count(Field::Lapped),
                    Err(_) => self.row.fault(fault::CORRUPT, [region as u64, 0, 0, 0, 0, 0]),
                }
            }
            self.wait(&mut cyclic);
        }
    }

    fn note(&self, cycle: &Cycle) {
        self.row.count(Field::Beats);
        self.row.set(Field::Epoch, cycle.epoch);
        self.row.set(Field::Role, if cycle.role == Role::Active { 1 } else { 2 });
        self.row.set(Field::HasDaemon, cycle.has_daemon.into());
        if cycle.stepped_down {
            self.row.count(Field::SteppedDown);
        }
    }

    fn took_over(&self, cyclic: &Cyclic, cycle: &Cycle, restored: Restored) {
        let restored = match restored {
            Restored::Nothing => 0,
            Restored::State { cycle, .. } => cycle,
            Restored::Lost(_) => {
                self.row.fault(fault::LOST, [0; 6]);
                return;
            }
        };
        if cycle.number != restored + 1 {
            self.row.fault(fault::OTHER_CYCLE, [cycle.number, restored, 0, 0, 0, 0]);
        }
        if restored > 0 {
            for region in CUT.into_iter().filter(|it| cyclic.image(*it).is_none()) {
                self.row.fault(fault::NOTHING_HELD, [region as u64, restored, 0, 0, 0, 0]);
            }
        }
        self.look_at_cut(cyclic);
        let alone = self.look_at(cyclic, LOG).map_or(0, |it| it.cycle);
        self.row.set(Field::RestoredAlone, alone + 1);
        self.row.set(Field::Restored, restored + 1);
    }

    /// All regions of the cut that are held are of one cycle and one owner.
    fn look_at_cut(&self, cyclic: &Cyclic) {
        let mut first = None;
        for region in CUT {
            let Some(found) = self.look_at(cyclic, region) else { continue };
            let of = *first.get_or_insert(found);
            if of != found {
                let numbers = [region as u64, of.cycle, found.cycle, of.epoch, found.epoch, 0];
                self.row.fault(fault::MIXED, numbers);
            }
        }
        self.row.set(Field::Held, first.map_or(0, |it| it.cycle + 1));
    }

    /// The image that is held of a region is one that was committed; what it was made of.
    fn look_at(&self, cyclic: &Cyclic, region: usize) -> Option<Origin> {
        let (image, octets) = cyclic.image(region)?;
        self.row.count(Field::Checks);
        let number = region as u64;
        match content::check(octets, self.part.seed, region) {
            Ok(origin) => {
                let stamp = image.stamp;
                if stamp.cycle != origin.cycle || stamp.epoch < origin.epoch {
                    let numbers = [number, stamp.cycle, origin.cycle, stamp.epoch, origin.epoch, 0];
                    self.row.fault(fault::MISLABELLED, numbers);
                }
                let before = self.last[region].swap(origin.cycle + 1, Ordering::Relaxed);
                // Seen by itself, a region's last image may be of a cycle that its owner did not
                // finish in all regions: the next owner takes that one back, and no other.
                let is_hot = self.part.class == Some(StandbyClass::Hot);
                let finished = if is_hot { 1 } else { 2 };
                if origin.cycle + finished < before {
                    let numbers = [number, before - 1, origin.cycle, stamp.epoch, origin.epoch, 0];
                    self.row.fault(fault::BACKWARDS, numbers);
                }
                Some(origin)
            }
            Err(torn) => {
                let numbers =
                    [number, torn.at as u64, torn.says.epoch, torn.says.cycle, image.sequence, 0];
                self.row.fault(fault::TORN, numbers);
                None
            }
        }
    }

    fn commit(
        &self,
        cyclic: &mut Cyclic,
        cycle: &Cycle,
        images: &mut [Vec<u8>; 4],
        committed: u64,
        mark: &impl Fn(Window),
    ) {
        let (row, seed) = (self.row, self.part.seed);
        let origin = Origin { epoch: cycle.epoch, cycle: cycle.number };
        for (region, image) in images.iter_mut().enumerate() {
            content::fill(image, seed, region, origin);
        }
        mark(Window::Publish(committed));
        row.set(Field::AloneBegun, cycle.number);
        let alone = cyclic.commit_separate(LOG, [&images[LOG][..]]);
        if alone.is_ok() {
            row.set(Field::AloneReturned, cycle.number);
        }
        if let Ok(slot) = cyclic.open(AXES) {
            self.look_in_place(slot, cycle.number);
            slot.copy_from_slice(&images[AXES]);
        }
        row.set(Field::CutBegun, cycle.number);
        let all = cyclic.commit(|region| [&images[region][..]]);
        mark(Window::Publish(committed));
        if alone.is_err() || all != Ok(cycle.number) {
            if cyclic.may_act() {
                row.fault(fault::COMMIT_REFUSED, [cycle.number, 0, 0, 0, 0, 0]);
            }
            return;
        }
        row.set(Field::CutReturned, cycle.number);
        if row.get(Field::FirstCommitNs) == 0 {
            row.set(Field::FirstCommitNs, MonotonicClock::now().as_nanos());
        }
    }

    /// A slot in place holds the last image when it is opened, if there is one.
    fn look_in_place(&self, slot: &[u8], number: u64) {
        let found = content::check(slot, self.part.seed, AXES);
        let is_last = found.is_ok_and(|it| it.cycle + 1 == number);
        let is_first = number == 1 && slot.iter().all(|octet| *octet == 0);
        if !is_last && !is_first {
            let says = found.unwrap_or_else(|torn| torn.says);
            self.row.fault(fault::OTHER_IN_PLACE, [number, says.cycle, says.epoch, 0, 0, 0]);
        }
    }

    fn wait(&self, cyclic: &mut Cyclic) {
        let until = MonotonicClock::now().saturating_add(Duration::from_millis(20));
        if cyclic.wait(PLANT, until).is_err() {
            self.row.fault(fault::NO_WAIT, [0; 6]);
        }
    }

    /// Between two cycles, for some microseconds.
    fn rest(&self, us_max: u64) {
        std::thread::sleep(StdDuration::from_micros(self.below(us_max)));
    }

    fn below(&self, bound: u64) -> u64 {
        let seed = self.random.load(Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.store(seed, Ordering::Relaxed);
        mixed(seed) % bound
    }
}
