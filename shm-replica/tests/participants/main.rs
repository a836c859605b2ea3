//! Participants with a broker on its real socket: roles, cuts, takeovers, the daemon's end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemon;
mod versions;

use std::time::Duration as StdDuration;

use bumpless::attach::{MESSAGE_OCTETS_MAX, RefusalCode, Registration, Request, StandbyClass};
use bumpless::image::{ImageWriter, Stamp};
use bumpless::os::connection::Connection;
use bumpless::os::mapping::Mapping;
use bumpless::os::participant::{
    AttachError, Cycle, CycleError, Cyclic, Options, Participant, ReaderOptions, RegionOptions,
    Restored, Setup,
};
use bumpless::os::segment::Segment;
use bumpless::page::{Office, Role};
use bumpless::schema::{Block, Kind, MapPolicy, SchemaBuilder};
use bumpless::segment::{Layout, RegionName, State};
use rt_core::os::clock::MonotonicClock;
use rt_core::time::Duration;

use daemon::Daemon;

fn name(text: &str) -> RegionName {
    RegionName::new(text).unwrap()
}

/// Somebody who controls: two regions of one cut.
struct Controller {
    participant: Participant,
    cyclic: Cyclic,
}

const PLANT: usize = 0;
const RECIPE: usize = 1;
const PLANT_OCTETS: usize = 64;
const RECIPE_OCTETS: usize = 1_000;

impl Controller {
    fn new(daemon: &Daemon) -> Self {
        Self::of_class(daemon, StandbyClass::Hot)
    }

    fn of_class(daemon: &Daemon, class: StandbyClass) -> Self {
        let options = Options::new(name("plc"), daemon.socket());
        let mut setup = Setup::new(Options { class, ..options });
        let plant =
            RegionOptions { woken: true, ..RegionOptions::new(name("plant"), PLANT_OCTETS) };
        assert_eq!(setup.register(plant), Ok(PLANT));
        let recipe =
            RegionOptions { in_place: true, ..RegionOptions::new(name("recipe"), RECIPE_OCTETS) };
        assert_eq!(setup.register(recipe), Ok(RECIPE));
        let (participant, cyclic) = setup.activate().unwrap();
        Self { participant, cyclic }
    }

    /// Cycles until it is what is expected.
    fn becomes(&mut self, role: Role) -> Cycle {
        for _ in 0..2_000 {
            let cycle = self.cyclic.begin();
            if cycle.role == role {
                return cycle;
            }
            std::thread::sleep(StdDuration::from_millis(1));
        }
        panic!("it did not become {role:?}: {:?}", self.cyclic.begin());
    }

    fn commits(&mut self, octet: u8) -> u64 {
        self.cyclic.open(RECIPE).unwrap().fill(octet);
        let image = [octet; PLANT_OCTETS];
        self.cyclic.commit(|_| [&image[..]]).unwrap()
    }

    /// A whole cycle of one who is active.
    fn works(&mut self, octet: u8) -> u64 {
        let cycle = self.cyclic.begin();
        assert_eq!((cycle.role, cycle.took_over), (Role::Active, None));
        assert_eq!(self.commits(octet), cycle.number);
        cycle.number
    }

    /// Cycles until it holds a certain one; its octet.
    fn comes_to_hold(&mut self, number: u64) -> u8 {
        for _ in 0..2_000 {
            self.cyclic.begin();
            match self.holds() {
                Some((held, octet)) if held == number => return octet,
                _ => std::thread::sleep(StdDuration::from_millis(1)),
            }
        }
        panic!("it holds {:?}, not cycle {number}", self.holds());
    }

    /// The cycle and the octets that it holds of both regions.
    fn holds(&self) -> Option<(u64, u8)> {
        let (plant, octets) = self.cyclic.image(PLANT)?;
        let (recipe, more) = self.cyclic.image(RECIPE)?;
        assert_eq!(plant.stamp.cycle, recipe.stamp.cycle, "one cut");
        assert_eq!((octets.len(), more.len()), (PLANT_OCTETS, RECIPE_OCTETS));
        assert!(octets.iter().chain(more).all(|octet| *octet == octets[0]));
        Some((plant.stamp.cycle, octets[0]))
    }
}

