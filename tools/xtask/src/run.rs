//! Running other programs: output kept, time bounded, nothing left behind unnoticed.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, PipeReader, pipe};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::Failure;

/// How many of a program's last lines are kept. A test that prints without end must not take the
/// machine's memory.
const LINES_MAX: usize = 100_000;

/// How often a silent program is looked after.
const POLL: Duration = Duration::from_millis(100);

/// How long a program's output may stay open after its end: whoever holds it then was left behind.
const GRACE: Duration = Duration::from_secs(3);

/// Measures how long something took. The one place of this program that reads a clock.
#[derive(Debug)]
pub(crate) struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts.
    #[allow(clippy::disallowed_methods, reason = "a build command has no real-time clock to share")]
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// How a program ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// It exited with 0.
    Fine,
    /// It exited with something else, or a signal ended it.
    Failed,
    /// It ran longer than allowed and was killed with its descendants.
    TimedOut,
    /// It exited with 0, and a process that it left behind still holds its output.
    LeftProcesses,
}

/// A finished program.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How it ended.
    pub(crate) ending: Ending,
    /// Its last lines, from stdout and stderr in the order of arrival.
    pub(crate) lines: VecDeque<String>,
    /// How many lines before these were let go.
    pub(crate) lines_lost: usize,
    /// How long it ran.
    pub(crate) took: Duration,
}

/// Runs `command`, shows each line to `watch`, keeps the output, and kills the program and its
/// descendants when it takes longer than `limit`.
pub(crate) fn captured(
    command: &mut Command,
    limit: Duration,
    mut watch: impl FnMut(&str),
) -> Result<Outcome, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let cannot = |e| Failure::Cannot(format!("a pipe for {name}: {e}"));
    // One pipe for both, so that what was printed first comes first.
    let (output, one) = pipe().map_err(cannot)?;
    let other = one.try_clone().map_err(cannot)?;
    let stopwatch = Stopwatch::start();
    let mut child = command
        .env("CARGO_TERM_COLOR", "never")
        .stdin(Stdio::null())
        .stdout(one)
        .stderr(other)
        .spawn()
        .map_err(|e| Failure::Cannot(format!("{name} does not start: {e}")))?;
    // The command holds the writing ends too; the output ends when the last one is closed.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (sender, lines) = channel();
    thread::spawn(move || read_lines(output, &sender));

    let mut kept = Kept::default();
    let mut take = |line: String| {
        watch(&line);
        kept.push(line);
    };
    let status = follow(&mut child, &lines, limit, &stopwatch, &mut take)?;
    let drained = drain(&lines, &mut take);
    let ending = match status {
        None => Ending::TimedOut,
        Some(status) if !status.success() => Ending::Failed,
        Some(_) if !drained => Ending::LeftProcesses,
        Some(_) => Ending::Fine,
    };
    Ok(Outcome { ending, lines: kept.lines, lines_lost: kept.lost, took: stopwatch.elapsed() })
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    lost: usize,
}

impl Kept {
    fn push(&mut self, line: String) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
            self.lost += 1;
        }
        self.lines.push_back(line);
    }
}

fn read_lines(from: PipeReader, to: &Sender<String>) {
    let mut reader = BufReader::new(from);
    let mut bytes = Vec::new();
    while matches!(reader.read_until(b'\n', &mut bytes), Ok(n) if n > 0) {
        let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
        if to.send(line).is_err() {
            return;
        }
        bytes.clear();
    }
}

/// Takes lines until the child has ended (its status) or the limit is over (`None`).
fn follow(
    child: &mut Child,
    lines: &Receiver<String>,
    limit: Duration,
    stopwatch: &Stopwatch,
    take: &mut impl FnMut(String),
) -> Result<Option<ExitStatus>, Failure> {
    loop {
        match lines.recv_timeout(POLL) {
            Ok(line) => take(line),
            Err(RecvTimeoutError::Timeout) => {}
            // The output is closed: only the end is missing, and it may take its time.
            Err(RecvTimeoutError::Disconnected) => thread::sleep(POLL / 10),
        }
        match child.try_wait() {
            Ok(Some(status)) => return Ok(Some(status)),
            Ok(None) => {}
            Err(e) => return Err(Failure::Cannot(format!("waiting for a program: {e}"))),
        }
        if stopwatch.elapsed() > limit {
            kill_with_descendants(child);
            return Ok(None);
        }
    }
}

/// Takes what is still on its way. `false` when the output stays open.
fn drain(lines: &Receiver<String>, take: &mut impl FnMut(String)) -> bool {
    let stopwatch = Stopwatch::start();
    while stopwatch.elapsed() < GRACE {
        match lines.recv_timeout(POLL) {
            Ok(line) => take(line),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return true,
        }
    }
    false
}

/// Kills the child and whatever descends from it, by number. A process group would be simpler, but
/// then Ctrl-C at the terminal would no longer reach the tests.
fn kill_with_descendants(child: &mut Child) {
    let victims: Vec<String> =
        descendants(child.id(), &parents()).iter().map(u32::to_string).collect();
    if !victims.is_empty() {
        // The shell's own `kill`: a minimal system has no other.
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -KILL \"$@\"", "kill"]).args(&victims);
        let _ = kill.stderr(Stdio::null()).status();
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Every process with its parent.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((pid, parent_in_stat(&stat)?))
        })
        .collect()
}

/// The parent's number in a line of `/proc/PID/stat`; the name before it may hold anything.
fn parent_in_stat(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

fn descendants(of: u32, parents: &[(u32, u32)]) -> Vec<u32> {
    let mut found = vec![of];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        for &(pid, its_parent) in parents {
            if its_parent == parent && !found.contains(&pid) {
                found.push(pid);
            }
        }
        next += 1;
    }
    found.remove(0);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_and_ending_of_a_program_are_kept() {
        let mut seen = 0;
        let limit = Duration::from_secs(60);
        let outcome = captured(&mut shell("echo a; echo b >&2"), limit, |_| seen += 1).unwrap();
        assert_eq!((outcome.ending, seen, outcome.lines.len()), (Ending::Fine, 2, 2));
        let outcome = captured(&mut shell("exit 3"), limit, |_| ()).unwrap();
        assert_eq!(outcome.ending, Ending::Failed);
        let outcome = captured(&mut shell("kill -KILL $$"), limit, |_| ()).unwrap();
        assert_eq!(outcome.ending, Ending::Failed);
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_its_descendants() {
        let mut inner = String::new();
        let script = "sleep 600 & echo $!; wait";
        let limit = Duration::from_millis(500);
        let outcome = captured(&mut shell(script), limit, |line| inner = line.to_owned()).unwrap();
        assert_eq!(outcome.ending, Ending::TimedOut);
        let pid: u32 = inner.parse().unwrap();
        // A killed process may stay in the table until whoever inherited it has looked.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z ") || stat.contains(") X "), "{stat}");
    }

    #[test]
    fn a_process_left_behind_is_noticed() {
        let mut inner = String::new();
        let limit = Duration::from_secs(60);
        let script = "sleep 600 & echo $!";
        let outcome = captured(&mut shell(script), limit, |line| inner = line.to_owned()).unwrap();
        assert_eq!(outcome.ending, Ending::LeftProcesses);
        assert!(shell(&format!("kill -KILL {inner}")).status().unwrap().success());
    }

    #[test]
    fn the_parent_is_read_past_any_name() {
        assert_eq!(parent_in_stat("7 (a) S) b) S 3 7 7 0"), Some(3));
        assert_eq!(parent_in_stat("7"), None);
    }
}
