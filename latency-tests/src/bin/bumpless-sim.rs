//! `bumpless-sim`: takeovers in virtual time.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use clap::Parser;
use latency_tests::sim;
use latency_tests::sim::report::{Report, Seen};
use rt_core::os::clock::MonotonicClock;

/// Runs two nodes, a witness, latches and networks through faults, in virtual time.
///
/// A run is a function of its seed. Exit: 0 fine, 1 something was violated, 2 bad arguments.
#[derive(Parser, Debug)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, one after the other.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Threads, each with seeds of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Print what happens, a line each: instant in nanoseconds, who, what.
    #[arg(long)]
    trace: bool,
}

/// What all runs come to.
#[derive(Default)]
struct Total {
    seen: Seen,
    runs: u64,
    virtual_ns: u64,
    events: u64,
    faults: u64,
    failed: Vec<Report>,
}

impl Total {
    fn add(&mut self, report: Report) {
        self.seen.add(&report.seen);
        self.runs += 1;
        self.virtual_ns += report.virtual_ns;
        self.events += report.events;
        self.faults += report.faults;
        if !report.violations.is_empty() {
            self.failed.push(report);
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let begun = MonotonicClock::now();
    let total = run(&arguments);
    let took = MonotonicClock::now().since(begun);
    match print(&total, took.as_nanos()) {
        Ok(()) if total.failed.is_empty() => ExitCode::SUCCESS,
        _ => ExitCode::from(1),
    }
}

fn run(arguments: &Arguments) -> Total {
    let next = AtomicU64::new(arguments.seed);
    let end = arguments.seed.saturating_add(arguments.count);
    let total = Mutex::new(Total::default());
    thread::scope(|scope| {
        for _ in 0..arguments.jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let report = sim::run(seed, arguments.trace);
                    total.lock().unwrap_or_else(PoisonError::into_inner).add(report);
                }
            });
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn print(total: &Total, took_ns: u64) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (what, count) in total.seen.iter() {
        writeln!(out, "{count:>10} {what}")?;
    }
    let seconds = total.virtual_ns as f64 / 1e9;
    let real = took_ns as f64 / 1e9;
    writeln!(
        out,
        "{} runs, {} faults, {} events; {seconds:.0} s of virtual time in {real:.1} s: {:.0} times",
        total.runs,
        total.faults,
        total.events,
        seconds / real.max(1e-9)
    )?;
    for report in &total.failed {
        for violation in &report.violations {
            writeln!(out, "seed {}: {violation}", report.seed)?;
        }
        writeln!(
            out,
            "    again: cargo run --profile checked -p latency-tests --bin bumpless-sim -- \
             --seed {} --trace",
            report.seed
        )?;
    }
    Ok(())
}
