//! A job for one machine: a script, or the test that calls, run by itself inside.

use std::env;
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use tools::netlab::Process;

use super::emulator::{Emulator, End, panic_words};
use super::image::{Image, lab_folder, lock};
use super::{LabError, Machine, tail};
use crate::os::clock;

/// Tells a program that it runs in a lab machine.
const INSIDE: (&str, &str) = ("BUMPLESS_LAB", "inside");
/// Where a machine has its results folder.
const RESULTS: &str = "/run/out";
/// Variables that a test takes along, by the start of their names.
const ENVIRONMENT: [&str; 4] = ["BUMPLESS_", "CARGO_", "RUST_", "PROPTEST_"];
/// What a machine's first program leaves in the results folder.
const BOOTED: &str = ".lab/booted";
/// How often a machine is started whose kernel falls before its first program runs. A kernel that
/// boots changes its own code by way of breakpoints, and an emulator with several processors now
/// and then meets one that is not there any more: seen once in some hundreds of boots, at a jump
/// label. Nothing of ours runs by then.
pub(super) const BOOTS_MAX: u32 = 3;
/// How often the log is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long a program may take to list its tests.
const LIST_PATIENCE: Duration = Duration::from_secs(60);
/// What is quoted of the log and of the console when a machine fails.
const TAIL_LINES: usize = 40;
/// What is kept of a log.
const LOG_OCTETS_MAX: u64 = 64 << 20;

/// A job that was run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ran {
    /// How the machine ended.
    pub end: End,
    /// Exit status of the job, if it came to its end.
    pub status: Option<i32>,
    /// What the job wrote.
    pub log: String,
    /// The last lines of the log and of the kernel's console, marked as such.
    pub last_words: String,
}

impl Ran {
    /// What went wrong, in words with the last lines of what was written; `None` when the job ended
    /// with status 0.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let what = match (&self.end, self.status) {
            (End::PoweredOff, Some(0)) => return None,
            (End::PoweredOff, Some(status)) => format!("the job ended with status {status}"),
            (End::PoweredOff, None) => "it switched itself off before the job's end".to_owned(),
            (end, _) => end.to_string(),
        };
        Some(format!("lab machine: {what}\n{}", self.last_words))
    }
}

/// The last lines of a machine's log and console, marked as said by somebody else. `out` is its
/// results folder.
pub(super) fn last_words(out: &Path) -> String {
    let mut text = String::new();
    for (what, file) in [("log", "log"), ("console", ".lab/console")] {
        let said = fs::read(out.join(file)).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        if let Some(words) = panic_words(&said) {
            text += &format!("-- its kernel panicked: {words}\n");
        }
        let said = tail(&said, TAIL_LINES);
        let said: String = said.lines().map(|line| format!("  | {line}\n")).collect();
        text += &format!("-- end of its {what}\n{said}");
    }
    text
}

/// Whether this process runs in a lab machine.
#[must_use]
pub fn is_inside() -> bool {
    env::var_os(INSIDE.0).is_some_and(|value| value == INSIDE.1)
}

/// Whether there can be machines here; prints the `SKIP` line of the test named `test` otherwise.
/// For tests that stay outside; [`enter`] asks by itself. Makes the image if there is none.
///
/// # Panics
/// An image could be had, but cannot be made.
#[must_use]
pub fn can_run(test: &str, machine: &Machine) -> bool {
    match Image::of(machine.kernel) {
        Ok(_) => true,
        Err(LabError::Unavailable(why)) => {
            println!("SKIP: {test}: {why}");
            false
        }
        Err(error) => panic!("{test}: {error}"),
    }
}

/// What a test has in a lab machine.
#[derive(Debug)]
pub struct Inside(());

impl Inside {
    /// A folder of the host's: what is left here stays after the machine's end, in the build folder
    /// below `lab/runs`, until the test runs again. Files in it cannot be mapped.
    #[must_use]
    pub fn results(&self) -> &'static Path {
        Path::new(RESULTS)
    }

    /// What `uname -r` says.
    ///
    /// # Errors
    /// There is no `/proc`.
    pub fn kernel_release(&self) -> io::Result<String> {
        Ok(fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned())
    }

    /// What `uname -v` says: `PREEMPT_RT` is in it where the kernel is one.
    ///
    /// # Errors
    /// There is no `/proc`.
    pub fn kernel_version(&self) -> io::Result<String> {
        Ok(fs::read_to_string("/proc/sys/kernel/version")?.trim().to_owned())
    }
}

