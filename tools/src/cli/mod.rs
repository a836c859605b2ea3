//! The operator's command `bumpless`.
//!
//! A subcommand is a variant of [`Command`] and a module of its own that returns how the program
//! ends. Everything is made as one text and written at once: a reader that closes early (`head`)
//! ends the program quietly.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process;

use clap::{Args, Parser, Subcommand};

use crate::config::RUNTIME_ROOT;
use crate::control::instance::{Selection, select};
use crate::demo::{self, DemoArgs};
use crate::exit::{ExitCode, Failure, end};

mod check;
mod counters;
pub mod doctor;
mod events;
mod latency;
mod nodes;
mod plan;
mod region;
mod regions;
mod status;
pub mod text;
mod top;

const PROGRAM: &str = "bumpless";

/// The command line of `bumpless`.
#[derive(Parser, Debug)]
#[command(
    name = PROGRAM,
    version,
    about = "Shows what a running bumplessd does, and checks its configuration.",
    after_help = "Without --name or --runtime-dir the only instance that runs is meant.\n\
        Exit codes: 0 fine, 1 failed at run time, 2 bad arguments or configuration,\n\
        3 missing privilege or kernel feature, 4 an invalid measurement.\n\
        See also: bumpless(1), bumpless.toml(5), bumplessd(8)."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `bumpless` can do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Show whether all is well, the ports, the threads
    Status(Ask),
    /// List the nodes that were heard, those with a problem first
    Nodes(Ask),
    /// Print the counters by their names in the MIB
    Counters(Ask),
    /// Print what happened, oldest first
    Events(EventsArgs),
    /// Show status, rates and nodes, again every second
    Top(Target),
    /// Check a configuration file and print it as understood
    Check(CheckArgs),
    /// Judge whether this host is fit for real time, and say what to change
    Doctor(doctor::DoctorArgs),
    /// Print the real-time threads; or timers and bounds of a takeover, and whether it is possible
    Plan(Box<PlanArgs>),
    /// List applications and their regions: who is active, how large, how often, how old
    Regions(Ask),
    /// Show what a region holds
    #[command(subcommand)]
    Region(RegionCommand),
    /// Make the standby of an application active
    Switchover(SwitchoverArgs),
    /// Measure how late this host is, hold it against bounds, derive timers from it
    #[command(disable_help_flag = true)]
    Latency {
        /// As bumpless-latency takes them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<OsString>,
    },
    /// Show on test networks of its own what a fault does with PRP and without
    Demo(DemoArgs),
}

/// Which daemon is asked.
#[derive(Args, Clone, Debug)]
pub struct Target {
    /// Instance, as in prp0
    #[arg(long, value_name = "INSTANCE", conflicts_with = "runtime_dir")]
    pub name: Option<String>,

    /// Runtime folder of the daemon, where it is not /run/bumpless/INSTANCE
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<PathBuf>,
}

/// A question with one document as its answer.
#[derive(Args, Clone, Debug)]
pub struct Ask {
    /// Which daemon.
    #[command(flatten)]
    pub target: Target,

    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `bumpless events`.
#[derive(Args, Clone, Debug)]
pub struct EventsArgs {
    /// Which daemon, and how to print.
    #[command(flatten)]
    pub ask: Ask,

    /// Go on printing events as they happen; with --json one document per line
    #[arg(long, short)]
    pub follow: bool,
}

/// `bumpless check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// Configuration file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `bumpless plan`.
#[derive(Args, Clone, Debug)]
pub struct PlanArgs {
    /// Configuration file [default: the daemon's defaults]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print one JSON document
    #[arg(long)]
    pub json: bool,

    /// What is asked about a takeover.
    #[command(flatten)]
    pub takeover: plan::TakeoverArgs,
}

/// `bumpless region`.
#[derive(Subcommand, Clone, Debug)]
pub enum RegionCommand {
    /// Print the newest image: by name and value where its writer gave names, else in hex
    Dump(DumpArgs),
    /// Print what changes, again each interval, until it is ended
    Watch(WatchArgs),
    /// Give up the last state, which no process has any more: the next one begins anew
    Drop(DropArgs),
}

/// `bumpless region drop`.
#[derive(Args, Clone, Debug)]
pub struct DropArgs {
    /// Region, as in plant
    #[arg(value_name = "NAME")]
    pub region: String,

