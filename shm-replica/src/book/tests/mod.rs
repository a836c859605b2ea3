mod random_lives;

use super::*;
use crate::attach::Registration;
use crate::page::Role;

fn name(text: &str) -> RegionName {
    RegionName::new(text).unwrap()
}

const BOTH: Rights = Rights { write: true, read: true };

fn registration(region: &str) -> Registration<'static> {
    Registration::new(name(region), Layout::new(1_000, 4, 0).unwrap(), &[])
}

/// A book with an application `plc` of two regions and one `hmi` of one, and what it ordered.
struct Bench {
    book: Book,
    orders: Vec<Order>,
    /// What each participant was told last, as its page would say.
    offices: [Office; PARTICIPANTS_MAX],
    in_force: [Option<(ParticipantId, u64)>; REGIONS_MAX],
    /// Every epoch that was ever in force, by application.
    epochs: [Vec<u64>; 2],
}

impl Bench {
    fn new(takeover: Takeover) -> Self {
        let mut book = Book::new(20);
        book.add_application(name("plc"), takeover, 100).unwrap();
        book.add_application(name("hmi"), takeover, 0).unwrap();
        book.add_region(name("plant"), name("plc")).unwrap();
        book.add_region(name("trend"), name("plc")).unwrap();
        book.add_region(name("view"), name("hmi")).unwrap();
        let mut bench = Self {
            book,
            orders: Vec::new(),
            offices: [Office::default(); PARTICIPANTS_MAX],
            in_force: [None; REGIONS_MAX],
            epochs: [Vec::new(), Vec::new()],
        };
        bench.act(|book, order| book.set_in_charge(true, order));
        bench
    }

    fn act<T>(&mut self, act: impl FnOnce(&mut Book, &mut dyn FnMut(Order)) -> T) -> T {
        let mut orders = Vec::new();
        let done = act(&mut self.book, &mut |order| orders.push(order));
        for order in &orders {
            match *order {
                Order::Office(who, office) => self.offices[who.index()] = office,
                Order::PutInForce(region, who, epoch) => {
                    self.in_force[region.index()] = Some((who, epoch));
                }
                _ => {}
            }
            let active = |office: &&Office| office.role == Role::Active;
            assert!(self.offices.iter().filter(active).count() <= 2, "one for each application");
        }
        self.orders.extend(orders);
        done
    }

    fn settle(&mut self) {
        for _ in 0..10 {
            let Some(due) = self.book.due() else { return };
            let epochs = &mut self.epochs[due.application];
            let known = epochs.last().copied().unwrap_or(0);
            assert!(
                due.epoch > known || due.resumes && due.epoch >= known,
                "{due:?} after {known}"
            );
            epochs.push(due.epoch);
            self.act(|book, order| book.stand_down(due, order));
            let active = |office: &Office| office.role == Role::Active;
            let is_ours = |who: &usize| {
                let known = self.book.participants[*who];
                known.is_some_and(|it| it.application == Some(due.application))
            };
            let left =
                (0..PARTICIPANTS_MAX).filter(is_ours).filter(|it| active(&self.offices[*it]));
            assert_eq!(left.count(), 0, "nobody is active while the next owner is written down");
            self.act(|book, order| book.promote(due, order));
        }
        panic!("it does not settle");
    }

    fn join(&mut self, application: &str) -> ParticipantId {
        self.book.join(name(application)).unwrap()
    }

    fn register(&mut self, who: ParticipantId, region: &str) -> Result<Registered, RefusalCode> {
        self.book.register(who, &registration(region), 5, BOTH)
    }

    fn ready(&mut self, who: ParticipantId) -> Result<(), RefusalCode> {
        let done = self.act(|book, order| book.ready(who, order));
        self.settle();
        done
    }

    /// A participant that writes both regions of `plc` and is ready.
    fn controller(&mut self) -> ParticipantId {
        let who = self.join("plc");
        self.register(who, "plant").unwrap();
        self.register(who, "trend").unwrap();
        self.ready(who).unwrap();
        who
    }

    fn gone(&mut self, who: ParticipantId) {
        self.act(|book, order| book.gone(who, order));
        self.offices[who.index()] = Office::default();
        self.settle();
    }

    fn take_orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
    }

    fn office(&self, who: ParticipantId) -> (Role, u64) {
        let Office { role, epoch } = self.offices[who.index()];
        (role, epoch)
    }
}

