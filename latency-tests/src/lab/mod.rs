//! Machines with a real-time kernel: Debian's PREEMPT_RT kernels under QEMU's software emulation,
//! with this machine's root, read-only, as theirs.
//!
//! ```text
//!   this machine                       lab machine
//!   /            ── 9p, read-only ──→  lower layer of an overlay in memory: its root
//!   a folder     ── 9p ─────────────→  /run/out: the job, its log, its results
//!   console.log  ←─ serial line ─────  the kernel's console
//! ```
//!
//! Every program and every build of the host is there at its own path, so a test runs itself inside
//! ([`enter`]) and nothing has to be copied or installed. What needs no KVM needs no particular
//! host: this works wherever Debian's packages can be had. An image with a distribution of its own
//! was rejected: it would have to be built, kept, and filled with each build of ours.
//!
//! **What holds inside.** `/run`, `/tmp`, `/dev` and `/sys` are the machine's own; what is written
//! elsewhere goes to memory and is gone with the machine. `/run/out` is a folder of the host.
//! proc, sysfs, debugfs, tracefs, bpf and cgroup2 are mounted, `lo` is up, memory may be locked
//! without limit. The kernel loads modules of its package on demand; `modprobe` works, with
//! arguments (`softdog`, `scsi_debug`). `ip netns exec` mounts a `/sys` of its own that holds no
//! debugfs and no bpf: read `/sys/kernel/debug` outside of it.
//!
//! **Time.** Emulation is 20 to 50 times slower than a processor: no time read inside means
//! anything. With [`Machine::counts_instructions`] one instruction is one virtual nanosecond, and
//! times read inside are instruction counts, good for ratios.
//!
//! | Module | Holds |
//! |---|---|
//! | `packages` | what Debian has to give: the emulator, tools, the kernels |
//! | `image` | a kernel and its first root, built once and kept in the build folder |
//! | `cpio` | the form of that first root |
//! | `hardware` | what a machine is made of, as arguments of the emulator |
//! | `emulator` | one running QEMU and its ends |
//! | `qmp` | what an emulator is told, and what it tells |
//! | `scenario` | a test that runs itself inside |
//! | `network` | several machines and the links that join them |
//! | `node` | one of them, and what can befall it |
//! | `suspension`, `own_root` | a machine that sleeps, and what it has to have for it |
//! | `hub` | a LAN between machines |
//! | `agent`, `guest` | programs in a machine: the side inside, the side of the host |
//!
//! Thread class: never a real-time thread.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use tools::netlab::NetLabError;

/// The page's listings compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/lab.md")]
struct Page;

mod agent;
mod cpio;
mod emulator;
mod guest;
mod hardware;
mod hub;
mod image;
mod network;
mod node;
mod own_root;
mod packages;
mod qmp;
mod scenario;
mod suspension;

pub use agent::serve_agent;
pub use emulator::End;
pub use guest::Background;
pub use image::Image;
pub use network::{Lab, Link};
pub use node::Node;
pub use scenario::{Inside, Ran, can_run, enter, is_inside, run_script};

/// A kernel that a machine may run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Kernel {
    /// Linux 6.12 with PREEMPT_RT.
    #[default]
    Rt612,
    /// Linux 6.1 with PREEMPT_RT.
    Rt61,
}

impl Kernel {
    /// Its first two numbers, as in `6.12`.
    #[must_use]
    pub const fn series(self) -> &'static str {
        match self {
            Self::Rt612 => "6.12",
            Self::Rt61 => "6.1",
        }
    }
}

impl FromStr for Kernel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = [Self::Rt612, Self::Rt61];
        let found = known.into_iter().find(|kernel| kernel.series() == text);
        found.ok_or_else(|| format!("there is no kernel {text}: 6.12 or 6.1"))
    }
}

/// A model of network card. With a driver of its own comes what the daemon has to find out: which
/// ways in and out there are, and how long a link takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CardModel {
    /// The emulator's own, which has XDP in its driver. Fast.
    #[default]
    Virtio,
    /// Intel's 82574L, which has none.
    E1000e,
}

/// What a machine is like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Machine {
    /// Its kernel.
    pub kernel: Kernel,
    /// Its processors; each is a thread of the emulator.
    pub cpus: u32,
    /// Its memory in MiB; the host gives what is used.
    pub memory_mib: u32,
    /// What its network cards are.
    pub card: CardModel,
    /// Whether one instruction is one virtual nanosecond. Such a machine has one processor,
    /// whatever [`Self::cpus`] says.
    pub counts_instructions: bool,
    /// Whether it can be suspended ([`Node::suspend`]); in a [`Lab`] only. Such a machine has a
    /// root in its memory with few programs: the project's, `sh`, `ip`, and what busybox has.
    /// Nothing is kept of what it says but its console, and no module is loaded on demand.
    pub can_suspend: bool,
    /// What its kernel is told beyond what the lab tells it, as in `isolcpus=1`.
    pub kernel_arguments: String,
    /// How long it may run until it is ended as hung; in a [`Lab`], how long it may take to boot.
    pub limit: Duration,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            kernel: Kernel::default(),
            cpus: 2,
            memory_mib: 3072,
            card: CardModel::default(),
            counts_instructions: false,
            can_suspend: false,
            kernel_arguments: String::new(),
            limit: Duration::from_secs(300),
        }
    }
}

/// Why there can be no machine here: a test that gets it skips itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unavailable {
    /// What is missing, in one word: `debian`, `amd64`, `root`, `packages`, `download`.
    pub word: &'static str,
    /// What was wanted, and the remedy.
    pub text: String,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}, {}", self.word, self.text)
    }
}

/// Why a machine was not had, or did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// It cannot be had here.
    #[error("{0}")]
    Unavailable(Unavailable),
    /// A system call or a file.
    #[error("lab: {what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's answer.
        error: io::Error,
    },
    /// A program of the host did not do what it should.
    #[error("lab: {0}")]
    Program(String),
    /// The emulator did not start or cannot be told anything.
    #[error(transparent)]
    Emulator(#[from] NetLabError),
}

impl LabError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }

    fn unavailable(word: &'static str, text: impl Into<String>) -> Self {
        Self::Unavailable(Unavailable { word, text: text.into() })
    }
}

/// The last lines of a text, for a message.
fn tail(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
