//! One running QEMU: how it is started, what its console says, how it ended.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tools::netlab::{Process, Scratch};
use tools::os::parent::end_with_parent;

use super::agent::PORT;
use super::hardware::{Card, boot, hardware, shares, write_order};
use super::image::Image;
use super::qmp::Qmp;
use super::{LabError, Machine, own_root, tail};
use crate::os::clock;

/// The emulator.
const PROGRAM: &str = "qemu-system-x86_64";
/// How the kernel begins its last words.
const PANIC: &str = "Kernel panic - not syncing: ";
/// How long an emulator may take until it has connected.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a machine came to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// It switched itself off.
    PoweredOff,
    /// It reset itself, or its reset button was pressed. It does not start again by itself. The
    /// kernel's `softdog` ends in this too, or, with `soft_panic=1`, in a panic.
    Reset,
    /// Its watchdog (driver `i6300esb`) was not fed and reset it.
    Watchdog,
    /// Its kernel panicked, with these words.
    Panicked(String),
    /// It was cut off from power.
    PowerCut,
    /// It was ended because its time was over.
    Hung(Duration),
    /// The emulator ended in some other way, and said this.
    Died(String),
}

impl fmt::Display for End {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PoweredOff => write!(to, "it switched itself off"),
            Self::Reset => write!(to, "it reset itself"),
            Self::Watchdog => write!(to, "its watchdog reset it"),
            Self::Panicked(words) => write!(to, "its kernel panicked: {words}"),
            Self::PowerCut => write!(to, "its power was cut"),
            Self::Hung(limit) => write!(to, "it hung: not at its end after {limit:?}"),
            Self::Died(words) => write!(to, "the emulator ended: {words}"),
        }
    }
}

/// A running emulator. It ends with this value, and with the thread that started it.
#[derive(Debug)]
pub(super) struct Emulator {
    process: Process,
    qmp: Qmp,
    agent: Option<UnixStream>,
    console: PathBuf,
    // Dropped last: the emulator's files.
    _scratch: Scratch,
}

impl Emulator {
    /// Starts `machine` with the results folder `out`, which holds its job. Thread: one that lives
    /// as long as the machine shall.
    pub(super) fn start(
        machine: &Machine,
        name: &str,
        out: &Path,
        cards: &[Card],
    ) -> Result<Self, LabError> {
        let image = Image::of(machine.kernel)?;
        let scratch = Scratch::new()?;
        // Beside the log: what was said last is asked for when this value is gone.
        let console = out.join(".lab/console");
        write_order(&image, name, out, cards)?;
        if machine.can_suspend {
            own_root::write_list(out)?;
        }
        let mut command = Command::new(PROGRAM);
        command.args(hardware(machine, cards)).args(boot(machine, &image));
        command.args(["-serial", &format!("file:{}", console.display())]);
        command.args(shares(out)?);
        // We listen, so that nobody has to look whether a socket is there already.
        let qmp = Door::open(scratch.path(), "qmp", &mut command)?;
        command.args(["-mon", "chardev=qmp,mode=control"]);
        let agent = Door::open(scratch.path(), "agent", &mut command)?;
        command.args(["-device", "virtio-serial-pci", "-device"]);
        command.arg(format!("virtserialport,chardev=agent,name={PORT}"));
        end_with_parent(&mut command);
        let mut process = Process::spawn(format!("machine {name}"), command)?;
        let qmp = Qmp::greet(qmp.accept(&mut process)?)?;
        let agent = Some(agent.accept(&mut process)?);
        Ok(Self { process, qmp, agent, console, _scratch: scratch })
    }

    /// Whether it still runs.
    pub(super) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// The way to the machine's agent; once.
    pub(super) const fn take_agent(&mut self) -> Option<UnixStream> {
        self.agent.take()
    }

    /// What the kernel has said on its console.
    pub(super) fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned()
    }

    /// Tells the emulator to do something.
    pub(super) fn execute(&mut self, command: &str, arguments: &Value) -> Result<(), LabError> {
        self.qmp.execute(command, arguments).map(drop)
    }

    /// Whether the machine is suspended to its memory.
    pub(super) fn is_suspended(&mut self) -> Result<bool, LabError> {
        Ok(self.qmp.execute("query-status", &json!({}))?["status"] == "suspended")
    }

    /// Stops the emulator itself, or lets it go on.
    pub(super) fn signal(&mut self, signal: Signal) -> Result<(), LabError> {
        Ok(self.process.signal(signal)?)
    }

    /// Ends it at once, as a power cut does.
    pub(super) fn kill(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(10);
        // Not there any more is just as well.
        let _ = self.process.signal(Signal::SIGKILL);
        let _ = self.process.wait_exit(PATIENCE);
    }

    /// Waits a bounded time until it has ended by itself; how it did.
    pub(super) fn end(&mut self, patience: Duration) -> Option<End> {
        let status = self.process.wait_exit(patience)?;
        let console = self.console();
        let events = self.qmp.all_events();
        let has = |name: &str| events.iter().any(|event| event.event == name);
        let panic = panic_words(&console);
        if panic.is_some() || has("GUEST_PANICKED") {
            return Some(End::Panicked(panic.unwrap_or("without a word").to_owned()));
        }
        if has("WATCHDOG") {
            return Some(End::Watchdog);
        }
        let shutdown = events.iter().find(|event| event.event == "SHUTDOWN");
        Some(match shutdown.and_then(|event| event.data["reason"].as_str()) {
            Some("guest-shutdown") => End::PoweredOff,
            Some("guest-reset" | "host-qmp-system-reset") => End::Reset,
            reason => {
                let (reason, said) = (reason.unwrap_or("unasked"), tail(&self.process.err(), 5));
                End::Died(format!("{reason}, {status}; {said}"))
            }
        })
    }
}

/// Where a kernel that panicked says why.
pub(super) fn panic_words(console: &str) -> Option<&str> {
    console.lines().find_map(|line| line.split_once(PANIC)).map(|(_, words)| words)
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Not asked to end: one that is stopped would not hear it.
        self.kill();
    }
}

/// A socket on which an emulator connects.
#[derive(Debug)]
struct Door(UnixListener);

impl Door {
    /// Makes the socket, and a character device `name` of the emulator that connects to it.
    fn open(folder: &Path, name: &str, command: &mut Command) -> Result<Self, LabError> {
        let path = folder.join(name);
        let listener = UnixListener::bind(&path).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        let path = path.display();
        command.args(["-chardev", &format!("socket,id={name},path={path},server=off")]);
        Ok(Self(listener.map_err(LabError::io(path.to_string()))?))
    }

    fn accept(&self, process: &mut Process) -> Result<UnixStream, LabError> {
        const LOOK: Duration = Duration::from_millis(2);
        let start = clock::now();
        loop {
            match self.0.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).map_err(LabError::io("a socket"))?;
                    return Ok(stream);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(LabError::io("a socket for the emulator")(error)),
            }
            let waited = Duration::from_nanos(clock::now().since(start).as_nanos());
            if waited > PATIENCE || !process.is_running() {
                // What it says on its way out.
                let _ = process.wait_err(|_| true, Duration::from_secs(1));
                let (name, said) = (process.name(), tail(&process.err(), 10));
                return Err(LabError::Program(format!("{name} does not start: {said}")));
            }
            sleep(LOOK);
        }
    }
}
