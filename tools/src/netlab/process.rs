//! A program that ends with its owner, and what it said.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rt_core::os::clock::MonotonicClock;

use super::NetLabError;

/// How long a program may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// What is kept of one stream of a program; the rest is read and dropped.
const OUTPUT_OCTETS_MAX: usize = 16 << 20;
/// How often a program's end is looked for.
const LOOK: Duration = Duration::from_millis(2);

/// A running program. Dropped, it is sent SIGTERM, given time, and killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    status: Option<ExitStatus>,
    out: Output,
    err: Output,
}

/// A program that has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub out: String,
    /// What it wrote to stderr.
    pub err: String,
}

/// What a program has said so far, read by a thread so that it never waits for a reader.
#[derive(Debug)]
struct Output {
    shared: Arc<(Mutex<Said>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Said {
    text: String,
    closed: bool,
}

impl Output {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let shared = Arc::new((Mutex::new(Said::default()), Condvar::new()));
        let theirs = Arc::clone(&shared);
        let reader = thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            loop {
                line.clear();
                let ended =
                    !matches!(stream.read_until(b'\n', &mut line), Ok(octets) if octets > 0);
                let (said, changed) = &*theirs;
                let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                if said.text.len() + line.len() <= OUTPUT_OCTETS_MAX {
                    said.text.push_str(&String::from_utf8_lossy(&line));
                }
                said.closed = ended;
                changed.notify_all();
                if ended {
                    return;
                }
            }
        });
        Self { shared, reader: Some(reader) }
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self) -> String {
        self.lock().text.clone()
    }

    /// Waits until a line satisfies `wanted`; `None` when the stream or the time ends first.
    fn wait_line(&self, wanted: impl Fn(&str) -> bool, patience: Duration) -> Option<String> {
        let deadline = MonotonicClock::now() + span(patience);
        let mut said = self.lock();
        loop {
            let complete = said.text.rfind('\n').map_or("", |end| &said.text[..end]);
            if let Some(line) = complete.lines().find(|line| wanted(line)) {
                return Some(line.to_owned());
            }
            let left = deadline.since(MonotonicClock::now()).as_nanos();
            if said.closed || left == 0 {
                return None;
            }
            let wait = self.shared.1.wait_timeout(said, Duration::from_nanos(left));
            said = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Everything, once the program has ended. A grandchild that holds the stream open is not
    /// waited for.
    fn rest(&mut self) -> String {
        const PATIENCE: Duration = Duration::from_secs(2);
        self.wait_line(|_| false, PATIENCE);
        if self.lock().closed
            && let Some(reader) = self.reader.take()
        {
            // It does not panic, and if it did, what it had read is there.
            let _ = reader.join();
        }
        self.text()
    }
}

impl Process {
    /// Starts `command` under a name for messages. Its input is closed and its output kept.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(name: impl Into<String>, mut command: Command) -> Result<Self, NetLabError> {
        let name = name.into();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child =
            command.spawn().map_err(NetLabError::io(format!("{name}: cannot start {program}")))?;
        // Both were asked for above.
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (Some(out), Some(err)) = (out, err) else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(NetLabError::Program { program: name, what: "has no output".to_owned() });
        };
        let (out, err) = (Output::of(out), Output::of(err));
        Ok(Self { name, child, status: None, out, err })
    }

    /// As [`Self::spawn`], and waits until the program has written a line `ready` to stdout.
    ///
    /// # Errors
    /// The program cannot be started, or ends or is silent instead; the error says what it wrote.
    pub fn spawn_ready(
        name: impl Into<String>,
        command: Command,
        patience: Duration,
    ) -> Result<Self, NetLabError> {
        let mut process = Self::spawn(name, command)?;
        if process.out.wait_line(|line| line == "ready", patience).is_some() {
            return Ok(process);
        }
        let end = process.wait_exit(Duration::from_millis(200));
        let what = match end {
            Some(status) => {
                // Its last words may still be on their way.
                process.err.rest();
                format!("ended before it was ready ({status})")
            }
            None => format!("not ready after {patience:?}"),
        };
        Err(process.complaint(&what))
    }

    /// Its name in the test network.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stdout so far.
    #[must_use]
    pub fn out(&self) -> String {
        self.out.text()
    }

    /// What it has written to stderr so far.
    #[must_use]
    pub fn err(&self) -> String {
        self.err.text()
    }

    /// Waits for a line on stdout; `None` when the program or the time ends first.
    #[must_use]
    pub fn wait_out(&self, wanted: impl Fn(&str) -> bool, patience: Duration) -> Option<String> {
        self.out.wait_line(wanted, patience)
    }

    /// Waits for a line on stderr; `None` when the program or the time ends first.
    #[must_use]
    pub fn wait_err(&self, wanted: impl Fn(&str) -> bool, patience: Duration) -> Option<String> {
        self.err.wait_line(wanted, patience)
    }

    /// Sends a signal, if the program still runs.
    ///
    /// # Errors
    /// The system refuses.
    pub fn signal(&mut self, signal: Signal) -> Result<(), NetLabError> {
        // Not waited for yet, so the number is still this program's.
        if self.is_running()
            && let Ok(id) = i32::try_from(self.child.id())
        {
            kill(Pid::from_raw(id), signal).map_err(|errno| NetLabError::Io {
                what: format!("{}: cannot send {signal}", self.name),
                error: errno.into(),
            })?;
        }
        Ok(())
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status.is_none()
    }

    /// Waits a bounded time for the program's own end.
    pub fn wait_exit(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = MonotonicClock::now() + span(patience);
        while self.is_running() && MonotonicClock::now() < deadline {
            thread::sleep(LOOK);
        }
        self.status
    }

    /// Waits for the program's own end and collects what it said.
    ///
    /// # Errors
    /// It has not ended in time; it is ended then.
    pub fn finish(mut self, patience: Duration) -> Result<Ended, NetLabError> {
        match self.wait_exit(patience) {
            Some(status) => Ok(self.ended(status)),
            None => Err(self.complaint(&format!("still runs after {patience:?}"))),
        }
    }

    /// Sends SIGTERM and collects what the program said.
    ///
    /// # Errors
    /// It does not end; it is killed then.
    pub fn stop(mut self) -> Result<Ended, NetLabError> {
        self.signal(Signal::SIGTERM)?;
        self.finish(GRACE)
    }

    /// Ends the program at once and collects what it said.
    ///
    /// # Errors
    /// The system refuses.
    pub fn kill(mut self) -> Result<Ended, NetLabError> {
        self.signal(Signal::SIGKILL)?;
        self.finish(GRACE)
    }

    fn ended(&mut self, status: ExitStatus) -> Ended {
        Ended { status, out: self.out.rest(), err: self.err.rest() }
    }

    /// An error with what the program said last.
    fn complaint(&mut self, what: &str) -> NetLabError {
        let (out, err) = (self.out.text(), self.err.text());
        let what = format!("{what}\n  stdout: {}\n  stderr: {}", last(&out), last(&err));
        NetLabError::Program { program: self.name.clone(), what }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.signal(Signal::SIGTERM);
        if self.wait_exit(GRACE).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The end of a text, for a message.
fn last(text: &str) -> String {
    const LINES: usize = 20;
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n          ")
}

fn span(duration: Duration) -> rt_core::time::Duration {
    rt_core::time::Duration::from_nanos(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn what_a_program_says_is_kept_and_its_end_known() {
        let process = Process::spawn("talk", shell("echo one; echo two >&2; exit 7")).unwrap();
        let ended = process.finish(PATIENCE).unwrap();
        assert_eq!(ended.status.code(), Some(7));
        assert_eq!((ended.out.as_str(), ended.err.as_str()), ("one\n", "two\n"));
    }

    #[test]
    fn a_program_that_does_not_get_ready_is_quoted() {
        let error =
            Process::spawn_ready("mute", shell("echo why >&2; exit 3"), PATIENCE).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("mute: ended before it was ready") && text.contains("why"), "{text}");
    }

    #[test]
    fn dropping_ends_the_program() {
        let process = Process::spawn_ready("loop", shell("echo ready; exec sleep 600"), PATIENCE);
        let process = process.unwrap();
        let id = Pid::from_raw(process.id().try_into().unwrap());
        kill(id, None).unwrap();
        drop(process);
        assert!(kill(id, None).is_err());
    }

    #[test]
    fn a_line_is_waited_for_and_time_is_bounded() {
        let process = Process::spawn("lines", shell("echo a; echo b; exec sleep 600")).unwrap();
        assert_eq!(process.wait_out(|line| line == "b", PATIENCE).as_deref(), Some("b"));
        assert_eq!(process.wait_out(|line| line == "c", Duration::from_millis(10)), None);
        assert!(process.stop().unwrap().out.starts_with("a\nb\n"));
    }
}
