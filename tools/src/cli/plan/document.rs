//! The answer for other programs.

use rt_core::margins::{Change, Direction, Finding, Lever, Sum};
use serde_json::{Value, json};

use super::takeover::Answer;

impl Answer {
    pub(super) fn document(&self) -> Value {
        let Self { setting, timers, bounds, .. } = self;
        let it = &setting.measured;
        let asked_ns = |lever: Lever| lever.of(setting);
        json!({
            "schema": crate::report::SCHEMA,
            "possible": self.is_possible(),
            "mode": setting.mode.letter().to_string(),
            "asked": {
                "cycle_ns": it.cycle.as_nanos(),
                "jitter_ns": it.jitter.as_nanos(),
                "round_trip_ns": it.round_trip.as_nanos(),
                "witness_round_trip_ns": it.witness_round_trip.as_nanos(),
                "witness_retries": it.witness_retries,
                "latch_round_trip_ns": it.latch_round_trip.as_nanos(),
                "fence_time_ns": setting.fence.as_nanos(),
                "watchdog_ns": setting.watchdog.as_nanos(),
                "transfer_time_ns": setting.transfer.as_nanos(),
                "slack_ns": setting.slack().as_nanos(),
                "drift_ppm": it.drift_ppm,
                "recovery_time_ns": asked_ns(Lever::RecoveryTime),
                "recovery_point": setting.recovery_point,
            },
            "timers": {
                "heartbeat_ns": timers.heartbeat.as_nanos(),
                "heartbeat_chosen": self.heartbeat_chosen,
                "misses": timers.misses,
                "suspicion_ns": setting.suspicion(timers).total().as_nanos(),
                "lease_ns": timers.lease.as_nanos(),
                "promise_ns": timers.promise.as_nanos(),
                "listen_ns": setting.listen(timers).as_nanos(),
            },
            "bounds": {
                "silent_crash": bounds.silent.as_ref().map(sum),
                "witnessed_death": sum(&bounds.evidence),
                "planned_switchover": sum(&bounds.planned),
                "planned_switchover_misses": bounds.planned_misses,
                "release": bounds.release.as_ref().map(sum),
                "after_release": bounds.after_release.as_ref().map(sum),
            },
            "inequalities": self.findings.iter().map(|it| self.finding(it)).collect::<Vec<_>>(),
            "outputs": self.outputs.iter().map(|(name, finding)| json!({
                "name": name,
                "hold_time_ns": finding.given.as_nanos(),
                "needed_ns": finding.needed.as_nanos(),
                "holds": finding.holds,
            })).collect::<Vec<_>>(),
            "because": self.remedies.iter().map(|it| json!({
                "number": it.finding.inequality.number(),
                "sentence": self.sentence(&it.finding),
                "changes": it.changes.iter().map(change).collect::<Vec<_>>(),
                "useless": it.useless.iter().map(|it| it.name()).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "loss": self.loss.map(|it| json!({
                "loss_ppm": it.ppm,
                "false_suspicions_a_year": it.suspicions_a_year,
            })),
            "cautions": self.cautions,
        })
    }

    fn finding(&self, it: &Finding) -> Value {
        json!({
            "number": it.inequality.number(),
            "holds": it.holds,
            "given_ns": it.given.as_nanos(),
            "needed_ns": it.needed.as_nanos(),
            "sentence": if it.holds && it.inequality.number() == 7 {
                "somebody decides when the peer is silent".to_owned()
            } else {
                self.sentence(it)
            },
        })
    }
}

fn sum(sum: &Sum) -> Value {
    json!({
        "total_ns": sum.total().as_nanos(),
        "parts": sum.parts().map(|it| json!({
            "what": it.what.name(),
            "times": it.times,
            "each_ns": it.each.as_nanos(),
        })).collect::<Vec<_>>(),
    })
}

fn change(it: &Change) -> Value {
    json!({
        "what": it.lever.name(),
        "direction": match it.direction {
            Direction::AtMost => "at_most",
            Direction::AtLeast => "at_least",
        },
        "value": it.value,
        "unit": if it.lever.is_count() { "count" } else { "ns" },
        "suffices": it.suffices,
    })
}
