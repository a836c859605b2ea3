//! Becoming attached and detached, taking over and being relieved, under schedules that are drawn
//! by lot: the daemon's broker, service threads and cyclic threads as they ship, on their real
//! socket, each stopped at every message, change of a page or seat, and exchange of a mailbox.
//!
//! What was changed to see whether it is noticed, and was:
//! - a segment that comes after one that nobody took drops that one;
//! - a takeover that does not wait for the former owner's segments;
//! - a cut of those regions only whose new segment has come;
//! - a former owner that is not told before the next one;
//! - a commit that does not look whether it was relieved meanwhile.
//!
//! Not noticed, for nobody dies here between two instructions: an own segment that does not begin
//! with the state that was taken over. The kill torture notices it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rt_core::os::clock::MonotonicClock;
use rt_core::time::Duration;
use shuttle::rand::Rng as _;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::thread::{self, JoinHandle};
use shuttle::{Config, Runner};

use super::attachment::{NotAttached, Plan};
use super::options::{Region, RegionOptions};
use super::service::Service;
use super::shared::Shared;
use super::{AttachError, CycleError, Cyclic, Restored};
use crate::attach::StandbyClass;
use crate::book::{Book, Rights, Takeover};
use crate::os::broker::{AwaitedOwner, Broker, Event, Host};
use crate::os::connection::{Listener, Peer};
use crate::os::process;
use crate::os::schedule::{give_way, model, point};
use crate::page::{Office, Role};
use crate::segment::RegionName;

const REGIONS: [(&str, usize); 2] = [("plant", 40), ("recipe", 72)];

fn name(text: &str) -> RegionName {
    RegionName::new(text).unwrap()
}

fn soak() -> bool {
    std::env::var_os("BUMPLESS_SOAK").is_some_and(|value| value == "1")
}

/// What everybody promised so far.
#[derive(Default)]
struct Ledger {
    /// The last cycle whose commit returned, and the last that was begun.
    returned: AtomicU64,
    begun: AtomicU64,
    /// The newest epoch that somebody took over under.
    epoch: AtomicU64,
    takeovers: AtomicUsize,
    epochs: Mutex<HashMap<RegionName, u64>>,
    /// Of each participant that is attached.
    attached: Mutex<Vec<Arc<Shared>>>,
}

struct Told(Arc<Ledger>);

impl Host for Told {
    fn rights(&self, _: &Peer, _: RegionName, _: RegionName) -> Rights {
        Rights { write: true, read: true }
    }

    fn store_epoch(&mut self, application: RegionName, epoch: u64) -> io::Result<()> {
        self.0.epochs.lock().unwrap().insert(application, epoch);
        Ok(())
    }

    fn tell(&mut self, event: Event) {
        assert!(!matches!(event, Event::Failed(_) | Event::Refused(..)), "{event:?}");
    }
}

fn socket() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("bumpless-schedules-{}-{count}", std::process::id()))
}

fn broker(socket: &Path, ledger: &Ledger, instance: u64) -> Broker {
    let epoch = ledger.epochs.lock().unwrap().get(&name("plc")).copied().unwrap_or(0);
    let mut book = Book::new(20);
    book.add_application(name("plc"), Takeover::OnExit, epoch).unwrap();
    for (region, _) in REGIONS {
        book.add_region(name(region), name("plc")).unwrap();
    }
    book.set_in_charge(true, &mut |_| {});
    let mut broker = Broker::new(Listener::bind(socket).unwrap(), book, instance).unwrap();
    if epoch > 0 {
        let pid = i32::try_from(std::process::id()).unwrap();
        let process = process::open(pid).unwrap();
        broker.await_owner(name("plc"), AwaitedOwner { pid, process, may_not_know: false });
    }
    broker
}

fn plan(class: StandbyClass) -> Plan {
    let region = |(region, octets)| Region::written(RegionOptions::new(name(region), octets));
    Plan {
        application: name("plc"),
        class,
        cycle: Duration::ZERO,
        regions: REGIONS.map(|it| region(it).unwrap()).into(),
        commit_cost_ns: vec![0; REGIONS.len()],
    }
}

/// A participant with both of its threads.
struct Member {
    ledger: Arc<Ledger>,
    shared: Arc<Shared>,
    cyclic: Cyclic,
    service: JoinHandle<()>,
    held: u64,
}

