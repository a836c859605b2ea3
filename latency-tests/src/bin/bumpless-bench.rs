//! `bumpless-bench`: what a frame costs, written down with the place and the day.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use latency_tests::bench::lre_cost::{Run, Work, run as run_lre};
use latency_tests::bench::regions;
use latency_tests::bench::regions::role::{Own, Role};
use latency_tests::bench::report::Results;
use latency_tests::bench::{Options, Parts, run};
use tools::exit::{self, ExitCode, Failure};

/// Measures the speed of bumpless on this machine: the LRE alone, the daemon under load, its round
/// trip beside a Linux bridge. `regions`: an image from one process to another.
///
/// Everything happens in network namespaces of its own. Wants root, four CPUs and a machine that
/// does nothing else. Prints a table of aims on stdout and writes report.md and results.json to a
/// new folder. Exit: 0 every aim met, 1 one missed, 2 bad arguments, 3 a privilege or program is
/// missing, 4 the measurement is invalid.
#[derive(Parser, Debug)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Where the folder of the results is made
    #[arg(long, global = true, default_value = "latency-tests/results")]
    results: PathBuf,
    /// Name of this machine, for the folder [default: the host's name]
    #[arg(long, global = true)]
    rig: Option<String>,
    /// Rounds of each measurement
    #[arg(long, global = true, default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// Length of a round under load, in ms
    #[arg(long, global = true, default_value_t = 1_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=600_000))]
    round_ms: u64,
    /// Round trips per round
    #[arg(long, default_value_t = 20_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pings: u32,
    /// LAN frames per round of the LRE alone
    #[arg(long, default_value_t = 2_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(100..=1_000_000_000))]
    frames: u64,
    /// Only these parts
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Do not count instructions
    #[arg(long)]
    no_instructions: bool,
    /// The daemon [default: bumplessd beside this program]
    #[arg(long, value_name = "FILE")]
    daemon: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Part {
    Lre,
    Throughput,
    RoundTrip,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// An image from one process to another, beside iceoryx2 and a cache line; what a commit costs.
    ///
    /// Wants three CPUs and a machine that does nothing else; root for real-time scheduling.
    Regions {
        /// The program with iceoryx2's ends; without it iceoryx2 is left out [default:
        /// beside-iceoryx2 beside this program, if it is there]
        #[arg(long, value_name = "FILE")]
        iceoryx2: Option<PathBuf>,
        /// The writer's CPU and the reader's [default: the last two]
        #[arg(long, num_args = 2, value_names = ["WRITER", "READER"])]
        cpus: Option<Vec<usize>>,
    },
    /// One end of a region.
    #[command(hide = true)]
    RegionEnd {
        #[arg(long, value_enum)]
        contestant: Own,
        #[command(flatten)]
        role: Role,
    },
    /// One run of the LRE alone, for a program that counts instructions.
    #[command(hide = true)]
    LreCost {
        #[arg(long)]
        nodes: usize,
        #[arg(long)]
        frames: u64,
        #[arg(long)]
        work: String,
    },
}

fn main() -> process::ExitCode {
    let arguments = Arguments::parse();
    let ended = match &arguments.command {
        Some(Command::LreCost { nodes, frames, work }) => {
            let Some(work) = Work::by_name(work) else { return ExitCode::Usage.into() };
            black_box(run_lre(Run { nodes: *nodes, frames: *frames, work }));
            Ok(ExitCode::Fine)
        }
        Some(Command::RegionEnd { contestant, role }) => role.run_own(*contestant),
        Some(Command::Regions { iceoryx2, cpus }) => {
            measure_regions(&arguments, iceoryx2.clone(), cpus.as_deref())
        }
        None => measure(&arguments),
    };
    exit::end("bumpless-bench", ended)
}

fn measure_regions(
    arguments: &Arguments,
    iceoryx2: Option<PathBuf>,
    cpus: Option<&[usize]>,
) -> Result<ExitCode, Failure> {
    let own = std::env::current_exe()
        .map_err(|error| Failure::failed(format!("own program: {error}"), ""))?;
    let beside = || Some(own.with_file_name("beside-iceoryx2")).filter(|file| file.exists());
    let options = regions::Options {
        iceoryx2: iceoryx2.or_else(beside),
        own,
        cpus: cpus.and_then(|cpus| cpus.try_into().ok()),
        rounds: usize::from(arguments.rounds),
        round: Duration::from_millis(arguments.round_ms),
    };
    let results = regions::run(&options, |what| eprintln!("{what} …"))?;
    conclude(&results, arguments)
}

fn measure(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let has = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let options = Options {
        daemon: arguments.daemon.clone().map_or_else(daemon_beside, Ok)?,
        rounds: usize::from(arguments.rounds),
        round: Duration::from_millis(arguments.round_ms),
        pings: arguments.pings as usize,
        lre_frames: arguments.frames,
        parts: Parts {
            lre: has(Part::Lre),
            throughput: has(Part::Throughput),
            round_trip: has(Part::RoundTrip),
        },
        count_instructions: !arguments.no_instructions,
    };
    let results = run(&options, |what| eprintln!("{what} …"))?;
    conclude(&results, arguments)
}

fn conclude(results: &Results, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let folder = write(results, arguments)?;
    println!("{}", results.table());
    println!("Details: {}", folder.join("report.md").display());
    Ok(if results.all_met() { ExitCode::Fine } else { ExitCode::Failed })
}

fn write(results: &Results, arguments: &Arguments) -> Result<PathBuf, Failure> {
    let rig = arguments.rig.clone().unwrap_or_else(|| {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
        name.map_or_else(|_| "unnamed".to_owned(), |name| name.trim().to_owned())
    });
    // A name becomes part of a path.
    let rig: String =
        rig.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    results.write(&arguments.results, &rig).map_err(|error| {
        let folder = arguments.results.display();
        Failure::failed(format!("--results: {folder}: {error}"), "name a folder that is writable")
    })
}

fn daemon_beside() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe();
    let beside = own.ok().and_then(|own| own.parent().map(Path::to_owned));
    let daemon = beside.unwrap_or_default().join("bumplessd");
    if daemon.exists() {
        return Ok(daemon);
    }
    Err(Failure::failed(
        format!("{}: there is no such program", daemon.display()),
        "build it: cargo build --release --bins",
    ))
}