#[test]
fn the_first_that_is_ready_is_active_and_the_next_stands_by() {
    let mut bench = Bench::new(Takeover::OnExit);
    let first = bench.controller();
    let second = bench.controller();
    assert_eq!(bench.office(first), (Role::Active, 101));
    assert_eq!(bench.office(second), (Role::Standby, 101));
    assert_eq!(bench.book.active(name("plc")), Some((Some(first), 101)));
    assert_eq!(bench.in_force[..3], [Some((first, 101)), Some((first, 101)), None]);
}

#[test]
fn who_stands_by_takes_over_when_the_active_one_is_gone() {
    let mut bench = Bench::new(Takeover::OnExit);
    let (first, second) = (bench.controller(), bench.controller());
    let reader = bench.join("hmi");
    bench.book.attach(reader, name("plant"), 5, BOTH).unwrap();
    bench.take_orders();
    bench.gone(first);
    let (plant, trend) = (RegionId(0), RegionId(1));
    let active = Office { role: Role::Active, epoch: 102 };
    let expected = [
        Order::Vacant(name("plc")),
        Order::Supersede(plant, 102),
        Order::PutInForce(plant, second, 102),
        Order::Wakes(plant, 0),
        Order::Supersede(trend, 102),
        Order::PutInForce(trend, second, 102),
        Order::Wakes(trend, 0),
        Order::Keep(name("plc"), 102),
        Order::Show(plant, reader),
        Order::Office(second, active),
    ];
    assert_eq!(bench.take_orders(), expected);
}

#[test]
fn an_ordered_switchover_tells_the_former_owner_first_and_prepares_its_next_segments() {
    let mut bench = Bench::new(Takeover::OnExit);
    let (first, second) = (bench.controller(), bench.controller());
    bench.take_orders();
    assert_eq!(bench.book.order_active(first), Err(OrderRefused::IsActive));
    bench.book.order_active(second).unwrap();
    bench.settle();
    let orders = bench.take_orders();
    let standby = Office { role: Role::Standby, epoch: 101 };
    assert_eq!(orders[0], Order::Office(first, standby));
    assert_eq!(orders[1..3], [0, 1].map(|region| Order::Prepare(RegionId(region), first)));
    assert_eq!(orders[3], Order::Vacant(name("plc")));
    let active = Office { role: Role::Active, epoch: 102 };
    let last =
        [Order::Office(second, active), Order::Office(first, Office { epoch: 102, ..standby })];
    assert!(orders.ends_with(&last), "{orders:?}");
    assert_eq!(bench.office(second), (Role::Active, 102));
    bench.gone(second);
    assert_eq!(bench.office(first), (Role::Active, 103), "and back, when that one is gone");
}

#[test]
fn where_takeover_is_ordered_only_a_newcomer_starts_by_itself() {
    let mut bench = Bench::new(Takeover::Ordered);
    let (first, second) = (bench.controller(), bench.controller());
    assert_eq!(bench.office(first), (Role::Active, 101));
    bench.gone(first);
    assert_eq!(bench.office(second).0, Role::Standby);
    bench.book.order_active(second).unwrap();
    bench.settle();
    assert_eq!(bench.office(second), (Role::Active, 102));
    bench.gone(second);
    let restarted = bench.controller();
    assert_eq!(bench.office(restarted), (Role::Active, 103));
}

#[test]
fn an_application_that_lived_on_goes_on_in_its_epoch_when_the_daemon_is_new() {
    let resuming = |held_epoch| {
        let mut bench = Bench::new(Takeover::OnExit);
        let who = bench.join("plc");
        for region in ["plant", "trend"] {
            let registration = Registration { held_epoch, ..registration(region) };
            let resumes = bench.book.register(who, &registration, 5, BOTH).unwrap().resumes;
            assert_eq!(resumes, held_epoch == 100);
        }
        bench.ready(who).unwrap();
        (bench.office(who), bench.take_orders())
    };
    let (office, orders) = resuming(100);
    assert_eq!(office, (Role::Active, 100));
    assert!(!orders.iter().any(|order| matches!(order, Order::Supersede(..))), "{orders:?}");
    for stale in [99, 101] {
        assert_eq!(resuming(stale).0, (Role::Active, 101), "not epoch {stale}");
    }
}