impl Member {
    fn attach(socket: &Path, ledger: &Arc<Ledger>, class: StandbyClass) -> Self {
        let plan = Arc::new(plan(class));
        let until = MonotonicClock::now().saturating_add(Duration::from_secs(60));
        let attachment = loop {
            match plan.attach(socket, None, until) {
                Ok(attachment) => break attachment,
                Err(NotAttached { why: AttachError::HungUp, .. }) => give_way(),
                Err(NotAttached { why, .. }) => panic!("{why}"),
            }
        };
        let (service, shared) =
            Service::new(Arc::clone(&plan), socket.to_owned(), attachment).unwrap();
        let cyclic = Cyclic::new(Arc::clone(&shared), plan);
        let service = thread::spawn(move || service.run());
        ledger.attached.lock().unwrap().push(Arc::clone(&shared));
        Self { ledger: Arc::clone(ledger), shared, cyclic, service, held: 0 }
    }

    /// One cycle; whether it committed.
    fn works(&mut self) -> bool {
        let cycle = self.cyclic.begin();
        self.looks_whether_it_is_alone();
        if let Some(restored) = cycle.took_over {
            self.took_over(restored, cycle.epoch);
        }
        self.looks_at_cut();
        point();
        if cycle.role != Role::Active {
            give_way();
            return false;
        }
        let number = cycle.number;
        let images = REGIONS.map(|(_, octets)| vec![octet(number); octets]);
        let before = self.ledger.begun.load(Ordering::Relaxed);
        self.ledger.begun.store(before.max(number), Ordering::Relaxed);
        // Now and then one is held up in the midst of it, as a busy machine does.
        let is_held_up = shuttle::rand::thread_rng().gen_ratio(1, 4);
        match self.cyclic.commit(|region| {
            (0..if is_held_up { 100 } else { 1 }).for_each(|_| give_way());
            [&images[region][..]]
        }) {
            Ok(committed) => {
                assert_eq!(committed, number);
                let newest = self.ledger.epoch.load(Ordering::Relaxed);
                assert_eq!(newest, cycle.epoch, "it counts, and somebody took over without it");
                let returned = self.ledger.returned.load(Ordering::Relaxed);
                self.ledger.returned.store(returned.max(number), Ordering::Relaxed);
                true
            }
            Err(why) => {
                assert_eq!(why, CycleError::NotActive, "it began the cycle in charge");
                false
            }
        }
    }

    /// The new owner goes on from the last cycle whose commit returned, or a later one.
    fn took_over(&self, restored: Restored, epoch: u64) {
        let cycle = match restored {
            Restored::Nothing => 0,
            Restored::State { cycle, .. } => cycle,
            Restored::Lost(why) => panic!("{why}"),
        };
        let Ledger { returned, begun, epoch: newest, takeovers, .. } = &*self.ledger;
        let (returned, begun) = (returned.load(Ordering::Relaxed), begun.load(Ordering::Relaxed));
        assert!((returned..=begun).contains(&cycle), "{cycle}, not of {returned} to {begun}");
        assert!(epoch > newest.swap(epoch, Ordering::Relaxed), "epoch {epoch} comes twice");
        takeovers.fetch_add(1, Ordering::Relaxed);
    }

    /// Both regions are of one cycle, whole, and not older than before.
    fn looks_at_cut(&mut self) {
        let [Some((plant, first)), Some((recipe, second))] =
            [0, 1].map(|region| self.cyclic.image(region))
        else {
            return;
        };
        assert_eq!(plant.stamp.cycle, recipe.stamp.cycle, "a cut of two cycles");
        let expected = octet(plant.stamp.cycle);
        assert!(first.iter().chain(second).all(|octet| *octet == expected), "a torn cut");
        assert!(plant.stamp.cycle >= self.held, "an older cut than before");
        self.held = plant.stamp.cycle;
    }

    /// At no instant two of them may act. (By the pages: looking is no point of a schedule here.)
    fn looks_whether_it_is_alone(&self) {
        let attached = self.ledger.attached.lock().unwrap();
        let acts = |shared: &&Arc<Shared>| {
            let Office { role, epoch } = shared.office_unscheduled();
            role == Role::Active && epoch == shared.acting.load(Ordering::Relaxed)
        };
        assert!(attached.iter().filter(acts).count() <= 1, "two may act");
    }

    /// Leaves as one who is dropped does.
    fn leaves(self) {
        self.shared.stops.store(true, Ordering::Release);
        self.service.join().unwrap();
        let mut attached = self.ledger.attached.lock().unwrap();
        attached.retain(|it| !Arc::ptr_eq(it, &self.shared));
        drop(attached);
        let Self { shared, cyclic, .. } = self;
        drop(cyclic);
        assert_eq!(Arc::strong_count(&shared), 1, "somebody has it still");
    }
}

#[allow(clippy::cast_possible_truncation, reason = "any octet that changes with the cycle")]
const fn octet(cycle: u64) -> u8 {
    cycle as u8
}