#[test]
fn a_standby_holds_each_cut_and_goes_on_from_the_last_one() {
    let daemon = Daemon::start("goes-on");
    let mut first = Controller::new(&daemon);
    assert_eq!(first.becomes(Role::Active).took_over, Some(Restored::Nothing));
    assert!(first.cyclic.may_act() && first.participant.may_act());
    first.commits(1);
    let mut second = Controller::new(&daemon);
    assert_eq!(second.becomes(Role::Standby).epoch, 1);
    assert!(!second.cyclic.may_act());
    for octet in 2..=50 {
        let number = first.works(octet);
        assert_eq!(number, u64::from(octet));
        let cycle = second.cyclic.begin();
        assert_eq!((cycle.role, cycle.number), (Role::Standby, number));
        assert_eq!(second.holds(), Some((number, octet)));
    }
    assert_eq!(second.cyclic.commit(|_| [&[0; 64][..]]), Err(CycleError::NotActive));
    let last = first.works(51);
    let Controller { participant, cyclic } = first;
    participant.deactivate();
    let cycle = second.becomes(Role::Active);
    assert!(matches!(cycle.took_over, Some(Restored::State { cycle: 51, newer_lost: false, .. })));
    assert_eq!((cycle.number, cycle.epoch), (last + 1, 2));
    assert_eq!(second.holds(), Some((51, 51)));
    // What it opens in place holds what was restored.
    assert!(second.cyclic.open(RECIPE).unwrap().iter().all(|octet| *octet == 51));
    assert_eq!(second.commits(52), 52);
    // The former owner's segment is still there, and nobody looks at it.
    drop(cyclic);
    let mut third = Controller::new(&daemon);
    third.becomes(Role::Standby);
    assert_eq!(third.holds(), Some((52, 52)));
}

#[test]
fn one_that_is_not_hot_gets_memory_and_state_when_it_takes_over() {
    let daemon = Daemon::start("warm");
    let mut first = Controller::new(&daemon);
    first.becomes(Role::Active);
    first.commits(1);
    for class in [StandbyClass::Warm, StandbyClass::Cold] {
        let mut second = Controller::of_class(&daemon, class);
        second.becomes(Role::Standby);
        let mut last = 0;
        for octet in 2..=9 {
            last = first.works(octet);
            second.cyclic.begin();
            assert_eq!(second.holds(), None, "it follows nothing");
        }
        first.participant.deactivate();
        let cycle = second.becomes(Role::Active);
        assert_eq!((cycle.number, second.holds()), (last + 1, Some((last, 9))));
        second.commits(10);
        first = second;
    }
}

/// What does not keep to the library's order: it commits one region of two.
struct Torn {
    connection: Connection,
    segments: [ImageWriter<Mapping>; 2],
}

impl Torn {
    fn new(daemon: &Daemon) -> Self {
        let connection = Connection::open(&daemon.socket()).unwrap();
        let say = |request: &Request<'_>| {
            let mut message = vec![0; MESSAGE_OCTETS_MAX];
            connection.send(request.encode(&mut message).unwrap(), None).unwrap();
            let mut buffer = vec![0; MESSAGE_OCTETS_MAX];
            for _ in 0..2_000 {
                if let Ok(came) = connection.receive(&mut buffer) {
                    return came.unwrap().file;
                }
                std::thread::sleep(StdDuration::from_millis(1));
            }
            panic!("no answer to {request:?}");
        };
        say(&Request::Hello { application: name("plc"), library: "torn" });
        let segments =
            [("plant", PLANT_OCTETS), ("recipe", RECIPE_OCTETS)].map(|(region, octets)| {
                let layout = Layout::new(octets, 4, 0).unwrap();
                let asked = Request::Register(Registration::new(name(region), layout, &[]));
                let segment = Segment::open(say(&asked).unwrap(), true).unwrap();
                ImageWriter::new(segment.into_memory(), layout.place(), octets).unwrap()
            });
        say(&Request::Ready);
        Self { connection, segments }
    }

    fn commits(&mut self, region: usize, epoch: u64, cycle: u64) {
        let octet = u8::try_from(cycle).unwrap();
        let image = vec![octet; [PLANT_OCTETS, RECIPE_OCTETS][region]];
        let now = MonotonicClock::now().as_nanos();
        let stamp = Stamp { epoch, cycle, committed_at_ns: now, ..Stamp::default() };
        self.segments[region].publish(&image, stamp).unwrap();
    }
}

