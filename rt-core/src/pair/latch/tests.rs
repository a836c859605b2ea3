//! One owner at a time, whatever comes in whatever order.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const HOLD: Duration = Duration::from_millis(20);

const fn e(number: u64) -> Epoch {
    Epoch::new(number).unwrap()
}

const fn claim(epoch: u64, expected: u64, since: u64) -> Claim {
    Claim { epoch: e(epoch), expected: e(expected), since: e(since) }
}

const fn frame(epoch: u64, sequence: u64) -> OutputFrame {
    OutputFrame { epoch: e(epoch), sequence }
}

const fn ms(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

#[test]
fn a_latch_takes_nothing_before_it_is_claimed() {
    let mut latch = Latch::new(3, HOLD);
    assert_eq!(latch.accept(&frame(2, 1), ms(0)), Err(Stale::Unclaimed));
    assert_eq!(latch.accept(&frame(0, 1), ms(0)), Err(Stale::Unclaimed));
    assert_eq!(latch.claim(&claim(2, 0, 2)), Claimed { latch: 3, epoch: e(2) });
    assert_eq!(latch.accept(&frame(2, 1), ms(0)), Ok(()));
}

#[test]
fn each_kind_of_frame_that_is_not_the_owners_present_one_is_refused_and_counted() {
    let mut latch = Latch::new(0, HOLD);
    let mut refusals = Refusals::default();
    refusals.note(latch.accept(&frame(6, 1), ms(0)));
    let _ = latch.claim(&claim(8, 0, 6));
    let frames = [
        (frame(6, 5), Ok(())),
        (frame(6, 5), Err(Stale::Repeated)),
        (frame(6, 4), Err(Stale::Repeated)),
        (frame(4, 9), Err(Stale::Before)),
        (frame(10, 9), Err(Stale::Beyond)),
        (frame(7, 9), Err(Stale::Foreign)),
        (frame(9, 9), Err(Stale::Foreign)),
        (frame(0, 9), Err(Stale::Foreign)),
        (frame(8, 0), Ok(())),
        (frame(6, 6), Err(Stale::Repeated)),
    ];
    for (frame, expected) in frames {
        let taken = latch.accept(&frame, ms(0));
        assert_eq!(taken, expected, "{frame:?}");
        refusals.note(taken);
    }
    assert_eq!(Stale::ALL.map(|stale| refusals.of(stale)), [1, 3, 1, 1, 3]);
    assert_eq!(refusals.total(), 9);
}

#[test]
fn each_kind_of_refusal_has_its_name() {
    let names = Stale::ALL.map(Stale::name);
    assert_eq!(names, ["unclaimed", "foreign", "before", "beyond", "repeated"]);
}

#[test]
fn only_who_knew_of_the_owners_epoch_takes_the_latch() {
    let mut latch = Latch::new(0, HOLD);
    let _ = latch.claim(&claim(4, 0, 4));
    assert_eq!(latch.claim(&claim(5, 3, 5)).epoch, e(4), "it knew of epoch 3 only");
    assert_eq!(latch.claim(&claim(3, 9, 3)).epoch, e(4), "an earlier epoch");
    assert_eq!(latch.claim(&claim(5, 4, 5)).epoch, e(5));
    assert_eq!(latch.accept(&frame(4, 1), ms(0)), Err(Stale::Foreign));
    assert_eq!(latch.claim(&claim(5, 0, 5)).epoch, e(5), "the same again is acknowledged");
}

#[test]
fn claims_that_make_no_sense_change_nothing() {
    let mut latch = Latch::new(0, HOLD);
    let bad = [claim(0, 9, 0), claim(4, 9, 6), claim(4, 9, 3), claim(4, 9, 0)];
    for claim in bad {
        assert_eq!(latch.claim(&claim).epoch, Epoch::NONE, "{claim:?}");
    }
    assert_eq!(latch, Latch::new(0, HOLD));
}

#[test]
fn an_owner_that_took_the_outputs_again_has_its_old_frames_refused() {
    let mut latch = Latch::new(0, HOLD);
    let _ = latch.claim(&claim(2, 0, 2));
    assert_eq!(latch.accept(&frame(2, 7), ms(0)), Ok(()));
    // B had the outputs in between and never reached this latch.
    let _ = latch.claim(&claim(4, 3, 4));
    assert_eq!(latch.accept(&frame(2, 8), ms(0)), Err(Stale::Before));
    assert_eq!(latch.accept(&frame(4, 0), ms(0)), Ok(()));
}

#[test]
fn the_same_epoch_claimed_again_by_an_owner_that_let_go_meanwhile_ends_its_old_frames() {
    let mut latch = Latch::new(0, HOLD);
    let _ = latch.claim(&claim(6, 0, 4));
    assert_eq!(latch.accept(&frame(4, 1), ms(0)), Ok(()));
    assert_eq!(latch.claim(&claim(6, 4, 6)).epoch, e(6), "it is acknowledged");
    assert_eq!(latch.accept(&frame(4, 2), ms(0)), Err(Stale::Before));
    let _ = latch.claim(&claim(6, 0, 4));
    assert_eq!(latch.kept(), Kept { claimed: e(6), since: e(6) }, "a late copy takes nothing back");
}

#[test]
fn frames_from_before_somebody_else_had_the_latch_are_not_taken_again() {
    let mut latch = Latch::new(0, HOLD);
    let _ = latch.claim(&claim(3, 0, 3));
    assert_eq!(latch.accept(&frame(3, 5), ms(0)), Ok(()));
    // A got this latch, and not all of them; B holds the outputs since epoch 3 all the time.
    let _ = latch.claim(&claim(4, 3, 4));
    let _ = latch.claim(&claim(7, 4, 3));
    assert_eq!(latch.accept(&frame(3, 5), ms(0)), Err(Stale::Repeated));
    assert_eq!(latch.accept(&frame(3, 6), ms(0)), Ok(()));
}

#[test]
fn without_a_frame_the_output_goes_to_its_hold_value_once() {
    let mut latch = Latch::new(0, HOLD);
    let _ = latch.claim(&claim(2, 0, 2));
    assert_eq!(latch.deadline(), None);
    assert_eq!(latch.accept(&frame(2, 1), ms(5)), Ok(()));
    assert_eq!(latch.deadline(), Some(ms(25)));
    assert_eq!(latch.accept(&frame(2, 1), ms(24)), Err(Stale::Repeated));
    assert_eq!(latch.claim(&claim(3, 2, 3)).epoch, e(3));
    assert_eq!(latch.deadline(), Some(ms(25)), "neither what it refuses nor a claim drives it");
    assert!(!latch.on_time(ms(24)) && latch.is_driven(ms(24)));
    assert!(!latch.is_driven(ms(25)));
    assert!(latch.on_time(ms(25)) && !latch.on_time(ms(26)));
    assert_eq!(latch.accept(&frame(3, 0), ms(30)), Ok(()));
    assert!(latch.is_driven(ms(49)));
}

#[test]
fn a_durable_latch_refuses_the_former_owner_after_a_power_cycle_and_a_volatile_one_cannot() {
    let mut latch = Latch::new(0, HOLD);
    let _ = latch.claim(&claim(2, 0, 2));
    let _ = latch.claim(&claim(3, 2, 3));
    let former = claim(2, 2, 2);
    let mut durable = Latch::restored(0, HOLD, latch.kept());
    assert_eq!(durable.claim(&former).epoch, e(3));
    let mut volatile = Latch::new(0, HOLD);
    assert_eq!(volatile.claim(&former).epoch, e(2));
    assert_eq!(volatile.claim(&claim(3, 3, 3)).epoch, e(3), "until the owner claims it");
}

#[derive(Clone, Debug)]
enum Step {
    Claim(Claim),
    Frame(OutputFrame),
    Time(u64),
    PowerCycle,
}

fn epoch() -> impl Strategy<Value = Epoch> {
    prop_oneof![20 => 0..12u64, 1 => (1u64 << 62) - 2..=1 << 62].prop_map(e)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (epoch(), epoch(), epoch()).prop_map(|(epoch, expected, since)| {
            Step::Claim(Claim { epoch, expected, since })
        }),
        6 => (epoch(), epoch()).prop_map(|(epoch, expected)| {
            Step::Claim(Claim { epoch, expected, since: epoch })
        }),
        12 => (epoch(), 0..6u64).prop_map(|(epoch, sequence)| {
            Step::Frame(OutputFrame { epoch, sequence })
        }),
        4 => prop_oneof![0..40u64, Just(u64::MAX / 1_000_000)].prop_map(Step::Time),
        1 => Just(Step::PowerCycle),
    ]
}

