//! A `bumpless-impair` in a cable, and how it is told what to do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use prp::os::netns::{NetNs, command_in};
use serde::Deserialize;
use serde_json::{Value, json};

use super::NetLabError;
use super::process::Process;
use crate::os::parent::end_with_parent;
use crate::os::process_priority::set_fifo;

/// Above every thread of the daemon.
const PRIORITY: i32 = 80;
/// How long the program may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which way frames go, seen from the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Toward {
    /// Both ways.
    Both,
    /// Frames that the host sends.
    Lan,
    /// Frames that the host receives.
    Host,
}

impl Toward {
    const fn word(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Lan => "forward",
            Self::Host => "backward",
        }
    }
}

/// The faults of one cable.
#[derive(Debug)]
pub struct Impairment {
    process: Process,
    control: PathBuf,
}

#[derive(Deserialize)]
struct Reply {
    ok: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    lanes: Value,
}

impl Impairment {
    /// Starts the program `path` between the interfaces `host_side` and `lan_side` of `namespace`.
    pub(super) fn start(
        name: String,
        path: &Path,
        namespace: &NetNs,
        control: PathBuf,
        seed: u64,
    ) -> Result<Self, NetLabError> {
        let mut command = Command::new(path);
        command.args(["--between", HOST_SIDE, LAN_SIDE, "--seed", &seed.to_string(), "--control"]);
        command.arg(&control);
        command_in(namespace, &mut command)?;
        // Killed or crashed, a test or a demo leaves no cable behind, and so no namespace.
        end_with_parent(&mut command);
        let process = Process::spawn_ready(name, command, PATIENCE)?;
        // A cable does not wait for the nodes at its ends. Where the privilege is missing, the
        // daemons' threads are no real-time threads either.
        let _ = set_fifo(process.id(), PRIORITY);
        Ok(Self { process, control })
    }

    /// The program.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// Replaces the faults; `settings` as the program documents them, for example
    /// `{"lose":{"probability":0.2}}`. A cut stays.
    ///
    /// # Errors
    /// The program refuses or does not answer.
    pub fn set(&self, toward: Toward, settings: &Value) -> Result<(), NetLabError> {
        self.command(&json!({"command": "set", "direction": toward.word(), "impair": settings}))
            .map(drop)
    }

    /// No faults, not cut.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn clear(&self) -> Result<(), NetLabError> {
        self.command(&json!({"command": "clear"})).map(drop)
    }

    /// Nothing passes any more, and what waits is lost.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn cut(&self, toward: Toward) -> Result<(), NetLabError> {
        self.command(&json!({"command": "cut", "direction": toward.word()})).map(drop)
    }

    /// The end of a cut.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn restore(&self, toward: Toward) -> Result<(), NetLabError> {
        self.command(&json!({"command": "restore", "direction": toward.word()})).map(drop)
    }

    /// The program's counters: a list with one object for the lane toward the LAN and one for the
    /// lane toward the host.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn counters(&self) -> Result<Value, NetLabError> {
        self.command(&json!({"command": "counters"}))
    }

    fn command(&self, command: &Value) -> Result<Value, NetLabError> {
        let complaint = |what: String| NetLabError::Program {
            program: self.process.name().to_owned(),
            what: format!("{command}: {what}"),
        };
        let ask = || {
            let mut stream = UnixStream::connect(&self.control)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(format!("{command}\n").as_bytes())?;
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).map(|_| answer)
        };
        let answer: String = ask().map_err(|error: std::io::Error| complaint(error.to_string()))?;
        let reply: Reply =
            serde_json::from_str(&answer).map_err(|error| complaint(error.to_string()))?;
        if reply.ok { Ok(reply.lanes) } else { Err(complaint(reply.error)) }
    }
}

/// Name of the interface toward the host, in the namespace of the impairment.
pub(super) const HOST_SIDE: &str = "host";
/// Name of the interface toward the LAN.
pub(super) const LAN_SIDE: &str = "lan";
