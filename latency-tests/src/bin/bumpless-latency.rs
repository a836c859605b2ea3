//! `bumpless-latency`: how late a host is, told so that it can be believed.

use std::process;

use clap::{Parser, Subcommand};
use latency_tests::latency::options::Options;
use latency_tests::latency::probe::wakeup;
use latency_tests::latency::report::Probe;
use latency_tests::latency::session::{self, Part};
use tools::exit::{self, ExitCode, Failure};

const PROGRAM: &str = "bumpless-latency";

/// Measures how late a host is, holds it against bounds, and derives timers from it.
#[derive(Parser, Debug)]
#[command(
    name = PROGRAM,
    version,
    after_help = "Exit codes: 0 the run is valid and kept each bound, 1 a bound was exceeded or it \
        failed,\n2 bad arguments, 3 missing privilege or kernel feature, 4 the run is invalid: \
        disturbed,\nor not really real-time.\nSee also: bumpless-latency(1), bumpless-doctor in \
        bumpless(1)."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// How late a thread wakes that asked to be woken at a certain instant: cyclictest's cycle
    Wakeup(Options),
}

fn main() -> process::ExitCode {
    exit::end(PROGRAM, run(Arguments::parse().command))
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Wakeup(options) => {
            let part = Part { probe: Probe::Wakeup, start: Box::new(wakeup::start) };
            session::run(&options, vec![part])
        }
    }
}
