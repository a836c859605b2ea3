//! Whatever comes in whatever order, what the book's text says always holds.

use super::*;

impl Bench {
    /// What always holds.
    fn check(&self, alive: &[ParticipantId], was_out: bool, seed: u64) {
        if self.book.is_owner_out(name("plc")) {
            assert!(was_out, "seed {seed}: nobody is waited for again");
            assert_eq!(self.book.active(name("plc")), Some((None, 100)), "seed {seed}");
        }
        for application in ["plc", "hmi"].map(name) {
            let (active, epoch) = self.book.active(application).unwrap();
            for who in alive {
                let told = self.office(*who);
                let ours = self.book.participants[who.index()].unwrap().application;
                let is_ours = self.book.application(application) == ours;
                if is_ours {
                    assert_eq!(told.0 == Role::Active, active == Some(*who), "seed {seed}");
                    assert!(told.0 == Role::None || told.1 == epoch, "seed {seed}");
                }
            }
        }
        for (index, found) in self.in_force.iter().enumerate() {
            let Some((_, epoch)) = found else { continue };
            let application = self.book.regions[index].unwrap().application;
            assert!(*epoch <= self.book.applications[application].unwrap().epoch);
        }
    }
}

/// Numbers below what is asked for, by a seed.
fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    }
}

/// Whatever comes in whatever order, what the module says always holds.
#[test]
fn random_lives_keep_one_active_and_epochs_that_rise() {
    for seed in 1..=300u64 {
        let takeover = if seed % 2 == 0 { Takeover::OnExit } else { Takeover::Ordered };
        let mut bench = Bench::new(takeover);
        let mut next = numbers(seed);
        let mut alive: Vec<ParticipantId> = Vec::new();
        if seed % 3 == 0 {
            bench.book.owner_is_out(name("plc"));
        }
        if seed % 5 == 0 {
            bench.book.heirs_are_out(name("plc"));
        }
        for _ in 0..300 {
            let was_out = bench.book.is_owner_out(name("plc"));
            let chosen = usize::try_from(next(8)).unwrap();
            let who = alive.get(chosen).copied();
            let application = ["plc", "hmi"][usize::try_from(next(2)).unwrap()];
            let region = ["plant", "trend", "view"][usize::try_from(next(3)).unwrap()];
            match (next(10), who) {
                (0, _) if alive.len() < 8 => {
                    let who = bench.join(application);
                    alive.push(who);
                    if next(4) == 0 {
                        bench.book.is_heir(who);
                    }
                }
                (1 | 2, Some(who)) => {
                    let epoch = bench.book.active(name(application)).unwrap().1;
                    let held_epoch = next(2) * epoch;
                    let followed_epoch = next(3) * epoch / 2;
                    let registration =
                        Registration { held_epoch, followed_epoch, ..registration(region) };
                    let _ = bench.book.register(who, &registration, 5, BOTH);
                }
                (3, Some(who)) => {
                    let _ = bench.ready(who);
                }
                (4, Some(who)) => {
                    let _ = bench.book.attach(who, name(region), 0, BOTH);
                }
                (5, Some(who)) => {
                    let wanted = next(2) == 0;
                    let region = name(region);
                    let _ = bench.act(|book, order| book.wake(who, region, wanted, order));
                }
                (6, Some(who)) => {
                    let _ = bench.book.order_active(who);
                    bench.settle();
                }
                (7, Some(who)) if next(3) == 0 => {
                    alive.retain(|it| *it != who);
                    bench.gone(who);
                }
                (8, _) if next(6) == 0 => {
                    let in_charge = next(3) > 0;
                    bench.act(|book, order| book.set_in_charge(in_charge, order));
                    bench.settle();
                }
                (9, _) if next(20) == 0 => {
                    let gone =
                        [Book::owner_gone, Book::heirs_gone][usize::try_from(next(2)).unwrap()];
                    gone(&mut bench.book, name("plc"));
                    bench.settle();
                }
                _ => {}
            }
            bench.check(&alive, was_out, seed);
        }
    }
}
