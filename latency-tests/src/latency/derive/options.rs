//! The command line of `derive`.

use std::path::PathBuf;

use clap::Args;
use rt_core::margins::DRIFT_PPM_DEFAULT;
use rt_core::os::jitter::Goal;
use rt_core::os::tail::Policy;
use rt_core::time::Duration;

/// The longest time that can be asked for: what nanoseconds in 64 bits can tell is 584 years.
const YEARS_MAX: f64 = 500.0;
const YEAR_S: f64 = 365.25 * 86_400.0;
/// Any span of a plant: an hour.
const SPAN_US_MAX: u64 = 3_600_000_000;

/// From recordings of both hosts and both LANs to the timers of a takeover.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Results of `heartbeat --json` (or of `wakeup --json` besides): one of each host, or one for
    /// two hosts that are alike
    #[arg(value_name = "FILE", required_unless_present = "host_a", num_args = 1..=2)]
    pub files: Vec<PathBuf>,

    /// All results of one host
    #[arg(long, value_name = "FILE,…", value_delimiter = ',', conflicts_with = "files")]
    pub host_a: Vec<PathBuf>,

    /// All results of the other host
    #[arg(long, value_name = "FILE,…", value_delimiter = ',', requires = "host_a")]
    pub host_b: Vec<PathBuf>,

    /// Cycle of the controller, in µs
    #[arg(long, value_name = "US", default_value_t = 1_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(10..=SPAN_US_MAX))]
    pub cycle_us: u64,

    /// For how long the outputs hold their last value, at least, in µs
    #[arg(long, value_name = "US", default_value_t = 12_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=SPAN_US_MAX))]
    pub hold_us: u64,

    /// From one heartbeat to the next, in µs [default: the shortest that the hosts can keep]
    #[arg(long, value_name = "US")]
    #[arg(value_parser = clap::value_parser!(u64).range(10..=SPAN_US_MAX))]
    pub heartbeat_us: Option<u64>,

    /// Heartbeats in a row that may be lost
    #[arg(long, value_name = "NUM", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=16))]
    pub misses: u32,

    /// A question to the witness and its answer, at most, in µs; 0: none is asked
    #[arg(long, value_name = "US", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=SPAN_US_MAX))]
    pub witness_us: u64,

    /// Questions to the witness that may be lost
    #[arg(long, value_name = "NUM", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=16))]
    pub witness_retries: u32,

    /// A claim at the outputs' latches and its answer, at most, in µs; 0: there are none
    #[arg(long, value_name = "US", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=SPAN_US_MAX))]
    pub latch_us: u64,

    /// How far off the rate of a host's clock may be, in millionths
    #[arg(long, value_name = "PPM", default_value_t = DRIFT_PPM_DEFAULT)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub drift_ppm: u32,

    /// The mean time between false suspicions that is wanted; exit code 1 where the recordings do
    /// not support it [default: what they support is told]
    #[arg(long, value_name = "YEARS", value_parser = years)]
    pub years: Option<f64>,

    /// Print one JSON document
    #[arg(long, conflicts_with = "toml")]
    pub json: bool,

    /// Print the table for the daemon's configuration
    #[arg(long)]
    pub toml: bool,

    /// Write the table for the daemon's configuration
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
}

fn years(text: &str) -> Result<f64, String> {
    let years: f64 = text.parse().map_err(|_| "no number, as in 10 or 0.5".to_owned())?;
    if years > 0.0 && years <= YEARS_MAX {
        return Ok(years);
    }
    Err(format!("write more than 0 and at most {YEARS_MAX}"))
}

impl Options {
    /// What the plant asks for.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the parser holds years between 0 and 500"
    )]
    pub fn goal(&self) -> Goal {
        let us = Duration::from_micros;
        let between = |years: f64| Duration::from_nanos((years * YEAR_S * 1e9) as u64);
        Goal {
            cycle: us(self.cycle_us),
            hold: us(self.hold_us),
            witness_round_trip: us(self.witness_us),
            witness_retries: self.witness_retries,
            latch_round_trip: us(self.latch_us),
            drift_ppm: self.drift_ppm,
            misses: self.misses,
            heartbeat: self.heartbeat_us.map(us),
            between: self.years.map(between),
            policy: Policy::default(),
        }
    }
}
