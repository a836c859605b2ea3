//! `bumpless-latency`: how late a host is, told so that it can be believed.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process;

use clap::{Args, Parser, Subcommand};
use latency_tests::latency::compare::{self, Comparison, Figure, Pair, Row, compare};
use latency_tests::latency::derive;
use latency_tests::latency::files::Files;
use latency_tests::latency::options::{Options, Outputs};
use latency_tests::latency::out::json;
use latency_tests::latency::probe::heartbeat::{self, Answers, HeartbeatOptions, RespondOptions};
use latency_tests::latency::probe::shm::{self, ShmOptions};
use latency_tests::latency::probe::wakeup;
use latency_tests::latency::probe::wire::{self, WireOptions};
use latency_tests::latency::report::Probe;
use latency_tests::latency::session::{self, Part};
use latency_tests::latency::stress::worker;
use latency_tests::os::wait::EndSignals;
use rt_core::os::clock::MonotonicClock;
use rt_core::os::freeze::{TrapAction, TrapAllocator, set_trap_action};
use rt_core::time::Duration;
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
    /// How long a heartbeat takes to the peer and back on each LAN, and how late it left
    Heartbeat {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        heartbeat: HeartbeatOptions,
    },
    /// From the publication of an image in shared memory to its being seen by another process
    Shm {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        shm: ShmOptions,
    },
    /// How long a frame takes through host port, tag, LANs and discard, and back, by stage
    Wire {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        wire: WireOptions,
    },
    /// All of these, one after the other
    All {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        ways: Ways,
    },
    /// Send heartbeats back to who measures them, until SIGINT or SIGTERM
    Respond(RespondOptions),
    /// From results of both hosts and both LANs to the timers of a takeover, and the J that the
    /// daemon checks
    Derive(derive::Options),
    /// Two results beside each other: what differs, and what the data do not tell
    Compare(CompareArgs),
    /// Tell a result that was kept, and make pages and tables of it
    Report(ReportArgs),
}

/// Where `all` measures what leaves the host.
#[derive(Args, Debug)]
#[command(next_help_heading = "Network")]
struct Ways {
    /// The network interface on LAN A, where `bumpless-latency respond` runs on the peer [default:
    /// LANs in software]
    #[arg(long, value_name = "IF", requires = "lan_b")]
    lan_a: Option<String>,
    /// The network interface on LAN B
    #[arg(long, value_name = "IF", requires = "lan_a")]
    lan_b: Option<String>,
    /// An IP address behind the daemon's host interface [default: a network of its own, with a
    /// daemon on each of two hosts]
    #[arg(long, value_name = "ADDRESS")]
    peer: Option<IpAddr>,
    /// The daemon's host interface [default: that of the only daemon that runs]
    #[arg(long, value_name = "IF", requires = "peer")]
    interface: Option<String>,
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
    /// Exit 1 where the second one is worse in a figure, and 4 where the data tell no percentile of
    /// a series apart
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
        Command::Heartbeat { options, heartbeat } => alone(&options, heartbeat_part(&heartbeat)),
        Command::Shm { options, shm } => alone(&options, shm_part(&shm)),
        Command::Wire { options, wire } => alone(&options, wire_part(&wire)),
        Command::All { options, ways } => all(&options, ways),
        Command::Respond(options) => respond(&options),
        Command::Derive(options) => derive::run(&options),
        Command::Compare(args) => compared(&args),
        Command::Report(args) => told(args),
    }
}

/// A run of one probe that is not `wakeup`.
fn alone(options: &Options, part: Part<'_>) -> Result<ExitCode, Failure> {
    only_wakeup_watches(options, part.probe.name())?;
    session::run(options, vec![part])
}

fn all(options: &Options, ways: Ways) -> Result<ExitCode, Failure> {
    only_wakeup_watches(options, "all")?;
    let Ways { lan_a, lan_b, peer, interface } = ways;
    let heartbeat = HeartbeatOptions { lan_a, lan_b, ..HeartbeatOptions::default() };
    let wire = WireOptions { peer, interface, ..WireOptions::default() };
    let shm = ShmOptions::default();
    let mut parts = vec![wakeup_part(), heartbeat_part(&heartbeat)];
    parts.extend([shm_part(&shm), wire_part(&wire)]);
    session::run(options, parts)
}

fn wakeup_part<'a>() -> Part<'a> {
    Part { probe: Probe::Wakeup, start: Box::new(wakeup::start) }
}

fn heartbeat_part(options: &HeartbeatOptions) -> Part<'_> {
    let start = Box::new(move |asked: &_, _| heartbeat::start(asked, options));
    Part { probe: Probe::Heartbeat, start }
}

fn shm_part(options: &ShmOptions) -> Part<'_> {
    Part { probe: Probe::Shm, start: Box::new(move |asked: &_, _| shm::start(asked, options)) }
}

fn wire_part(options: &WireOptions) -> Part<'_> {
    Part { probe: Probe::Wire, start: Box::new(move |asked: &_, _| wire::start(asked, options)) }
}

/// Answers until a signal ends it; then says what was done.
fn respond(options: &RespondOptions) -> Result<ExitCode, Failure> {
    let failed = |error| Failure::failed(format!("signals cannot be waited for: {error}"), "");
    let signals = EndSignals::block().map_err(failed)?;
    session::lock_memory(options.allow_non_rt, 1)?;
    let responder = heartbeat::respond(options)?;
    print("ready\n");
    while !responder.is_over() {
        let next = MonotonicClock::now() + Duration::from_millis(200);
        if signals.sleep_until(next).map_err(failed)? {
            break;
        }
    }
    let is_over = responder.is_over();
    let names = [("lan a", &options.lan_a), ("lan b", &options.lan_b)];
    let names = names.into_iter().filter(|(_, lan)| lan.is_some()).map(|(name, _)| name);
    for (name, done) in names.zip(responder.finish()?) {
        let Answers { answered, above_rate, malformed, ignored, not_sent, dropped } = done;
        print(&format!(
            "{name}: {answered} answered, {above_rate} above the rate, {malformed} malformed, \
             {ignored} for others, {not_sent} not sent, {dropped} dropped by the kernel\n"
        ));
    }
    if is_over {
        return Err(Failure::failed("the thread that answers has ended by itself", ""));
    }
    Ok(ExitCode::Fine)
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
    let untold = found.pairs.iter().find(|pair| is_untold(pair)).filter(|_| args.gate);
    if let Some(pair) = untold {
        let what = format!("{}, {}: no percentile can be told apart", pair.probe.name(), pair.name);
        eprintln!("{PROGRAM}: --gate: {what}: measure longer, undisturbed");
    }
    Ok(match (is_invalid || untold.is_some(), args.gate && is_worse(&found)) {
        (true, false) => ExitCode::Invalid,
        (false, true) => ExitCode::Failed,
        (true, true) if !is_invalid => ExitCode::Failed,
        (true, true) => ExitCode::Invalid,
        (false, false) => ExitCode::Fine,
    })
}

/// Whether the data say of no percentile whether it is another one: nothing is kept by that.
fn is_untold(pair: &Pair) -> bool {
    let is_told = |row: &Row| {
        use compare::Verdict::{Better, NoDifference, Worse};
        let is_share = matches!(row.figure, Figure::LateShare | Figure::LostShare);
        !is_share && matches!(row.verdict, Better | NoDifference | Worse)
    };
    !pair.rows.iter().any(is_told)
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
