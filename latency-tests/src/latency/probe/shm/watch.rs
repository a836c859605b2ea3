//! The second process as the first one sees it: started, listened to, and in each case ended.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use nix::sys::signal::Signal;
use tools::exit::{ExitCode, Failure};

use super::account::Course;
use super::talk::{ANSWER_OCTETS_MAX, Orders, Told, check, failure};
use super::{Program, failed};
use crate::latency::report::Series;

/// A process that has nothing to say for so long, when it should, is stuck.
const PATIENCE: Duration = Duration::from_secs(30);
/// Looks for the end of a process that has said everything, one each millisecond.
const LOOKS: u32 = 5_000;

/// A second process that runs. It ends with this value.
#[derive(Debug)]
pub(super) struct Watch {
    child: Child,
    answers: Receiver<Answer>,
    heard: Arc<Heard>,
}

/// What was heard, for whoever does not wait.
#[derive(Debug, Default)]
struct Heard {
    so_far: [AtomicU64; 3],
    is_over: AtomicBool,
}

/// What comes that is waited for.
#[derive(Debug)]
enum Answer {
    Ready,
    Found(Vec<Series>),
    Failed(Failure),
    /// Nothing, for it has ended.
    Silence,
}

impl Watch {
    /// Starts it; `stops` becomes true when it has nothing more to say.
    pub(super) fn start(
        program: &Program,
        orders: &Orders,
        segment: OwnedFd,
        stops: Arc<AtomicBool>,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(&program.file);
        command.args(&program.arguments);
        command.arg(serde_json::to_string(orders).map_err(|error| failed(&error))?);
        let child = command.stdin(Stdio::from(segment)).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| {
            let file = program.file.display();
            Failure::missing(format!("shm: {file}, for the reading process: {error}"), "")
        })?;
        let heard: Arc<Heard> = Arc::default();
        let (sender, answers) = mpsc::sync_channel(4);
        if let Some(output) = child.stdout.take() {
            let heard = Arc::clone(&heard);
            // Ends with the process's output, which ends with the process.
            std::thread::spawn(move || {
                listen(output, &sender, &heard);
                heard.is_over.store(true, Ordering::Release);
                stops.store(true, Ordering::Relaxed);
            });
        }
        Ok(Self { child, answers, heard })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Images that are over, those that were lost, and the latest in ns. Thread: any.
    pub(super) fn so_far(&self) -> [u64; 3] {
        [0, 1, 2].map(|at: usize| self.heard.so_far[at].load(Ordering::Relaxed))
    }

    /// Whether it has said everything. Thread: any.
    pub(super) fn is_over(&self) -> bool {
        self.heard.is_over.load(Ordering::Acquire)
    }

    /// Waits until it looks for images.
    pub(super) fn becomes_ready(&mut self) -> Result<(), Failure> {
        match self.answer()? {
            Answer::Ready => Ok(()),
            other => Err(self.unwanted(other)),
        }
    }

    /// What it found, of a course whose images before `images` came to pass.
    pub(super) fn finish(mut self, course: &Course, images: u64) -> Result<Vec<Series>, Failure> {
        let series = match self.answer()? {
            Answer::Found(series) => series,
            other => return Err(self.unwanted(other)),
        };
        check(&series, course, images).map_err(|why| self.invalid(&format!("told {why}")))?;
        match self.ended() {
            Some(status) if status.success() => Ok(series),
            Some(status) => Err(self.invalid(&ending(status))),
            None => Err(self.invalid("does not end")),
        }
    }

    fn answer(&self) -> Result<Answer, Failure> {
        match self.answers.recv_timeout(PATIENCE) {
            Ok(answer) => Ok(answer),
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(Answer::Silence),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let seconds = PATIENCE.as_secs();
                Err(self.invalid(&format!("has said nothing for {seconds} s and was ended")))
            }
        }
    }

    fn unwanted(&mut self, answer: Answer) -> Failure {
        match answer {
            Answer::Failed(failure) => failure,
            Answer::Ready | Answer::Found(_) => self.invalid("told what was not due"),
            Answer::Silence => {
                let how = self.ended().map_or_else(|| "fell silent".to_owned(), ending);
                self.invalid(&format!("{how} before it told what it had found"))
            }
        }
    }

    fn invalid(&self, what: &str) -> Failure {
        let pid = self.pid();
        Failure::new(ExitCode::Invalid, format!("shm: the reading process {pid} {what}"), "")
    }

    /// How it ended, which is at hand.
    fn ended(&mut self) -> Option<ExitStatus> {
        for _ in 0..LOOKS {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Both do nothing to one that has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ending(status: ExitStatus) -> String {
    match status.signal() {
        Some(number) => {
            let name = Signal::try_from(number).map_or("a signal without a name", Signal::as_str);
            format!("was ended by {name}")
        }
        None => format!("ended with code {}", status.code().unwrap_or(-1)),
    }
}

/// Hears all that is said, until nothing more comes or something that is no answer.
fn listen(output: ChildStdout, sender: &SyncSender<Answer>, heard: &Heard) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = output.by_ref().take(ANSWER_OCTETS_MAX).read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) || line.last() != Some(&b'\n') {
            break;
        }
        let answer = match serde_json::from_slice(&line) {
            Ok(Told::Ready) => Answer::Ready,
            Ok(Told::Found(series)) => Answer::Found(series),
            Ok(Told::Failed { code, message, remedy }) => {
                Answer::Failed(failure(code, message, remedy))
            }
            Ok(Told::SoFar(words)) => {
                for (word, value) in heard.so_far.iter().zip(words) {
                    word.store(value, Ordering::Relaxed);
                }
                continue;
            }
            Err(error) => {
                let what = format!("shm: the reading process said what is no answer: {error}");
                Answer::Failed(Failure::new(ExitCode::Invalid, what, ""))
            }
        };
        let is_last = !matches!(answer, Answer::Ready);
        // Never more than the channel holds, but for a process that says what is not due.
        if sender.try_send(answer).is_err() || is_last {
            return;
        }
    }
    let _ = sender.try_send(Answer::Silence);
}
