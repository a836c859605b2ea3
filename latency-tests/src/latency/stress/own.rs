//! The processes of a load of our own.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration as StdDuration;

use rt_core::os::clock::MonotonicClock;
use rt_core::time::Duration;
use tools::exit::Failure;
use tools::os::parent::end_with_parent;

use super::board::{Board, Said};
use super::worker::{Job, WORKER};
use super::{Done, Kind};
use crate::os::ordinary::start_ordinary;

/// How long a process may take until it is at work, on a machine that is loaded already.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked for.
pub(super) const LOOK: StdDuration = StdDuration::from_millis(5);
/// Of the memory that is available, all processes together take one part in so many.
const MEMORY_SHARE: u64 = 8;
/// The most that a process takes: more than the caches of a processor.
const MEMORY_MAX: u64 = 64 << 20;
/// Less is no load.
const MEMORY_MIN: u64 = 1 << 20;

/// The processes of one kind.
#[derive(Debug)]
pub(super) struct Own {
    kind: Kind,
    processes: Vec<Process>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    board: Board,
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended is not there to be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Own {
    /// Starts the processes of a kind. `worker` is a program and its arguments.
    pub(super) fn start(worker: &[OsString], kind: Kind, cpus: &[usize]) -> Result<Self, Failure> {
        let octets_max = match kind {
            Kind::Mem => memory_of_each(cpus.len())?,
            Kind::Cpu | Kind::Net | Kind::Disk => 0,
        };
        let mut own = Self { kind, processes: Vec::new() };
        for number in 0..kind.processes(cpus.len()) {
            // A disk is nobody's.
            let cpu = if kind == Kind::Disk { None } else { cpus.get(number).copied() };
            let process = start(worker, &Job { kind, cpu, octets_max });
            own.processes.push(process.map_err(|error| cannot_start(kind, &error))?);
        }
        Ok(own)
    }

    /// Waits until each process has done something.
    pub(super) fn wait_for_work(&mut self) -> Result<(), Failure> {
        let kind = self.kind.name();
        let until = MonotonicClock::now() + PATIENCE;
        for process in &mut self.processes {
            loop {
                let ended = process.child.try_wait().ok().flatten();
                match (process.board.read(), ended) {
                    (Some(Said { failure: Some(failure), .. }), _) => {
                        let remedy = match self.kind {
                            Kind::Net => "run as root, or leave this kind of load out",
                            Kind::Cpu | Kind::Mem | Kind::Disk => "leave this kind of load out",
                        };
                        let message = format!("--stress {kind}: {failure}");
                        return Err(Failure::missing(message, remedy));
                    }
                    (_, Some(status)) => return Err(ended_at_once(kind, status)),
                    (Some(said), None) if said.rounds > 0 => break,
                    _ if MonotonicClock::now() > until => {
                        let message = format!("--stress {kind}: did nothing for {PATIENCE}");
                        return Err(Failure::failed(message, "is the machine that busy already?"));
                    }
                    _ => sleep(LOOK),
                }
            }
        }
        Ok(())
    }

    pub(super) fn processes(&self) -> Vec<u32> {
        self.processes.iter().map(|it| it.child.id()).collect()
    }

    pub(super) fn done(&self) -> Done {
        let said = || self.processes.iter().filter_map(|it| it.board.read());
        Done {
            kind: self.kind,
            by: "own".to_owned(),
            processes: self.processes.len(),
            rounds: said().map(|it| it.rounds).sum(),
            octets: (self.kind != Kind::Cpu).then(|| said().map(|it| it.octets).sum()),
        }
    }

    pub(super) fn finish(mut self) -> (Done, Vec<String>) {
        let mut early = Vec::new();
        for process in &mut self.processes {
            early.extend(process.child.try_wait().ok().flatten());
            let _ = process.child.kill();
        }
        for process in &mut self.processes {
            // It has been killed.
            let _ = process.child.wait();
        }
        let (kind, of) = (self.kind.name(), self.processes.len());
        let said = self.processes.iter().find_map(|it| it.board.read()?.failure);
        let caution = early.first().map(|status| {
            let why = said.unwrap_or_else(|| status.to_string());
            let count = early.len();
            format!("the load `{kind}`: {count} of {of} processes ended before the run did: {why}")
        });
        (self.done(), caution.into_iter().collect())
    }
}

fn start(worker: &[OsString], job: &Job) -> io::Result<Process> {
    let (program, arguments) =
        worker.split_first().ok_or_else(|| io::Error::other("no program was named"))?;
    let board = Board::new()?;
    let mut command = Command::new(program);
    command.args(arguments).env(WORKER, serde_json::to_string(job)?);
    if program == "/proc/self/exe" {
        // What a list of processes shows.
        command.arg0(format!("bumpless-latency: stress {}", job.kind.name()));
    }
    command.stdin(board.to_input()?).stdout(Stdio::null()).stderr(Stdio::null());
    start_ordinary(&mut command);
    end_with_parent(&mut command);
    Ok(Process { child: command.spawn()?, board })
}

pub(super) fn cannot_start(kind: Kind, error: &io::Error) -> Failure {
    Failure::failed(format!("--stress {}: cannot start a process: {error}", kind.name()), "")
}

pub(super) fn ended_at_once(kind: &str, status: ExitStatus) -> Failure {
    Failure::failed(format!("--stress {kind}: a process ended at once ({status})"), "")
}

/// What each of so many processes may take.
pub(super) fn memory_of_each(processes: usize) -> Result<u64, Failure> {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next())
        .and_then(|number| number.parse::<u64>().ok())
        .unwrap_or(0);
    let available = kib.saturating_mul(1_024);
    share(available, processes).ok_or_else(|| {
        Failure::missing(
            format!("--stress mem: {available} octets of memory are too few for {processes} loads"),
            format!("load fewer processors: {MEMORY_SHARE} MiB of available memory for each"),
        )
    })
}

fn share(available: u64, processes: usize) -> Option<u64> {
    let each = available / MEMORY_SHARE / u64::try_from(processes).ok()?.max(1);
    (each >= MEMORY_MIN).then_some(each.min(MEMORY_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_take_an_eighth_of_the_memory_and_each_no_more_than_a_cache() {
        assert_eq!(share(64 << 30, 4), Some(64 << 20));
        assert_eq!(share(128 << 20, 4), Some(4 << 20));
        assert_eq!(share(31 << 20, 4), None);
        assert_eq!(share(0, 1), None);
    }
}
