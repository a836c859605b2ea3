//! A host made of files in a folder of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rt_core::os::host::{Finding, HostTexts, Needs, PlannedThread, findings};
use rt_core::os::thread::Policy;

/// A folder that stands for the root of a host; gone with the value.
pub(crate) struct Tree(pub(crate) PathBuf);

impl Tree {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("bumpless-host-{}-{number}", std::process::id());
        // Some hundred files for each of some hundred hosts: in memory, where that is to be had.
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = place.join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// A host as it should be: PREEMPT_RT, CPUs 2 and 3 isolated, no hypervisor, a service.
    pub(crate) fn fit() -> Self {
        let tree = Self::new();
        tree.write_all(FIT);
        for cpu in 0..4 {
            let folder = format!("/sys/devices/system/cpu/cpu{cpu}");
            tree.write(&format!("{folder}/topology/thread_siblings_list"), &format!("{cpu}\n"));
            tree.write(&format!("{folder}/cpufreq/scaling_governor"), "performance\n");
            let governors = "performance powersave\n";
            tree.write(&format!("{folder}/cpufreq/scaling_available_governors"), governors);
            for (state, name, latency) in [(0, "POLL", 0), (1, "C1", 2), (2, "C6", 133)] {
                let idle = format!("{folder}/cpuidle/state{state}");
                tree.write(&format!("{idle}/name"), &format!("{name}\n"));
                tree.write(&format!("{idle}/latency"), &format!("{latency}\n"));
                let disabled = if state == 2 && cpu > 1 { "1\n" } else { "0\n" };
                tree.write(&format!("{idle}/disable"), disabled);
            }
        }
        tree.thread(1, 1, "systemd", 0, "0-1", 0x40_0100);
        tree.thread(40, 40, "migration/3", 99, "3", 0x420_8040);
        tree.thread(41, 41, "ksoftirqd/3", 0, "3", 0x420_8040);
        tree.thread(900, 900, "irq/33-eth1", 50, "1", 0x20_8040);
        tree
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn write_all(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            if *text == GONE { self.remove(path) } else { self.write(path, text) }
        }
    }

    pub(crate) fn remove(&self, path: &str) {
        let path = self.path(path);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap().trim().to_owned()
    }

    /// A thread of a process, as `/proc` shows it.
    pub(crate) fn thread(
        &self,
        pid: u32,
        tid: u32,
        name: &str,
        priority: u8,
        cpus: &str,
        flags: u64,
    ) {
        let policy = u8::from(priority > 0);
        let stat = format!(
            "{tid} ({name}) S 2 0 0 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 1 0 9 0 0 1 0 0 0 0 0 0 0 \
             0 0 0 0 0 17 3 {priority} {policy} 0 0 0 0 0 0 0 0 0 0 0\n"
        );
        self.write(&format!("/proc/{pid}/stat"), &stat);
        self.write(&format!("/proc/{pid}/task/{tid}/stat"), &stat);
        let status = format!("Name:\t{name}\nCpus_allowed_list:\t{cpus}\n");
        self.write(&format!("/proc/{pid}/task/{tid}/status"), &status);
    }

    pub(crate) fn texts(&self) -> HostTexts {
        HostTexts::read_below(&self.0, None)
    }

