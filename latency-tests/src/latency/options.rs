//! The options of a measurement, in cyclictest's words where it has the same.
//!
//! What differs, on purpose: without `-t` there is a thread on each processor, without `-p` they
//! are real-time threads, memory is always locked, `-d` is 0, and a run has an end.

use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use rt_core::os::host::{isolated_cpus, parse_cpu_list};
use rt_core::os::thread::Policy;
use rt_core::time::Duration;
use tools::exit::Failure;

use super::out::histogram_text::ROWS_MAX;
use super::probe::Asked;
use super::report::Settings;
use super::stress::Kind;
use super::threshold::{self, Action};

const PRIORITY_DEFAULT: u8 = 80;
const SECONDS_DEFAULT: u64 = 60;
/// The longest run: a year.
const SECONDS_MAX: u64 = 366 * 86_400;

/// How to measure, what the result is held against, and where it goes.
#[derive(Args, Clone, Debug)]
#[command(disable_help_flag = true)]
pub struct Options {
    /// Threads; without a number, or left out: one on each processor of -a
    #[arg(short, long, value_name = "NUM", num_args = 0..=1)]
    pub threads: Option<Option<usize>>,

    /// Processors, as in 0-2,5, in turn for the threads [default: all that this program may use,
    /// and those that the kernel keeps isolated]
    #[arg(short, long, value_name = "CPUS", num_args = 0..=1)]
    pub affinity: Option<Option<String>>,

    /// As -t -a
    #[arg(short = 'S', long, conflicts_with_all = ["threads", "affinity"])]
    pub smp: bool,

    /// Real-time priority of the threads; 0 is SCHED_OTHER, which proves nothing [default: 80, and
    /// beside a daemon that runs one less than its threads have]
    #[arg(short, long, alias = "prio", value_name = "PRIO")]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=98))]
    pub priority: Option<u8>,

    /// fifo or other
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<PolicyWord>,

    /// From one planned instant to the next, in µs
    #[arg(short, long, value_name = "US", default_value_t = 1_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(10..=60_000_000))]
    pub interval: u64,

    /// From one thread's planned instants to those of the next thread, in µs
    #[arg(short, long, value_name = "US", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=60_000_000))]
    pub distance: u64,

    /// How long: seconds, or with m, h, d [default: 60]
    #[arg(short = 'D', long, value_name = "TIME")]
    pub duration: Option<Time>,

    /// Cycles of each thread; with -D whatever is over first
    #[arg(short, long, value_name = "NUM")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub loops: Option<u64>,

    /// No progress: print a summary only
    #[arg(short, long)]
    pub quiet: bool,

    /// Processors for this program's other threads
    #[arg(long, value_name = "CPUS")]
    pub mainaffinity: Option<String>,

    /// Taken for cyclictest's sake: memory is locked always
    #[arg(short, long)]
    pub mlockall: bool,

    /// How long a processor may take to leave an idle state, in µs
    #[arg(long, value_name = "US", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=2_000_000_000))]
    pub latency: u32,

    /// Leave idle states to the system
    #[arg(long, conflicts_with = "latency")]
    pub default_system: bool,

    /// Measure also where real-time scheduling or locked memory is not granted; such a run is
    /// invalid
    #[arg(long)]
    pub allow_non_rt: bool,

    /// Load while it measures: cpu, mem, net, disk (by stress-ng where that is installed)
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    pub stress: Vec<Kind>,

    /// End the run, and do what --on-threshold says, at the first sample above so many µs
    #[arg(short, long = "breaktrace", value_name = "US")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3_600_000_000))]
    pub breaktrace: Option<u64>,

    /// trace or trace:INSTANCE (mark the kernel's trace and stop it), shell:COMMAND, signal,
    /// signal:SIGNAL, signal:SIGNAL:PID
    #[arg(long, value_name = "ACTION", requires = "breaktrace")]
    pub on_threshold: Option<Action>,

    /// Go on after it
    #[arg(long = "continue", requires = "on_threshold")]
    pub goes_on: bool,

    /// What the result is held against.
    #[command(flatten)]
    pub gates: Gates,

    /// Where it goes.
    #[command(flatten)]
    pub outputs: Outputs,

