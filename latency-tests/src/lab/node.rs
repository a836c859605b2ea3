//! One machine of several: programs in it, and what can befall it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tools::netlab::Ended;

use super::emulator::{Emulator, End};
use super::guest::{Background, Guest};
use super::hardware::Card;
use super::scenario::{BOOTS_MAX, fell_booting, last_words, quoted, write_job};
use super::suspension::{Sleep, take_up_shares};
use super::{LabError, Machine};

/// The program that holds the agent.
pub(super) const PROGRAM: &str = "bumpless-lab";
/// How long a machine may take to fall when its kernel was told to panic.
const PANIC_PATIENCE: Duration = Duration::from_secs(120);

/// A machine of a [`Lab`](super::Lab).
#[derive(Debug)]
pub struct Node {
    name: String,
    machine: Machine,
    programs: PathBuf,
    out: PathBuf,
    cards: Vec<Card>,
    state: State,
}

#[derive(Debug)]
enum State {
    On(Box<Running>),
    Off(End),
}

#[derive(Debug)]
struct Running {
    emulator: Emulator,
    guest: Guest,
    /// Links whose cables are out.
    unplugged: BTreeSet<String>,
    sleep: Option<Sleep>,
}

impl Node {
    /// A machine that is off, with its results folder (made when it is switched on) and the folder
    /// of the project's programs.
    pub(super) fn new(
        name: String,
        machine: Machine,
        programs: PathBuf,
        out: PathBuf,
        cards: Vec<Card>,
    ) -> Self {
        Self { name, machine, programs, out, cards, state: State::Off(End::PowerCut) }
    }

    /// Its name: `n1`, `n2`, …
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder of the host's that is `/run/out` in it. It outlives a power cut, as a disk does.
    #[must_use]
    pub fn results(&self) -> &Path {
        &self.out
    }

    /// The address of its card on a link.
    #[must_use]
    pub fn mac(&self, link: &str) -> Option<&str> {
        self.cards.iter().find(|card| card.name == link).map(|card| card.mac.as_str())
    }

    /// Runs a program in it, for two minutes at most: its name, found as a shell finds it (the
    /// project's own programs too), and its arguments.
    ///
    /// # Errors
    /// It cannot be started or does not end; or the machine is off, ends, or does not answer.
    pub fn run(&self, command: &[&str]) -> Result<Ended, LabError> {
        self.run_within(command, Duration::from_secs(120))
    }

