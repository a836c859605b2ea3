//! What else happened on the processors while something was measured.
//!
//! Two looks, before and after; what counts is the difference. A figure that a machine does not
//! have (no such register in a guest, no thermal sensor) is none, and never zero: nothing is known
//! then. Reading disturbs what is measured, so nobody looks in between.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// USER_HZ: `/proc/stat` counts in hundredths of a second on every Linux of today.
const TICK_NS: u64 = 10_000_000;
/// Of a run, one part in so many may be stolen.
const STEAL_SHARE: u64 = 1_000;
/// MSR_SMI_COUNT of Intel's processors.
const SMI_COUNT: u64 = 0x34;
/// Sources of interrupts that are named, the busiest first.
const SOURCES_MAX: usize = 8;

/// The counters of a processor at one instant.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Counters {
    steal_ns: Option<u64>,
    softirq_ns: Option<u64>,
    interrupts: BTreeMap<String, u64>,
    smi: Option<u64>,
    throttles: Option<u64>,
    frequency_khz: Option<u64>,
}

/// One look at a machine.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Look {
    cpus: BTreeMap<usize, Counters>,
    temperature_millidegrees: Option<i64>,
}

/// What happened between two looks.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Environment {
    /// For each processor that was asked for.
    pub cpus: Vec<CpuEnvironment>,
    /// The hottest sensor at the end, in thousandths of a degree Celsius.
    pub temperature_millidegrees: Option<i64>,
}

/// The same of one processor.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct CpuEnvironment {
    /// Which.
    pub cpu: usize,
    /// Time that the hypervisor ran something else, in ns, in steps of 10 ms.
    pub steal_ns: Option<u64>,
    /// Time in deferred work of interrupts, in ns, in steps of 10 ms.
    pub softirq_ns: Option<u64>,
    /// Interrupts of all sources.
    pub interrupts: u64,
    /// The busiest of them, by the kernel's number or name.
    pub interrupt_sources: Vec<(String, u64)>,
    /// System management interrupts: time that no kernel sees.
    pub smi_count: Option<u64>,
    /// How often the processor slowed down because it was too hot.
    pub throttle_count: Option<u64>,
    /// Its frequency before and after, in kHz.
    pub frequency_khz: Option<(u64, u64)>,
}

impl Look {
    /// Looks at some processors of this machine. Thread: any that may wait.
    #[must_use]
    pub fn at(cpus: &[usize]) -> Self {
        Self::below(Path::new("/"), cpus)
    }

    /// The same of a machine whose files lie below a folder.
    #[must_use]
    pub fn below(root: &Path, cpus: &[usize]) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let (stat, interrupts) = (text("proc/stat"), text("proc/interrupts"));
        let counters = |cpu: usize| {
            let number = |path: String| text(&path).trim().parse().ok();
            let folder = format!("sys/devices/system/cpu/cpu{cpu}");
            let [steal_ns, softirq_ns] = times(&stat, cpu);
            let throttles = ["core", "package"]
                .map(|of| number(format!("{folder}/thermal_throttle/{of}_throttle_count")));
            Counters {
                steal_ns,
                softirq_ns,
                interrupts: interrupts_of(&interrupts, cpu),
                smi: register(&root.join(format!("dev/cpu/{cpu}/msr")), SMI_COUNT),
                throttles: throttles.into_iter().flatten().reduce(u64::saturating_add),
                frequency_khz: number(format!("{folder}/cpufreq/scaling_cur_freq")),
            }
        };
        Self {
            cpus: cpus.iter().map(|cpu| (*cpu, counters(*cpu))).collect(),
            temperature_millidegrees: hottest(root),
        }
    }

    /// What happened from this look to a later one.
    #[must_use]
    pub fn until(&self, later: &Self) -> Environment {
        let both = self.cpus.iter().filter_map(|(cpu, before)| {
            let after = later.cpus.get(cpu)?;
            Some(between(*cpu, before, after))
        });
        Environment {
            cpus: both.collect(),
            temperature_millidegrees: later.temperature_millidegrees,
        }
    }
}

impl Environment {
    /// What makes that a run of `duration_ns` says nothing of the software on this machine, a
    /// sentence each.
    #[must_use]
    pub fn disturbances(&self, duration_ns: u64) -> Vec<String> {
        let mut found = Vec::new();
        for it in &self.cpus {
            let cpu = it.cpu;
            if let Some(steal_ns) = it.steal_ns.filter(|ns| is_too_much(*ns, duration_ns)) {
                let ms = steal_ns / 1_000_000;
                found.push(format!(
                    "the hypervisor took CPU {cpu} away for {ms} ms, more than a thousandth of \
                     the run: measure when its host has less to do"
                ));
            }
            if let Some(count) = it.smi_count.filter(|count| *count > 0) {
                found.push(format!(
                    "{count} system management interrupts on CPU {cpu}: look into the firmware's \
                     settings"
                ));
            }
            if let Some(count) = it.throttle_count.filter(|count| *count > 0) {
                found.push(format!(
                    "CPU {cpu} was too hot and slowed down {count} times: cool it, or lower its \
                     frequency for good"
                ));
            }
        }
        found
    }