#[test]
fn one_that_dies_between_two_regions_leaves_the_cycle_that_both_have() {
    let daemon = Daemon::start("between");
    for follows in [true, false] {
        let mut torn = Torn::new(&daemon);
        let mut epoch = 0;
        while epoch == 0 {
            let state = State::new(&**torn.segments[PLANT].memory()).unwrap();
            epoch = state.epoch().unwrap_or(0);
            std::thread::sleep(StdDuration::from_millis(1));
        }
        for cycle in 101..=105 {
            torn.commits(PLANT, epoch, cycle);
            torn.commits(RECIPE, epoch, cycle);
        }
        let mut second = Controller::new(&daemon);
        second.becomes(Role::Standby);
        assert_eq!(second.holds(), Some((105, 105)));
        torn.commits(PLANT, epoch, 106);
        if follows {
            second.cyclic.begin();
            assert_eq!(second.holds(), Some((105, 105)), "the one that both have");
        }
        drop(torn.connection);
        let cycle = second.becomes(Role::Active);
        let restored = Some(Restored::State { cycle: 105, age: age_of(cycle), newer_lost: false });
        assert_eq!((cycle.took_over, second.holds()), (restored, Some((105, 105))));
        assert_eq!(second.commits(9), 106);
    }
}

fn age_of(cycle: Cycle) -> Duration {
    match cycle.took_over {
        Some(Restored::State { age, .. }) => age,
        other => panic!("{other:?}"),
    }
}

#[test]
fn owners_that_die_before_their_first_cycle_take_no_state_with_them() {
    let daemon = Daemon::start("first-cycle");
    let mut first = Controller::new(&daemon);
    first.becomes(Role::Active);
    for octet in 1..=9 {
        if octet > 1 {
            first.cyclic.begin();
        }
        first.commits(octet);
    }
    // The library of each of them is told that it is active, and its cycle never comes.
    let idle: Vec<Controller> = (0..3).map(|_| Controller::new(&daemon)).collect();
    first.works(10);
    first.participant.deactivate();
    for (index, controller) in idle.into_iter().enumerate() {
        let epoch = u64::try_from(index).unwrap() + 2;
        for _ in 0..2_000 {
            if controller.participant.office() == (Office { role: Role::Active, epoch }) {
                break;
            }
            std::thread::sleep(StdDuration::from_millis(1));
        }
        assert_eq!(controller.participant.office().role, Role::Active);
        if index == 2 {
            let mut heir = controller;
            let cycle = heir.becomes(Role::Active);
            assert_eq!((cycle.number, heir.holds()), (11, Some((10, 10))));
        } else {
            controller.participant.deactivate();
        }
    }
}

#[test]
fn one_that_comes_after_an_owner_without_a_cycle_finds_what_was_before() {
    let daemon = Daemon::start("comes-after");
    let mut first = Controller::new(&daemon);
    first.becomes(Role::Active);
    first.commits(1);
    first.works(2);
    // Told that it is active, and ends before its first cycle; the next one was not there before.
    let mut idle = Controller::new(&daemon).participant;
    first.participant.deactivate();
    for epoch in 2..=4 {
        for _ in 0..2_000 {
            if idle.office() == (Office { role: Role::Active, epoch }) {
                break;
            }
            std::thread::sleep(StdDuration::from_millis(1));
        }
        assert_eq!(idle.office(), Office { role: Role::Active, epoch });
        let mut next = Controller::new(&daemon);
        idle.deactivate();
        if epoch == 4 {
            let cycle = next.becomes(Role::Active);
            assert_eq!((cycle.number, next.holds()), (3, Some((2, 2))));
            return;
        }
        idle = next.participant;
    }
}