/// Runs the test that calls, named exactly as `cargo test` names it, in a fresh machine.
///
/// Outside it starts the machine, runs the same program there with this test alone, prints what it
/// says, and returns `None`: the test has been run, or cannot be, and then a `SKIP` line has said
/// why. Inside it returns what a test has there. Variables whose names begin with
/// `BUMPLESS_`, `CARGO_`, `RUST_` or `PROPTEST_` are the same inside.
///
/// # Panics
/// Outside, when the test failed inside, when there is no test of that name, and when the machine
/// panicked, hung or died; with the end of the log and of the console.
#[must_use]
pub fn enter(test: &str, machine: &Machine) -> Option<Inside> {
    if is_inside() {
        return Some(Inside(()));
    }
    match run_test(test, machine) {
        Ok(ran) => {
            if let Some(failure) = ran.failure() {
                panic!("{test}: {failure}");
            }
            assert!(
                ran.log.contains("test result: ok. 1 passed;"),
                "{test}: not one test was run\n{}",
                ran.last_words
            );
        }
        Err(LabError::Unavailable(why)) => println!("SKIP: {test}: {why}"),
        Err(error) => panic!("{test}: {error}"),
    }
    None
}

fn run_test(test: &str, machine: &Machine) -> Result<Ran, LabError> {
    let program = env::current_exe().map_err(LabError::io("cannot tell where this test is"))?;
    check_name(&program, test)?;
    let folder = env::current_dir().map_err(LabError::io("cannot tell the current folder"))?;
    let mut script = format!("#!/bin/sh\ncd {} || exit 1\n", quoted(&folder.to_string_lossy()));
    for (name, value) in env::vars_os() {
        // What is no text cannot be meant for us.
        let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) else { continue };
        if ENVIRONMENT.iter().any(|start| name.starts_with(start)) && is_identifier(&name) {
            script += &format!("export {name}={}\n", quoted(&value));
        }
    }
    script += &format!("export {}={}\n", INSIDE.0, INSIDE.1);
    let (program, name) = (quoted(&program.to_string_lossy()), quoted(test));
    script += &format!("exec {program} {name} --exact --nocapture --test-threads 1\n");
    let runs = lab_folder()?.join("runs");
    let out = runs.join(test.replace("::", "."));
    fs::create_dir_all(&runs).map_err(LabError::io(runs.display().to_string()))?;
    // Nobody else may use the folder meanwhile.
    let lock = lock(&out.with_extension("lock"))?;
    let _ = fs::remove_dir_all(&out);
    let ran = run_script(machine, test, &script, &out, print_line);
    drop(lock);
    ran
}

/// Where no test has that name nothing would run, and pass.
fn check_name(program: &Path, test: &str) -> Result<(), LabError> {
    let mut command = Command::new(program);
    command.args([test, "--exact", "--list"]);
    let ended = Process::spawn(test, command)?.finish(LIST_PATIENCE)?;
    if ended.out.lines().any(|line| line.strip_suffix(": test") == Some(test)) {
        return Ok(());
    }
    let program = program.display();
    Err(LabError::Program(format!("there is no test of that name in {program}")))
}

/// Passes a line on so that a reader of the outer test's output does not take the inner test for
/// one of its own.
fn print_line(line: &str) {
    let said = match line.split_once(" ... ") {
        Some((test, said)) if test.starts_with("test ") => said,
        _ => line,
    };
    if said.starts_with("SKIP: ") {
        println!("{said}");
    } else {
        println!("  in the lab: {line}");
    }
}

/// Runs a script (a shell's, unless its first line says whose) as root in a fresh machine, in which
/// `out` is `/run/out`, and hands each line that it writes to `say`. The machine is called `name`.
///
/// # Errors
/// There can be no machine here, or the emulator cannot be started. A job that fails is none.
pub fn run_script(
    machine: &Machine,
    name: &str,
    script: &str,
    out: &Path,
    mut say: impl FnMut(&str),
) -> Result<Ran, LabError> {
    for _ in 1..BOOTS_MAX {
        let ran = run_once(machine, name, script, out, &mut say)?;
        if !fell_booting(&ran.end, out) {
            return Ok(ran);
        }
        say(&format!("machine {name}: its kernel fell while it booted; started again"));
    }
    run_once(machine, name, script, out, &mut say)
}

