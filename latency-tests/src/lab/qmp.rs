//! QEMU's machine protocol, as much of it as the lab speaks: a command and its answer, and the
//! events that came meanwhile. One JSON object a line.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::LabError;

/// How long an emulator may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest line that is read.
const LINE_OCTETS_MAX: u64 = 1 << 20;
/// Lines that are read for one answer; the rest are events.
const LINES_MAX: u32 = 10_000;
/// Events that are kept: those that tell how a machine ended.
const KEPT: [&str; 3] = ["SHUTDOWN", "GUEST_PANICKED", "WATCHDOG"];
/// How many of them; the oldest goes first.
const EVENTS_MAX: usize = 16;

/// A connection with a running emulator.
#[derive(Debug)]
pub(super) struct Qmp {
    stream: BufReader<UnixStream>,
    events: Vec<Event>,
}

/// What happened to a machine.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub(super) struct Event {
    /// As in `SHUTDOWN`.
    pub(super) event: String,
    /// What else is said about it.
    #[serde(default)]
    pub(super) data: Value,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Event(Event),
    Return {
        #[serde(rename = "return")]
        value: Value,
    },
    Error {
        error: Complaint,
    },
    Greeting {
        #[serde(rename = "QMP")]
        _version: Value,
    },
}

#[derive(Debug, Deserialize)]
struct Complaint {
    desc: String,
}

impl Qmp {
    /// Takes up a connection that an emulator has made.
    pub(super) fn greet(stream: UnixStream) -> Result<Self, LabError> {
        stream.set_read_timeout(Some(PATIENCE)).map_err(LabError::io("QMP"))?;
        let mut qmp = Self { stream: BufReader::new(stream), events: Vec::new() };
        match qmp.line()? {
            Some(Line::Greeting { .. }) => {}
            other => return Err(LabError::Program(format!("QMP: no greeting but {other:?}"))),
        }
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Gives a command and waits for its answer, a bounded time.
    pub(super) fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, LabError> {
        let text = json!({"execute": command, "arguments": arguments}).to_string() + "\n";
        let failed = |what: &str| LabError::Program(format!("QMP {command}: {what}"));
        let written = self.stream.get_mut().write_all(text.as_bytes());
        written.map_err(LabError::io(format!("QMP {command}")))?;
        for _ in 0..LINES_MAX {
            match self.line()? {
                Some(Line::Return { value }) => return Ok(value),
                Some(Line::Error { error }) => return Err(failed(&error.desc)),
                Some(Line::Event(event)) => self.keep(event),
                Some(Line::Greeting { .. }) => {}
                None => return Err(failed("the emulator has ended")),
            }
        }
        Err(failed("no answer among many events"))
    }

    /// What has happened to a machine whose emulator has ended, as far as it is of interest.
    pub(super) fn all_events(&mut self) -> &[Event] {
        for _ in 0..LINES_MAX {
            match self.line() {
                Ok(Some(Line::Event(event))) => self.keep(event),
                Ok(Some(_)) => {}
                // A connection that was torn ends like one that was closed.
                Ok(None) | Err(_) => break,
            }
        }
        &self.events
    }

    fn keep(&mut self, event: Event) {
        if !KEPT.contains(&event.event.as_str()) {
            return;
        }
        if self.events.len() == EVENTS_MAX {
            self.events.remove(0);
        }
        self.events.push(event);
    }

    fn line(&mut self) -> Result<Option<Line>, LabError> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.stream).take(LINE_OCTETS_MAX);
        let octets = bounded.read_until(b'\n', &mut line).map_err(LabError::io("QMP"))?;
        if octets == 0 {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&line);
        let parsed = serde_json::from_str(&text);
        parsed.map(Some).map_err(|error| LabError::Program(format!("QMP: {error} in {text}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// An emulator that says these lines, and what it was told.
    fn emulator(lines: &'static str) -> (UnixStream, thread::JoinHandle<String>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let thread = thread::spawn(move || {
            theirs.write_all(lines.as_bytes()).unwrap();
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
            let mut told = String::new();
            theirs.read_to_string(&mut told).unwrap();
            told
        });
        (ours, thread)
    }

    #[test]
    fn answers_are_told_from_events_and_the_end_is_kept() {
        let (stream, thread) = emulator(
            "{\"QMP\": {\"version\": {}}}\n{\"return\": {}}\n\
             {\"event\": \"RESUME\", \"timestamp\": {\"seconds\": 1}}\n{\"return\": {\"a\": 1}}\n\
             {\"error\": {\"class\": \"x\", \"desc\": \"no such link\"}}\n\
             {\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"guest-reset\"}}\n",
        );
        let mut qmp = Qmp::greet(stream).unwrap();
        assert_eq!(qmp.execute("one", &json!({})).unwrap(), json!({"a": 1}));
        let error = qmp.execute("two", &json!({"b": 2})).unwrap_err().to_string();
        assert!(error.contains("no such link"), "{error}");
        let events: Vec<_> = qmp.all_events().iter().map(|event| event.event.as_str()).collect();
        assert_eq!(events, ["SHUTDOWN"]);
        assert_eq!(qmp.events[0].data["reason"], "guest-reset");
        assert!(qmp.execute("three", &json!({})).is_err());
        drop(qmp);
        let told = thread.join().unwrap();
        let commands: Vec<Value> =
            told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(commands[2], json!({"execute": "two", "arguments": {"b": 2}}));
    }

    #[test]
    fn who_does_not_greet_is_not_an_emulator() {
        for lines in ["", "hello\n", "{\"return\": {}}\n"] {
            let (stream, _) = emulator(lines);
            assert!(Qmp::greet(stream).is_err(), "{lines:?}");
        }
    }
}
