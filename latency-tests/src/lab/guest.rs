//! Programs in a machine, seen from the host: the other side of the agent.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use rt_core::time::Instant;
use tools::netlab::Ended;

use super::LabError;
use super::agent::{Act, Answer, LINE_OCTETS_MAX, Outcome, Request};
use super::scenario::last_words;
use crate::os::clock;

/// How long a program in a machine may take unless the caller says otherwise.
const PATIENCE: Duration = Duration::from_secs(120);
/// What an answer may take beyond the time of the program itself.
const SLACK: Duration = Duration::from_secs(60);

/// The way to a machine that runs.
#[derive(Clone, Debug)]
pub(super) struct Guest(Arc<Connection>);

#[derive(Debug)]
struct Connection {
    /// The machine's name.
    name: String,
    /// Its results folder.
    out: PathBuf,
    writer: Mutex<UnixStream>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    answers: BTreeMap<u64, Result<Outcome, String>>,
    is_there: bool,
    is_gone: bool,
}

/// A program that runs in a machine. It goes on when this value is dropped.
#[derive(Debug)]
pub struct Background {
    guest: Guest,
    program: u64,
}

impl Guest {
    /// Takes up the connection with the machine `name`, whose results folder is `out`.
    pub(super) fn new(name: &str, stream: UnixStream, out: &Path) -> Result<Self, LabError> {
        let reader = stream.try_clone().map_err(LabError::io(name))?;
        let connection = Arc::new(Connection {
            name: name.to_owned(),
            out: out.to_owned(),
            writer: Mutex::new(stream),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let theirs = Arc::clone(&connection);
        // It ends when the emulator does.
        thread::spawn(move || theirs.read(reader));
        Ok(Self(connection))
    }

    /// Waits until the agent has started; whether it has.
    pub(super) fn wait_until_there(&self, patience: Duration) -> bool {
        let deadline = after(patience);
        let mut state = self.0.lock();
        while !state.is_there && !state.is_gone {
            let Some(back) = self.0.wait(state, deadline) else { return false };
            state = back;
        }
        state.is_there
    }

    pub(super) fn run(&self, command: &[&str], limit: Duration) -> Result<Ended, LabError> {
        let act = Act::Run { command: owned(command), limit_ms: millis(limit) };
        self.0.ended(act, limit)
    }

    pub(super) fn shell(&self, script: &str) -> Result<String, LabError> {
        let ended = self.run(&["sh", "-ec", script], PATIENCE)?;
        if ended.status.success() {
            return Ok(ended.out);
        }
        let (status, out, err) = (ended.status, ended.out.trim_end(), ended.err.trim_end());
        Err(self.0.failure(&format!("`{script}`: {status}\n{out}\n{err}")))
    }

    pub(super) fn start(&self, command: &[&str], ready: bool) -> Result<Background, LabError> {
        let act = Act::Start { command: owned(command), ready, limit_ms: millis(PATIENCE) };
        match self.0.ask(act, PATIENCE)? {
            Outcome::Started(program) => Ok(Background { guest: self.clone(), program }),
            other => Err(self.0.failure(&format!("an answer that does not fit: {other:?}"))),
        }
    }

    /// Writes into a file without waiting for an answer: there may be none.
    pub(super) fn write(&self, file: &str, text: &str) -> Result<(), LabError> {
        let act = Act::Write { file: file.to_owned(), text: text.to_owned() };
        self.0.send(act).map(drop)
    }
}

impl Background {
    /// What it has written to stdout and to stderr so far: the last 2 MiB of each.
    ///
    /// # Errors
    /// It has been waited for, or the machine is gone.
    pub fn look(&self) -> Result<(String, String), LabError> {
        match self.guest.0.ask(Act::Look { program: self.program }, Duration::ZERO)? {
            Outcome::Program { out, err, .. } => Ok((out, err)),
            other => Err(self.guest.0.failure(&format!("an answer that does not fit: {other:?}"))),
        }
    }

    /// Sends it a signal, if it still runs.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub fn signal(&self, signal: Signal) -> Result<(), LabError> {
        let act = Act::Signal { program: self.program, signal: signal as i32 };
        self.guest.0.ask(act, Duration::ZERO).map(drop)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// As [`Self::look`]; or it has not ended in time, and is ended.
    pub fn wait(self, limit: Duration) -> Result<Ended, LabError> {
        let act = Act::Wait { program: self.program, limit_ms: millis(limit) };
        self.guest.0.ended(act, limit)
    }

    /// Sends it SIGTERM and waits for its end.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn stop(self) -> Result<Ended, LabError> {
        self.signal(Signal::SIGTERM)?;
        self.wait(PATIENCE)
    }
}

impl Connection {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something new; `None` when the time is over.
    fn wait<'s>(
        &self,
        state: MutexGuard<'s, State>,
        deadline: Instant,
    ) -> Option<MutexGuard<'s, State>> {
        let left = deadline.since(clock::now()).as_nanos();
        if left == 0 {
            return None;
        }
        let waited = self.changed.wait_timeout(state, Duration::from_nanos(left));
        Some(waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Takes in answers until the emulator ends.
    fn read(&self, stream: UnixStream) {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut stream).take(LINE_OCTETS_MAX).read_until(b'\n', &mut line);
            let is_gone = !matches!(read, Ok(octets) if octets > 0);
            let mut state = self.lock();
            state.is_gone |= is_gone;
            // A line that is no answer answers nobody, who will say so when the time is over.
            if let Ok(Answer { id, result }) = serde_json::from_slice(&line) {
                if id == 0 {
                    state.is_there = true;
                } else if id < state.next {
                    state.answers.insert(id, result);
                }
            }
            self.changed.notify_all();
            if is_gone {
                return;
            }
        }
    }

    fn send(&self, act: Act) -> Result<u64, LabError> {
        let id = {
            let mut state = self.lock();
            // 0 is the agent's own.
            state.next = state.next.max(1) + 1;
            state.next - 1
        };
        let text = serde_json::to_string(&Request { id, act });
        let text = text.map_err(|error| self.failure(&error.to_string()))? + "\n";
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = writer.write_all(text.as_bytes());
        sent.map_err(|error| self.failure(&format!("cannot be told anything: {error}")))?;
        Ok(id)
    }

    fn ask(&self, act: Act, limit: Duration) -> Result<Outcome, LabError> {
        let id = self.send(act)?;
        let deadline = after(limit + SLACK);
        let mut state = self.lock();
        loop {
            if let Some(result) = state.answers.remove(&id) {
                drop(state);
                return result.map_err(|error| self.failure(&error));
            }
            if state.is_gone {
                return Err(self.failure("it ended before it answered"));
            }
            state = match self.wait(state, deadline) {
                Some(state) => state,
                None => return Err(self.failure("it does not answer")),
            };
        }
    }

    fn ended(&self, act: Act, limit: Duration) -> Result<Ended, LabError> {
        match self.ask(act, limit)? {
            Outcome::Program { status: Some(status), out, err } => {
                Ok(Ended { status: ExitStatus::from_raw(status), out, err })
            }
            other => Err(self.failure(&format!("an answer that does not fit: {other:?}"))),
        }
    }

    fn failure(&self, what: &str) -> LabError {
        let text = format!("machine {}: {what}\n", self.name);
        LabError::Program(text + &last_words(&self.out))
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn millis(limit: Duration) -> u64 {
    u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)
}

fn after(span: Duration) -> Instant {
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    clock::now() + rt_core::time::Duration::from_nanos(nanos)
}