/// A daemon until all others are done, that switches over now and then.
fn daemon(socket: PathBuf, ledger: Arc<Ledger>, over: Arc<AtomicBool>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut broker = broker(&socket, &ledger, 1);
        let mut host = Told(ledger);
        let mut turns = 0u64;
        while !over.load(Ordering::Relaxed) {
            broker.turn(&mut host);
            give_way();
            turns += 1;
            if turns.is_multiple_of(16) && shuttle::rand::thread_rng().gen_ratio(1, 4) {
                // Where nobody stands by, nothing happens.
                let _done = broker.switch_over(name("plc"), &mut host);
            }
        }
        drop(broker);
        let _gone = fs::remove_file(socket);
    })
}

/// Participants come, work, are relieved, and leave, each twice.
fn comings_and_goings() {
    let (ledger, over, socket) = (Arc::<Ledger>::default(), Arc::default(), socket());
    let daemon = daemon(socket.clone(), Arc::clone(&ledger), Arc::clone(&over));
    let lives = [StandbyClass::Hot, StandbyClass::Hot, StandbyClass::Warm].map(|class| {
        let (ledger, socket) = (Arc::clone(&ledger), socket.clone());
        thread::spawn(move || {
            for _ in 0..2 {
                let mut member = Member::attach(&socket, &ledger, class);
                let cycles = shuttle::rand::thread_rng().gen_range(1..12);
                for _ in 0..cycles {
                    member.works();
                }
                member.leaves();
            }
        })
    });
    lives.into_iter().for_each(|life| life.join().unwrap());
    over.store(true, Ordering::Relaxed);
    daemon.join().unwrap();
    TAKEOVERS.fetch_add(ledger.takeovers.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// The daemon dies twice while an owner works and a standby follows.
fn daemons_one_after_the_other() {
    let (ledger, socket) = (Arc::<Ledger>::default(), socket());
    let life = Arc::new(AtomicU64::new(1));
    let daemon = {
        let (ledger, socket, life) = (Arc::clone(&ledger), socket.clone(), Arc::clone(&life));
        thread::spawn(move || {
            let mut host = Told(Arc::clone(&ledger));
            for instance in 1..=3 {
                let mut broker = broker(&socket, &ledger, instance);
                while life.load(Ordering::Relaxed) == instance {
                    broker.turn(&mut host);
                    give_way();
                }
                drop(broker);
                fs::remove_file(&socket).unwrap();
            }
        })
    };
    let mut owner = Member::attach(&socket, &ledger, StandbyClass::Hot);
    while !owner.works() {}
    let standby = {
        let (ledger, socket, life) = (Arc::clone(&ledger), socket.clone(), Arc::clone(&life));
        thread::spawn(move || {
            let mut standby = Member::attach(&socket, &ledger, StandbyClass::Hot);
            // Until the owner has gone; then it is the owner.
            while !standby.works() {}
            standby.leaves();
            life.store(4, Ordering::Relaxed);
        })
    };
    for instance in 2..=3 {
        let cycles = shuttle::rand::thread_rng().gen_range(1..6);
        (0..cycles).for_each(|_| assert!(owner.works(), "a cycle was lost with the daemon"));
        life.store(instance, Ordering::Relaxed);
        for _ in 0..1_000_000 {
            assert!(owner.works(), "a cycle was lost with the daemon");
            let is_back = owner.shared.seat().page.instance() == instance;
            if is_back && owner.shared.has_daemon.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    assert_eq!(owner.shared.seat().page.office(), Office { role: Role::Active, epoch: 1 });
    owner.leaves();
    standby.join().unwrap();
    daemon.join().unwrap();
    TAKEOVERS.fetch_add(ledger.takeovers.load(Ordering::Relaxed), Ordering::Relaxed);
}

static TAKEOVERS: AtomicUsize = AtomicUsize::new(0);

fn runs(scheduler: impl Scheduler + 'static, scene: fn()) {
    let mut config = Config::default();
    config.stack_size = 1 << 20;
    config.max_steps = shuttle::MaxSteps::None;
    model(|| {
        Runner::new(scheduler, config).run(scene);
    });
}

fn iterations(usual: usize) -> usize {
    if soak() { 100 * usual } else { usual }
}

#[test]
fn who_comes_and_goes_in_whatever_order_has_one_owner_and_loses_no_cycle() {
    runs(RandomScheduler::new(iterations(250)), comings_and_goings);
    runs(PctScheduler::new(5, iterations(150)), comings_and_goings);
    assert!(TAKEOVERS.load(Ordering::Relaxed) > 800, "too little has happened");
}

#[test]
fn daemons_that_die_in_whatever_instant_cost_no_cycle() {
    runs(RandomScheduler::new(iterations(150)), daemons_one_after_the_other);
    assert!(TAKEOVERS.load(Ordering::Relaxed) > 150, "too little has happened");
}
