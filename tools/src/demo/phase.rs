//! One fault from beginning to end: some calm, the fault, some calm again, while both pairs go on
//! with their exchange.

use rt_core::os::clock::MonotonicClock;
use rt_core::time::{Duration, Instant};

use super::faults::Fault;
use super::interrupt::Interrupts;
use super::report::{FaultReport, Pairs};
use super::stage::{Pair, Stage, account, last_line};
use super::starvation::Starvation;
use super::verdict::{CableWork, Cables, Measured, judge};
use crate::exit::Failure;
use crate::netlab::Process;

/// How often the screen and the programs are looked after.
const TURN: Duration = Duration::from_millis(50);
/// How much longer than planned an exchange may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(15);

/// The times of a phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Timing {
    /// Calm, before and after.
    pub(super) calm_ms: u64,
    /// The fault.
    pub(super) fault_ms: u64,
}

impl Timing {
    const fn total_ms(self) -> u64 {
        self.calm_ms * 2 + self.fault_ms
    }
}

/// How far a phase is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// Of 1,000.
    pub(super) done_per_mille: u64,
    /// Requests that were answered so far.
    pub(super) answered: Pairs<u64>,
}

/// What is to be shown of a fault, and when.
pub(super) struct Phase<'a> {
    pub(super) number: usize,
    pub(super) fault: &'a Fault,
    pub(super) timing: Timing,
}

impl Phase<'_> {
    /// Plays the phase; `show` is told how far it is.
    pub(super) fn play(
        &self,
        stage: &mut Stage,
        interrupts: &Interrupts,
        starvation: &mut Starvation,
        mut show: impl FnMut(Progress),
    ) -> Result<FaultReport, Failure> {
        let before = stage.work()?;
        let span_ms = self.timing.total_ms();
        let prp = stage.ping(Pair::Prp, self.number, span_ms)?;
        let single = stage.ping(Pair::Single, self.number, span_ms)?;
        let mut pings = [prp, single];
        let start = MonotonicClock::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut steps = [
            (at(self.timing.calm_ms), Some(Step::Make)),
            (at(self.timing.calm_ms + self.timing.fault_ms), Some(Step::Mend)),
        ];
        let end = at(span_ms) + PATIENCE;
        while pings.iter_mut().any(Process::is_running) {
            let now = MonotonicClock::now();
            for (due, step) in &mut steps {
                match step.take_if(|_| now >= *due) {
                    Some(Step::Make) => stage.make(self.fault)?,
                    Some(Step::Mend) => stage.mend(self.fault)?,
                    None => {}
                }
            }
            if now >= end {
                return Err(Failure::failed("an exchange does not come to its end", ""));
            }
            stage.check()?;
            show(progress(&pings, now.since(start).as_millis() * 1_000 / span_ms.max(1)));
            let due = MonotonicClock::now() + until(&steps, now);
            interrupts.sleep_until(due)?;
            starvation.note(MonotonicClock::now().since(due).as_nanos());
            starvation.look();
        }
        // An exchange that broke off early must not leave its fault to the next one.
        stage.mend(self.fault)?;
        let [prp, single] = pings;
        let exchange = Pairs { prp: account(prp)?.exchange(), single: account(single)?.exchange() };
        for pair in [&exchange.prp, &exchange.single] {
            starvation.note(pair.late_ns_max);
        }
        let cables = since(&before, &stage.work()?);
        let longest_wait_ns = starvation.longest_ns();
        let measured = Measured { exchange, cables, longest_wait_ns };
        let (verdict, reasons) = judge(self.fault, &measured);
        Ok(FaultReport {
            fault: self.fault.key.to_owned(),
            text: self.fault.text(),
            verdict,
            reasons,
            prp: exchange.prp,
            single: exchange.single,
        })
    }
}

/// What is done at a certain time.
#[derive(Clone, Copy, Debug)]
enum Step {
    Make,
    Mend,
}

/// How long to sleep: to the next step, but look around now and then.
fn until(steps: &[(Instant, Option<Step>)], now: Instant) -> Duration {
    let next = steps.iter().find(|(_, step)| step.is_some());
    next.map_or(TURN, |(due, _)| due.since(now).min(TURN))
}

fn progress(pings: &[Process; 2], done_per_mille: u64) -> Progress {
    let answered = |ping: &Process| {
        let line: super::report::PingLine = last_line(&ping.out()).unwrap_or_default();
        line.answered()
    };
    let [prp, single] = pings;
    Progress {
        done_per_mille: done_per_mille.min(1_000),
        answered: Pairs { prp: answered(prp), single: answered(single) },
    }
}

fn since(before: &Cables<CableWork>, after: &Cables<CableWork>) -> Cables<CableWork> {
    let of = |before: CableWork, after: CableWork| CableWork {
        hit: after.hit.saturating_sub(before.hit),
        unplanned: after.unplanned.saturating_sub(before.unplanned),
    };
    Cables {
        lan_a: of(before.lan_a, after.lan_a),
        lan_b: of(before.lan_b, after.lan_b),
        single: of(before.single, after.single),
    }
}
