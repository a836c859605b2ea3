//! `bumpless-lab`: machines with a real-time kernel, by hand.

use std::path::PathBuf;
use std::process;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use latency_tests::lab::{Image, Kernel, LabError, Machine, run_script, serve_agent};
use tools::exit::{self, ExitCode, Failure};
use tools::netlab::Scratch;

/// Runs scripts in a machine with a PREEMPT_RT kernel under QEMU, which has this machine's root,
/// read-only, as its own.
///
/// Exit: 0 the script ended with 0, 1 it did not, 2 bad arguments, 3 there can be no machine here.
#[derive(Parser, Debug)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Get the newest kernel that Debian has; say where it is.
    Build {
        /// 6.12 or 6.1
        #[arg(long, default_value = "6.12")]
        kernel: Kernel,
    },
    /// Run a shell script as root in a fresh machine.
    Run {
        /// The script
        script: PathBuf,
        /// The folder that is /run/out in the machine [default: one that goes with it]
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
        #[command(flatten)]
        hardware: Hardware,
    },
    /// Serve the host, in a machine.
    #[command(hide = true)]
    Agent,
}

#[derive(Args, Debug)]
struct Hardware {
    /// 6.12 or 6.1
    #[arg(long, default_value = "6.12")]
    kernel: Kernel,
    /// Processors
    #[arg(long, default_value_t = 2)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: u32,
    /// Memory
    #[arg(long, default_value_t = 3072)]
    #[arg(value_parser = clap::value_parser!(u32).range(256..=65_536))]
    memory_mib: u32,
    /// One processor, one virtual nanosecond for each instruction
    #[arg(long)]
    count_instructions: bool,
    /// What the kernel is told beyond what the lab tells it
    #[arg(long, default_value = "", value_name = "WORDS")]
    append: String,
    /// How long the machine may run
    #[arg(long, default_value_t = 300)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=864_000))]
    limit_s: u64,
}

impl Hardware {
    fn machine(self) -> Machine {
        Machine {
            kernel: self.kernel,
            cpus: self.cpus,
            memory_mib: self.memory_mib,
            counts_instructions: self.count_instructions,
            kernel_arguments: self.append,
            limit: Duration::from_secs(self.limit_s),
            ..Machine::default()
        }
    }
}

fn main() -> process::ExitCode {
    exit::end("bumpless-lab", act(Arguments::parse().command))
}

fn act(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Build { kernel } => {
            let image = Image::newest(kernel).map_err(failure)?;
            println!("{} in {}", image.release(), image.kernel().display());
            Ok(ExitCode::Fine)
        }
        Command::Run { script, out, hardware } => {
            let text = std::fs::read_to_string(&script).map_err(|error| {
                let what = format!("{}: {error}", script.display());
                Failure::failed(what, "name a script that can be read")
            })?;
            let scratch = Scratch::new().map_err(|error| failure(error.into()))?;
            let out = out.unwrap_or_else(|| scratch.path().to_owned());
            let say = |line: &str| println!("{line}");
            let ran = run_script(&hardware.machine(), "lab", &text, &out, say).map_err(failure)?;
            let Some(failure) = ran.failure() else { return Ok(ExitCode::Fine) };
            eprintln!("bumpless-lab: {failure}");
            Ok(ExitCode::Failed)
        }
        Command::Agent => match serve_agent() {
            Err(error) => Err(Failure::missing(format!("agent: {error}"), "")),
        },
    }
}

fn failure(error: LabError) -> Failure {
    match error {
        LabError::Unavailable(why) => Failure::missing(why.to_string(), ""),
        error => Failure::failed(error.to_string(), ""),
    }
}