    pub(crate) fn findings(&self, needs: &Needs) -> Vec<Finding> {
        findings(&self.texts(), needs)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Thread `lre` on the isolated CPU 3, interrupt 33 of a LAN on CPU 1.
pub(crate) fn needs() -> Needs {
    Needs {
        threads: vec![PlannedThread {
            name: "lre".to_owned(),
            policy: Policy::Fifo(60),
            cpu: Some(3),
            is_busy: false,
        }],
        nic_interrupts: vec![33],
        process_runs: true,
    }
}

/// Instead of a text: the file is to go.
pub(crate) const GONE: &str = "(gone)";

/// A path that no file system here has a driver for, so reading fails with something else than
/// absence: a folder in the place of a file.
pub(crate) fn block(tree: &Tree, path: &Path) {
    let path = tree.path(path.to_str().unwrap());
    if path.is_file() {
        fs::remove_file(&path).unwrap();
    }
    fs::create_dir_all(path).unwrap();
}

const FIT: &[(&str, &str)] = &[
    ("/proc/version", "Linux version 6.1.0-rt (x) #1 SMP PREEMPT_RT Debian 6.1.0 (2025-01-01)\n"),
    ("/proc/cmdline", "root=/dev/sda1 isolcpus=managed_irq,domain,2-3 rcu_nocbs=2-3 quiet\n"),
    ("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vme tsc_reliable\n"),
    ("/proc/stat", "cpu  74347 0 17386 835343 1255 0 158 0 0 0\ncpu0 1 2\n"),
    ("/proc/swaps", "Filename\t\tType\tSize\n"),
    (
        "/proc/interrupts",
        "      CPU0 CPU1 CPU2 CPU3\n \
         24:  12  0  0  7  PCI-MSI 1-edge  nvme0q1\n \
         33:  0  99  0  0  PCI-MSI 2-edge  eth1\n \
         34: 0 0 0 0  PCI-MSI 3-edge  usb1\nLOC: 1 2 3 4\n",
    ),
    ("/proc/irq/default_smp_affinity", "3\n"),
    ("/proc/irq/24/smp_affinity_list", "0-3\n"),
    ("/proc/irq/24/effective_affinity_list", "0\n"),
    ("/proc/irq/33/smp_affinity_list", "1\n"),
    ("/proc/irq/33/effective_affinity_list", "1\n"),
    ("/proc/irq/34/smp_affinity_list", "0\n"),
    ("/proc/irq/34/effective_affinity_list", "0\n"),
    ("/proc/net/protocols", "protocol  size sockets\nPACKET 1408 0\nXDP 960 0\n"),
    ("/proc/sys/kernel/osrelease", "6.1.0-rt\n"),
    ("/proc/sys/kernel/sched_rt_runtime_us", "950000\n"),
    ("/proc/sys/kernel/sched_rt_period_us", "1000000\n"),
    ("/proc/sys/kernel/numa_balancing", "0\n"),
    ("/proc/sys/kernel/nmi_watchdog", "0\n"),
    ("/proc/sys/kernel/soft_watchdog", "1\n"),
    ("/proc/sys/kernel/watchdog_cpumask", "0-1\n"),
    ("/proc/sys/kernel/timer_migration", "1\n"),
    ("/proc/sys/vm/compact_unevictable_allowed", "0\n"),
    ("/proc/sys/vm/stat_interval", "10\n"),
    ("/sys/kernel/realtime", "1\n"),
    ("/sys/kernel/debug/sched/fair_server/cpu3/runtime", "0\n"),
    ("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
    ("/sys/kernel/mm/ksm/run", "0\n"),
    ("/sys/devices/system/cpu/online", "0-3\n"),
    ("/sys/devices/system/cpu/possible", "0-3\n"),
    ("/sys/devices/system/cpu/isolated", "2-3\n"),
    ("/sys/devices/system/cpu/nohz_full", "(null)\n"),
    ("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
    ("/sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet acpi_pm\n"),
    ("/sys/devices/system/node/online", "0-1\n"),
    ("/sys/devices/virtual/workqueue/cpumask", "3\n"),
    ("/sys/module/pcie_aspm/parameters/policy", "default [performance] powersave\n"),
    ("/sys/class/misc/tun/dev", "10:200\n"),
    ("/proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\nCpus_allowed_list:\t0-1\n"),
    ("/proc/self/limits", LIMITS),
    ("/proc/self/cgroup", "1:cpu:/box\n"),
    ("/proc/self/mountinfo", "30 29 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"),
    ("/proc/self/uid_map", "         0          0 4294967295\n"),
    ("/sys/fs/cgroup/cpu/box/cpu.rt_runtime_us", "950000\n"),
    (
        "/etc/systemd/system/bumplessd@.service",
        "[Service]\nLimitMEMLOCK=infinity\nLimitRTPRIO=98\nCapabilityBoundingSet=CAP_NET_ADMIN\n",
    ),
];

const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units
Max locked memory         8388608              8388608              bytes
Max realtime priority     0                    0
";