#[test]
fn the_application_s_time_goes_on_through_a_takeover() {
    let daemon = Daemon::start("time");
    let mut first = Controller::new(&daemon);
    let began = first.becomes(Role::Active).began_at;
    first.commits(1);
    let mut second = Controller::new(&daemon);
    second.becomes(Role::Standby);
    let before = first.cyclic.begin();
    first.commits(2);
    let lived = before.began_at.since(began).as_nanos();
    assert!(before.time_ns >= lived);
    first.participant.deactivate();
    let after = second.becomes(Role::Active);
    let (time, clock) =
        (after.time_ns - before.time_ns, after.began_at.since(before.began_at).as_nanos());
    assert_eq!(time, clock, "both count the same time, the gap included");
}

#[test]
fn one_that_is_told_to_stand_by_does_so_in_its_next_cycle_and_may_come_back() {
    let daemon = Daemon::start("switch");
    let mut first = Controller::new(&daemon);
    first.becomes(Role::Active);
    first.commits(1);
    let mut second = Controller::new(&daemon);
    second.becomes(Role::Standby);
    for round in 0..5u8 {
        let (from, to) =
            if round % 2 == 0 { (&mut first, &mut second) } else { (&mut second, &mut first) };
        let number = from.works(10 + round);
        daemon.switch_over();
        let cycle = to.becomes(Role::Active);
        assert_eq!(cycle.number, number + 1);
        assert!(!from.cyclic.may_act(), "before it was told in a cycle");
        assert_eq!(from.cyclic.open(RECIPE).unwrap_err(), CycleError::NotBegun);
        let cycle = from.becomes(Role::Standby);
        assert!(cycle.stepped_down);
        assert_eq!(from.cyclic.commit(|_| [&[0; 64][..]]), Err(CycleError::NotActive));
        to.commits(20 + round);
        assert_eq!(from.comes_to_hold(number + 1), 20 + round);
    }
}

#[test]
fn the_daemon_s_end_costs_the_active_no_cycle_and_the_standby_no_image() {
    let mut daemon = Daemon::start("restart");
    let mut first = Controller::new(&daemon);
    first.becomes(Role::Active);
    first.commits(1);
    let mut second = Controller::new(&daemon);
    second.becomes(Role::Standby);
    for life in 1..4 {
        daemon.kill();
        for _ in 0..20 {
            let number = first.works(7);
            second.cyclic.begin();
            assert_eq!(second.holds(), Some((number, 7)));
        }
        daemon.live();
        let mut cycles = 0;
        while [&first, &second].iter().any(|it| it.participant.daemon_life() != life) {
            let number = first.works(8);
            assert_eq!(second.cyclic.begin().role, Role::Standby);
            assert_eq!(second.holds(), Some((number, 8)));
            cycles += 1;
            assert!(
                cycles < 20_000,
                "{} / {}",
                first.participant.trouble(),
                second.participant.trouble()
            );
            std::thread::sleep(StdDuration::from_micros(200));
        }
        assert_eq!(first.participant.office().epoch, 1, "the same epoch in life {life}");
        first.works(9);
    }
    // And the new daemon knows what to do when it ends.
    let number = first.works(10);
    first.participant.deactivate();
    assert_eq!(second.becomes(Role::Active).number, number + 1);
}

#[test]
fn a_reader_is_woken_by_each_commit_and_sees_each_in_order() {
    let daemon = Daemon::start("woken");
    let mut setup = Setup::new(Options::new(name("plc"), daemon.socket()));
    let options = ReaderOptions { woken: true, ..ReaderOptions::new(name("plant")) };
    let plant = setup.attach(options).unwrap();
    let (_reader, mut reading) = setup.activate().unwrap();
    let mut first = Controller::new(&daemon);
    first.becomes(Role::Active);
    first.commits(1);
    let until = || MonotonicClock::now().saturating_add(Duration::from_secs(10));
    // The first segment is on its way; each call tells at most once that something has changed.
    let mut seen = 0;
    for _ in 0..100 {
        reading.begin();
        if let Ok(image) = reading.read(plant, true) {
            seen = image.stamp.cycle;
            break;
        }
        assert!(reading.wait(plant, until()).unwrap(), "woken when it comes");
    }
    assert_eq!(seen, 1);
    let writer = std::thread::spawn(move || {
        for octet in 2..=100 {
            std::thread::sleep(StdDuration::from_millis(1));
            first.works(octet);
        }
        first
    });
    while seen < 100 {
        assert!(reading.wait(plant, until()).unwrap(), "woken in time");
        while let Ok(image) = reading.read(plant, true) {
            seen += 1 + image.skipped;
            assert_eq!(image.stamp.cycle, seen);
            let (_, octets) = reading.image(plant).unwrap();
            assert!(octets.iter().all(|octet| u64::from(*octet) == seen));
        }
    }
    drop(writer.join().unwrap());
    let early = MonotonicClock::now().saturating_add(Duration::from_millis(1));
    // Its end is a change of the page, and then nothing happens any more.
    for _ in 0..100 {
        reading.begin();
        if !reading.wait(plant, early).unwrap() {
            return;
        }
    }
    panic!("woken again and again for nothing");
}

