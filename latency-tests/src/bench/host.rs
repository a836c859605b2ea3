//! Where a result was taken.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// What one has to know to judge a result of another machine.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Host {
    /// The kernel's release and version.
    pub kernel: String,
    /// The CPU's model.
    pub cpu: String,
    /// CPUs that the bench may use.
    pub cpus: usize,
    /// The hypervisor, if there is one.
    pub hypervisor: Option<String>,
    /// The frequency governor of the first CPU; none where the machine has no say.
    pub governor: Option<String>,
    /// CPUs that the kernel keeps free of other work.
    pub isolated_cpus: String,
    /// How many wanted to run while this started, the mean of a minute: the bench wants 0.
    pub load_average: String,
    /// The commit, `-dirty` when the tree has changes.
    pub commit: String,
    /// The command line.
    pub command: String,
    /// Day of the run, UTC.
    pub date: String,
}

impl Host {
    /// Reads what this machine tells of itself; what it does not tell stays empty.
    #[must_use]
    pub fn read() -> Self {
        let file = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let some = |text: String| (!text.is_empty()).then_some(text);
        let cpuinfo = file("/proc/cpuinfo");
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let is_guest = field("flags").is_some_and(|flags| flags.contains("hypervisor"));
        let vendor = some(file("/sys/class/dmi/id/sys_vendor"));
        let load = file("/proc/loadavg");
        Self {
            kernel: format!(
                "{} {}",
                file("/proc/sys/kernel/osrelease"),
                file("/proc/sys/kernel/version")
            ),
            cpu: field("model name").unwrap_or_default(),
            cpus: super::cpus::Cpus::here().count(),
            hypervisor: is_guest.then(|| vendor.unwrap_or_else(|| "unnamed".to_owned())),
            governor: some(file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
            isolated_cpus: file("/sys/devices/system/cpu/isolated"),
            load_average: load.split(' ').next().unwrap_or_default().to_owned(),
            commit: said("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
            command: command(),
            date: said("date", &["-u", "+%Y-%m-%d"]),
        }
    }
}

/// How this was called, by the project's own command: where it was built is nobody's business.
fn command() -> String {
    let arguments = std::env::args().skip(1);
    ["cargo xtask bench".to_owned()].into_iter().chain(arguments).collect::<Vec<_>>().join(" ")
}

/// What a program printed; empty when it failed.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok();
    let output = output.filter(|output| output.status.success());
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}
