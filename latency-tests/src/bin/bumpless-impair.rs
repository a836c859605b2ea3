//! `bumpless-impair`: faults on a link between two interfaces, steered over a socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use latency_tests::impair::command::Reply;
use latency_tests::impair::port::OpenError;
use latency_tests::impair::queue::Bounds;
use latency_tests::impair::relay::Relay;
use latency_tests::impair::server::Server;
use latency_tests::os::wait::EndSignals;

/// Forwards frames between two interfaces, both ways, and loses, delays, reorders, repeats,
/// corrupts or cuts them as told over a Unix socket (one JSON object per line).
///
/// Prints `ready` when it forwards and, at its end (SIGTERM, SIGINT or the command quit), one line
/// of JSON with all counters. Exit: 0 fine, 1 failed at run time, 2 bad arguments, 3 no
/// CAP_NET_RAW.
#[derive(Parser, Debug)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    /// The two interfaces of a link; may be given several times.
    #[arg(long, num_args = 2, value_names = ["INTERFACE", "INTERFACE"])]
    #[arg(action = clap::ArgAction::Append)]
    between: Vec<String>,
    /// The control socket.
    #[arg(long, value_name = "SOCKET")]
    control: PathBuf,
    /// Seed of all random choices: the same seed and frames give the same decisions.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Frames that may wait in each direction.
    #[arg(long, default_value_t = 262_144)]
    queue_frames: usize,
    /// Octets that may wait in each direction.
    #[arg(long, default_value_t = 256 << 20)]
    queue_octets: usize,
    /// Do not forward: send this command to the program that listens at the control socket and
    /// print its answer.
    #[arg(long, value_name = "JSON", conflicts_with = "between")]
    tell: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(command) = &arguments.tell {
        return tell(&arguments.control, command);
    }
    if arguments.between.is_empty() {
        eprintln!("bumpless-impair: --between INTERFACE INTERFACE is missing");
        return ExitCode::from(2);
    }
    let pairs: Vec<[String; 2]> =
        arguments.between.chunks_exact(2).map(|pair| [pair[0].clone(), pair[1].clone()]).collect();
    if let Some(twice) = first_repeated(&arguments.between) {
        eprintln!("bumpless-impair: --between: interface {twice} is named twice");
        return ExitCode::from(2);
    }
    let bounds = Bounds { items: arguments.queue_frames, octets: arguments.queue_octets };
    let relay = match Relay::open(&pairs, arguments.seed, bounds) {
        Ok(relay) => relay,
        Err(error) => return refuse(&error),
    };
    match run(relay, &arguments.control) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bumpless-impair: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut relay: Relay, control: &Path) -> io::Result<()> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("control socket {}: {error}", control.display()))
    };
    let signals = EndSignals::block()?;
    let mut server = Server::open(control).map_err(named)?;
    say("ready")?;
    relay.run(&mut server, &signals)?;
    // Whoever asked for the end still gets the answer.
    server.serve(|command| relay.carry_out(command));
    drop(server);
    say(Reply::lanes(relay.report()).line().trim_end())
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn refuse(error: &OpenError) -> ExitCode {
    let (remedy, code) = match error.error.raw_os_error() {
        Some(libc::EPERM) => ("; run as root or with CAP_NET_RAW", 3),
        Some(libc::ENODEV) => ("; `ip link` lists the interfaces of this network namespace", 1),
        _ => ("", 1),
    };
    eprintln!("bumpless-impair: {error}{remedy}");
    ExitCode::from(code)
}

fn first_repeated(names: &[String]) -> Option<&String> {
    names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)).map(|(_, name)| name)
}

/// Sends one command and prints the answer.
fn tell(control: &Path, command: &str) -> ExitCode {
    let ask = || -> io::Result<String> {
        let mut stream = UnixStream::connect(control)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(command.as_bytes())?;
        stream.write_all(b"\n")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        Ok(answer)
    };
    match ask() {
        Ok(answer) => {
            print!("{answer}");
            let fine = serde_json::from_str(&answer).is_ok_and(|reply: Reply| reply.ok);
            if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("bumpless-impair: control socket {}: {error}", control.display());
            ExitCode::FAILURE
        }
    }
}
