//! What follows from a question about a takeover.

use rt_core::margins::{Bounds, Change, Finding, Inequality, Lever, Setting, Timers};
use rt_core::time::Duration;

use super::options::TakeoverArgs;
use super::{DaemonConfig, Failure};
use crate::config::jitter;

/// The answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) setting: Setting,
    pub(super) timers: Timers,
    pub(super) heartbeat_chosen: bool,
    pub(super) bounds: Bounds,
    /// All but (8), which is of each output.
    pub(super) findings: Vec<Finding>,
    /// (8), by output.
    pub(super) outputs: Vec<(String, Finding)>,
    /// What would have to change, for each inequality that fails.
    pub(super) remedies: Vec<Remedies>,
    pub(super) loss: Option<Loss>,
    pub(super) cautions: Vec<String>,
}

/// What would make an inequality hold.
#[derive(Clone, Debug)]
pub(super) struct Remedies {
    pub(super) finding: Finding,
    pub(super) changes: Vec<Change>,
    /// Of what is there, no value would do.
    pub(super) useless: Vec<Lever>,
}

/// Frames that are lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    pub(super) ppm: u32,
    /// False suspicions in a year, expected.
    pub(super) suspicions_a_year: f64,
}

const YEAR_S: f64 = 365.25 * 86_400.0;

impl Answer {
    /// Answers. `config` is where J may be stored.
    pub(super) fn of(args: &TakeoverArgs, config: Option<&DaemonConfig>) -> Result<Self, Failure> {
        let stored = config.and_then(|it| it.jitter.as_ref());
        let known = stored.map(|it| super::options::Known {
            jitter: it.jitter,
            round_trip: it.round_trip.into_iter().max().unwrap_or_default(),
        });
        let setting = args.setting(known)?;
        let timers = setting.timers();
        let named = args.hold_time.iter().enumerate().map(|(index, it)| {
            let name = it.name.clone().unwrap_or_else(|| format!("output {}", index + 1));
            setting.budget(it.hold, &timers).map(|finding| (name, finding))
        });
        let outputs: Vec<_> = named.flatten().collect();
        let all: Vec<Finding> = setting.findings(&timers).collect();
        let failed = all.iter().filter(|it| !it.holds);
        let remedies = failed.map(|it| Remedies::of(&setting, *it)).collect();
        let mut cautions = Vec::new();
        if args.jitter.is_none() || args.round_trip.is_none() {
            cautions.extend(jitter::warnings(stored).into_iter().map(|it| it.to_string()));
        }
        let least = setting.measured.heartbeat_min();
        if timers.heartbeat < least {
            cautions.push(format!(
                "a beat is due each {}, before the one before it has surely been sent and \
                 answered ({}): a late one counts as lost",
                super::span::show(timers.heartbeat),
                super::span::show(least)
            ));
        }
        Ok(Self {
            heartbeat_chosen: args.heartbeat.is_none(),
            bounds: setting.bounds(&timers),
            findings: all
                .into_iter()
                .filter(|it| it.inequality != Inequality::TakeoverWithinHold)
                .collect(),
            outputs,
            remedies,
            loss: args.loss_ppm.map(|ppm| Loss::of(ppm, &timers)),
            cautions,
            setting,
            timers,
        })
    }

    /// Whether all holds.
    pub(super) fn is_possible(&self) -> bool {
        self.remedies.is_empty()
    }

    /// The outputs that fall back too early.
    pub(super) fn late_outputs(&self) -> impl Iterator<Item = &str> {
        self.outputs.iter().filter(|it| !it.1.holds).map(|it| &*it.0)
    }
}

impl Remedies {
    fn of(setting: &Setting, finding: Finding) -> Self {
        let mut remedies = Self { finding, changes: Vec::new(), useless: Vec::new() };
        let there = Lever::ALL.into_iter().filter(|lever| lever.of(setting).is_some());
        for lever in there {
            match setting.change(finding.inequality, lever) {
                Some(change) => remedies.changes.push(change),
                None if matters(lever, finding.inequality) => remedies.useless.push(lever),
                None => {}
            }
        }
        remedies
    }
}

/// Whether a reader would think of it: none that the inequality does not count.
fn matters(lever: Lever, inequality: Inequality) -> bool {
    use Inequality as I;
    match lever {
        Lever::Transfer | Lever::Slack | Lever::RecoveryPoint => {
            inequality == I::LossWithinRecoveryPoint
        }
        Lever::Hold => inequality == I::TakeoverWithinHold,
        Lever::RecoveryTime => inequality == I::TakeoverWithinRecoveryTime,
        Lever::Promise => inequality != I::LossWithinRecoveryPoint,
        Lever::Cycle | Lever::Fence | Lever::Watchdog => {
            matches!(inequality, I::TakeoverWithinHold | I::TakeoverWithinRecoveryTime)
        }
        Lever::Jitter | Lever::RoundTrip => inequality != I::SomebodyDecides,
        _ => !matches!(inequality, I::SomebodyDecides | I::LossWithinRecoveryPoint),
    }
}

impl Loss {
    /// `misses` requests in a row without an answer: of each, the frames on both LANs were lost, or
    /// those of its answer were. Independent losses; each beat of a year may begin such a row.
    fn of(ppm: u32, timers: &Timers) -> Self {
        let frame = f64::from(ppm) / 1e6;
        let both = frame * frame;
        let unanswered = 1.0 - (1.0 - both) * (1.0 - both);
        let beat_s = seconds(timers.heartbeat);
        let rows = unanswered.powf(timers.misses.into());
        Self { ppm, suspicions_a_year: YEAR_S / beat_s * rows }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate, of three digits")]
fn seconds(span: Duration) -> f64 {
    span.as_nanos().max(1) as f64 / 1e9
}
