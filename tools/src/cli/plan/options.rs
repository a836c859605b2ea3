//! The command line of a question about a takeover.

use clap::{Args, ValueEnum};
use rt_core::margins::{DRIFT_PPM_DEFAULT, HEARTBEAT_LEAST, Measured, Setting, Timing};
use rt_core::pair::Mode;
use rt_core::time::Duration;

use super::span;
use crate::exit::Failure;

/// Nobody has more kinds of output.
const OUTPUTS_MAX: usize = 64;

/// Questions about a takeover: what the plant needs, what was measured, what is to be chosen.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Takeover")]
pub struct TakeoverArgs {
    /// From a crash to the next owner's first output, at most, as in 10ms
    #[arg(long, value_name = "TIME")]
    #[arg(allow_hyphen_values = true, value_parser = span::some)]
    pub recovery_time: Option<Duration>,

    /// Cycles whose state a crash may lose; 0: none
    #[arg(long, value_name = "CYCLES")]
    #[arg(allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    pub recovery_point: Option<u64>,

    /// Cycle of the controller
    #[arg(long, value_name = "TIME")]
    #[arg(allow_hyphen_values = true, value_parser = span::some)]
    pub cycle: Option<Duration>,

    /// For how long an output holds its last value; may be repeated, with a name each
    #[arg(long, value_name = "[NAME=]TIME")]
    #[arg(allow_hyphen_values = true, value_parser = output)]
    pub hold_time: Vec<Output>,

    /// Who decides: W a witness, L the latches, F a fence, M a person, H the kernel of one host
    /// [default: W]
    #[arg(long, value_name = "MODE", ignore_case = true)]
    pub mode: Option<Letter>,

    /// J: how late a node is at most [default: as stored in --config]
    #[arg(long, value_name = "TIME")]
    #[arg(allow_hyphen_values = true, value_parser = span::some)]
    pub jitter: Option<Duration>,

    /// A heartbeat and its answer, at most, on the worse LAN [default: as stored]
    #[arg(long, value_name = "TIME")]
    #[arg(allow_hyphen_values = true, value_parser = span::some)]
    pub round_trip: Option<Duration>,

    /// Mode W: a question to the witness and its answer, at most
    #[arg(long, value_name = "TIME")]
    #[arg(allow_hyphen_values = true, value_parser = span::some)]
    pub witness_round_trip: Option<Duration>,

    /// Mode W: questions to the witness that may be lost [default: 0]
    #[arg(long, value_name = "NUM")]
    #[arg(allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(..=16))]
    pub witness_retries: Option<u32>,

    /// A claim at the outputs' latches and its answer, at most
    #[arg(long, value_name = "TIME")]
    #[arg(allow_hyphen_values = true, value_parser = span::some)]
    pub latch_round_trip: Option<Duration>,

    /// Mode F: until the peer is off, and that is confirmed. Mode H: until it is killed and ended
    #[arg(long, value_name = "TIME")]
    #[arg(allow_hyphen_values = true, value_parser = span::some)]
    pub fence_time: Option<Duration>,

    /// Mode F: until the watchdog of a node that hangs switches it off
    #[arg(long, value_name = "TIME")]
    #[arg(allow_hyphen_values = true, value_parser = span::some)]
    pub watchdog: Option<Duration>,

    /// How far off a clock's rate may be, in millionths [default: 500]
    #[arg(long, value_name = "PPM")]
    #[arg(allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub drift_ppm: Option<u32>,

    /// Until an image of the state is on the wire, beyond what a heartbeat takes [default: 0us]
    #[arg(long, value_name = "TIME", requires = "recovery_point")]
    #[arg(allow_hyphen_values = true, value_parser = span::any)]
    pub transfer_time: Option<Duration>,

    /// What the application leaves of a cycle [default: all but J]
    #[arg(long, value_name = "TIME")]
    #[arg(allow_hyphen_values = true, value_parser = span::any)]
    pub slack: Option<Duration>,

    /// From one heartbeat to the next [default: the longest that will do]
    #[arg(long, value_name = "TIME")]
    #[arg(allow_hyphen_values = true, value_parser = span::some)]
    pub heartbeat: Option<Duration>,