#[test]
fn who_holds_the_segments_in_force_comes_before_a_faster_standby() {
    let mut bench = Bench::new(Takeover::OnExit);
    bench.act(|book, order| book.set_in_charge(false, order));
    let standby = bench.controller();
    let held = bench.join("plc");
    let holding = |region| Registration {
        held_epoch: 100,
        class: StandbyClass::Warm,
        ..registration(region)
    };
    for region in ["plant", "trend"] {
        assert!(bench.book.register(held, &holding(region), 5, BOTH).unwrap().resumes);
    }
    bench.ready(held).unwrap();
    bench.act(|book, order| book.set_in_charge(true, order));
    bench.settle();
    assert_eq!(bench.office(standby).0, Role::Standby);
    assert_eq!(bench.office(held), (Role::Active, 100));
}

/// A participant that writes both regions of `plc` and holds segments of an epoch.
fn holding(bench: &mut Bench, epoch: u64) -> ParticipantId {
    let who = bench.join("plc");
    for region in ["plant", "trend"] {
        let registration = Registration { held_epoch: epoch, ..registration(region) };
        bench.book.register(who, &registration, 5, BOTH).unwrap();
    }
    who
}

#[test]
fn while_an_owner_lives_that_has_not_come_back_nobody_else_is_active() {
    let mut bench = Bench::new(Takeover::OnExit);
    bench.book.owner_is_out(name("plc"));
    let reader = bench.join("hmi");
    bench.book.attach(reader, name("plant"), 0, BOTH).unwrap();
    let owner = holding(&mut bench, 100);
    let standby = bench.join("plc");
    bench.register(standby, "plant").unwrap();
    bench.ready(standby).unwrap();
    assert_eq!(bench.office(standby), (Role::Standby, 100));
    assert_eq!(bench.book.order_active(standby), Err(OrderRefused::OwnerIsOut));
    bench.ready(owner).unwrap();
    assert_eq!(bench.office(owner), (Role::Active, 100), "the epoch that it had");
    assert!(!bench.book.is_owner_out(name("plc")));
    bench.gone(owner);
    assert_eq!(bench.office(standby), (Role::Active, 101));
}

#[test]
fn an_owner_that_has_ended_meanwhile_is_waited_for_no_more() {
    for (takeover, role) in [(Takeover::OnExit, Role::Active), (Takeover::Ordered, Role::Standby)] {
        let mut bench = Bench::new(takeover);
        bench.book.owner_is_out(name("plc"));
        let standby = bench.controller();
        assert_eq!(bench.office(standby), (Role::Standby, 100));
        bench.book.owner_gone(name("plc"));
        bench.settle();
        assert_eq!(bench.office(standby).0, role, "{takeover:?}");
        let newcomer = bench.controller();
        let active = bench.book.active(name("plc")).unwrap();
        let expected = if role == Role::Active { standby } else { newcomer };
        assert_eq!(active, (Some(expected), 101));
    }
}

/// One who stood by when the daemon ended, and followed this epoch then.
fn heir(bench: &mut Bench, followed_epoch: u64) -> ParticipantId {
    let who = bench.join("plc");
    bench.book.is_heir(who);
    let registration = Registration { followed_epoch, ..registration("plant") };
    bench.book.register(who, &registration, 5, BOTH).unwrap();
    bench.ready(who).unwrap();
    who
}

#[test]
fn of_those_who_stood_by_the_one_with_the_newest_state_takes_over() {
    let mut bench = Bench::new(Takeover::OnExit);
    bench.book.heirs_are_out(name("plc"));
    // It had just become ready when the daemon ended, and began anew; nobody else is back.
    let empty = heir(&mut bench, 0);
    let older = heir(&mut bench, 99);
    assert_eq!((bench.office(empty).0, bench.office(older).0), (Role::Standby, Role::Standby));
    let newest = heir(&mut bench, 100);
    assert_eq!(bench.office(newest), (Role::Active, 101));

    let mut bench = Bench::new(Takeover::OnExit);
    bench.book.heirs_are_out(name("plc"));
    let [_empty, older, _oldest] = [0, 99, 98].map(|epoch| heir(&mut bench, epoch));
    let _newcomer = bench.controller();
    assert_eq!(bench.office(older).0, Role::Standby, "somebody may have a newer one");
    bench.book.heirs_gone(name("plc"));
    bench.settle();
    assert_eq!(bench.office(older), (Role::Active, 101), "nobody has");
    bench.book.heirs_are_out(name("plc"));
    assert!(!bench.book.are_heirs_out(name("plc")), "somebody was active since");
}