    /// The same with another limit.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_within(&self, command: &[&str], limit: Duration) -> Result<Ended, LabError> {
        self.guest()?.run(command, limit)
    }

    /// Runs a script of the shell's in it, for two minutes at most, which ends at the first command
    /// that fails; what it wrote to stdout.
    ///
    /// # Errors
    /// As [`Self::run`]; or it failed, and then what it wrote is in the error.
    pub fn shell(&self, script: &str) -> Result<String, LabError> {
        self.guest()?.shell(script)
    }

    /// Starts a program in it.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn start(&self, command: &[&str]) -> Result<Background, LabError> {
        self.guest()?.start(command, false)
    }

    /// The same, and waits until it has written a line `ready`.
    ///
    /// # Errors
    /// As [`Self::run`]; or it ended or was silent instead, and then what it wrote is in the error.
    pub fn start_ready(&self, command: &[&str]) -> Result<Background, LabError> {
        self.guest()?.start(command, true)
    }

    /// Cuts its power.
    pub fn cut_power(&mut self) {
        if let State::On(running) = &mut self.state {
            running.emulator.kill();
            self.state = State::Off(End::PowerCut);
        }
    }

    /// Switches it on again, after it has come to an end in whatever way; waits until it runs. Its
    /// memory is empty. Thread: one that lives as long as it shall.
    ///
    /// # Errors
    /// It is on; or it did not boot within its limit.
    pub fn power_on(&mut self) -> Result<(), LabError> {
        if matches!(self.state, State::On(_)) && self.end().is_none() {
            return Err(self.failure("it is on"));
        }
        self.switch_on()?;
        self.wait_until_booted()
    }

    /// Presses its reset button, and waits until it runs again.
    ///
    /// # Errors
    /// It is off; or it did not boot within its limit.
    pub fn reset(&mut self) -> Result<(), LabError> {
        self.execute("system_reset", &json!({}))?;
        self.wait_end(PANIC_PATIENCE)?;
        self.power_on()
    }

    /// Stops the emulator's process, as an operating system may: the machine does nothing, its
    /// clocks run on.
    ///
    /// # Errors
    /// It is off.
    pub fn stall(&mut self) -> Result<(), LabError> {
        self.running()?.emulator.signal(Signal::SIGSTOP)
    }

    /// Lets a machine that was stalled go on.
    ///
    /// # Errors
    /// It is off.
    pub fn go_on(&mut self) -> Result<(), LabError> {
        self.running()?.emulator.signal(Signal::SIGCONT)
    }

    /// Stops its processors and its time: it will not notice.
    ///
    /// # Errors
    /// It is off.
    pub fn pause(&mut self) -> Result<(), LabError> {
        self.execute("stop", &json!({}))
    }

    /// Lets a machine that was paused go on.
    ///
    /// # Errors
    /// It is off.
    pub fn resume(&mut self) -> Result<(), LabError> {
        self.execute("cont", &json!({}))
    }

    /// Suspends it to its memory, and waits until it sleeps: its programs are frozen, its cards
    /// without power, its processors stopped; its clock of the time since boot runs on. Until it is
    /// woken nothing can be run in it, and what is sent to it is lost. No program in it may use
    /// `/run/out` in this moment.
    ///
    /// # Errors
    /// It is off, sleeps already, is none that can be suspended, or does not fall asleep.
    pub fn suspend(&mut self) -> Result<(), LabError> {
        if !self.machine.can_suspend {
            return Err(self.failure("it is none that can be suspended"));
        }
        let Running { emulator, guest, .. } = self.awake()?;
        let sleep = Sleep::begin(emulator, guest);
        let sleep = sleep.map_err(|error| self.failure(&error.to_string()))?;
        self.running()?.sleep = Some(sleep);
        // The emulator would keep for it what is sent to it, a megabyte long.
        self.set_links(false)
    }

    /// Wakes it, as somebody does who presses a key, and waits until its programs run and its
    /// results folder is there. Its cards are connected some tenths of a second after its programs
    /// run, without a sign of it: they show a carrier from the start.
    ///
    /// # Errors
    /// It is off or awake, or does not wake up.
    pub fn wake(&mut self) -> Result<(), LabError> {
        let Some(sleep) = self.running()?.sleep.take() else {
            return Err(self.failure("it is awake"));
        };
        let woken = sleep.end(&mut self.running()?.emulator);
        woken.map_err(|error| self.failure(&error.to_string()))?;
        self.set_links(true)?;
        take_up_shares(self.guest()?)
    }

    /// Pulls the cable of a card out, or plugs it in: the machine sees its carrier go or come.
    ///
    /// # Errors
    /// It is off or sleeps, or has no such card.
    pub fn set_cable(&mut self, link: &str, is_plugged: bool) -> Result<(), LabError> {
        let running = self.awake()?;
        running.emulator.execute("set_link", &json!({"name": link, "up": is_plugged}))?;
        if is_plugged {
            running.unplugged.remove(link);
        } else {
            running.unplugged.insert(link.to_owned());
        }
        Ok(())
    }

    /// Connects all cards that have their cables, or disconnects them.
    fn set_links(&mut self, is_up: bool) -> Result<(), LabError> {
        for card in self.cards.clone() {
            let Running { emulator, unplugged, .. } = self.running()?;
            let is_plugged = !unplugged.contains(&card.name);
            let state = json!({"name": card.name, "up": is_up && is_plugged});
            emulator.execute("set_link", &state)?;
        }
        Ok(())
    }

    /// Makes its kernel panic, and waits until it has.
    ///
    /// # Errors
    /// It is off, or came to another end.
    pub fn panic(&mut self) -> Result<(), LabError> {
        self.guest()?.write("/proc/sysrq-trigger", "c")?;
        match self.wait_end(PANIC_PATIENCE)? {
            End::Panicked(_) => Ok(()),
            other => Err(self.failure(&format!("it should panic, but {other}"))),
        }
    }

    /// How it ended, if it has.
    pub fn end(&mut self) -> Option<End> {
        self.wait_end(Duration::ZERO).ok()
    }

    /// Waits until it has ended by itself; how.
    ///
    /// # Errors
    /// It still runs when the time is over.
    pub fn wait_end(&mut self, patience: Duration) -> Result<End, LabError> {
        match &mut self.state {
            State::Off(end) => Ok(end.clone()),
            State::On(running) => match running.emulator.end(patience) {
                Some(end) => {
                    self.state = State::Off(end.clone());
                    Ok(end)
                }
                None => Err(self.failure(&format!("it still runs after {patience:?}"))),
            },
        }
    }

    pub(super) fn switch_on(&mut self) -> Result<(), LabError> {
        let folder = quoted(&self.programs.to_string_lossy());
        let path = format!("PATH={folder}:\"$PATH\"\nexport PATH\n");
        write_job(&self.out, &format!("#!/bin/sh\n{path}exec {PROGRAM} agent\n"))?;
        let mut emulator = Emulator::start(&self.machine, &self.name, &self.out, &self.cards)?;
        let stream = emulator.take_agent().ok_or_else(|| self.failure("it has no agent"))?;
        let guest = Guest::new(&self.name, stream, &self.out)?;
        self.state = State::On(Box::new(Running {
            emulator,
            guest,
            unplugged: BTreeSet::new(),
            sleep: None,
        }));
        Ok(())
    }

    pub(super) fn wait_until_booted(&mut self) -> Result<(), LabError> {
        let limit = self.machine.limit;
        let mut boots = 1;
        let end = loop {
            if self.guest()?.wait_until_there(limit) {
                return Ok(());
            }
            let end = self.end().unwrap_or(End::Hung(limit));
            if boots == BOOTS_MAX || !fell_booting(&end, &self.out) {
                break end;
            }
            println!("machine {}: its kernel fell while it booted; started again", self.name);
            self.switch_on()?;
            boots += 1;
        };
        let error = self.failure(&format!("it did not boot, {end}"));
        self.cut_power();
        Err(error)
    }

    fn guest(&self) -> Result<&Guest, LabError> {
        match &self.state {
            State::On(running) if running.sleep.is_some() => Err(self.failure("it is suspended")),
            State::On(running) => Ok(&running.guest),
            State::Off(end) => Err(self.failure(&format!("it is off: {end}"))),
        }
    }

    fn running(&mut self) -> Result<&mut Running, LabError> {
        if let State::Off(end) = &self.state {
            return Err(self.failure(&format!("it is off: {end}")));
        }
        match &mut self.state {
            State::On(running) => Ok(running),
            State::Off(end) => Err(LabError::Program(end.to_string())),
        }
    }

    /// The same, of one that does not sleep.
    fn awake(&mut self) -> Result<&mut Running, LabError> {
        // What is said when it does.
        self.guest()?;
        self.running()
    }

    fn execute(&mut self, command: &str, arguments: &Value) -> Result<(), LabError> {
        self.running()?.emulator.execute(command, arguments)
    }

    fn failure(&self, what: &str) -> LabError {
        let text = format!("machine {}: {what}\n", self.name);
        LabError::Program(text + &last_words(&self.out))
    }
}