    /// Heartbeats in a row that may be lost [default: 3; 2 where that takes too long]
    #[arg(long, value_name = "NUM")]
    #[arg(allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=16))]
    pub misses: Option<u32>,

    /// The lease [default: the shortest that will do]
    #[arg(long, value_name = "TIME", requires = "heartbeat")]
    #[arg(allow_hyphen_values = true, value_parser = span::some)]
    pub lease: Option<Duration>,

    /// The promise [default: the shortest that will do]
    #[arg(long, value_name = "TIME", requires = "heartbeat")]
    #[arg(allow_hyphen_values = true, value_parser = span::some)]
    pub promise: Option<Duration>,

    /// Frames that each LAN loses, in a million: tells how often a node is suspected falsely
    #[arg(long, value_name = "PPM")]
    #[arg(allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub loss_ppm: Option<u32>,
}

/// An output and for how long it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// Its name, where it was given one.
    pub name: Option<String>,
    /// At least.
    pub hold: Duration,
}

fn output(text: &str) -> Result<Output, String> {
    let Some((name, hold)) = text.split_once('=') else {
        return Ok(Output { name: None, hold: span::some(text)? });
    };
    let is_plain = |it: char| it.is_alphanumeric() || matches!(it, '-' | '_' | '.' | ':' | '/');
    if name.is_empty() || name.chars().count() > 32 || !name.chars().all(is_plain) {
        return Err("a name has 1 to 32 letters, digits or -_.:/".to_owned());
    }
    Ok(Output { name: Some(name.to_owned()), hold: span::some(hold)? })
}

/// A mode, by its letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum Letter {
    /// A witness.
    #[value(alias = "witness")]
    W,
    /// The latches.
    #[value(alias = "latch")]
    L,
    /// A fence.
    #[value(alias = "fence")]
    F,
    /// A person.
    #[value(alias = "manual")]
    M,
    /// The kernel of the same host.
    #[value(alias = "same-host")]
    H,
}

impl From<Letter> for Mode {
    fn from(letter: Letter) -> Self {
        match letter {
            Letter::W => Self::Witness,
            Letter::L => Self::Latch,
            Letter::F => Self::Fence,
            Letter::M => Self::Manual,
            Letter::H => Self::SameHost,
        }
    }
}

/// What is stored of a measurement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Known {
    pub(super) jitter: Duration,
    pub(super) round_trip: Duration,
}

fn missing(argument: &str, remedy: &str) -> Failure {
    Failure::usage(format!("{argument}: missing"), remedy)
}

const MEASURE: &str = "measure it with `bumpless latency derive`, and give it here, or with \
                       --config the file that has its table [jitter]";

impl TakeoverArgs {
    /// Whether anything of a takeover is asked.
    pub(super) fn is_asked(&self) -> bool {
        let Self { recovery_time, recovery_point, cycle, hold_time, mode, jitter, .. } = self;
        let spans = [
            *recovery_time,
            *cycle,
            *jitter,
            self.round_trip,
            self.witness_round_trip,
            self.latch_round_trip,
            self.fence_time,
            self.watchdog,
            self.transfer_time,
            self.slack,
            self.heartbeat,
            self.lease,
            self.promise,
        ];
        let counts = [self.witness_retries, self.drift_ppm, self.misses, self.loss_ppm];
        spans.iter().any(Option::is_some)
            || counts.iter().any(Option::is_some)
            || recovery_point.is_some()
            || !hold_time.is_empty()
            || mode.is_some()
    }