    /// Which daemon, and how to print.
    #[command(flatten)]
    pub ask: Ask,
}

/// `bumpless region dump`.
#[derive(Args, Clone, Debug)]
pub struct DumpArgs {
    /// Region, as in plant
    #[arg(value_name = "NAME")]
    pub region: String,

    /// Which daemon, and how to print.
    #[command(flatten)]
    pub ask: Ask,

    /// Print hex beside names and values
    #[arg(long)]
    pub hex: bool,

    /// Print the whole of long images and blocks
    #[arg(long)]
    pub all: bool,
}

/// `bumpless region watch`.
#[derive(Args, Clone, Debug)]
pub struct WatchArgs {
    /// Region, as in plant
    #[arg(value_name = "NAME")]
    pub region: String,

    /// Which daemon.
    #[command(flatten)]
    pub target: Target,

    /// How long to wait between looks, in ms
    #[arg(long, value_name = "MS", default_value_t = 1000,
        value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    pub interval_ms: u64,

    /// End after so many looks
    #[arg(long, value_name = "COUNT")]
    pub looks: Option<u64>,
}

/// `bumpless switchover`.
#[derive(Args, Clone, Debug)]
pub struct SwitchoverArgs {
    /// Which daemon, and how to print.
    #[command(flatten)]
    pub ask: Ask,

    /// Application [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub application: Option<String>,

    /// Without the agreement of another node
    #[arg(long)]
    pub force: bool,
}

impl Target {
    fn runtime_dir(&self) -> Result<PathBuf, Failure> {
        let selection =
            Selection { name: self.name.clone(), runtime_dir: self.runtime_dir.clone() };
        select(RUNTIME_ROOT.as_ref(), &selection)
    }
}

/// Runs the command line, the program's name first, and gives the code to end with.
pub fn run<I, T>(line: I) -> process::ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let cli = match Cli::try_parse_from(line) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; a closed output changes nothing.
            let _ = error.print();
            let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Fine };
            return code.into();
        }
    };
    let result = match cli.command {
        Command::Status(ask) => status::run(&ask),
        Command::Nodes(ask) => nodes::run(&ask),
        Command::Counters(ask) => counters::run(&ask),
        Command::Events(args) => events::run(&args),
        Command::Top(target) => top::run(&target),
        Command::Check(args) => check::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Regions(ask) => regions::run(&ask),
        Command::Region(command) => region::run(&command),
        Command::Switchover(args) => regions::switch_over(&args),
        Command::Latency { arguments } => latency::run(&arguments),
        Command::Demo(args) => demo::run(&args),
    };
    end(PROGRAM, result)
}

/// Whether whoever reads the output still does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reader {
    Reads,
    Gone,
}

/// Writes to standard output. A reader that has closed is no error.
fn print(text: &str) -> Result<Reader, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::Reads),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::failed(format!("cannot write the output: {error}"), "")),
    }
}

/// Prints and ends well.
fn finish(text: &str) -> Result<ExitCode, Failure> {
    print(text).map(|_| ExitCode::Fine)
}

/// A document as text: indented for a person at a terminal, one line for a program.
fn json<T: serde::Serialize>(document: &T) -> Result<String, Failure> {
    let text = if io::IsTerminal::is_terminal(&io::stdout()) {
        serde_json::to_string_pretty(document)
    } else {
        serde_json::to_string(document)
    };
    text.map(|text| text + "\n").map_err(|error| Failure::failed(error.to_string(), ""))
}

/// Prints a document.
pub(crate) fn print_document<T: serde::Serialize>(document: &T) -> Result<(), Failure> {
    print(&json(document)?).map(drop)
}

/// The daemon gave another document than was asked for.
fn wrong_document() -> Failure {
    Failure::failed(
        "the daemon answered something else than was asked",
        "use the bumpless of the daemon's version",
    )
}