    /// What happened and was too little to spoil a run of `duration_ns`, a sentence each.
    #[must_use]
    pub fn cautions(&self, duration_ns: u64) -> Vec<String> {
        let told = |it: &CpuEnvironment| {
            let steal_ns = it.steal_ns.filter(|ns| *ns > 0 && !is_too_much(*ns, duration_ns))?;
            let ms = steal_ns / 1_000_000;
            Some(format!("the hypervisor took CPU {} away for {ms} ms", it.cpu))
        };
        let unknown = self.cpus.iter().filter(|it| it.steal_ns.is_none());
        let unknown: Vec<_> = unknown.map(|it| it.cpu.to_string()).collect();
        let mut found: Vec<_> = self.cpus.iter().filter_map(told).collect();
        if !unknown.is_empty() {
            let cpus = unknown.join(", ");
            found.push(format!("what a hypervisor took of CPU {cpus} is not known"));
        }
        found
    }
}

/// Whether so much time that the hypervisor took says more of it than of the machine's software.
/// It is counted in ticks: the first one may be of before the run.
const fn is_too_much(steal_ns: u64, duration_ns: u64) -> bool {
    steal_ns > TICK_NS && steal_ns > duration_ns / STEAL_SHARE
}

fn between(cpu: usize, before: &Counters, after: &Counters) -> CpuEnvironment {
    // A counter that went back was reset: nothing is known.
    let more = |before: Option<u64>, after: Option<u64>| after?.checked_sub(before?);
    let mut sources: Vec<(String, u64)> = after
        .interrupts
        .iter()
        .filter_map(|(source, count)| {
            let known = before.interrupts.get(source).copied().unwrap_or(0);
            Some((source.clone(), count.checked_sub(known)?)).filter(|(_, more)| *more > 0)
        })
        .collect();
    sources.sort_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then(a.cmp(b)));
    let interrupts = sources.iter().map(|(_, count)| *count).fold(0, u64::saturating_add);
    sources.truncate(SOURCES_MAX);
    CpuEnvironment {
        cpu,
        steal_ns: more(before.steal_ns, after.steal_ns),
        softirq_ns: more(before.softirq_ns, after.softirq_ns),
        interrupts,
        interrupt_sources: sources,
        smi_count: more(before.smi, after.smi),
        throttle_count: more(before.throttles, after.throttles),
        frequency_khz: before.frequency_khz.zip(after.frequency_khz),
    }
}

/// Stolen time and time in deferred work, of a processor's line of `/proc/stat`.
fn times(stat: &str, cpu: usize) -> [Option<u64>; 2] {
    let name = format!("cpu{cpu}");
    let line = stat.lines().find(|line| line.split(' ').next() == Some(&name));
    let field = |at: usize| {
        let ticks: u64 = line?.split_whitespace().nth(at)?.parse().ok()?;
        Some(ticks.saturating_mul(TICK_NS))
    };
    // proc(5): user nice system idle iowait irq softirq steal.
    [field(8), field(7)]
}

/// A processor's column of `/proc/interrupts`, by source: its number, or the kernel's short name.
fn interrupts_of(text: &str, cpu: usize) -> BTreeMap<String, u64> {
    let mut lines = text.lines();
    let name = format!("CPU{cpu}");
    let heads = lines.next().unwrap_or_default().split_whitespace();
    let Some(column) = heads.into_iter().position(|head| head == name) else {
        return BTreeMap::new();
    };
    let row = |line: &str| {
        let (source, counts) = line.split_once(':')?;
        let count = counts.split_whitespace().nth(column)?.parse().ok()?;
        Some((source.trim().to_owned(), count))
    };
    lines.filter_map(row).collect()
}

fn register(file: &PathBuf, number: u64) -> Option<u64> {
    let mut octets = [0; 8];
    File::open(file).ok()?.read_exact_at(&mut octets, number).ok()?;
    Some(u64::from_le_bytes(octets))
}

