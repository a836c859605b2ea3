//! A machine through anything: events in any order, with values that nobody sends, at instants
//! that leap and run backwards, near the last epoch and the last instant. It never panics, and
//! some things hold on every way.

use proptest::collection::vec;
use proptest::prelude::*;

use rt_core::pair::beat::{Session, Word};
use rt_core::pair::question::{Answer, Claimed, FenceOutcome};
use rt_core::pair::role::{Cause, Event, Heard, Order, Timer};
use rt_core::pair::terms::{ColdStart, Damping, Failback, Latches};
use rt_core::pair::{Blocks, Epoch, Evidence, Form, Machine, Mode, NodeId, Standing, State, Terms};
use rt_core::time::{Duration, Instant};
use rt_core::timer::TimerName;

use crate::pair::{ms, terms};

fn node() -> impl Strategy<Value = NodeId> {
    any::<bool>().prop_map(|b| if b { NodeId::B } else { NodeId::A })
}

/// Low ones, which fit each other, and the last ones.
fn epoch() -> impl Strategy<Value = Epoch> {
    let last = Epoch::MAX.number();
    prop_oneof![12 => 0..8u64, 1 => last - 6..=last].prop_map(|number| Epoch::new(number).unwrap())
}

fn standing() -> impl Strategy<Value = Standing> {
    (epoch(), any::<bool>()).prop_map(|(epoch, solo)| {
        let form = if solo { Form::Solo } else { Form::Duplex };
        Standing { epoch, form }
    })
}

fn instant() -> impl Strategy<Value = Instant> {
    prop_oneof![
        20 => 0..400_000_000u64,
        1 => u64::MAX - 60_000_000..=u64::MAX,
        1 => any::<u64>(),
    ]
    .prop_map(Instant::from_nanos)
}

/// Of the peer's sessions, the node's own, and a stranger's.
fn session() -> impl Strategy<Value = Session> {
    (1..5u8).prop_map(|of| Session([of; 16]))
}

fn blocks() -> impl Strategy<Value = Blocks> {
    prop_oneof![
        3 => Just(0u32),
        1 => any::<u32>(),
        1 => (0..32u32).prop_map(|bit| 1 << bit),
    ]
    .prop_map(Blocks::from_bits)
}

fn heard() -> impl Strategy<Value = Heard> {
    let word = (
        0..State::ALL.len(),
        standing(),
        epoch(),
        any::<[bool; 3]>(),
        proptest::option::of(session()),
        blocks(),
    );
    let word = word.prop_map(|(state, standing, silent_to, bits, partner, blocks)| Word {
        state: State::ALL[state],
        standing,
        silent_to,
        requests: bits[0],
        grants: bits[1],
        partner,
        fenced_peer: bits[2] && bits[0],
        blocks,
    });
    (session(), instant(), proptest::option::of(instant()), word).prop_map(
        |(session, sent_at, echo_sent_at, word)| Heard { session, sent_at, echo_sent_at, word },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let answer = (0..12u64, proptest::option::weighted(0.8, standing()), any::<bool>())
        .prop_map(|(nonce, register, swapped)| Event::Answer(Answer { nonce, register, swapped }));
    let latch = (prop_oneof![4 => 0..3u8, 1 => any::<u8>()], epoch())
        .prop_map(|(latch, epoch)| Event::Latch(Claimed { latch, epoch }));
    let order = prop_oneof![
        Just(Order::Switchover),
        any::<bool>().prop_map(|on| Order::Maintenance { on }),
        Just(Order::Take),
        Just(Order::Acknowledge),
    ];
    prop_oneof![
        2 => Just(Event::Start),
        2 => prop_oneof![5 => Just(true), 1 => Just(false)]
            .prop_map(|passed| Event::SelfTest { passed }),
        20 => Just(Event::Time),
        20 => heard().prop_map(Event::Beat),
        8 => answer,
        4 => latch,
        2 => prop_oneof![Just(FenceOutcome::Confirmed), Just(FenceOutcome::Failed)]
            .prop_map(Event::Fence),
        2 => (0..Evidence::ALL.len()).prop_map(|of| Event::PeerGone(Evidence::ALL[of])),
        2 => Just(Event::Progress),
        1 => any::<bool>().prop_map(|well| Event::Application { well }),
        1 => blocks().prop_map(Event::Readiness),
        3 => order.prop_map(Event::Order),
        1 => Just(Event::Broken),
        1 => Just(Event::Stop),
    ]
}

/// When the next event comes.
#[derive(Clone, Copy, Debug)]
enum When {
    /// So much later.
    After(Duration),
    /// When the next timer is due.
    Due,
    /// At any instant, before or after.
    At(Instant),
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        10 => (0..40u64).prop_map(|millis| When::After(ms(millis))),
        10 => Just(When::Due),
        1 => instant().prop_map(When::At),
    ]
}

