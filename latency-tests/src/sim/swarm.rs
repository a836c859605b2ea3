//! What a seed is. Each run has timers, networks and a set of faults of its own: a run in which
//! everything goes wrong at a time finds less than many in which something does.

use rt_core::margins::{Measured, Timers};
use rt_core::pair::terms::{ColdStart, Damping, Failback, Latches};
use rt_core::pair::{Mode, NodeId, Terms};
use rt_core::time::Duration;

use super::fault::Kind;
use super::lane::Lane;
use crate::impair::random::Random;

/// The shortest safety phase, in nanoseconds.
pub const FAULTS_FOR_NS: u64 = 60_000_000_000;

/// All that a run is made with.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// The seed.
    pub seed: u64,
    /// Where the rest of the chance of the run comes from.
    pub chance: Random,
    /// Who arbitrates.
    pub mode: Mode,
    /// What the timers rest on.
    pub measured: Measured,
    /// The timers.
    pub timers: Timers,
    /// Paths between the nodes.
    pub paths: u8,
    /// Latches at the outputs.
    pub latches: u8,
    /// A path without faults.
    pub path: Lane,
    /// To the witness, and back.
    pub witness: Lane,
    /// To an output, and back.
    pub output: Lane,
    /// How long the witness takes to store.
    pub store_ns: u64,
    /// Whether it keeps its register over a restart.
    pub is_durable: bool,
    /// How long a standby takes to have the state.
    pub sync_ns: u64,
    /// Of both clocks: no further apart than what nobody minds.
    pub fast_ppm: [i64; 2],
    /// What may go wrong.
    pub kinds: Vec<Kind>,
    /// How many faults, at least three.
    pub faults: u64,
    /// Whether the next fault comes only when all is well again.
    pub one_at_a_time: bool,
    /// When faults end, in nanoseconds.
    pub heal_ns: u64,
    /// What the nodes are to do when nobody drives.
    pub cold_start: ColdStart,
    /// When the outputs return.
    pub failback: Failback,
}

/// A whole number from `low` to `high`, each magnitude equally likely.
fn magnitude(chance: &mut Random, low: u64, high: u64) -> u64 {
    let span = (high as f64 / low as f64).ln();
    let part = chance.below(1 << 32) as f64 / (1u64 << 32) as f64;
    let value = low as f64 * (span * part).exp();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in bounds")]
    let value = value as u64;
    value.clamp(low, high)
}

/// A number below a small bound.
fn small(chance: &mut Random, bound: u8) -> u8 {
    u8::try_from(chance.below(u64::from(bound))).unwrap_or(0)
}

fn mode(chance: &mut Random) -> Mode {
    match chance.below(20) {
        0..=11 => Mode::Witness,
        12..=14 => Mode::Latch,
        15 | 16 => Mode::Fence,
        17 => Mode::SameHost,
        _ => Mode::Manual,
    }
}

const fn ordinary(delay_ns: u64, jitter_ns: u64) -> Lane {
    Lane { delay_ns, jitter_ns, loss: 0.0, repetition: 0.0, is_cut: false }
}

impl Swarm {
    /// What the seed says.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut chance = Random::new(seed);
        let mode = mode(&mut chance);
        let heartbeat_us =
            if chance.below(100) == 0 { 250 } else { magnitude(&mut chance, 1_000, 100_000) };
        let heartbeat = Duration::from_micros(heartbeat_us);
        let misses = 2 + u32::from(small(&mut chance, 4));
        let drift_ppm = 500;
        let half_ns = heartbeat.as_nanos() / 4;
        let delay_ns = magnitude(&mut chance, 5_000, half_ns.max(5_001)).min(20_000_000);
        let jitter_ns = chance.below(delay_ns);
        let lateness_ns = chance.below(half_ns);
        let store_ns = chance.below(5_000_000);
        let path = ordinary(delay_ns, jitter_ns);
        let witness = ordinary(2 * delay_ns, jitter_ns);
        let output = ordinary(delay_ns, jitter_ns);
        let measured = Measured {
            jitter: Duration::from_nanos(lateness_ns.max(1_000)),
            round_trip: Duration::from_nanos(2 * (delay_ns + jitter_ns)),
            witness_round_trip: Duration::from_nanos(4 * delay_ns + 2 * jitter_ns + store_ns),
            witness_retries: 1,
            latch_round_trip: Duration::from_nanos(2 * (delay_ns + jitter_ns)),
            cycle: heartbeat,
            hold: Duration::from_secs(3_600),
            drift_ppm,
            granularity: Duration::from_nanos(1),
        };
        let timers = measured.timers(heartbeat, misses);
        let ppm = |chance: &mut Random| chance.below(481).cast_signed() - 240;
        let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|_| chance.below(3) > 0).collect();
        let patience = Duration::from_secs(1 + chance.below(4));
        Self {
            seed,
            mode,
            paths: 2 + u8::from(chance.below(4) == 0),
            latches: match mode {
                Mode::Latch => 1 + small(&mut chance, 3),
                _ if chance.below(4) == 0 => 1,
                _ => 0,
            },
            path,
            witness,
            output,
            store_ns,
            is_durable: chance.below(2) == 0,
            sync_ns: chance.below(200_000_000),
            fast_ppm: [ppm(&mut chance), ppm(&mut chance)],
            kinds: if kinds.is_empty() { Kind::ALL.to_vec() } else { kinds },
            faults: 3 + chance.below(60),
            one_at_a_time: chance.below(4) == 0,
            heal_ns: FAULTS_FOR_NS + chance.below(10_000_000_000),
            cold_start: match chance.below(3) {
                0 => ColdStart::LastOwner,
                1 => ColdStart::Together,
                _ => ColdStart::Either { patience },
            },
            failback: match chance.below(6) {
                0 => Failback::After { preferred: NodeId::A, hold_off: Duration::from_secs(5) },
                1 => Failback::Manual { preferred: NodeId::B },
                _ => Failback::Never,
            },
            measured,
            timers,
            chance,
        }
    }

    /// What a node's role machine goes by.
    #[must_use]
    pub fn terms(&self, me: NodeId) -> Terms {
        Terms {
            latches: Latches::all(self.latches),
            stall: Some(self.measured.cycle.saturating_mul(20)),
            cold_start: self.cold_start,
            failback: self.failback,
            damping: Damping { changes_max: 6, within: Duration::from_secs(30) },
            ..Terms::new(me, self.mode, &self.timers, &self.measured)
        }
    }
}
