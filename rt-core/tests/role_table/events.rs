//! What can happen to a machine, in the words of the table.

use rt_core::pair::beat::{Session, Word};
use rt_core::pair::question::{Answer, Claimed, FenceOutcome};
use rt_core::pair::role::{Event, Heard, Order, Timer};
use rt_core::pair::{Blocks, Epoch, Evidence, Form, NodeId, Standing, State};
use rt_core::time::Instant;
use rt_core::timer::TimerName;

use crate::situations::Situation;

/// An event, and when it comes.
pub(crate) struct Happening {
    pub(crate) label: String,
    pub(crate) event: Event,
    pub(crate) at: Instant,
    /// Whether it can be: a timer that is not armed never ends.
    pub(crate) can_be: bool,
}

/// All that can happen in `situation`. The same labels in the same order in each one.
pub(crate) fn all(situation: &Situation) -> Vec<Happening> {
    let mut all = Vec::new();
    let mut now = |label: &str, event| {
        all.push(Happening { label: label.into(), event, at: situation.now, can_be: true });
    };
    now("node: start", Event::Start);
    now("node: self-test passed", Event::SelfTest { passed: true });
    now("node: self-test failed", Event::SelfTest { passed: false });
    beats(situation).into_iter().for_each(|(label, event)| now(label, event));
    answers(situation).into_iter().for_each(|(label, event)| now(label, event));
    for outcome in [FenceOutcome::Confirmed, FenceOutcome::Failed] {
        let label = format!("fence: {outcome:?}").to_lowercase();
        now(&label, Event::Fence(outcome));
    }
    for evidence in Evidence::ALL {
        now(&format!("peer gone: {evidence}"), Event::PeerGone(evidence));
    }
    now("application: a cycle", Event::Progress);
    now("application: well", Event::Application { well: true });
    now("application: not well", Event::Application { well: false });
    now("readiness: ready", Event::Readiness(Blocks::NONE));
    now("readiness: not in sync", Event::Readiness(Blocks::NOT_IN_SYNC));
    now("readiness: clock rate", Event::Readiness(Blocks::CLOCK_RATE));
    now("order: switchover", Event::Order(Order::Switchover));
    now("order: maintenance", Event::Order(Order::Maintenance { on: true }));
    now("order: end of maintenance", Event::Order(Order::Maintenance { on: false }));
    now("order: take", Event::Order(Order::Take));
    now("order: acknowledge", Event::Order(Order::Acknowledge));
    now("node: broken", Event::Broken);
    now("node: stop", Event::Stop);
    now("time: nothing is due", Event::Time);
    for timer in Timer::ALL {
        let deadline = situation.machine.deadline(timer);
        all.push(Happening {
            label: format!("time: {}", timer_name(timer)),
            event: Event::Time,
            at: deadline.unwrap_or(situation.now),
            can_be: deadline.is_some(),
        });
    }
    all
}

pub(crate) const fn timer_name(timer: Timer) -> &'static str {
    match timer {
        Timer::Lease => "lease ends",
        Timer::Roll => "no beat was sent for a lease",
        Timer::Suspect => "renewals are missing",
        Timer::GiveUp => "nobody decided",
        Timer::Promise => "promise ends",
        Timer::Silence => "peer is silent",
        Timer::Listen => "listened long enough",
        Timer::Patience => "patience ends",
        Timer::Ask => "ask again",
        Timer::Poll => "poll the witness",
        Timer::WitnessSilence => "witness is silent",
        Timer::Stall => "application stalls",
        Timer::HoldOff => "hold-off ends",
    }
}

