//! The table: what has to be seen for each check, and what takes it away.

use rt_core::os::host::{Level, Needs, THROTTLING};
use rt_core::os::thread::Policy;

use crate::tree::{GONE, Tree};

/// One defect of a host.
pub(crate) struct Row {
    /// The check that has to see it.
    pub(crate) id: &'static str,
    /// At this level, and no other finding of the check at a worse one.
    pub(crate) level: Level,
    /// What differs from the fit host.
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// The same where files alone do not do.
    pub(crate) tree: fn(&Tree),
    /// What is needed of it.
    pub(crate) needs: fn(&mut Needs),
    /// Words of the finding.
    pub(crate) says: &'static str,
    /// What takes it away; with none of both the fit host does.
    pub(crate) cleared_by: &'static [(&'static str, &'static str)],
    /// The same in what is needed.
    pub(crate) cleared_by_needs: Option<fn(&mut Needs)>,
}

/// What a row leaves out; the next four are the same at other levels.
const WARNING: Row = Row {
    id: "",
    level: Level::Warning,
    files: &[],
    tree: |_| {},
    needs: |_| {},
    says: "",
    cleared_by: &[],
    cleared_by_needs: None,
};

const FINE: Row = Row { level: Level::Fine, ..WARNING };
const NOTE: Row = Row { level: Level::Note, ..WARNING };
const UNKNOWN: Row = Row { level: Level::Unknown, ..WARNING };
const PROBLEM: Row = Row { level: Level::Problem, ..WARNING };

const CMDLINE: &str = "/proc/cmdline";
const ISOLATED: &str = "/sys/devices/system/cpu/isolated";
const NOHZ_FULL: &str = "/sys/devices/system/cpu/nohz_full";
const ONLINE: &str = "/sys/devices/system/cpu/online";
const GOVERNOR: &str = "/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor";
const IDLE_STATE: &str = "/sys/devices/system/cpu/cpu3/cpuidle/state2/disable";
const FAIR_SERVER: &str = "/sys/kernel/debug/sched/fair_server/cpu3/runtime";
const STATUS: &str = "/proc/self/status";
const LIMITS: &str = "/proc/self/limits";
const UNIT: &str = "/etc/systemd/system/bumplessd@.service";
const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
const SOURCES: &str = "/sys/devices/system/clocksource/clocksource0/available_clocksource";
const RELEASE: &str = "/proc/sys/kernel/osrelease";
const NO_CAPABILITY: &str = "CapEff:\t0000000000000000\nCpus_allowed_list:\t0-3\n";

fn busy(needs: &mut Needs) {
    needs.threads[0].is_busy = true;
}

fn waits(needs: &mut Needs) {
    needs.threads[0].is_busy = false;
}

fn unpinned(needs: &mut Needs) {
    needs.threads[0].cpu = None;
}

fn looks_only(needs: &mut Needs) {
    needs.process_runs = false;
}

