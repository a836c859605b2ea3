//! What follows, for other programs.

use rt_core::margins::{Finding, Timers};
use rt_core::os::jitter::{Apart, Bound, OfHost, OfLan, date_text};
use rt_core::time::Duration;
use serde::Serialize;

use super::{Derived, Host};
use crate::latency::report::PROGRAM;

/// Version of the document's shape. Keys may be added within it.
pub const SCHEMA: u32 = 1;

/// What `bumpless-latency derive --json` prints.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Document {
    schema: u32,
    program: &'static str,
    version: &'static str,
    /// Whether all inequalities hold, and what was asked for is supported.
    fine: bool,
    jitter_ns: u64,
    round_trip_ns: u64,
    hosts: Vec<HostRow>,
    lans: Vec<LanRow>,
    goal: GoalRow,
    heartbeat_proposed: bool,
    heartbeat_least_ns: u64,
    timers: TimersRow,
    suspicion_ns: u64,
    takeover_after_silence_ns: u64,
    takeover_after_evidence_ns: u64,
    inequalities: Vec<InequalityRow>,
    other_heartbeats: Vec<OtherRow>,
    between_false_suspicions: BetweenRow,
    cautions: Vec<String>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct HostRow {
    name: String,
    files: Vec<String>,
    began: String,
    probe: &'static str,
    bound_ns: u64,
    method: &'static str,
    horizon_ns: u64,
    series: Vec<SeriesRow>,
    between_false_suspicions: ApartRow,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct LanRow {
    name: &'static str,
    bound_ns: u64,
    beats: u64,
    lost: u64,
    series: Vec<SeriesRow>,
    between_false_suspicions: ApartRow,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct SeriesRow {
    name: String,
    cycles: u64,
    span_ns: u64,
    largest_ns: u64,
    empirical_ns: u64,
    empirical_horizon_ns: u64,
    extrapolated_ns: Option<u64>,
    extrapolated_horizon_ns: Option<u64>,
    shape: Option<[f64; 3]>,
    events: Option<usize>,
    refusal: Option<String>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct GoalRow {
    cycle_ns: u64,
    hold_ns: u64,
    witness_round_trip_ns: u64,
    witness_retries: u32,
    latch_round_trip_ns: u64,
    drift_ppm: u32,
    misses: u32,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct TimersRow {
    heartbeat_ns: u64,
    misses: u32,
    lease_ns: u64,
    promise_ns: u64,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct InequalityRow {
    number: u8,
    holds: bool,
    given_ns: u64,
    needed_ns: u64,
    margin_ns: u64,
    sentence: String,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct OtherRow {
    heartbeat_ns: u64,
    lease_ns: u64,
    takeover_after_silence_ns: u64,
    holds: bool,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct BetweenRow {
    both_lans: ApartRow,
    one_lan: ApartRow,
    wanted_ns: Option<u64>,
    supported: Option<bool>,
    recording_needed_ns: Option<u64>,
}

/// Where nothing was seen there is a lower end only.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
struct ApartRow {
    measured: bool,
    mean_ns: Option<u64>,
    lower_ns: u64,
    upper_ns: Option<u64>,
}

impl Document {
    /// Of what was derived.
    #[must_use]
    pub fn new(derived: &Derived) -> Self {
        let Derived { material, goal, derivation: it, cautions } = derived;
        let wanted = derived.wanted();
        let hosts = it.hosts.iter().zip(&material.hosts).map(|(of, host)| HostRow::new(of, host));
        let lans = it.lans.iter().zip(["a", "b"]).map(|(of, name)| LanRow::new(of, name));
        Self {
            schema: SCHEMA,
            program: PROGRAM,
            version: env!("CARGO_PKG_VERSION"),
            fine: derived.exit_code() == tools::exit::ExitCode::Fine,
            jitter_ns: it.measured.jitter.as_nanos(),
            round_trip_ns: it.measured.round_trip.as_nanos(),
            hosts: hosts.collect(),
            lans: lans.collect(),
            goal: GoalRow {
                cycle_ns: goal.cycle.as_nanos(),
                hold_ns: goal.hold.as_nanos(),
                witness_round_trip_ns: goal.witness_round_trip.as_nanos(),
                witness_retries: goal.witness_retries,
                latch_round_trip_ns: goal.latch_round_trip.as_nanos(),
                drift_ppm: goal.drift_ppm,
                misses: goal.misses,
            },
            heartbeat_proposed: !it.heartbeat.is_given,
            heartbeat_least_ns: it.heartbeat.least.as_nanos(),
            timers: TimersRow::from(&it.timers),
            suspicion_ns: it.suspicion.as_nanos(),
            takeover_after_silence_ns: it.after_silence.as_nanos(),
            takeover_after_evidence_ns: it.after_evidence.as_nanos(),
            inequalities: it.findings.iter().map(InequalityRow::from).collect(),
            other_heartbeats: it.others.iter().map(OtherRow::from).collect(),
            between_false_suspicions: BetweenRow {
                both_lans: it.with_both.into(),
                one_lan: it.with_one.into(),
                wanted_ns: wanted.map(|it| it.between.as_nanos()),
                supported: wanted.map(|it| it.is_supported),
                recording_needed_ns: wanted.map(|it| it.recording.as_nanos()),
            },
            cautions: cautions.clone(),
        }
    }
}

impl HostRow {
    fn new(of: &OfHost, host: &Host) -> Self {
        Self {
            name: of.name.clone(),
            files: host.files.iter().map(|it| it.display().to_string()).collect(),
            began: date_text(host.began_s),
            probe: host.probe.name(),
            bound_ns: of.used().as_nanos(),
            method: of.method().name(),
            horizon_ns: of.horizon().as_nanos(),
            series: of.bounds.iter().map(SeriesRow::from).collect(),
            between_false_suspicions: of.apart.into(),
        }
    }
}

impl LanRow {
    fn new(of: &OfLan, name: &'static str) -> Self {
        Self {
            name,
            bound_ns: of.used().as_nanos(),
            beats: of.cycles,
            lost: of.lost,
            series: of.bounds.iter().map(SeriesRow::from).collect(),
            between_false_suspicions: of.apart.into(),
        }
    }
}

impl From<&Bound> for SeriesRow {
    fn from(it: &Bound) -> Self {
        let tail = it.extrapolated.as_ref().ok();
        Self {
            name: it.name.clone(),
            cycles: it.cycles,
            span_ns: it.span.as_nanos(),
            largest_ns: it.largest.as_nanos(),
            empirical_ns: it.empirical.as_nanos(),
            empirical_horizon_ns: it.empirical_horizon.as_nanos(),
            extrapolated_ns: tail.map(|it| it.bound.as_nanos()),
            extrapolated_horizon_ns: tail.map(|it| it.horizon.as_nanos()),
            shape: tail.map(|it| [it.shape.lower, it.shape.value, it.shape.upper]),
            events: tail.map(|it| it.events),
            refusal: it.extrapolated.as_ref().err().map(ToString::to_string),
        }
    }
}

impl From<&Timers> for TimersRow {
    fn from(it: &Timers) -> Self {
        Self {
            heartbeat_ns: it.heartbeat.as_nanos(),
            misses: it.misses,
            lease_ns: it.lease.as_nanos(),
            promise_ns: it.promise.as_nanos(),
        }
    }
}

impl From<&Finding> for InequalityRow {
    fn from(it: &Finding) -> Self {
        Self {
            number: it.inequality.number(),
            holds: it.holds,
            given_ns: it.given.as_nanos(),
            needed_ns: it.needed.as_nanos(),
            margin_ns: it.margin().as_nanos(),
            sentence: it.to_string(),
        }
    }
}

impl From<&(Timers, Duration, bool)> for OtherRow {
    fn from((timers, takeover, holds): &(Timers, Duration, bool)) -> Self {
        Self {
            heartbeat_ns: timers.heartbeat.as_nanos(),
            lease_ns: timers.lease.as_nanos(),
            takeover_after_silence_ns: takeover.as_nanos(),
            holds: *holds,
        }
    }
}

impl From<Apart> for ApartRow {
    fn from(it: Apart) -> Self {
        let lower_ns = it.supported().as_nanos();
        match it {
            Apart::AtLeast(_) => Self { measured: false, mean_ns: None, lower_ns, upper_ns: None },
            Apart::Measured { mean, upper, .. } => Self {
                measured: true,
                mean_ns: Some(mean.as_nanos()),
                lower_ns,
                upper_ns: Some(upper.as_nanos()),
            },
        }
    }
}