#[test]
fn what_followed_some_regions_only_is_no_state() {
    let mut bench = Bench::new(Takeover::OnExit);
    bench.book.heirs_are_out(name("plc"));
    let half = bench.join("plc");
    bench.book.is_heir(half);
    for (region, followed_epoch) in [("plant", 100), ("trend", 0)] {
        let registration = Registration { followed_epoch, ..registration(region) };
        bench.book.register(half, &registration, 5, BOTH).unwrap();
    }
    bench.ready(half).unwrap();
    assert_eq!(bench.office(half).0, Role::Standby);
}

#[test]
fn who_stood_by_when_the_daemon_ended_comes_before_one_who_has_no_state() {
    let heir = |bench: &mut Bench| heir(bench, 100);
    let mut bench = Bench::new(Takeover::OnExit);
    bench.book.heirs_are_out(name("plc"));
    let newcomer = bench.controller();
    assert_eq!(bench.office(newcomer).0, Role::Standby);
    let back = heir(&mut bench);
    assert_eq!(bench.office(back), (Role::Active, 101));
    assert!(!bench.book.are_heirs_out(name("plc")));
    bench.gone(back);
    assert_eq!(bench.office(newcomer), (Role::Active, 102));

    let mut bench = Bench::new(Takeover::OnExit);
    bench.book.heirs_are_out(name("plc"));
    let newcomer = bench.controller();
    bench.book.heirs_gone(name("plc"));
    bench.settle();
    assert_eq!(bench.office(newcomer), (Role::Active, 101), "all have ended");

    let mut bench = Bench::new(Takeover::OnExit);
    bench.book.heirs_are_out(name("plc"));
    let newcomer = bench.controller();
    bench.book.order_active(newcomer).unwrap();
    bench.settle();
    assert_eq!(bench.office(newcomer), (Role::Active, 101), "by order");

    let mut bench = Bench::new(Takeover::Ordered);
    bench.book.heirs_are_out(name("plc"));
    let back = heir(&mut bench);
    assert_eq!(bench.office(back).0, Role::Standby, "it stood by, and is no newcomer");
    let newcomer = bench.controller();
    assert_eq!(bench.office(newcomer), (Role::Active, 101));

    let mut bench = Bench::new(Takeover::OnExit);
    bench.book.heirs_are_out(name("plc"));
    bench.book.adopt(name("plant"), 100, Layout::new(1_000, 4, 0).unwrap(), 5);
    let newcomer = bench.controller();
    assert_eq!(bench.office(newcomer), (Role::Active, 101), "the state is there");

    let mut bench = Bench::new(Takeover::OnExit);
    bench.book.heirs_are_out(name("plc"));
    bench.book.adopt(name("plant"), 99, Layout::new(1_000, 4, 0).unwrap(), 5);
    let newcomer = bench.controller();
    assert_eq!(bench.office(newcomer).0, Role::Standby, "an older one is, and who stood by has it");
    let back = heir(&mut bench);
    assert_eq!(bench.office(back), (Role::Active, 101));
}

#[test]
fn who_holds_an_epoch_that_somebody_else_has_passed_does_not_resume_in_his() {
    let mut bench = Bench::new(Takeover::OnExit);
    let late = holding(&mut bench, 100);
    let other = bench.controller();
    assert_eq!(bench.office(other), (Role::Active, 101));
    bench.gone(other);
    bench.ready(late).unwrap();
    assert_eq!(bench.office(late), (Role::Active, 102), "neither 100 nor 101 again");
}

#[test]
fn a_segment_that_is_adopted_is_shown_until_somebody_takes_over() {
    let mut bench = Bench::new(Takeover::OnExit);
    let layout = Layout::new(1_000, 4, 0).unwrap();
    assert!(bench.book.adopt(name("plant"), 100, layout, 5));
    assert!(!bench.book.adopt(name("plant"), 100, layout, 5), "once");
    assert!(!bench.book.adopt(name("nowhere"), 100, layout, 5));
    let reader = bench.join("hmi");
    let attach = |bench: &mut Bench, hash| {
        bench.book.attach(reader, name("plant"), hash, BOTH).map(|(_, shown)| shown)
    };
    assert_eq!(attach(&mut bench, 6), Err(RefusalCode::OtherSchema));
    assert_eq!(attach(&mut bench, 5), Ok(true));
    bench.take_orders();
    let who = bench.controller();
    let orders = bench.take_orders();
    assert!(orders.contains(&Order::Supersede(RegionId(0), 101)), "{orders:?}");
    assert!(orders.contains(&Order::PutInForce(RegionId(0), who, 101)));
    assert!(!bench.book.adopt(name("plant"), 100, layout, 5), "it has writers");
}

