//! The project's own build commands: `cargo xtask check`, `test`, `soak`, `mutants`, `demo`,
//! `bench`, `install`.
//!
//! Whatever the project asks of a change is asked here, in one program that needs nothing but the
//! standard library, so that it is the same on every machine and starts within seconds. Shell
//! scripts were the other choice; they are shorter until the first table has to be added up.

/// Prints a line. Unlike `println!` it carries on when nobody reads any more: a run of tests that
/// is piped into `head` still cleans up.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod bpf;
mod check;
mod debian;
mod groups;
mod header;
mod install;
mod launch;
mod mutants;
mod run;
mod soak;
mod tally;
mod test;
mod tidy;
mod workspace;

use std::fmt;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND [OPTIONS]

Commands
  demo [ARGS]    Build for release and show the main job at work (`bumpless demo ARGS`).
  test           Check, build and run every test; a table of groups with times at the end.
  check [STEP…]  Format, lints, documentation, pure halves without the operating system, tidiness,
                 shipped configurations. Names of steps run only these.
  soak           The long forms of the tests, then fuzzing.
  mutants        Change one thing at a time in the takeover's sources: does a test notice?
  bench [ARGS]   Build for release and run the speed bench (`bumpless-bench ARGS`);
                 `bench regions`: images from one process to another, beside iceoryx2.
  bpf            Build the objects of the programs that run in the kernel.
  header         Write the C header from the sources of the C interface.
  install        Build for release and install programs, library, header and pages.
  help           This text. `cargo xtask COMMAND --help` says more about a command.

Exit codes: 0 fine, 1 something failed, 2 bad arguments.
";

/// Why a command did not end well.
#[derive(Debug)]
enum Failure {
    /// Something was tried and failed; it has been printed already.
    Failed,
    /// Something could not even be tried.
    Cannot(String),
    /// The command line makes no sense.
    Usage(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed => f.write_str("failed"),
            Self::Cannot(what) | Self::Usage(what) => f.write_str(what),
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed) => ExitCode::from(1),
        Err(failure @ Failure::Cannot(_)) => {
            eprintln!("cargo xtask: {failure}");
            ExitCode::from(1)
        }
        Err(failure @ Failure::Usage(_)) => {
            eprintln!("cargo xtask: {failure}\nSee `cargo xtask help`.");
            ExitCode::from(2)
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<(), Failure> {
    let Some((command, rest)) = arguments.split_first() else {
        return Err(Failure::Usage(format!("which command?\n\n{HELP}")));
    };
    let asks_help = rest.iter().any(|a| a == "--help" || a == "-h");
    match (command.as_str(), asks_help) {
        ("help" | "--help" | "-h", _) => explain(HELP),
        ("check", true) => explain(check::HELP),
        ("test", true) => explain(test::HELP),
        ("soak", true) => explain(soak::HELP),
        ("mutants", true) => explain(mutants::HELP),
        ("bpf", true) => explain(bpf::HELP),
        ("header", true) => explain(header::HELP),
        ("install", true) => explain(install::HELP),
        ("check", false) => check::command(rest),
        ("test", false) => test::command(rest),
        ("soak", false) => soak::command(rest),
        ("mutants", false) => mutants::command(rest),
        ("bpf", false) => bpf::command(rest),
        ("header", false) => header::command(rest),
        ("install", false) => install::command(rest),
        // These two hand their arguments on, `--help` included.
        ("demo", _) => launch::demo(rest),
        ("bench", _) => launch::bench(rest),
        (other, _) => Err(Failure::Usage(format!("there is no command `{other}`"))),
    }
}

#[allow(clippy::unnecessary_wraps, reason = "one shape for every arm of the dispatch")]
fn explain(text: &str) -> Result<(), Failure> {
    say!("{}", text.trim_end());
    Ok(())
}