pub(crate) const ROWS: &[Row] = &[
    // ---- The kernel ----
    Row {
        id: "preempt_rt",
        files: &[
            ("/sys/kernel/realtime", GONE),
            ("/proc/version", "Linux version 6.18.4 #1 SMP PREEMPT_DYNAMIC @0\n"),
            (RELEASE, "6.18.4\n"),
        ],
        says: "6.18.4 is not PREEMPT_RT",
        ..WARNING
    },
    Row {
        id: "preempt_rt",
        files: &[("/sys/kernel/realtime", GONE)],
        says: "is PREEMPT_RT",
        ..FINE
    },
    Row {
        id: THROTTLING,
        needs: busy,
        says: "950000 µs of each",
        cleared_by_needs: Some(waits),
        ..PROBLEM
    },
    Row { id: THROTTLING, says: "ours wait in between", ..FINE },
    Row {
        id: THROTTLING,
        files: &[("/proc/sys/kernel/sched_rt_runtime_us", "0\n")],
        says: "no thread may become",
        ..PROBLEM
    },
    Row {
        id: THROTTLING,
        files: &[(RELEASE, "6.12.0\n")],
        needs: busy,
        says: "fair_server instead",
        ..FINE
    },
    Row {
        id: THROTTLING,
        needs: |needs| {
            busy(needs);
            needs.threads[0].policy = Policy::Other;
        },
        ..FINE
    },
    Row {
        id: "fair_server",
        files: &[(RELEASE, "6.12.1-rt-amd64\n"), (FAIR_SERVER, "50000000\n")],
        needs: busy,
        says: "50 ms of a second",
        cleared_by: &[(FAIR_SERVER, "0\n")],
        ..WARNING
    },
    Row {
        id: "fair_server",
        files: &[(RELEASE, "6.12.1-rt-amd64\n"), (FAIR_SERVER, GONE)],
        needs: busy,
        says: "cannot be read",
        cleared_by_needs: Some(waits),
        ..UNKNOWN
    },
    Row {
        id: "rt_group_sched",
        files: &[("/sys/fs/cgroup/cpu/box/cpu.rt_runtime_us", "0\n")],
        says: "SCHED_FIFO is refused",
        ..PROBLEM
    },
    Row {
        id: "boot_parameters",
        files: &[(CMDLINE, "isolcpus=2-3 clocksource=hpet highres=off\n")],
        says: "highres=off",
        ..WARNING
    },
    Row {
        id: "boot_parameters",
        files: &[(CMDLINE, "isolcpus=2-9\n")],
        says: "names CPUs 4-9",
        ..WARNING
    },
    Row {
        id: "boot_parameters",
        files: &[(CMDLINE, "rcu_nocbs=2;3\n")],
        says: "rcu_nocbs=2;3 is not understood",
        ..WARNING
    },
    // ---- CPUs of our own ----
    Row {
        id: "thread_pinned",
        needs: unpinned,
        files: &[(ISOLATED, "\n"), (CMDLINE, "quiet\n")],
        says: "isolcpus=managed_irq,domain,3",
        cleared_by_needs: Some(|needs| needs.threads[0].cpu = Some(3)),
        ..WARNING
    },
    Row {
        id: "cpu_online",
        files: &[(ONLINE, "0-2\n")],
        says: "echo 1 > /sys/devices/system/cpu/cpu3/online",
        ..PROBLEM
    },
    Row { id: "cpu_allowed", files: &[(ISOLATED, "2\n")], says: "not among the CPUs", ..WARNING },
    Row {
        id: "cpu_isolated",
        files: &[(ISOLATED, "2\n"), (CMDLINE, "isolcpus=managed_irq,2\n")],
        says: "isolcpus=managed_irq,domain,2-3",
        ..WARNING
    },
    Row {
        id: "cpu_isolated",
        files: &[(ISOLATED, "\n")],
        needs: busy,
        says: "stands still",
        ..PROBLEM
    },
    Row {
        id: "cpu_isolated",
        files: &[(ISOLATED, "\n"), ("/sys/fs/cgroup/cpuset.cpus.isolated", "3\n")],
        says: "every pinned thread",
        ..FINE
    },
    Row {
        id: "cpu_isolated",
        files: &[(CMDLINE, "isolcpus=2-3\n")],
        says: "no managed_irq",
        ..NOTE
    },
    Row {
        id: "housekeeping",
        files: &[(ISOLATED, "0-3\n")],
        says: "no CPU of 0-3 is left",
        ..WARNING
    },
    Row {
        id: "housekeeping",
        files: &[(ONLINE, "0\n")],
        needs: |needs| {
            busy(needs);
            needs.threads[0].cpu = Some(0);
        },
        says: "is left for everything else",
        cleared_by: &[(ONLINE, "0-3\n")],
        ..PROBLEM
    },
    Row { id: "housekeeping", files: &[(ONLINE, "0\n")], says: "one CPU", ..NOTE },
    Row {
        id: "cpu_nohz_full",
        needs: busy,
        says: "nohz_full=3",
        cleared_by: &[(NOHZ_FULL, "3\n")],
        ..WARNING
    },
    Row {
        id: "cpu_nohz_full",
        files: &[(NOHZ_FULL, GONE)],
        needs: busy,
        says: "CONFIG_NO_HZ_FULL",
        cleared_by_needs: Some(waits),
        ..WARNING
    },
    Row {
        id: "cpu_nohz_full",
        files: &[(NOHZ_FULL, "2-3\n")],
        says: "its thread waits for frames",
        cleared_by_needs: Some(busy),
        ..NOTE
    },
    Row {
        id: "cpu_rcu_nocbs",
        files: &[(CMDLINE, "isolcpus=managed_irq,2-3 rcu_nocbs=2\n")],
        says: "rcu_nocbs=2-3",
        ..WARNING
    },
    Row {
        id: "cpu_rcu_nocbs",
        files: &[(CMDLINE, "isolcpus=managed_irq,2-3 nohz_full=2-N\n")],
        ..FINE
    },
    Row {
        id: "smt_siblings",
        files: &[
            ("/sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "1,3\n"),
            ("/sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1,3\n"),
        ],
        says: "echo 0 > /sys/devices/system/cpu/cpu1/online",
        cleared_by: &[(ISOLATED, "1-3\n")],
        ..WARNING
    },
    Row {
        id: "smt_siblings",
        files: &[
            ("/sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "1,3\n"),
            (ONLINE, "0,2-3\n"),
        ],
        ..FINE
    },
    Row {
        id: "workqueues",
        files: &[("/sys/devices/virtual/workqueue/cpumask", "f\n")],
        says: "echo 7 > /sys/devices/virtual/workqueue/cpumask",
        ..NOTE
    },
    // ---- Speed ----
    Row {
        id: "cpu_governor",
        files: &[(GOVERNOR, "powersave\n")],
        says: "echo performance > /sys/devices/system/cpu/cpu3/cpufreq/scaling_governor",
        ..WARNING
    },
    Row {
        id: "cpu_governor",
        files: &[("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n")],
        ..FINE
    },
    Row {
        id: "cpu_governor",
        files: &[("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n")],
        needs: unpinned,
        ..NOTE
    },
    Row { id: "cpu_idle", files: &[(IDLE_STATE, "0\n")], says: "C6: 133 µs", ..WARNING },
    Row {
        id: "cpu_idle",
        files: &[(IDLE_STATE, "0\n"), ("/dev/cpu_dma_latency", "\0\0\0\0")],
        says: "at 0 µs",
        ..FINE
    },
    Row {
        id: "cpu_idle",
        files: &[(IDLE_STATE, "0\n"), (CMDLINE, "idle=poll\n")],
        says: "idle=poll",
        ..FINE
    },
    Row { id: "cpu_idle", files: &[(IDLE_STATE, "0\n")], needs: busy, ..FINE },
    Row {
        id: "pcie_aspm",
        files: &[("/sys/module/pcie_aspm/parameters/policy", "default performance [powersave]\n")],
        says: "policy powersave",
        ..NOTE
    },
    // ---- Interrupts and threads ----
    Row {
        id: "irq_affinity",
        files: &[("/proc/irq/24/effective_affinity_list", "3\n")],
        says: "24 (nvme0q1)",
        ..WARNING
    },
    Row {
        id: "irq_affinity",
        files: &[
            ("/proc/irq/34/effective_affinity_list", "3\n"),
            ("/proc/irq/34/smp_affinity_list", "3\n"),
        ],
        says: "none was yet: 34 (usb1)",
        ..NOTE
    },
    Row {
        id: "irq_affinity",
        files: &[("/proc/irq/24/effective_affinity_list", "3\n")],
        needs: unpinned,
        ..FINE
    },
    // It moves with the next interrupt.
    Row {
        id: "irq_affinity",
        files: &[
            ("/proc/irq/24/smp_affinity_list", "0-2\n"),
            ("/proc/irq/24/effective_affinity_list", "3\n"),
        ],
        ..FINE
    },
    Row {
        id: "irq_default_affinity",
        files: &[("/proc/irq/default_smp_affinity", "f\n")],
        says: "echo 7 > /proc/irq/default_smp_affinity",
        ..NOTE
    },
    Row {
        id: "lan_interrupts",
        files: &[
            ("/proc/irq/33/effective_affinity_list", "3\n"),
            ("/proc/irq/33/smp_affinity_list", "3\n"),
        ],
        needs: busy,
        says: "this LAN stands still",
        ..PROBLEM
    },
    Row {
        id: "lan_interrupts",
        files: &[(ONLINE, "3\n"), ("/proc/irq/33/smp_affinity_list", "3\n")],
        needs: busy,
        says: "there is no other CPU",
        cleared_by_needs: Some(waits),
        ..PROBLEM
    },
    Row {
        id: "irq_affinity",
        files: &[(ONLINE, "3\n"), ("/proc/irq/24/effective_affinity_list", "3\n")],
        says: "there is no other CPU",
        ..WARNING
    },
    Row {
        id: "lan_interrupts",
        files: &[
            ("/proc/irq/33/smp_affinity_list", "0-3\n"),
            ("/proc/irq/33/effective_affinity_list", "3\n"),
        ],
        says: "served on CPU 3",
        ..FINE
    },
    Row {
        id: "lan_interrupts",
        tree: |tree| tree.thread(900, 900, "irq/33-eth1", 0, "1", 0x20_8040),
        says: "no real-time priority",
        ..WARNING
    },
    Row {
        id: "irqbalance",
        tree: |tree| tree.thread(500, 500, "irqbalance", 0, "0-3", 0x40_0100),
        files: &[(ISOLATED, "\n")],
        says: "IRQBALANCE_BANNED_CPULIST=3",
        cleared_by: &[("/etc/default/irqbalance", "#x\nIRQBALANCE_BANNED_CPULIST=\"2-3\"\n")],
        ..WARNING
    },
    Row {
        id: "irqbalance",
        tree: |tree| tree.thread(500, 500, "irqbalance", 0, "0-3", 0x40_0100),
        says: "leaves our CPUs alone",
        ..FINE
    },
    Row {
        id: "rt_neighbours",
        tree: |tree| tree.thread(600, 601, "plc", 80, "0-3", 0x40_0100),
        says: "plc (80)",
        cleared_by_needs: Some(|needs| needs.threads[0].policy = Policy::Fifo(90)),
        ..WARNING
    },
    Row {
        id: "rt_neighbours",
        tree: |tree| tree.thread(901, 901, "irq/24-nvme0q1", 70, "3", 0x20_8040),
        says: "irq/24-nvme0q1 (70)",
        ..WARNING
    },
    Row {
        id: "rt_neighbours",
        tree: |tree| tree.thread(600, 601, "plc", 80, "0-2", 0x40_0100),
        ..FINE
    },
    Row {
        id: "softirq_threads",
        needs: busy,
        says: "ksoftirqd/3 (0)",
        cleared_by_needs: Some(waits),
        ..NOTE
    },
    // ---- Memory ----
    Row {
        id: "compaction",
        files: &[("/proc/sys/vm/compact_unevictable_allowed", "1\n")],
        says: "sysctl -w vm.compact_unevictable_allowed=0",
        ..WARNING
    },
    Row {
        id: "numa_balancing",
        files: &[("/proc/sys/kernel/numa_balancing", "1\n")],
        says: "2 memory nodes",
        ..WARNING
    },
    Row {
        id: "numa_balancing",
        files: &[
            ("/proc/sys/kernel/numa_balancing", "1\n"),
            ("/sys/devices/system/node/online", "0\n"),
        ],
        ..FINE
    },
    Row {
        id: "swap",
        files: &[("/proc/swaps", "Filename\tType\n/dev/sda2 partition\n")],
        says: "/dev/sda2",
        ..NOTE
    },
    Row {
        id: "huge_pages",
        files: &[("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n")],
        says: "khugepaged",
        ..NOTE
    },
    Row { id: "ksm", files: &[("/sys/kernel/mm/ksm/run", "1\n")], ..NOTE },
    Row {
        id: "memory_statistics",
        files: &[("/proc/sys/vm/stat_interval", "1\n")],
        says: "every 1 s",
        ..NOTE
    },
    Row {
        id: "nmi_watchdog",
        files: &[("/proc/sys/kernel/nmi_watchdog", "1\n")],
        says: "hard lockup",
        ..NOTE
    },
    Row {
        id: "soft_watchdog",
        files: &[("/proc/sys/kernel/watchdog_cpumask", "0-3\n")],
        says: "sysctl -w kernel.watchdog_cpumask=0-2",
        ..NOTE
    },
    Row {
        id: "soft_watchdog",
        files: &[
            ("/proc/sys/kernel/watchdog_cpumask", "0-3\n"),
            ("/proc/sys/kernel/soft_watchdog", "0\n"),
        ],
        ..FINE
    },
    Row {
        id: "timer_migration",
        files: &[(ISOLATED, "\n")],
        says: "kernel.timer_migration=0",
        ..NOTE
    },
    // ---- Time ----
    Row {
        id: "clock_source",
        files: &[(SOURCE, "hpet\n")],
        says: "although tsc is there",
        ..WARNING
    },
    Row {
        id: "clock_source",
        files: &[(SOURCE, "hpet\n"), (SOURCES, "hpet acpi_pm\n")],
        says: "gave up the TSC",
        ..WARNING
    },
    Row { id: "clock_source", files: &[(SOURCE, "kvm-clock\n")], ..FINE },
    Row {
        id: "hypervisor",
        files: &[("/proc/cpuinfo", "flags\t: fpu hypervisor\n")],
        says: "unnamed",
        ..NOTE
    },
    Row {
        id: "hypervisor",
        files: &[("/sys/class/dmi/id/sys_vendor", "QEMU\n")],
        says: "QEMU",
        ..NOTE
    },
    Row { id: "hypervisor", files: &[("/sys/hypervisor/type", "xen\n")], says: "xen", ..NOTE },
    Row { id: "hypervisor", files: &[("/sys/class/dmi/id/product_name", "SIMATIC IPC\n")], ..FINE },
    Row {
        id: "steal",
        files: &[("/proc/stat", "cpu  100 0 0 10000 0 0 0 35 0 0\n")],
        says: "took 0.35 s",
        ..WARNING
    },
    Row {
        id: "steal",
        files: &[("/proc/stat", "cpu  100 0 0 1000000 0 0 0 35 0 0\n")],
        says: "took 0.35 s",
        ..NOTE
    },
    // ---- Privilege and kernel features ----
    Row { id: "rtprio", files: &[(STATUS, NO_CAPABILITY)], says: "LimitRTPRIO=98", ..PROBLEM },
    Row {
        id: "rtprio",
        files: &[(STATUS, NO_CAPABILITY)],
        needs: looks_only,
        says: "code 3",
        ..NOTE
    },
    Row {
        id: "rtprio",
        files: &[
            (STATUS, NO_CAPABILITY),
            (UNIT, GONE),
            ("/etc/security/limits.d/x.conf", "# none\n@rt - rtprio 98\n"),
        ],
        needs: looks_only,
        says: "log in anew",
        ..WARNING
    },
    Row {
        id: "rtprio",
        files: &[("/proc/self/uid_map", "         0       1000          1\n")],
        says: "SCHED_FIFO 60 is refused",
        ..PROBLEM
    },
    Row {
        id: "rtprio",
        files: &[(STATUS, NO_CAPABILITY), (LIMITS, "Max realtime priority  60  60\n")],
        says: "the limit",
        ..FINE
    },
    Row {
        id: "memlock",
        files: &[(STATUS, NO_CAPABILITY)],
        says: "LimitMEMLOCK=infinity",
        ..PROBLEM
    },
    Row {
        id: "memlock",
        files: &[(STATUS, NO_CAPABILITY), (LIMITS, "Max locked memory  unlimited unlimited\n")],
        ..FINE
    },
    Row {
        id: "capabilities",
        files: &[(STATUS, NO_CAPABILITY)],
        says: "CAP_NET_ADMIN and CAP_NET_RAW missing",
        ..PROBLEM
    },
    Row {
        id: "service_unit",
        files: &[(UNIT, "[Service]\nUser=bumpless\nLimitRTPRIO=40\nRestrictRealtime=yes\n")],
        says: "LimitRTPRIO, LimitMEMLOCK, RestrictRealtime",
        cleared_by: &[(
            "/etc/systemd/system/bumplessd@.service.d/rt.conf",
            "[Service]\nLimitRTPRIO=98\nLimitMEMLOCK=infinity\nRestrictRealtime=no\n",
        )],
        ..PROBLEM
    },
    Row {
        id: "tap",
        files: &[("/sys/class/misc/tun/dev", GONE)],
        says: "modprobe tun",
        cleared_by: &[("/lib/modules/6.1.0-rt/modules.dep", "kernel/drivers/net/tun.ko.xz:\n")],
        ..NOTE
    },
    Row {
        id: "packet_sockets",
        files: &[("/proc/net/protocols", "protocol  size\nXDP 960\n")],
        says: "CONFIG_PACKET",
        ..PROBLEM
    },
    Row {
        id: "af_xdp",
        files: &[("/proc/net/protocols", "protocol  size\nPACKET 960\n")],
        says: "CONFIG_XDP_SOCKETS",
        ..NOTE
    },
];
