//! A thousand seeds of the simulator: a minute and more of virtual time each, with three faults and
//! more. The long form goes on from seed to seed for `BUMPLESS_SIM_SECONDS` (3,600 unless said
//! otherwise), from `BUMPLESS_SIM_FIRST` on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use latency_tests::sim;
use latency_tests::sim::report::{Report, Seen};
use latency_tests::sim::swarm::FAULTS_FOR_NS;
use rt_core::os::clock::MonotonicClock;

/// Seeds of the short form.
const SEEDS: u64 = 1_000;
/// Faults of a run, at least.
const FAULTS_MIN: u64 = 3;

/// What has to happen in some run, or the faults do not reach what they are for.
const SOMETIMES: &[&str] = &[
    "a claim was lost",
    "a latch lost its power",
    "a letter was refused",
    "a lost register was asked",
    "a node was switched off",
    "a stale output was refused",
    "an output was stopped at the gate",
    "application stopped",
    "cold start",
    "failback",
    "fenced",
    "isolated",
    "lease over, undecided",
    "reclaimed alone",
    "rejoined",
    "switchover",
    "takeover",
    "takeover on a word",
    "the outputs changed hands",
    "the standby was lost",
    "the witness lost its register",
    "won without hearing of it",
];

#[derive(Default)]
struct Total {
    seen: Seen,
    runs: u64,
    faults: u64,
    virtual_ns: u64,
    /// Runs in which nothing changed hands, whatever went wrong.
    without_takeover: u64,
    failed: Vec<Report>,
}

impl Total {
    fn add(&mut self, report: Report) {
        self.seen.add(&report.seen);
        self.runs += 1;
        self.faults += report.faults;
        self.virtual_ns += report.virtual_ns;
        self.without_takeover += u64::from(report.changes == 0);
        if !report.violations.is_empty() {
            self.failed.push(report);
        }
    }
}

/// Runs seeds from `first` on, as long as `goes_on` says so of the next one.
fn run(first: u64, goes_on: impl Fn(u64) -> bool + Sync) -> Total {
    let next = AtomicU64::new(first);
    let total = Mutex::new(Total::default());
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !goes_on(seed) {
                        return;
                    }
                    let report = sim::run(seed, false);
                    assert!(report.virtual_ns >= FAULTS_FOR_NS || !report.violations.is_empty());
                    total.lock().unwrap_or_else(PoisonError::into_inner).add(report);
                }
            });
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn whatever_goes_wrong_one_node_drives_at_most_and_the_pair_recovers() {
    let begun = MonotonicClock::now();
    let spent = || MonotonicClock::now().since(begun).as_nanos() as f64 / 1e9;
    let total = if std::env::var_os("BUMPLESS_SOAK").is_some() {
        let seconds = number("BUMPLESS_SIM_SECONDS", 3_600) as f64;
        run(number("BUMPLESS_SIM_FIRST", 1), |_| spent() < seconds)
    } else {
        run(1, |seed| seed <= SEEDS)
    };
    for (what, count) in total.seen.iter() {
        println!("{count:>10} {what}");
    }
    let virtual_s = total.virtual_ns as f64 / 1e9;
    println!(
        "{} seeds, {} faults, {virtual_s:.0} s of virtual time in {:.0} s: {:.0} times",
        total.runs,
        total.faults,
        spent(),
        virtual_s / spent()
    );
    for report in &total.failed {
        for violation in &report.violations {
            println!("seed {}: {violation}", report.seed);
        }
        println!(
            "    cargo run --profile checked -p latency-tests --bin bumpless-sim -- --seed {} \
             --trace",
            report.seed
        );
    }
    assert!(total.failed.is_empty(), "{} seeds of {}", total.failed.len(), total.runs);
    assert!(total.faults >= FAULTS_MIN * total.runs);
    let missing: Vec<_> = SOMETIMES.iter().filter(|what| total.seen.of(what) == 0).collect();
    assert!(missing.is_empty() || total.runs < SEEDS, "never happened: {missing:?}");
    assert!(total.without_takeover > 0 || total.runs < SEEDS, "every run changed hands");
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    for seed in [7, 19, 1_000_003] {
        assert_eq!(sim::run(seed, false), sim::run(seed, false));
    }
}
