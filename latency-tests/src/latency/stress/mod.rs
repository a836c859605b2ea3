//! A load beside a run: what the machine does when it is busy.
//!
//! A machine that idles says little: lateness comes from what else wants its processors, caches,
//! locks and interrupts. [`Load::start`] starts processes that want them, with ordinary scheduling
//! and nice 0, on all processors that it is given, those that are measured among them.
//!
//! | Word | Each process | Processes |
//! |---|---|---|
//! | `cpu` | computes | one on each processor |
//! | `mem` | copies through the caches, maps, touches, unmaps | one on each processor |
//! | `net` | sends datagrams over a loopback of its own | one on each processor |
//! | `disk` | writes a file, has it reach the disk, gives it up | one |
//!
//! Bounds: `mem` takes 64 MiB in each process, and an eighth of the available memory in all of
//! them; `net` has a network namespace for each, and what its socket's buffers hold; `disk` has a
//! file of 16 MiB, or of a sixteenth of what is free, and writes 64 MiB/s. `cpu` has none: that is
//! what it is for.
//!
//! Where `stress-ng` is on the PATH it makes the load of `cpu` (`--cpu N`), `mem` (`--vm N
//! --vm-bytes OCTETS --memcpy N`, the same bounds) and `net` (`--udp N --udp-domain ipv4`, in a
//! namespace of its own): it has more ways to disturb than ours. The load of `disk` is always ours,
//! for `stress-ng` has no bound for the rate, and leaves its folder behind when it is killed.
//!
//! Nothing stays. Each process is killed by its number at the end, and by the kernel when the
//! thread that started it has ended, however it did. Files have no name from the beginning, and
//! a namespace goes with its last process. A process that waits for its disk ends when that has
//! answered. Where memory becomes scarce the kernel takes these
//! processes first.
//!
//! A load that did nothing would make a run look better than it is: each process counts what it did
//! on a board that outlives it, and [`Load::finish`] says so where it was nothing.
//!
//! | Module | Holds |
//! |---|---|
//! | [`worker`] | what a process of ours does |
//! | `own`, `board` | processes of ours, and what they say while they work |
//! | `foreign` | `stress-ng` |
//!
//! **Rejected.** Threads of the measuring process: they share its address space, and a page fault
//! of one holds the lock that another one waits for.

mod board;
mod foreign;
mod own;
pub mod worker;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tools::exit::Failure;

use foreign::Foreign;
use own::Own;

/// Most processors that a load is made on.
const CPUS_MAX: usize = 1_024;

/// A kind of load.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Computes.
    Cpu,
    /// Copies, maps and unmaps.
    Mem,
    /// Sends and receives.
    Net,
    /// Writes to a disk.
    Disk,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Mem, Self::Net, Self::Disk];

    /// Its word on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Mem => "mem",
            Self::Net => "net",
            Self::Disk => "disk",
        }
    }

    /// How many processes make it on so many processors.
    const fn processes(self, cpus: usize) -> usize {
        match self {
            Self::Cpu | Self::Mem | Self::Net => cpus,
            Self::Disk => 1,
        }
    }
}

impl FromStr for Kind {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let words = Self::ALL.map(Self::name).join(", ");
            Failure::usage(
                format!("--stress: there is no load `{text}`"),
                format!("name some of {words}, with commas between them"),
            )
        })
    }
}

/// The kinds of a list like `cpu,mem`, each once, in the order of [`Kind::ALL`].
///
/// # Errors
/// Usage: a word is none of them; the message lists them.
pub fn kinds(list: &str) -> Result<Vec<Kind>, Failure> {
    let mut kinds =
        list.split(',').map(|word| word.trim().parse()).collect::<Result<Vec<Kind>, Failure>>()?;
    kinds.sort_unstable();
    kinds.dedup();
    Ok(kinds)
}

/// With what a load is made.
#[derive(Clone, Debug)]
pub struct Means {
    /// A program and its arguments that call [`worker::serve`] before anything else.
    pub worker: Vec<OsString>,
    /// `stress-ng`, where it shall be used.
    pub stress_ng: Option<PathBuf>,
}

impl Means {
    /// This program again, and `stress-ng` where it is on the PATH.
    #[must_use]
    pub fn here() -> Self {
        Self { worker: vec!["/proc/self/exe".into()], stress_ng: foreign::on_path() }
    }
}

/// What a kind of load has done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Done {
    /// Which.
    pub kind: Kind,
    /// By whom: `own`, or `stress-ng` and its version.
    pub by: String,
    /// How many processes there were; of `stress-ng` how many were asked for.
    pub processes: usize,
    /// Rounds of all, as who did them counts: `bogo ops` of `stress-ng`, datagrams of `net`.
    pub rounds: u64,
    /// Octets that were copied, sent or written; none where nobody counts them.
    pub octets: Option<u64>,
}

