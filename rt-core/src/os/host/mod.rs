//! Is this host fit for real time, and what should be changed?
//!
//! The kernel's texts are read in one place ([`HostTexts::read`]) and judged in another
//! ([`findings`]), which is pure: each check is tested on hosts that are not at hand, made of files
//! in a folder, and a bug report's files can be judged again.
//!
//! A check is a line of a table: its name, the files it cannot do without, and a function. What
//! is not there on this host (no frequency scaling in a guest) yields no finding; what is there and
//! cannot be read or understood yields [`Level::Unknown`], never a guess; and so does everything
//! where `/proc` or `/sys` is not to be seen at all.
//!
//! What can be changed while the host runs stands in the finding as a [`Change`]; [`fix`] makes it,
//! and only what it was given.
//!
//! | Module | Holds |
//! |---|---|
//! | `texts`, `tasks` | reading |
//! | `finding` | what a check says |
//! | `kernel`, `isolation`, `cpus`, `interrupts`, `memory`, `clocks`, `privilege` | the checks |
//! | `boot` | the kernel's command line |
//! | `facts` | what the host is, to be kept with a measurement |
//! | [`fix`] | making changes, and seeing whether they took |

mod boot;
mod clocks;
mod cpus;
mod facts;
mod finding;
pub mod fix;
mod interrupts;
mod isolation;
mod kernel;
mod memory;
mod privilege;
mod tasks;
mod texts;
mod view;

use std::path::Path;

pub use boot::boot_parameters;
pub use facts::facts;
pub use finding::{Change, Finding, Level, Remedy, Target, shell_word};
pub use texts::HostTexts;

use super::procfs::format_cpu_list;
pub use super::procfs::parse_cpu_list;
use super::thread::Policy;
use texts::PROCESS;
use view::View;

/// What will run on the host.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Needs {
    /// The real-time threads.
    pub threads: Vec<PlannedThread>,
    /// The interrupts of the NICs that they serve.
    pub nic_interrupts: Vec<u32>,
    /// Whether the texts of the process are those of the program that needs all this, not of one
    /// that only looks.
    pub process_runs: bool,
}

/// A thread that is to run, or does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedThread {
    /// Its name.
    pub name: String,
    /// How it is scheduled.
    pub policy: Policy,
    /// The CPU it is pinned to; none when it may run on any.
    pub cpu: Option<usize>,
    /// Whether it never waits.
    pub is_busy: bool,
}

impl PlannedThread {
    /// Whether it keeps its CPU from everything below it for good.
    #[must_use]
    pub fn never_yields(&self) -> bool {
        self.is_busy && self.policy != Policy::Other
    }
}

/// One check.
struct Check {
    id: &'static str,
    /// What it reads; patterns as in the reading.
    reads: &'static [&'static str],
    judge: fn(&View<'_>, &mut Vec<Finding>),
}

/// The check whether real-time threads that never wait are stopped now and then.
pub const THROTTLING: &str = "sched_rt_runtime";

const CHECKS: &[&[Check]] = &[
    kernel::CHECKS,
    isolation::CHECKS,
    cpus::CHECKS,
    interrupts::CHECKS,
    memory::CHECKS,
    clocks::CHECKS,
    privilege::CHECKS,
];

/// The names of all checks, in the order in which they are made.
pub fn ids() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().copied().flatten().map(|check| check.id)
}

/// Judges a host by its texts. Pure.
#[must_use]
pub fn findings(texts: &HostTexts, needs: &Needs) -> Vec<Finding> {
    let view = View::new(texts, needs);
    let mut all = Vec::new();
    for check in CHECKS.iter().copied().flatten() {
        let before = all.len();
        (check.judge)(&view, &mut all);
        if all.len() == before {
            all.extend(unseen(texts, check));
        }
    }
    all
}

/// Why a check said nothing, where what it reads is there.
fn unseen(texts: &HostTexts, check: &Check) -> Option<Finding> {
    let (mut strange, mut closed) = (None, None);
    for pattern in check.reads {
        for (path, text) in texts.all_matching(pattern) {
            match text {
                Ok(_) => strange = strange.or(Some(path)),
                Err(why) => closed = closed.or(Some((path, why))),
            }
        }
    }
    let unknown = |seen: String, what: &str| {
        Finding::new(check.id, "host", Level::Unknown, seen, "nothing can be said about it")
            .advice(what)
    };
    match (closed, strange) {
        (Some((path, why)), _) => Some(unknown(format!("{path}: {why}"), texts.how_to_see())),
        (None, Some(path)) => {
            Some(unknown(format!("{path} is not understood"), "look at it; please report it"))
        }
        (None, None) => {
            // On a host that can be seen, what is not there is not needed.
            let folder = |pattern: &str| pattern.split('/').nth(1).map(str::to_owned);
            let is_lost = |pattern: &&&str| folder(pattern).is_some_and(|f| texts.lacks(&f));
            let lost = check.reads.iter().find(is_lost)?;
            let folder = folder(lost)?;
            Some(unknown(format!("/{folder} is not to be seen"), texts.how_to_see()))
        }
    }
}

/// The CPUs that the kernel keeps for those who ask for them by number (`isolcpus=`), ascending.
#[must_use]
pub fn isolated_cpus() -> Vec<usize> {
    isolated_cpus_below(Path::new("/"))
}

/// The same of the host whose root folder is `root`.
#[must_use]
pub fn isolated_cpus_below(root: &Path) -> Vec<usize> {
    let isolated = texts::read_text(&root.join("sys/devices/system/cpu/isolated")).ok();
    isolated.and_then(|text| parse_cpu_list(&text)).unwrap_or_default()
}
