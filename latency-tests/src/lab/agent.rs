//! What runs in a machine of a [`Lab`](super::Lab): it starts programs and tells how they ended.
//!
//! One JSON object a line, over a serial port of the emulator: a request with a number, and some
//! time later an answer with the same number. Each request has a thread of its own, so a program
//! that runs long holds up nothing. A network was not used for it: it is what faults are made in.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, sleep};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use tools::netlab::{Ended, Process};

use crate::os::clock;

/// The name of the serial port.
pub(super) const PORT: &str = "bumpless.agent";
/// The longest line that either side reads.
pub(super) const LINE_OCTETS_MAX: u64 = 16 << 20;
/// What is told of one stream of a program: its end.
const OUTPUT_OCTETS_MAX: usize = 2 << 20;
/// Programs that may run at a time.
const PROGRAMS_MAX: usize = 256;
/// How often a program's end is looked for.
const LOOK: Duration = Duration::from_millis(5);

/// What the host asks for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// Comes back in the answer.
    pub(super) id: u64,
    /// What is to be done.
    pub(super) act: Act,
}

/// What an agent can do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Act {
    /// Run a program to its end.
    Run { command: Vec<String>, limit_ms: u64 },
    /// Start a program; where `ready`, wait until it has written a line `ready`.
    Start { command: Vec<String>, ready: bool, limit_ms: u64 },
    /// What a program that was started has written.
    Look { program: u64 },
    /// Send a program a signal.
    Signal { program: u64, signal: i32 },
    /// Wait for a program's end; it is forgotten then.
    Wait { program: u64, limit_ms: u64 },
    /// Write into a file of the kernel's.
    Write { file: String, text: String },
}

/// What an agent says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    /// Of the request; 0 when the agent has started.
    pub(super) id: u64,
    /// What came of it.
    pub(super) result: Result<Outcome, String>,
}

/// What came of a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// Done.
    Done,
    /// A program was started under this number.
    Started(u64),
    /// A program still runs, or (`status`) it has ended.
    Program {
        /// As `wait(2)` gives it.
        status: Option<i32>,
        /// End of what it wrote to stdout.
        out: String,
        /// End of what it wrote to stderr.
        err: String,
    },
}