impl fmt::Display for Done {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, by, processes, rounds, octets } = self;
        let name = kind.name();
        write!(to, "{name}: {by}, {processes} processes, {rounds} rounds")?;
        octets.map_or(Ok(()), |octets| write!(to, ", {octets} octets"))
    }
}

/// A load that goes on, until it is finished or dropped. To be started by a thread that lives as
/// long: the kernel ends the processes with it.
#[derive(Debug)]
pub struct Load {
    makers: Vec<Maker>,
}

/// What a load was.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Account {
    /// What each kind did.
    pub done: Vec<Done>,
    /// What whoever reads the figures should know of it, a sentence each.
    pub cautions: Vec<String>,
}

/// Who makes a kind of load.
#[derive(Debug)]
enum Maker {
    Own(Own),
    Foreign(Foreign),
}

impl Load {
    /// Starts these kinds of load on these processors, with what is here, and waits, a bounded
    /// time, until each process is at work. Thread: the program's first one. Not real-time.
    ///
    /// # Errors
    /// Usage: no processor or too many. Missing: a privilege, memory, or a file system on a disk.
    pub fn start(kinds: &[Kind], cpus: &[usize]) -> Result<Self, Failure> {
        Self::start_by(&Means::here(), kinds, cpus)
    }

    /// The same, with these means.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_by(means: &Means, kinds: &[Kind], cpus: &[usize]) -> Result<Self, Failure> {
        if !(1..=CPUS_MAX).contains(&cpus.len()) {
            let message = format!("--stress: {} processors are none to load", cpus.len());
            return Err(Failure::usage(message, format!("name 1 to {CPUS_MAX}")));
        }
        let mut load = Self { makers: Vec::new() };
        for kind in kinds {
            let foreign = means.stress_ng.as_deref().filter(|_| *kind != Kind::Disk);
            load.makers.push(match foreign {
                Some(program) => Maker::Foreign(Foreign::start(program, *kind, cpus)?),
                None => Maker::Own(Own::start(&means.worker, *kind, cpus)?),
            });
        }
        for maker in &mut load.makers {
            match maker {
                Maker::Own(own) => own.wait_for_work()?,
                Maker::Foreign(foreign) => foreign.wait_for_work()?,
            }
        }
        Ok(load)
    }

    /// What makes it, a line for each kind: for `settings.stress`.
    #[must_use]
    pub fn settings(&self) -> Vec<String> {
        let line = |it: Done| format!("{}: {}, {} processes", it.kind.name(), it.by, it.processes);
        self.done().into_iter().map(line).collect()
    }

    /// What it has done so far. `stress-ng` says nothing before its end.
    #[must_use]
    pub fn done(&self) -> Vec<Done> {
        let done = |maker: &Maker| match maker {
            Maker::Own(own) => own.done(),
            Maker::Foreign(foreign) => foreign.done(),
        };
        self.makers.iter().map(done).collect()
    }

    /// The numbers of the processes that were started; those that they started are not among them.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        let numbers = |maker: &Maker| match maker {
            Maker::Own(own) => own.processes(),
            Maker::Foreign(foreign) => vec![foreign.process()],
        };
        self.makers.iter().flat_map(numbers).collect()
    }

    /// Ends it; what it did, and what was amiss: a process that ended before its time, a kind that
    /// did nothing. Waits a bounded time for `stress-ng` to say what it did.
    #[must_use]
    pub fn finish(self) -> Account {
        let mut account = Account::default();
        // All are told to end before one is waited for.
        let mut makers = self.makers;
        for maker in &mut makers {
            if let Maker::Foreign(foreign) = maker {
                foreign.ask_to_end();
            }
        }
        for maker in makers {
            let (done, cautions) = match maker {
                Maker::Own(own) => own.finish(),
                Maker::Foreign(foreign) => foreign.finish(),
            };
            account.cautions.extend(cautions);
            if done.rounds == 0 {
                let name = done.kind.name();
                let by = &done.by;
                account
                    .cautions
                    .push(format!("the load `{name}` ({by}) did nothing: the run was without it"));
            }
            account.done.push(done);
        }
        account
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_each_kind_once() {
        assert_eq!(kinds("mem,cpu,mem").unwrap(), [Kind::Cpu, Kind::Mem]);
        assert_eq!(kinds("cpu, mem,net,disk").unwrap(), Kind::ALL);
    }

    #[test]
    fn a_word_that_is_none_is_told_with_those_that_are() {
        for list in ["cpu,gpu", "", "cpu,", "CPU"] {
            let failure = kinds(list).unwrap_err();
            assert_eq!(failure.code, tools::exit::ExitCode::Usage);
            assert!(failure.to_string().contains("cpu, mem, net, disk"), "{failure}");
        }
    }

    #[test]
    fn no_processor_is_refused() {
        let failure = Load::start(&[Kind::Cpu], &[]).unwrap_err();
        assert_eq!(failure.code, tools::exit::ExitCode::Usage);
    }
}