#[test]
fn what_others_do_to_a_region_of_theirs_takes_nobody_out_of_charge() {
    let mut daemon = Daemon::start("others");
    let panel = |kind| {
        let mut buffer = [0; 256];
        let mut builder = SchemaBuilder::new(&mut buffer);
        builder.push(Block { name: "setpoint", kind, count: 1 }).unwrap();
        builder.finish().unwrap().octets().to_vec()
    };
    let hmi = |kind| {
        let mut setup = Setup::new(Options::new(name("hmi"), daemon.socket()));
        let options = RegionOptions::new(name("panel"), 8);
        let map = Some(MapPolicy::SameCount);
        let options = RegionOptions { schema: panel(kind), map, ..options };
        setup.register(options).unwrap();
        setup.activate().unwrap()
    };
    let old = hmi(Kind::F64);
    let mut setup = Setup::new(Options::new(name("plc"), daemon.socket()));
    setup.register(RegionOptions::new(name("plant"), PLANT_OCTETS)).unwrap();
    let options = ReaderOptions { schema: panel(Kind::F64), ..ReaderOptions::new(name("panel")) };
    setup.attach(options).unwrap();
    let (participant, cyclic) = setup.activate().unwrap();
    let mut controller = Controller { participant, cyclic };
    controller.becomes(Role::Active);
    drop(old);
    // Another version of the other program, of which this one's knows nothing.
    let _new = hmi(Kind::U64);
    let is_told = |controller: &mut Controller| {
        for _ in 0..1_000 {
            assert_eq!(controller.cyclic.begin().role, Role::Active);
            if controller.participant.trouble().contains("panel") {
                return true;
            }
            std::thread::sleep(StdDuration::from_millis(1));
        }
        false
    };
    assert!(is_told(&mut controller), "people are told");
    assert!(controller.participant.has_daemon());
    daemon.kill();
    daemon.live();
    assert!(is_told(&mut controller));
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    let mut daemon = Daemon::start("refused");
    let attempt = |application: &str, region: &str, cycle: Duration, octets| {
        let mut options = Options::new(name(application), daemon.socket());
        options.cycle = cycle;
        let mut setup = Setup::new(options);
        setup.register(RegionOptions::new(name(region), octets)).unwrap();
        setup.activate().map(|_| ()).unwrap_err()
    };
    let unknown = attempt("plc", "nowhere", Duration::ZERO, 8);
    assert!(matches!(unknown, AttachError::Refused { code: RefusalCode::UnknownRegion, .. }));
    assert!(unknown.to_string().contains("nowhere"), "{unknown}");
    // A megabyte is not copied in a hundredth of a microsecond.
    let costly = attempt("plc", "plant", Duration::from_nanos(50), 1 << 20);
    assert!(
        matches!(costly, AttachError::Refused { code: RefusalCode::TooCostly, .. }),
        "{costly}"
    );
    let mut setup = Setup::new(Options::new(name("plc"), daemon.socket()));
    setup.register(RegionOptions::new(name("plant"), 8)).unwrap();
    assert!(setup.register(RegionOptions::new(name("plant"), 8)).is_err());
    assert!(setup.register(RegionOptions::new(name("recipe"), 0)).is_err());
    daemon.kill();
    let mut options = Options::new(name("plc"), daemon.socket());
    options.patience = Duration::from_millis(20);
    let nobody = Setup::new(options).activate().map(|_| ()).unwrap_err();
    assert!(matches!(nobody, AttachError::NoDaemon { .. }));
    assert!(nobody.to_string().contains("start bumplessd"), "{nobody}");
    daemon.live();
}