/// Serves the host that this machine runs on, until the machine ends. Returns an error only.
///
/// # Errors
/// This is no machine of a lab.
pub fn serve_agent() -> io::Result<Infallible> {
    let path = port()?;
    let port =
        OpenOptions::new().read(true).write(true).open(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
    let agent = Arc::new(Agent { port: Mutex::new(port.try_clone()?), programs: Mutex::default() });
    agent.answer(0, Ok(Outcome::Done));
    let mut port = BufReader::new(port);
    loop {
        let mut line = Vec::new();
        let octets = (&mut port).take(LINE_OCTETS_MAX).read_until(b'\n', &mut line)?;
        if octets == 0 {
            // The emulator has not said yet that the host is connected; later it always is.
            sleep(LOOK);
            continue;
        }
        match serde_json::from_slice::<Request>(&line) {
            Ok(Request { id, act }) => {
                let agent = Arc::clone(&agent);
                thread::spawn(move || agent.answer(id, agent.act(act)));
            }
            Err(error) => eprintln!("a request that is none: {error}"),
        }
    }
}

/// The serial port of our name.
fn port() -> io::Result<PathBuf> {
    for entry in fs::read_dir("/sys/class/virtio-ports")? {
        let entry = entry?;
        let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if name.trim() == PORT {
            return Ok(PathBuf::from("/dev").join(entry.file_name()));
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no serial port {PORT}")))
}

#[derive(Debug)]
struct Agent {
    port: Mutex<File>,
    programs: Mutex<Programs>,
}

#[derive(Debug, Default)]
struct Programs {
    started: u64,
    running: BTreeMap<u64, Process>,
}

impl Agent {
    fn answer(&self, id: u64, result: Result<Outcome, String>) {
        let answer = Answer { id, result };
        let text = serde_json::to_string(&answer).unwrap_or_default() + "\n";
        let mut port = self.port.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = port.write_all(text.as_bytes()) {
            eprintln!("an answer is lost: {error}");
        }
    }

    fn programs(&self) -> MutexGuard<'_, Programs> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn act(&self, act: Act) -> Result<Outcome, String> {
        match act {
            Act::Run { command, limit_ms } => {
                let program = self.start(command, None)?;
                self.wait(program, limit_ms)
            }
            Act::Start { command, ready, limit_ms } => {
                self.start(command, ready.then_some(limit_ms)).map(Outcome::Started)
            }
            Act::Look { program } => self.with(program, |process| {
                Ok(Outcome::Program {
                    status: None,
                    out: end(process.out()),
                    err: end(process.err()),
                })
            }),
            Act::Signal { program, signal } => self.with(program, |process| {
                let signal = Signal::try_from(signal).map_err(|error| error.to_string())?;
                process.signal(signal).map_err(|error| error.to_string())?;
                Ok(Outcome::Done)
            }),
            Act::Wait { program, limit_ms } => self.wait(program, limit_ms),
            Act::Write { file, text } => {
                fs::write(&file, text).map_err(|error| format!("{file}: {error}"))?;
                Ok(Outcome::Done)
            }
        }
    }

    fn start(&self, command: Vec<String>, ready_ms: Option<u64>) -> Result<u64, String> {
        let mut words = command.into_iter();
        let name = words.next().ok_or("a command without a program")?;
        let mut command = Command::new(&name);
        command.args(words);
        if self.programs().running.len() >= PROGRAMS_MAX {
            return Err(format!("{PROGRAMS_MAX} programs run already"));
        }
        let process = match ready_ms {
            Some(limit) => Process::spawn_ready(name, command, Duration::from_millis(limit)),
            None => Process::spawn(name, command),
        };
        let process = process.map_err(|error| error.to_string())?;
        let mut programs = self.programs();
        programs.started += 1;
        let number = programs.started;
        programs.running.insert(number, process);
        Ok(number)
    }

    fn with<T>(
        &self,
        program: u64,
        act: impl FnOnce(&mut Process) -> Result<T, String>,
    ) -> Result<T, String> {
        let mut programs = self.programs();
        act(programs.running.get_mut(&program).ok_or("there is no such program")?)
    }

    /// Waits for a program's end; one that does not end in time is ended.
    fn wait(&self, program: u64, limit_ms: u64) -> Result<Outcome, String> {
        let start = clock::now();
        let limit = Duration::from_millis(limit_ms);
        let waited = || Duration::from_nanos(clock::now().since(start).as_nanos());
        while self.with(program, |process| Ok(process.is_running()))? && waited() < limit {
            sleep(LOOK);
        }
        let process = self.programs().running.remove(&program).ok_or("somebody else waited")?;
        let Ended { status, out, err } =
            process.finish(Duration::ZERO).map_err(|error| error.to_string())?;
        Ok(Outcome::Program { status: Some(status.into_raw()), out: end(out), err: end(err) })
    }
}

/// The end of a text, cut between characters.
fn end(mut text: String) -> String {
    if let Some(over) = text.len().checked_sub(OUTPUT_OCTETS_MAX) {
        let at = (over..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        text.drain(..at);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> Agent {
        let port = OpenOptions::new().write(true).open("/dev/null").unwrap();
        Agent { port: Mutex::new(port), programs: Mutex::default() }
    }

    fn shell(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_program_is_run_and_its_end_told() {
        let outcome = agent()
            .act(Act::Run { command: shell("echo a; echo b >&2; exit 3"), limit_ms: 60_000 });
        let Ok(Outcome::Program { status: Some(status), out, err }) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!((status >> 8, out.as_str(), err.as_str()), (3, "a\n", "b\n"));
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended() {
        let agent = agent();
        let error =
            agent.act(Act::Run { command: shell("echo slow; exec sleep 600"), limit_ms: 50 });
        assert!(error.unwrap_err().contains("still runs"));
        assert!(agent.programs().running.is_empty());
    }

    #[test]
    fn a_program_is_started_looked_at_ended_and_forgotten() {
        let agent = agent();
        let command = shell("echo ready; exec sleep 600");
        let outcome = agent.act(Act::Start { command, ready: true, limit_ms: 60_000 });
        let Ok(Outcome::Started(program)) = outcome else { panic!("{outcome:?}") };
        let look = agent.act(Act::Look { program }).unwrap();
        let out = "ready\n".to_owned();
        assert_eq!(look, Outcome::Program { status: None, out: out.clone(), err: String::new() });
        agent.act(Act::Signal { program, signal: 15 }).unwrap();
        let end = agent.act(Act::Wait { program, limit_ms: 60_000 }).unwrap();
        assert_eq!(end, Outcome::Program { status: Some(15), out, err: String::new() });
        assert!(agent.act(Act::Look { program }).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        let agent = agent();
        assert!(agent.act(Act::Run { command: Vec::new(), limit_ms: 1 }).is_err());
        let command = vec!["/no/such/program".to_owned()];
        assert!(agent.act(Act::Start { command, ready: false, limit_ms: 1 }).is_err());
        assert!(agent.act(Act::Signal { program: 7, signal: 15 }).is_err());
    }

    #[test]
    fn a_long_text_is_cut_to_its_end() {
        let text = "ä".repeat(OUTPUT_OCTETS_MAX);
        let cut = end(format!("x{text}"));
        assert!(cut.len() <= OUTPUT_OCTETS_MAX && text.ends_with(&cut) && !cut.is_empty());
        assert_eq!(end("short".to_owned()), "short");
    }
}