/// Whether a frame that nobody saw before would be taken.
fn takes(latch: &Latch, epoch: Epoch) -> bool {
    let fresh = OutputFrame { epoch, sequence: u64::MAX };
    latch.clone().accept(&fresh, Instant::ORIGIN).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        if std::env::var_os("BUMPLESS_SOAK").is_some() { 100_000 } else { 2_000 }
    ))]

    #[test]
    fn at_every_instant_frames_of_one_owner_at_most_are_taken(
        steps in vec(step(), 1..60), durable in any::<bool>(),
    ) {
        let mut latch = Latch::new(0, HOLD);
        let mut now = Instant::ORIGIN;
        let mut last_taken = None;
        for step in steps {
            let before = latch.clone();
            match step {
                Step::Claim(claim) => {
                    let epochs = (0..13).map(e);
                    let taken: Vec<_> = epochs.filter(|it| takes(&latch, *it)).collect();
                    let answer = latch.claim(&claim);
                    prop_assert_eq!(answer, latch.claimed());
                    prop_assert!(answer.epoch >= before.kept().claimed);
                    prop_assert_eq!(latch.deadline(), before.deadline());
                    // The owner's own claim: what it sends since `since` still goes through.
                    if claim.epoch.owner() == before.owner() {
                        for epoch in taken.into_iter().filter(|it| *it >= claim.since) {
                            prop_assert!(takes(&latch, epoch));
                        }
                    }
                    let again = latch.clone();
                    prop_assert_eq!(latch.claim(&claim), answer);
                    prop_assert_eq!(&latch, &again, "a claim that comes twice is one claim");
                }
                Step::Frame(frame) => match latch.accept(&frame, now) {
                    Ok(()) => {
                        prop_assert_eq!(frame.epoch.owner(), latch.owner());
                        prop_assert!(latch.is_driven(now) || now + HOLD == now);
                        let of = (frame.epoch.owner(), frame);
                        if let Some((owner, newest)) = last_taken && owner == of.0 {
                            prop_assert!(frame > newest);
                        }
                        last_taken = Some(of);
                    }
                    Err(_) => prop_assert_eq!(&latch, &before),
                },
                Step::Time(millis) => {
                    now += Duration::from_millis(millis);
                    latch.on_time(now);
                    prop_assert!(latch.deadline().is_none_or(|deadline| now < deadline));
                }
                Step::PowerCycle => {
                    let kept = if durable { latch.kept() } else { Kept::default() };
                    latch = Latch::restored(0, HOLD, kept);
                    last_taken = None;
                }
            }
            let Kept { claimed, since } = latch.kept();
            prop_assert!(since <= claimed && since.owner() == claimed.owner());
            for epoch in (0..13).map(e) {
                let is_owners = epoch.owner().is_some() && epoch.owner() == claimed.owner();
                let is_newest = latch.newest.iter().flatten().all(|newest| {
                    newest.epoch <= epoch || newest.epoch.owner() != epoch.owner()
                });
                let may = since <= epoch && epoch <= claimed && is_owners && is_newest;
                prop_assert_eq!(takes(&latch, epoch), may, "{} in {:?}", epoch, latch.kept());
            }
        }
    }
}