    /// Print this
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// The bounds that a result has to keep; exit 1 where it does not.
#[derive(Args, Clone, Copy, PartialEq, Default, Debug)]
#[command(next_help_heading = "Gates")]
pub struct Gates {
    /// No sample above so many µs
    #[arg(long, value_name = "US", value_parser = positive)]
    pub max_us: Option<f64>,

    /// 99.99 % of the planned cycles, swallowed and lost ones too, within so many µs
    #[arg(long, value_name = "US", value_parser = positive)]
    pub p9999_us: Option<f64>,

    /// Not more than so many cycles lost, in each series
    #[arg(long, value_name = "NUM")]
    pub max_lost: Option<u64>,
}

/// Where a result goes beside the summary. `-` is standard output.
#[derive(Args, Clone, PartialEq, Eq, Default, Debug)]
#[command(next_help_heading = "Files")]
pub struct Outputs {
    /// Also a table of counts per µs below US, as cyclictest prints it
    #[arg(short, long = "histogram", value_name = "US")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=ROWS_MAX as i64))]
    pub histogram: Option<u32>,

    /// The table goes into this file
    #[arg(long, value_name = "FILE", requires = "histogram")]
    pub histfile: Option<PathBuf>,

    /// The whole result as one JSON document; without FILE on standard output
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub json: Option<PathBuf>,

    /// The histograms as a HdrHistogram log
    #[arg(long, value_name = "FILE")]
    pub hdr: Option<PathBuf>,

    /// The gates as JUnit's XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,

    /// A page to look at [default on a terminal: bumpless-latency-DATE.html]
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// A picture [default on a terminal: bumpless-latency-DATE.png]
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,

    /// Neither page nor picture by themselves
    #[arg(long)]
    pub no_report: bool,
}

/// `fifo` or `other`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PolicyWord {
    /// SCHED_FIFO.
    Fifo,
    /// SCHED_OTHER.
    Other,
}

impl FromStr for PolicyWord {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "fifo" => Ok(Self::Fifo),
            "other" => Ok(Self::Other),
            "rr" => Err("with one thread for each priority rr is what fifo is: say fifo".into()),
            _ => Err("say fifo or other".into()),
        }
    }
}

/// A span as cyclictest has it: a number of seconds, or with `m`, `h`, `d`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Time(Duration);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
        let found = units.iter().find_map(|(unit, s)| Some((text.strip_suffix(*unit)?, *s)));
        let (digits, unit_s) = found.unwrap_or((text, 1));
        let number = digits.bytes().all(|it| it.is_ascii_digit()).then(|| digits.parse::<u64>());
        let seconds = number.and_then(Result::ok).and_then(|it| it.checked_mul(unit_s));
        match seconds {
            Some(seconds @ 1..=SECONDS_MAX) => Ok(Self(Duration::from_secs(seconds))),
            Some(0) => Err("a run has an end: say for how long, as in 30, 10m, 24h".into()),
            _ => Err("say a number of seconds up to a year, or with m, h, d, as in 10m".into()),
        }
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|it| it.is_finite() && *it > 0.0);
    value.ok_or_else(|| "say a number above 0".to_owned())
}

impl Options {
    /// What the probes are asked, beside daemons whose lowest real-time priority is `beside`.
    ///
    /// # Errors
    /// Usage: options that do not go together.
    pub fn asked(&self, beside: Option<u8>) -> Result<Asked, Failure> {
        let interval = Duration::from_micros(self.interval);
        let of_time = |it: Duration| it.as_nanos().div_ceil(interval.as_nanos()).max(1);
        let default = Time(Duration::from_secs(SECONDS_DEFAULT));
        let cycles = match (self.duration, self.loops) {
            (None, Some(loops)) => loops,
            (Some(time), Some(loops)) => loops.min(of_time(time.0)),
            (time, None) => of_time(time.unwrap_or(default).0),
        };
        if cycles > of_time(Duration::from_secs(SECONDS_MAX)) {
            let what =
                format!("--loops: {cycles} cycles of {} µs are more than a year", self.interval);
            return Err(Failure::usage(what, "say fewer"));
        }
        Ok(Asked {
            cpus: self.threads_on(&self.processors()?)?,
            policy: self.scheduling(beside)?,
            interval,
            distance: Duration::from_micros(self.distance),
            cycles,
            allow_non_rt: self.allow_non_rt,
        })
    }