fn hottest(root: &Path) -> Option<i64> {
    let zones = fs::read_dir(root.join("sys/class/thermal")).ok()?;
    let sensors = zones.flatten().filter(|zone| {
        zone.file_name().to_str().is_some_and(|name| name.starts_with("thermal_zone"))
    });
    sensors
        .filter_map(|it| fs::read_to_string(it.path().join("temp")).ok()?.trim().parse().ok())
        .max()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use tools::netlab::Scratch;

    use super::*;

    fn write(root: &Path, path: &str, text: impl AsRef<[u8]>) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A machine of two processors with all that can be known.
    fn machine(root: &Path, steal: u64, timer: u64, nic: u64, smi: u64, throttles: u64) {
        let stat = format!(
            "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 0 1 1 0 0 7 {steal} 0 0\ncpu1 1 0 1 1 0 0 3 0 0 0\n\
             intr 12\n"
        );
        write(root, "proc/stat", stat);
        let interrupts = format!(
            "           CPU0       CPU1\n  9:   0   1   IO-APIC   9-fasteoi   acpi\n 24: {nic} 2  \
             PCI-MSI eth0-rx\nLOC: {timer} 700 Local timer interrupts\nERR: 0\n"
        );
        write(root, "proc/interrupts", interrupts);
        let mut registers = vec![0; 0x40];
        registers[0x34..0x3c].copy_from_slice(&smi.to_le_bytes());
        write(root, "dev/cpu/0/msr", registers);
        let cpu0 = "sys/devices/system/cpu/cpu0";
        write(root, &format!("{cpu0}/thermal_throttle/core_throttle_count"), throttles.to_string());
        write(root, &format!("{cpu0}/thermal_throttle/package_throttle_count"), "5\n");
        write(root, &format!("{cpu0}/cpufreq/scaling_cur_freq"), "2400000\n");
        write(root, "sys/class/thermal/thermal_zone0/temp", "41000\n");
        write(root, "sys/class/thermal/thermal_zone1/temp", "52500\n");
        write(root, "sys/class/thermal/cooling_device0/cur_state", "0\n");
    }

    #[test]
    fn what_happened_between_two_looks_is_their_difference() {
        let scratch = Scratch::new().unwrap();
        let root = scratch.path();
        machine(root, 10, 1_000, 40, 3, 1);
        let before = Look::below(root, &[0, 1]);
        machine(root, 12, 1_900, 45, 5, 2);
        let after = Look::below(root, &[0, 1]);
        let found = before.until(&after);
        let first = CpuEnvironment {
            cpu: 0,
            steal_ns: Some(20_000_000),
            softirq_ns: Some(0),
            interrupts: 905,
            interrupt_sources: vec![("LOC".to_owned(), 900), ("24".to_owned(), 5)],
            smi_count: Some(2),
            throttle_count: Some(1),
            frequency_khz: Some((2_400_000, 2_400_000)),
        };
        assert_eq!(found.cpus[0], first);
        // What this one does not have is not known, and is no zero.
        let second = CpuEnvironment {
            cpu: 1,
            steal_ns: Some(0),
            softirq_ns: Some(0),
            ..CpuEnvironment::default()
        };
        assert_eq!(found.cpus[1], second);
        assert_eq!(found.temperature_millidegrees, Some(52_500));
        let second_ns = 1_000_000_000;
        let said = found.disturbances(second_ns);
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[0].contains("CPU 0 away for 20 ms") && said[1].starts_with("2 system"));
        assert_eq!(found.cautions(second_ns), Vec::<String>::new());
        // The same in a run in which it does not count for much.
        assert_eq!(found.disturbances(20 * second_ns).len(), 2);
        assert!(found.cautions(20 * second_ns)[0].contains("CPU 0 away for 20 ms"));
        let none = after.until(&after);
        assert_eq!((none.disturbances(1), none.cautions(1)), (Vec::new(), Vec::new()));
    }

    #[test]
    fn a_machine_that_tells_nothing_is_not_taken_for_a_quiet_one() {
        let scratch = Scratch::new().unwrap();
        for text in ["", "cpu0", "cpu0 1 2", "CPU0\n: :\nx: y\n1: 99999999999999999999999\n"] {
            write(scratch.path(), "proc/stat", text);
            write(scratch.path(), "proc/interrupts", text);
            let look = Look::below(scratch.path(), &[0, 7]);
            let found = look.until(&look);
            assert_eq!(found.cpus[0].steal_ns, None, "{text:?}");
            assert_eq!((found.cpus[0].smi_count, found.cpus[1].interrupts), (None, 0));
        }
    }

    #[test]
    fn a_counter_that_was_reset_is_not_known() {
        let scratch = Scratch::new().unwrap();
        machine(scratch.path(), 10, 1_000, 40, 9, 9);
        let before = Look::below(scratch.path(), &[0]);
        machine(scratch.path(), 3, 10, 41, 0, 0);
        let found = before.until(&Look::below(scratch.path(), &[0]));
        let cpu = &found.cpus[0];
        assert_eq!((cpu.steal_ns, cpu.smi_count, cpu.throttle_count), (None, None, None));
        assert_eq!(cpu.interrupt_sources, [("24".to_owned(), 1)]);
    }

    #[test]
    fn this_machine_s_timer_goes_on() {
        let before = Look::at(&[0]);
        std::thread::sleep(std::time::Duration::from_millis(50));
        let mut after = Look::at(&[0]);
        // A processor that has nothing to do may sleep for long.
        for _ in 0..200 {
            if before.until(&after).cpus[0].interrupts > 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
            after = Look::at(&[0]);
        }
        panic!("no interrupt in ten seconds: {after:?}");
    }
}