    /// What is asked, with what a configuration stored.
    pub(super) fn setting(&self, known: Option<Known>) -> Result<Setting, Failure> {
        let mode = self.mode.map_or(Mode::Witness, Mode::from);
        let cycle = self.cycle.ok_or_else(|| missing("--cycle", "give it, as in --cycle 1ms"))?;
        let known_jitter = known.map(|it| it.jitter);
        let jitter = self.jitter.or(known_jitter).ok_or_else(|| missing("--jitter", MEASURE))?;
        let known_trip = known.map(|it| it.round_trip);
        let round_trip =
            self.round_trip.or(known_trip).ok_or_else(|| missing("--round-trip", MEASURE))?;
        self.check_mode(mode)?;
        self.check_outputs()?;
        if let Some(slack) = self.slack.filter(|it| *it > cycle) {
            let what = format!("--slack: {} is more than the cycle", span::show(slack));
            return Err(Failure::usage(what, "give what the application leaves of a cycle"));
        }
        let is_limited =
            self.recovery_time.is_some() || !self.hold_time.is_empty() || self.heartbeat.is_some();
        if !is_limited && mode != Mode::Manual {
            let remedy = "without it, --hold-time or --heartbeat nothing says how quick the pair \
                          has to be";
            return Err(missing("--recovery-time", remedy));
        }
        let timing = match self.heartbeat {
            Some(heartbeat) => Timing::Given {
                heartbeat,
                misses: self.misses.unwrap_or(rt_core::margins::MISSES_DEFAULT),
                lease: self.lease,
                promise: self.promise,
            },
            None => Timing::Chosen { misses: self.misses },
        };
        Ok(Setting {
            mode,
            measured: Measured {
                jitter,
                round_trip,
                witness_round_trip: self.witness_round_trip.unwrap_or_default(),
                witness_retries: self.witness_retries.unwrap_or(0),
                latch_round_trip: self.latch_round_trip.unwrap_or_default(),
                cycle,
                hold: self.hold_time.iter().map(|it| it.hold).min().unwrap_or(Duration::MAX),
                drift_ppm: self.drift_ppm.unwrap_or(DRIFT_PPM_DEFAULT),
                granularity: Duration::from_nanos(1),
            },
            fence: self.fence_time.unwrap_or_default(),
            watchdog: self.watchdog.unwrap_or_default(),
            transfer: self.transfer_time.unwrap_or_default(),
            slack: self.slack,
            recovery_time: self.recovery_time,
            recovery_point: self.recovery_point,
            heartbeat_least: HEARTBEAT_LEAST,
            timing,
        })
    }

    /// Each mode has what it decides by, and nothing that it does not.
    fn check_mode(&self, mode: Mode) -> Result<(), Failure> {
        let has = [
            ("--witness-round-trip", self.witness_round_trip.is_some(), "W"),
            ("--witness-retries", self.witness_retries.is_some(), "W"),
            ("--fence-time", self.fence_time.is_some(), "FH"),
            ("--watchdog", self.watchdog.is_some(), "F"),
        ];
        let unused = has.iter().find(|it| it.1 && !it.2.contains(mode.letter()));
        if let Some((argument, _, modes)) = unused {
            let what = format!("{argument}: mode {mode} asks for none");
            let modes: Vec<String> = modes.chars().map(|it| it.to_string()).collect();
            let remedy = format!("leave it out, or give --mode {}", modes.join(" or "));
            return Err(Failure::usage(what, remedy));
        }
        let lacks = match mode {
            Mode::Witness if self.witness_round_trip.is_none() => {
                ("--witness-round-trip", "mode W asks a witness: give how long it takes, or --mode")
            }
            Mode::Latch if self.latch_round_trip.is_none() => {
                ("--latch-round-trip", "mode L claims latches: give how long that takes")
            }
            Mode::Fence if self.fence_time.is_none() && self.watchdog.is_none() => (
                "--fence-time",
                "mode F switches the peer off: give how long it takes, or --watchdog",
            ),
            Mode::SameHost if self.fence_time.is_none() => {
                ("--fence-time", "mode H kills the peer: give how long it takes until it has ended")
            }
            _ => return Ok(()),
        };
        Err(missing(lacks.0, lacks.1))
    }

    fn check_outputs(&self) -> Result<(), Failure> {
        if self.hold_time.len() > OUTPUTS_MAX {
            let what = format!("--hold-time: given {} times", self.hold_time.len());
            let remedy = format!("{OUTPUTS_MAX} at most; outputs that hold alike count once");
            return Err(Failure::usage(what, remedy));
        }
        for (index, output) in self.hold_time.iter().enumerate() {
            let before = self.hold_time.iter().take(index);
            if let Some(name) = &output.name
                && before.filter_map(|it| it.name.as_ref()).any(|it| it == name)
            {
                let what = format!("--hold-time: {name} is there twice");
                return Err(Failure::usage(what, "give each output a name of its own"));
            }
        }
        Ok(())
    }
}
