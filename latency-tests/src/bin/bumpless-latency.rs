//! `bumpless-latency`: how late a host is, told so that it can be believed.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process;

use clap::{Args, Parser, Subcommand};
use latency_tests::latency::compare::{self, Comparison, compare};
use latency_tests::latency::derive;
use latency_tests::latency::files::Files;
use latency_tests::latency::options::{Options, Outputs};
use latency_tests::latency::out::json;
use latency_tests::latency::probe::shm::{self, ShmOptions};
use latency_tests::latency::probe::wakeup;
use latency_tests::latency::report::Probe;
use latency_tests::latency::session::{self, Part};
use latency_tests::latency::stress::worker;
use rt_core::os::freeze::{TrapAction, TrapAllocator, set_trap_action};
use tools::exit::{self, ExitCode, Failure};

/// Counts what a thread that measures allocates: nothing, or the run is invalid.
#[global_allocator]
static ALLOCATOR: TrapAllocator = TrapAllocator::system();

const PROGRAM: &str = "bumpless-latency";

/// Measures how late a host is, holds it against bounds, and derives timers from it.
#[derive(Parser, Debug)]
#[command(
    name = PROGRAM,
    version,
    after_help = "Exit codes: 0 the run is valid and kept each bound, 1 a bound was exceeded or it \
        failed,\n2 bad arguments, 3 missing privilege or kernel feature, 4 the run is invalid: \
        disturbed,\nor not really real-time.\nSee also: bumpless-latency(1), bumpless(1)."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// How late a thread wakes that asked to be woken at a certain instant: cyclictest's cycle
    Wakeup(Options),
    /// From the publication of an image in shared memory to its being seen by another process
    Shm {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        shm: ShmOptions,
    },
    /// All of these, one after the other
    All {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        shm: ShmOptions,
    },
    /// From results of both hosts and both LANs to the timers of a takeover, and the J that the
    /// daemon checks
    Derive(derive::Options),
    /// Two results beside each other: what differs, and what the data do not tell
    Compare(CompareArgs),
    /// Tell a result that was kept, and make pages and tables of it
    Report(ReportArgs),
}

#[derive(Args, Debug)]
struct CompareArgs {
    /// The first result, as --json wrote it
    before: PathBuf,
    /// The second one, of which the verdicts speak
    after: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Exit 1 where the second one is worse in a figure
    #[arg(long)]
    gate: bool,
}

#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
struct ReportArgs {
    /// The result, as --json wrote it
    file: PathBuf,
    #[command(flatten)]
    outputs: Outputs,
    /// Print this
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

fn main() -> process::ExitCode {
    // For tests: end at once instead of counting.
    if std::env::var_os("BUMPLESS_ALLOCATION_TRAP").is_some_and(|action| action == "abort") {
        set_trap_action(TrapAction::Abort);
    }
    // Processes of a probe or of a load are this program, too.
    if let Some(ended) = worker::serve() {
        return ended;
    }
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(shm::READER) {
        return exit::end(PROGRAM, shm::reader_main(&words.next().unwrap_or_default()));
    }
    exit::end(PROGRAM, run(Arguments::parse().command))
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Wakeup(options) => session::run(&options, vec![wakeup_part()]),
        Command::Shm { options, shm } => {
            only_wakeup_watches(&options, "shm")?;
            session::run(&options, vec![shm_part(&shm)])
        }
        Command::All { options, shm } => {
            only_wakeup_watches(&options, "all")?;
            session::run(&options, vec![wakeup_part(), shm_part(&shm)])
        }
        Command::Derive(options) => derive::run(&options),
        Command::Compare(args) => compared(&args),
        Command::Report(args) => told(args),
    }
}

fn wakeup_part<'a>() -> Part<'a> {
    Part { probe: Probe::Wakeup, more: BTreeMap::new(), start: Box::new(wakeup::start) }
}

fn shm_part(options: &ShmOptions) -> Part<'_> {
    let what = match &options.region {
        Some(name) => ("region".to_owned(), name.clone()),
        None => ("octets".to_owned(), options.octets.to_string()),
    };
    Part {
        probe: Probe::Shm,
        more: BTreeMap::from([what]),
        start: Box::new(move |asked, _| shm::start(asked, options)),
    }
}

fn only_wakeup_watches(options: &Options, probe: &str) -> Result<(), Failure> {
    match options.breaktrace {
        None => Ok(()),
        Some(_) => Err(Failure::usage(
            format!("--breaktrace: {probe} has no thread that could stop at a sample"),
            "say it with wakeup",
        )),
    }
}

fn compared(args: &CompareArgs) -> Result<ExitCode, Failure> {
    let [before, after] = [json::read_file(&args.before)?, json::read_file(&args.after)?];
    let found = compare(&before, &after).map_err(|error| Failure::usage(error.to_string(), ""))?;
    print(&if args.json { json::text(&found) } else { compare::text(&found) });
    let is_invalid = [&before, &after].iter().any(|it| !it.invalid.is_empty());
    Ok(match (is_invalid, args.gate && is_worse(&found)) {
        (true, _) => ExitCode::Invalid,
        (false, true) => ExitCode::Failed,
        (false, false) => ExitCode::Fine,
    })
}

fn is_worse(found: &Comparison) -> bool {
    let mut rows = found.pairs.iter().flat_map(|pair| &pair.rows);
    rows.any(|row| row.verdict == compare::Verdict::Worse)
}

fn told(args: ReportArgs) -> Result<ExitCode, Failure> {
    let report = json::read_file(&args.file)?;
    let files = Files::open(&args.outputs, None)?;
    session::conclude(&report, files)
}

fn print(text: &str) {
    // A reader that has gone has seen enough.
    let _gone = std::io::stdout().write_all(text.as_bytes());
}
