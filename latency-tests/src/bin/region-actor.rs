//! `region-actor`: one lane of the kill torture of regions.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use latency_tests::torture::lane::{Orders, run};
use rt_core::os::clock::MonotonicClock;
use rt_core::time::Duration;

/// Kills processes that use regions, and looks at what is left.
///
/// JSON on stdout. Exit: 0 no rule was broken, 1 one was, or failed at run time, 2 bad arguments.
#[derive(Parser, Debug)]
#[command(version)]
struct Arguments {
    /// The daemon's program.
    #[arg(long)]
    daemon: PathBuf,
    /// A folder for runtime files.
    #[arg(long)]
    folder: PathBuf,
    /// How many kills.
    #[arg(long)]
    kills: u64,
    /// Ends after so many seconds, however many kills there were.
    #[arg(long, default_value_t = 3_600)]
    seconds: u64,
    /// Of all that is random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Large images, killed while they are copied; else small ones, stepped through.
    #[arg(long)]
    large: bool,
}

fn main() -> ExitCode {
    let Arguments { daemon, folder, kills, seconds, seed, large } = Arguments::parse();
    let until = MonotonicClock::now().saturating_add(Duration::from_secs(seconds));
    let orders = Orders { folder, daemon, kills, seed, large, until };
    match run(&orders) {
        Ok(report) => {
            eprintln!("{}", report.page());
            match serde_json::to_string(&report) {
                Ok(text) => println!("{text}"),
                Err(error) => eprintln!("region-actor: {error}"),
            }
            if report.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => {
            eprintln!("region-actor: {error}");
            ExitCode::from(1)
        }
    }
}