fn any_terms() -> impl Strategy<Value = Terms> {
    (node(), 0..Mode::ALL.len(), 0..4u8, any::<[bool; 3]>(), 0..3u8, 0..3u8).prop_map(
        |(me, mode, latches, flags, start, failback)| Terms {
            latches: Latches::all(latches),
            stall: flags[0].then_some(ms(25)),
            cold_start: match start {
                0 => ColdStart::Together,
                1 => ColdStart::LastOwner,
                _ => ColdStart::Either { patience: ms(1_500) },
            },
            failback: match failback {
                0 => Failback::Never,
                1 => Failback::Manual { preferred: me.peer() },
                _ => Failback::After { preferred: me.peer(), hold_off: ms(50) },
            },
            damping: if flags[1] {
                Damping { changes_max: 2, within: ms(1_000) }
            } else {
                Damping::NONE
            },
            // Terms that nobody accepts are survived, too.
            lease: if flags[2] { ms(30) } else { Duration::ZERO },
            ..terms(me, Mode::ALL[mode])
        },
    )
}

/// Holds a step against what holds on every way.
fn check(before: &Machine, after: &Machine, event: &Event, now: Instant, cause: Option<Cause>) {
    let word = after.word();
    let state = after.state();
    if !state.is_active() {
        assert_eq!(after.gate_deadline(), None);
        assert_eq!(after.output_epoch(), None);
    }
    if state.is_active() {
        assert_eq!(after.standing().owner(), Some(after.terms().me), "{:?}", after.standing());
    }
    assert_eq!(word.requests, state.is_active());
    assert!(!word.grants || !(word.requests || after.is_claiming() || state == State::Candidate));
    assert!(word.requests || word.silent_to == word.standing.epoch);
    assert!(!word.requests || word.silent_to == Epoch::NONE);
    assert!(after.standing().epoch >= before.standing().epoch, "an epoch fell");
    // Silence is acted on only when the promise is over, whatever came in between.
    let claims_by_silence = cause == Some(Cause::PromiseOver) && state == State::Candidate;
    if claims_by_silence && before.state() != State::Candidate {
        assert!(before.deadline(Timer::Promise).is_none_or(|promise| promise <= now));
    }
    // A promise is not shortened but by its end. (A deadline that the clock cannot tell is none,
    // which is 584 years away.)
    let is_told = now + after.terms().promise < Instant::FAR_FUTURE;
    if let Some(promise) = before.deadline(Timer::Promise).filter(|it| is_told && *it > now) {
        assert!(after.deadline(Timer::Promise) >= Some(promise), "by {event:?}");
    }
    // A lease begins with a request that was sent, and none is sent in the future.
    if let Some(lease) = after.deadline(Timer::Lease).filter(|_| after.terms().stall.is_none()) {
        let is_new = before.deadline(Timer::Lease) != Some(lease);
        assert!(!is_new || lease <= now + after.terms().lease, "by {event:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if std::env::var_os("BUMPLESS_SOAK").is_some() { 200_000 } else { 3_000 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_event_at_any_instant_makes_a_machine_panic(
        terms in any_terms(),
        remembered in standing(),
        started in any::<bool>(),
        steps in vec((event(), when()), 1..120),
    ) {
        let mut machine = Machine::new(terms, Session([1; 16]), remembered);
        let mut now = Instant::from_nanos(50_000_000);
        if started {
            let _ = machine.step(Event::Start, now);
            let _ = machine.step(Event::SelfTest { passed: true }, now);
        }
        for (event, when) in steps {
            now = match when {
                When::After(span) => now + span,
                When::Due => machine.next_timeout().unwrap_or(now).max(now),
                When::At(instant) => instant,
            };
            let before = machine.clone();
            let outcome = machine.step(event, now);
            check(&before, &machine, &event, now, outcome.transition.map(|it| it.cause));
            let is_order = matches!(event, Event::Order(_));
            prop_assert_eq!(outcome.order.is_some(), is_order);
            if let Some(transition) = outcome.transition {
                prop_assert_eq!(transition.from, before.state());
                prop_assert_eq!(transition.to, machine.state());
            } else {
                prop_assert_eq!(before.state(), machine.state());
            }
            // What is due was acted on: a step of time leaves nothing behind.
            if event == Event::Time {
                for timer in Timer::ALL {
                    prop_assert!(machine.deadline(timer).is_none_or(|deadline| deadline > now));
                }
            }
            if outcome.beat {
                machine.on_beat_sent(now);
            }
        }
    }
}