/// Whether a machine's kernel fell before its first program had the results folder.
pub(super) fn fell_booting(end: &End, out: &Path) -> bool {
    matches!(end, End::Panicked(_)) && !out.join(BOOTED).exists()
}

fn run_once(
    machine: &Machine,
    name: &str,
    script: &str,
    out: &Path,
    mut say: impl FnMut(&str),
) -> Result<Ran, LabError> {
    let io = || LabError::io(out.display().to_string());
    write_job(out, script)?;
    let out = out.canonicalize().map_err(io())?;
    let mut log = Log::new(out.join("log"));
    let mut emulator = Emulator::start(machine, name, &out, &[])?;
    let start = clock::now();
    let mut is_late = false;
    while emulator.is_running() && !is_late {
        sleep(LOOK);
        log.read(&mut say);
        is_late = Duration::from_nanos(clock::now().since(start).as_nanos()) > machine.limit;
    }
    let end = if is_late {
        emulator.kill();
        End::Hung(machine.limit)
    } else {
        // It has ended already.
        emulator.end(Duration::ZERO).unwrap_or(End::PoweredOff)
    };
    log.read(&mut say);
    let text = log.finish(&mut say);
    let status = fs::read_to_string(out.join(".lab/status")).ok();
    let status = status.and_then(|status| status.trim().parse().ok());
    Ok(Ran { end, status, log: text, last_words: last_words(&out) })
}

/// Puts the job of a machine into its results folder.
pub(super) fn write_job(out: &Path, script: &str) -> Result<(), LabError> {
    let io = || LabError::io(out.display().to_string());
    fs::create_dir_all(out.join(".lab")).map_err(io())?;
    // Of another run, if they are there.
    let _ = fs::remove_file(out.join("log"));
    let _ = fs::remove_file(out.join(".lab/status"));
    let _ = fs::remove_file(out.join(BOOTED));
    let job = out.join(".lab/job");
    fs::write(&job, script).map_err(io())?;
    fs::set_permissions(&job, fs::Permissions::from_mode(0o755)).map_err(io())
}

/// A log that grows.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    octets: Vec<u8>,
    said: usize,
}

impl Log {
    const fn new(path: PathBuf) -> Self {
        Self { path, octets: Vec::new(), said: 0 }
    }

    /// Reads what is new and says the lines that are complete.
    fn read(&mut self, say: &mut impl FnMut(&str)) {
        let at = self.octets.len() as u64;
        // Not there yet, or not readable this time.
        let Ok(mut file) = fs::File::open(&self.path) else { return };
        if at < LOG_OCTETS_MAX && file.seek(SeekFrom::Start(at)).is_ok() {
            let _ = file.take(LOG_OCTETS_MAX - at).read_to_end(&mut self.octets);
        }
        while let Some(end) = self.octets[self.said..].iter().position(|&octet| octet == b'\n') {
            say(&String::from_utf8_lossy(&self.octets[self.said..self.said + end]));
            self.said += end + 1;
        }
    }

    /// Says a last line that was not ended; the whole text.
    fn finish(self, say: &mut impl FnMut(&str)) -> String {
        if self.said < self.octets.len() {
            say(&String::from_utf8_lossy(&self.octets[self.said..]));
        }
        String::from_utf8_lossy(&self.octets).into_owned()
    }
}

fn is_identifier(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The text as one word for a shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_for_a_shell_is_taken_literally() {
        for text in ["plain", "a b", "it's $HOME `x` \"y\" \\", "'", ""] {
            let script = format!("printf %s {}", quoted(text));
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }

    #[test]
    fn lines_are_said_once_and_an_unfinished_one_at_the_end() {
        let scratch = tools::netlab::Scratch::new().unwrap();
        let path = scratch.path().join("log");
        let mut said = Vec::new();
        let mut say = |line: &str| said.push(line.to_owned());
        let mut log = Log::new(path.clone());
        log.read(&mut say);
        fs::write(&path, "one\ntw").unwrap();
        log.read(&mut say);
        fs::write(&path, "one\ntwo\nthr").unwrap();
        log.read(&mut say);
        assert_eq!(log.finish(&mut say), "one\ntwo\nthr");
        assert_eq!(said, ["one", "two", "thr"]);
    }
}
