//! What is to happen, as a word says it.

use std::fmt;
use std::fs;
use std::str::FromStr;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid};
use tools::exit::Failure;

/// The words, for messages.
const WORDS: &str = "trace, trace:INSTANCE, shell:COMMAND, signal, signal:SIGNAL, \
    signal:SIGNAL:PID";

/// What happens when a sample is too late.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Nothing but the end of the run.
    Nothing,
    /// The kernel's trace is marked and stopped.
    Trace {
        /// Of this instance; of the trace itself, without.
        instance: Option<String>,
    },
    /// A command is run by `sh`, with `BUMPLESS_LATENCY_CPU`, `_LATE_NS`, `_AT_NS` (when the sample
    /// was planned, on the monotonic clock), `_THRESHOLD_NS` and `_PID` (of this program) in its
    /// environment. It may take a minute.
    Shell(String),
    /// A signal is sent.
    Signal {
        /// Which; `SIGUSR1` where none is named.
        signal: Signal,
        /// To whom.
        to: Receiver,
    },
}

/// Whom a signal is sent to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Receiver {
    /// Who started this program.
    Parent(Pid),
    /// A process that was named.
    Process(Pid),
}

impl FromStr for Action {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let unknown = || {
            let message = format!("--on-threshold: `{text}` is no action");
            Failure::usage(message, format!("name one of {WORDS}"))
        };
        let (word, rest) = match text.split_once(':') {
            Some((word, rest)) => (word, Some(rest)),
            None => (text, None),
        };
        match (word, rest) {
            ("trace", None) => Ok(Self::Trace { instance: None }),
            // A name of a folder, not a way to another one.
            ("trace", Some(name)) if !name.is_empty() && name != "." && name != ".." => {
                if name.contains(['/', '\0']) {
                    Err(unknown())
                } else {
                    Ok(Self::Trace { instance: Some(name.to_owned()) })
                }
            }
            ("shell", Some(command)) if !command.trim().is_empty() && !command.contains('\0') => {
                Ok(Self::Shell(command.to_owned()))
            }
            ("signal", rest) => {
                let (signal, process) = match rest.map(|rest| rest.split_once(':')) {
                    None => (Some(Signal::SIGUSR1), None),
                    Some(None) => (rest.and_then(signal_called), None),
                    Some(Some((name, process))) => (signal_called(name), Some(process)),
                };
                let signal = signal.ok_or_else(unknown)?;
                let to = match process {
                    None => Receiver::Parent(getppid()),
                    Some(number) => {
                        Receiver::Process(process_numbered(number).ok_or_else(unknown)?)
                    }
                };
                Ok(Self::Signal { signal, to })
            }
            _ => Err(unknown()),
        }
    }
}

/// A signal by its number or name, with `SIG` or without.
fn signal_called(name: &str) -> Option<Signal> {
    if let Ok(number) = name.parse::<i32>() {
        return Signal::try_from(number).ok();
    }
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    format!("SIG{name}").parse().ok()
}

/// One process: numbers up to 0 mean groups, and the first one is the system.
fn process_numbered(number: &str) -> Option<Pid> {
    number.parse().ok().filter(|number: &i32| *number > 1).map(Pid::from_raw)
}

impl Receiver {
    /// Its number.
    #[must_use]
    pub const fn process(self) -> Pid {
        match self {
            Self::Parent(process) | Self::Process(process) => process,
        }
    }

    /// Whether it can be sent there, and whether a parent that was not asked survives it.
    pub(super) fn check(self, signal: Signal) -> Result<(), Failure> {
        let refused = |what: &str, remedy: &str| {
            Failure::usage(format!("--on-threshold signal: {self} {what}"), remedy)
        };
        match kill(self.process(), None) {
            Ok(()) => {}
            Err(Errno::EPERM) => {
                let message = format!("--on-threshold signal: {self} may not be sent signals");
                return Err(Failure::missing(message, "run as its user, or as root"));
            }
            Err(errno) => return Err(refused(&format!("is not there: {errno}"), "name another")),
        }
        if let Self::Parent(process) = self
            && process != getpid()
            && (process.as_raw() <= 1 || !handles(process, signal))
        {
            return Err(refused(
                &format!("does not handle {signal} and might be ended by it"),
                "have it handle the signal (in a shell: trap), or name a process: signal:SIG:PID",
            ));
        }
        Ok(())
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parent(process) => write!(to, "the parent process {process}"),
            Self::Process(process) => write!(to, "process {process}"),
        }
    }
}

/// Whether a process catches or ignores a signal, as far as the kernel tells.
fn handles(process: Pid, signal: Signal) -> bool {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    is_handled(&text, signal)
}

fn is_handled(status: &str, signal: Signal) -> bool {
    let set = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
    };
    let number = signal as i32;
    let bit = 1u64.checked_shl(u32::try_from(number - 1).unwrap_or(64)).unwrap_or(0);
    (set("SigIgn:") | set("SigCgt:")) & bit != 0
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use tools::exit::ExitCode;

    use super::*;

    fn read(text: &str) -> Action {
        text.parse().unwrap()
    }

    #[test]
    fn each_word_means_what_it_says() {
        assert_eq!(read("trace"), Action::Trace { instance: None });
        assert_eq!(read("trace:rt"), Action::Trace { instance: Some("rt".to_owned()) });
        assert_eq!(read("shell:echo a:b"), Action::Shell("echo a:b".to_owned()));
        let to = Receiver::Parent(getppid());
        assert_eq!(read("signal"), Action::Signal { signal: Signal::SIGUSR1, to });
        for name in ["signal:SIGTERM", "signal:term", "signal:15"] {
            assert_eq!(read(name), Action::Signal { signal: Signal::SIGTERM, to });
        }
        let to = Receiver::Process(Pid::from_raw(4_711));
        assert_eq!(read("signal:USR2:4711"), Action::Signal { signal: Signal::SIGUSR2, to });
    }

    #[test]
    fn other_words_are_told_with_those_that_are() {
        let wrong = [
            "",
            "tracing",
            "trace:",
            "trace:..",
            "trace:a/b",
            "shell",
            "shell:",
            "shell: ",
            "signal:",
            "signal:NONE",
            "signal:0",
            "signal:99",
            "signal:USR1:",
            "signal:USR1:0",
            "signal:USR1:-1",
            "signal:USR1:1",
            "signal:USR1:me",
        ];
        for text in wrong {
            let failure = text.parse::<Action>().unwrap_err();
            assert_eq!(failure.code, ExitCode::Usage, "{text}");
            assert!(failure.to_string().contains("shell:COMMAND"), "{failure}");
        }
    }

    #[test]
    fn what_a_process_does_with_a_signal_is_read_from_its_status() {
        // SIGUSR1 is 10, SIGUSR2 is 12 here.
        let status = "Name:\tx\nSigIgn:\t0000000000000800\nSigCgt:\t0000000000000200\n";
        assert!(is_handled(status, Signal::SIGUSR1));
        assert!(is_handled(status, Signal::SIGUSR2));
        assert!(!is_handled(status, Signal::SIGTERM));
        assert!(!is_handled("", Signal::SIGTERM));
    }

    #[test]
    fn nobody_is_not_sent_a_signal() {
        // Above the largest number that a process can have.
        let failure = Receiver::Process(Pid::from_raw(1 << 23)).check(Signal::SIGUSR1).unwrap_err();
        assert_eq!(failure.code, ExitCode::Usage);
        assert!(failure.to_string().contains("is not there"), "{failure}");
    }
}
