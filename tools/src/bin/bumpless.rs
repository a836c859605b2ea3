//! The operator's command.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::cli::run(std::env::args_os())
}