#[test]
fn a_hot_standby_comes_before_a_warm_one_that_was_there_first() {
    let mut bench = Bench::new(Takeover::OnExit);
    let first = bench.controller();
    let warm = bench.join("plc");
    let slow = Registration { class: StandbyClass::Warm, ..registration("plant") };
    bench.book.register(warm, &slow, 5, BOTH).unwrap();
    bench.ready(warm).unwrap();
    let hot = bench.controller();
    bench.gone(first);
    assert_eq!((bench.office(hot).0, bench.office(warm).0), (Role::Active, Role::Standby));
}

#[test]
fn what_may_not_be_is_refused_and_changes_nothing() {
    let mut bench = Bench::new(Takeover::OnExit);
    let who = bench.join("plc");
    let none = Rights::default();
    let book = &mut bench.book;
    let mut register = |registration: &Registration<'_>, hash, rights| {
        book.register(who, registration, hash, rights).map(|it| it.region)
    };
    assert_eq!(register(&registration("nowhere"), 5, BOTH), Err(RefusalCode::UnknownRegion));
    assert_eq!(register(&registration("plant"), 5, none), Err(RefusalCode::NotPermitted));
    assert_eq!(register(&registration("view"), 5, BOTH), Err(RefusalCode::NotPermitted));
    let costly = Registration { cycle_ns: 1_000, commit_cost_ns: 201, ..registration("plant") };
    assert_eq!(register(&costly, 5, BOTH), Err(RefusalCode::TooCostly));
    let dear = Registration { cycle_ns: u64::MAX, commit_cost_ns: u64::MAX, ..costly };
    assert_eq!(register(&dear, 5, BOTH), Err(RefusalCode::TooCostly));
    assert_eq!(bench.ready(who), Err(RefusalCode::BadRequest), "it writes nothing");
    let affordable = Registration { commit_cost_ns: 200, ..costly };
    bench.book.register(who, &affordable, 5, BOTH).unwrap();
    assert_eq!(bench.register(who, "plant"), Err(RefusalCode::Taken));
    // What is allowed is allowed to all of its regions together.
    let too = Registration { cycle_ns: 1_000, commit_cost_ns: 1, ..registration("trend") };
    assert_eq!(bench.book.register(who, &too, 5, BOTH), Err(RefusalCode::TooCostly));
    let said = bench.book.cost_with(who, &too).to_string();
    assert!(said.contains("201 ns of 1000 ns, and 20 % are allowed"), "{said}");
    bench.ready(who).unwrap();
    assert_eq!(bench.ready(who), Err(RefusalCode::BadRequest));
    assert_eq!(bench.register(who, "trend"), Err(RefusalCode::BadRequest), "too late");
    let second = bench.join("plc");
    let other = Registration::new(name("plant"), Layout::new(1_001, 4, 0).unwrap(), &[]);
    let register = |book: &mut Book, it: &Registration<'_>, hash| {
        book.register(second, it, hash, BOTH).map(|it| it.region)
    };
    assert_eq!(register(&mut bench.book, &other, 5), Err(RefusalCode::OtherLayout));
    let plant = registration("plant");
    assert_eq!(register(&mut bench.book, &plant, 6), Err(RefusalCode::OtherSchema));
    let attach = |book: &mut Book, region, hash, rights| {
        book.attach(second, name(region), hash, rights).map(|(id, shown)| (id.index(), shown))
    };
    assert_eq!(attach(&mut bench.book, "plant", 6, BOTH), Err(RefusalCode::OtherSchema));
    assert_eq!(attach(&mut bench.book, "plant", 5, none), Err(RefusalCode::NotPermitted));
    let writes = Rights { write: true, read: false };
    assert_eq!(attach(&mut bench.book, "plant", 5, writes), Ok((0, true)), "what it may write");
    assert_eq!(attach(&mut bench.book, "view", 5, writes), Err(RefusalCode::NotPermitted));
    assert_eq!(attach(&mut bench.book, "plant", 0, BOTH), Ok((0, true)));
    assert_eq!(attach(&mut bench.book, "trend", 0, BOTH), Ok((1, false)));
}

#[test]
fn who_is_of_no_application_that_is_configured_reads_and_writes_nothing() {
    let mut bench = Bench::new(Takeover::OnExit);
    let who = bench.join("other");
    assert_eq!(bench.register(who, "plant").map(|it| it.region), Err(RefusalCode::NotPermitted));
    assert_eq!(bench.ready(who), Err(RefusalCode::BadRequest));
    let write_only = Rights { write: true, read: false };
    let mut attach =
        |rights| bench.book.attach(who, name("plant"), 0, rights).map(|(_, shown)| shown);
    assert_eq!(attach(write_only), Err(RefusalCode::NotPermitted));
    assert_eq!(attach(BOTH), Ok(false));
    assert_eq!(bench.book.order_active(who), Err(OrderRefused::NotReady));
    bench.gone(who);
}