    /// The same as it is told.
    #[must_use]
    pub fn settings(&self, asked: &Asked, memory_locked: bool) -> Settings {
        let (policy, priority) = match asked.policy {
            Policy::Fifo(priority) => ("SCHED_FIFO", priority),
            Policy::Other => ("SCHED_OTHER", 0),
        };
        Settings {
            interval_ns: asked.interval.as_nanos(),
            distance_ns: asked.distance.as_nanos(),
            policy: policy.to_owned(),
            priority,
            cpus: asked.cpus.clone(),
            cpu_dma_latency_us: (!self.default_system).then_some(self.latency),
            memory_locked,
            ..Settings::default()
        }
    }

    /// What happens at a sample that is too late, where that was asked for.
    #[must_use]
    pub fn threshold(&self) -> Option<threshold::Plan> {
        Some(threshold::Plan {
            threshold: Duration::from_micros(self.breaktrace?),
            action: self.on_threshold.clone().unwrap_or(Action::Nothing),
            goes_on: self.goes_on,
        })
    }

    fn scheduling(&self, beside: Option<u8>) -> Result<Policy, Failure> {
        // So that no thread of theirs ever waits for a probe.
        let below = |lowest: u8| lowest.saturating_sub(1).max(1);
        let default = beside.map_or(PRIORITY_DEFAULT, |it| PRIORITY_DEFAULT.min(below(it)));
        match (self.policy, self.priority) {
            (Some(PolicyWord::Fifo), Some(0)) => Err(Failure::usage(
                "--priority: SCHED_FIFO has no priority 0",
                "say one from 1 to 98",
            )),
            (Some(PolicyWord::Other), _) | (None, Some(0)) => Ok(Policy::Other),
            (_, priority) => Ok(Policy::Fifo(priority.unwrap_or(default))),
        }
    }

    /// Where this program's other threads run; none where the system decides.
    ///
    /// # Errors
    /// Usage: no list of processors, or none of this machine.
    pub fn stay_on(&self) -> Result<(), Failure> {
        let Some(text) = &self.mainaffinity else { return Ok(()) };
        let mut set = CpuSet::new();
        let told = listed("--mainaffinity", text)?.into_iter().try_for_each(|cpu| set.set(cpu));
        told.and_then(|()| sched_setaffinity(Pid::from_raw(0), &set)).map_err(|errno| {
            let what = format!("--mainaffinity: {text}: {}", errno.desc());
            Failure::usage(what, "name processors that this program may use")
        })
    }

    fn processors(&self) -> Result<Vec<usize>, Failure> {
        let Some(Some(text)) = &self.affinity else { return Ok(usable()) };
        let cpus = listed("--affinity", text)?;
        let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
        let is_online = |cpu: &usize| parse_cpu_list(&online).is_none_or(|all| all.contains(cpu));
        if let Some(cpu) = cpus.iter().find(|cpu| !is_online(cpu)) {
            let what = format!("--affinity: CPU {cpu} is not online ({})", online.trim());
            return Err(Failure::usage(what, "name others"));
        }
        Ok(cpus)
    }

    fn threads_on(&self, cpus: &[usize]) -> Result<Vec<usize>, Failure> {
        const THREADS_MAX: usize = 1_024;
        let threads = self.threads.flatten().unwrap_or(cpus.len());
        if !(1..=THREADS_MAX).contains(&threads) {
            let what = format!("--threads: {threads} is none of 1 to {THREADS_MAX}");
            return Err(Failure::usage(what, "or leave it out: one on each processor"));
        }
        Ok(cpus.iter().copied().cycle().take(threads).collect())
    }
}

fn listed(option: &str, text: &str) -> Result<Vec<usize>, Failure> {
    let cpus = parse_cpu_list(text).filter(|cpus| !cpus.is_empty());
    cpus.ok_or_else(|| {
        Failure::usage(format!("{option}: {text:?} is no list of processors"), "as in 0-2,5")
    })
}

/// The processors that this process may use, and those that nobody uses unasked.
fn usable() -> Vec<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    let mut cpus: Vec<usize> =
        (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false)).collect();
    cpus.extend(isolated_cpus());
    cpus.sort_unstable();
    cpus.dedup();
    cpus
}
