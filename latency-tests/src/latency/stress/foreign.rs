//! A load that `stress-ng` makes.

use std::env;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prp::os::netns::{NetNs, command_in};
use rt_core::os::clock::MonotonicClock;
use rt_core::time::Duration;
use tools::exit::Failure;
use tools::os::parent::end_with_parent;

use super::board::Board;
use super::own::{LOOK, PATIENCE, cannot_start, ended_at_once, memory_of_each};
use super::{Done, Kind};
use crate::os::ordinary::start_ordinary;

/// How long it may take to say what it did.
const GRACE: Duration = Duration::from_secs(10);
/// What it says when its processes are there.
const AT_WORK: &str = "dispatching hogs";

/// `stress-ng`, on the PATH.
pub(super) fn on_path() -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join("stress-ng")).find(is_program)
}

/// One process of `stress-ng`, and those that it started.
#[derive(Debug)]
pub(super) struct Foreign {
    kind: Kind,
    by: String,
    processes: usize,
    child: Child,
    said: Board,
    /// How it ended before it was asked to.
    early: Option<ExitStatus>,
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // It asks the kernel to end its own processes with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Foreign {
    pub(super) fn start(program: &Path, kind: Kind, cpus: &[usize]) -> Result<Self, Failure> {
        let io = |error: io::Error| cannot_start(kind, &error);
        let by = version(program).map_err(io)?;
        let said = Board::new().map_err(io)?;
        let mut command = Command::new(program);
        command.args(options(kind, cpus)?).current_dir(env::temp_dir());
        command.stdin(Stdio::null());
        command.stdout(said.to_output().map_err(io)?).stderr(said.to_output().map_err(io)?);
        if kind == Kind::Net {
            let missing = |error: String| {
                Failure::missing(format!("--stress net: {error}"), "leave this kind of load out")
            };
            let namespace =
                NetNs::create_with_loopback().map_err(|error| missing(error.to_string()))?;
            command_in(&namespace, &mut command).map_err(|error| missing(error.to_string()))?;
        }
        start_ordinary(&mut command);
        end_with_parent(&mut command);
        let child = command.spawn().map_err(io)?;
        let processes = kind.processes(cpus.len());
        Ok(Self { kind, by, processes, child, said, early: None })
    }

    pub(super) fn wait_for_work(&mut self) -> Result<(), Failure> {
        let kind = self.kind.name();
        let until = MonotonicClock::now() + PATIENCE;
        while !self.said.text().contains(AT_WORK) {
            if let Some(status) = self.child.try_wait().ok().flatten() {
                let said = self.said.text();
                let last = said.lines().last().unwrap_or_default();
                let mut failure = ended_at_once(kind, status);
                failure.remedy = format!("it said: {last}");
                return Err(failure);
            }
            if MonotonicClock::now() > until {
                let message = format!("--stress {kind}: {} did nothing for {PATIENCE}", self.by);
                return Err(Failure::failed(message, "is the machine that busy already?"));
            }
            sleep(LOOK);
        }
        Ok(())
    }

    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn done(&self) -> Done {
        Done {
            kind: self.kind,
            by: self.by.clone(),
            processes: self.processes,
            rounds: rounds(&self.said.text(), self.kind),
            octets: None,
        }
    }

    pub(super) fn ask_to_end(&mut self) {
        self.early = self.child.try_wait().ok().flatten();
        if self.early.is_none()
            && let Ok(number) = i32::try_from(self.child.id())
        {
            // It is ours and was not waited for: the number is still its own.
            let _ = kill(Pid::from_raw(number), Signal::SIGINT);
        }
    }

    pub(super) fn finish(mut self) -> (Done, Vec<String>) {
        let mut cautions = Vec::new();
        let kind = self.kind.name();
        if let Some(status) = self.early {
            let by = &self.by;
            cautions.push(format!("the load `{kind}`: {by} ended before the run did: {status}"));
        }
        let until = MonotonicClock::now() + GRACE;
        while self.child.try_wait().ok().flatten().is_none() {
            if MonotonicClock::now() > until {
                let by = &self.by;
                cautions.push(format!("the load `{kind}`: {by} had to be killed"));
                break;
            }
            sleep(LOOK);
        }
        (self.done(), cautions)
    }
}

/// Name and version, as `stress-ng 0.15.06`.
fn version(program: &Path) -> io::Result<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = text.split_once("version ").and_then(|(_, rest)| rest.split_whitespace().next());
    Ok(format!("stress-ng {}", number.unwrap_or("of an unknown version")))
}

/// What it is asked for.
fn options(kind: Kind, cpus: &[usize]) -> Result<Vec<String>, Failure> {
    let processes = kind.processes(cpus.len()).to_string();
    let list = cpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut options = vec!["--metrics-brief", "--timeout", "0", "--oomable", "--taskset"]
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    options.push(list);
    let octets = match kind {
        Kind::Mem => memory_of_each(cpus.len())?.to_string(),
        Kind::Cpu | Kind::Net | Kind::Disk => String::new(),
    };
    let of_kind: &[&str] = match kind {
        Kind::Cpu => &["--cpu", &processes],
        // All processes of `--vm` together take so many octets or each does, by version.
        Kind::Mem => &["--vm", &processes, "--vm-bytes", &octets, "--memcpy", &processes],
        Kind::Net => &["--udp", &processes, "--udp-domain", "ipv4"],
        Kind::Disk => &[],
    };
    options.extend(of_kind.iter().map(|&it| it.to_owned()));
    Ok(options)
}

/// What it counted, of all its ways of one kind.
fn rounds(said: &str, kind: Kind) -> u64 {
    let names: &[&str] = match kind {
        Kind::Cpu => &["cpu"],
        Kind::Mem => &["vm", "memcpy"],
        Kind::Net => &["udp"],
        Kind::Disk => &[],
    };
    let count = |line: &str| {
        let (_, rest) = line.split_once("] ")?;
        let mut words = rest.split_whitespace();
        words.next().filter(|name| names.contains(name))?;
        let count = words.next()?.parse::<u64>().ok()?;
        // Another line may begin with the same words: this one goes on with times.
        words.next()?.parse::<f64>().is_ok().then_some(count)
    };
    said.lines().filter_map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_counted_is_read_from_its_table() {
        let said = "\
stress-ng: info:  [7] dispatching hogs: 4 vm, 4 memcpy
stress-ng: metrc: [7] stressor       bogo ops real time  usr time  sys time   bogo ops/s
stress-ng: metrc: [7]                           (secs)    (secs)    (secs)   (real time)
stress-ng: metrc: [7] vm                2944      1.94      1.70      0.00      1514.23
stress-ng: metrc: [7] memcpy              56      1.94      1.70      0.00      1514.23
stress-ng: info:  [7] successful run completed in 1.95s
";
        assert_eq!(rounds(said, Kind::Mem), 3_000);
        assert_eq!(rounds(said, Kind::Cpu), 0);
        assert_eq!(rounds("", Kind::Mem), 0);
    }
}