#[test]
fn who_comes_alone_may_say_anew_what_a_region_is_where_no_state_is_left() {
    let mut bench = Bench::new(Takeover::OnExit);
    let old = bench.controller();
    let plant = bench.book.region(name("plant")).unwrap();
    assert!(!bench.book.forget(plant), "it is written");
    bench.gone(old);
    let new = bench.join("plc");
    let larger = Registration::new(name("plant"), Layout::new(2_000, 8, 0).unwrap(), &[]);
    let refused = bench.book.register(new, &larger, 9, BOTH).unwrap_err();
    assert_eq!(refused, RefusalCode::OtherSchema);
    assert!(bench.book.forget(plant));
    bench.book.register(new, &larger, 9, BOTH).unwrap();
    bench.ready(new).unwrap();
    assert_eq!(bench.office(new), (Role::Active, 102));
}

#[test]
fn wakes_are_counted_for_as_long_as_somebody_wants_them() {
    let mut bench = Bench::new(Takeover::OnExit);
    let active = bench.controller();
    let readers = [bench.join("hmi"), bench.join("hmi")];
    bench.take_orders();
    let plant = name("plant");
    for reader in readers {
        let refused = bench.act(|book, order| book.wake(reader, plant, true, order));
        assert_eq!(refused, Err(RefusalCode::BadRequest), "it does not read it");
        bench.book.attach(reader, plant, 0, BOTH).unwrap();
        for _ in 0..2 {
            bench.act(|book, order| book.wake(reader, plant, true, order)).unwrap();
        }
    }
    bench.act(|book, order| book.leave(readers[0], plant, order));
    bench.gone(readers[1]);
    let counts: Vec<Order> = [1, 2, 1, 0].map(|count| Order::Wakes(RegionId(0), count)).into();
    assert_eq!(bench.take_orders(), counts);
    assert_eq!(bench.office(active).0, Role::Active);
}

#[test]
fn a_node_that_is_not_in_charge_has_nobody_active() {
    let mut bench = Bench::new(Takeover::OnExit);
    let (first, second) = (bench.controller(), bench.controller());
    bench.act(|book, order| book.set_in_charge(false, order));
    bench.settle();
    assert_eq!((bench.office(first).0, bench.office(second).0), (Role::Standby, Role::Standby));
    bench.act(|book, order| book.set_in_charge(true, order));
    bench.settle();
    assert_eq!(bench.office(first), (Role::Active, 102), "a new epoch all the same");
}

#[test]
fn the_book_is_full_some_time_and_says_so() {
    let mut book = Book::new(20);
    for index in 0..APPLICATIONS_MAX {
        book.add_application(name(&format!("a{index}")), Takeover::OnExit, 0).unwrap();
    }
    let one = name("one-more");
    assert_eq!(book.add_application(one, Takeover::OnExit, 0), Err(RefusalCode::NoRoom));
    let again = book.add_application(name("a0"), Takeover::OnExit, 0);
    assert_eq!(again, Err(RefusalCode::Taken));
    for index in 0..REGIONS_MAX {
        book.add_region(name(&format!("r{index}")), name("a0")).unwrap();
    }
    assert_eq!(book.add_region(one, name("a0")), Err(RefusalCode::NoRoom));
    assert_eq!(book.add_region(name("r0"), name("a0")), Err(RefusalCode::Taken));
    assert_eq!(book.add_region(name("r0"), one), Err(RefusalCode::BadRequest));
    for _ in 0..PARTICIPANTS_MAX {
        book.join(name("a0")).unwrap();
    }
    assert_eq!(book.join(name("a0")), Err(RefusalCode::NoRoom));
}

#[test]
fn an_epoch_beyond_the_last_makes_nobody_active() {
    let mut book = Book::new(20);
    book.add_application(name("plc"), Takeover::OnExit, u64::MAX).unwrap();
    book.add_region(name("plant"), name("plc")).unwrap();
    book.set_in_charge(true, &mut |_| {});
    let who = book.join(name("plc")).unwrap();
    book.register(who, &registration("plant"), 5, BOTH).unwrap();
    book.ready(who, &mut |_| {}).unwrap();
    assert_eq!(book.due(), None);
}