/// What the peer may say. It has heard of what this node knows unless the label says otherwise,
/// and its beat answers one that was sent just now.
fn beats(situation: &Situation) -> Vec<(&'static str, Event)> {
    let peer = situation.machine.terms().me.peer();
    let me = peer.peer();
    let same = situation.machine.standing();
    let newer = |owner, form| Standing { epoch: same.epoch.next_of(owner), form };
    let base = Word {
        state: State::Listen,
        standing: same,
        silent_to: same.epoch,
        requests: false,
        grants: false,
        partner: None,
        fenced_peer: false,
        blocks: Blocks::NONE,
    };
    let grants = same.owner() == Some(me);
    let passive = |state| Word { state, grants, ..base };
    let active = |standing: Standing, partner: Option<Session>| {
        let (state, silent_to) = (duplex_or_solo(standing.form), Epoch::NONE);
        Word { state, standing, silent_to, requests: true, partner, ..base }
    };
    let mine = Some(situation.mine);
    let solo = active(newer(peer, Form::Solo), None);
    let lag = Word { blocks: Blocks::LAG, ..passive(State::StandbyDegraded) };
    let given = newer(me, Form::Duplex);
    let given = Word { standing: given, grants: true, ..passive(State::Standby) };
    let given_solo = Word { standing: newer(me, Form::Solo), ..passive(State::Listen) };
    let mut words = vec![
        ("beat: active naming me", active(newer(peer, Form::Duplex), mine)),
        ("beat: active naming nobody", active(newer(peer, Form::Duplex), None)),
        ("beat: active alone", solo),
        ("beat: active alone that fenced me", Word { fenced_peer: true, ..solo }),
        ("beat: hands over", Word { grants: false, ..passive(State::Handover) }),
        ("beat: standby", passive(State::Standby)),
        ("beat: standby degraded", lag),
        ("beat: syncing up", passive(State::SyncUp)),
        ("beat: syncing up but not ready", Word { blocks: Blocks::LAG, ..passive(State::SyncUp) }),
        ("beat: candidate", Word { grants: false, ..passive(State::Candidate) }),
        ("beat: listening", passive(State::Listen)),
        ("beat: isolated", passive(State::Isolated)),
        ("beat: fenced", passive(State::Fenced)),
        ("beat: fault", passive(State::Fault)),
        ("beat: maintenance", passive(State::Maintenance)),
        ("beat: stopped", Word { grants: false, ..passive(State::Off) }),
        ("beat: says that I have the outputs", given),
        ("beat: says that I have them alone", given_solo),
    ];
    // In the present epoch the peer drives only where that is its own.
    if same.owner() == Some(peer) {
        let present = Word { standing: same, ..active(same, mine) };
        words.push(("beat: active in the present epoch naming me", present));
        words.push((
            "beat: active in the present epoch naming nobody",
            Word { partner: None, ..present },
        ));
    } else {
        // It cannot: what claims to is a stranger's, and says nothing of roles.
        let odd = Word { state: State::ActiveDuplex, ..base };
        words.push(("beat: active in the present epoch naming me", odd));
        words.push(("beat: active in the present epoch naming nobody", odd));
    }
    heard(situation, words, base)
}

/// The beats that say these words, and two that count for little, which say `base`.
fn heard(
    situation: &Situation,
    words: Vec<(&'static str, Word)>,
    base: Word,
) -> Vec<(&'static str, Event)> {
    let heard = |word| Heard {
        session: situation.peers,
        sent_at: situation.now,
        echo_sent_at: Some(situation.now),
        word,
    };
    let mut events: Vec<_> =
        words.into_iter().map(|(label, word)| (label, Event::Beat(heard(word)))).collect();
    let late = Heard { sent_at: Instant::ORIGIN, ..heard(base) };
    events.push(("beat: one that was overtaken", Event::Beat(late)));
    let restarted = Heard { session: Session([99; 16]), echo_sent_at: None, ..heard(base) };
    events.push(("beat: restarted and listening", Event::Beat(restarted)));
    events
}

const fn duplex_or_solo(form: Form) -> State {
    match form {
        Form::Duplex => State::ActiveDuplex,
        Form::Solo => State::ActiveSolo,
    }
}

fn answers(situation: &Situation) -> Vec<(&'static str, Event)> {
    let same = situation.machine.standing();
    let me = situation.machine.terms().me;
    let solo = |owner: NodeId| Standing::solo(same.epoch.next_of(owner));
    let far = Standing::solo(same.epoch.next_by_order(me));
    let duplex = |owner: NodeId| Standing::duplex(same.epoch.next_of(owner));
    let nonce = situation.asked;
    let answer = |register, swapped| Event::Answer(Answer { nonce, register, swapped });
    let foreign = Answer { nonce: u64::MAX, register: Some(solo(me)), swapped: true };
    let latch = |latch, epoch| Event::Latch(Claimed { latch, epoch });
    vec![
        ("witness: as I know", answer(Some(same), false)),
        ("witness: mine alone", answer(Some(solo(me)), true)),
        ("witness: mine alone by order", answer(Some(far), true)),
        ("witness: mine with a standby", answer(Some(duplex(me)), true)),
        ("witness: the peer's alone", answer(Some(solo(me.peer())), false)),
        ("witness: the peer's with a standby", answer(Some(duplex(me.peer())), true)),
        ("witness: register lost", answer(None, false)),
        ("witness: to a question that I did not ask", Event::Answer(foreign)),
        ("latch 0: mine", latch(0, solo(me).epoch)),
        ("latch 1: mine", latch(1, solo(me).epoch)),
        ("latch 0: as I know", latch(0, same.epoch)),
        ("latch 0: the peer's", latch(0, solo(me.peer()).epoch)),
        ("latch 0: nobody's", latch(0, Epoch::NONE)),
        ("latch 200: mine", latch(200, solo(me).epoch)),
    ]
}
