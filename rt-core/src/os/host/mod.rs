//! Is this host fit for real time, and what should be changed?
//!
//! The kernel's texts are read in one place ([`HostTexts::read`]) and judged in another
//! ([`findings`]), which is pure: each check is tested on texts of hosts that are not at hand, and
//! a bug report's texts can be judged again. A text that is missing or not understood yields no
//! finding, never a guess.

mod texts;

use std::fmt;

pub use texts::HostTexts;

use super::procfs::format_cpu_list;
pub use super::procfs::parse_cpu_list;

/// How much a finding matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// As it should be.
    Fine,
    /// It works, with longer or less certain delays.
    Advice,
    /// What is planned cannot work like this.
    Problem,
}

impl Level {
    /// The word users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Advice => "advice",
            Self::Problem => "problem",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Stable name of the check, for scripts.
    pub id: &'static str,
    /// How much it matters.
    pub level: Level,
    /// What was found, in words.
    pub what: String,
    /// What to do about it; empty when nothing is to be done.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.level.name(), self.id, self.what)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; remedy: {}", self.remedy) }
    }
}

fn fine(id: &'static str, what: impl Into<String>) -> Option<Finding> {
    Some(Finding { id, level: Level::Fine, what: what.into(), remedy: String::new() })
}

fn advice(id: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Option<Finding> {
    Some(Finding { id, level: Level::Advice, what: what.into(), remedy: remedy.into() })
}

fn problem(
    id: &'static str,
    what: impl Into<String>,
    remedy: impl Into<String>,
) -> Option<Finding> {
    Some(Finding { id, level: Level::Problem, what: what.into(), remedy: remedy.into() })
}

/// Judges a host by its texts for threads that are to be pinned to `wanted` CPUs (ascending; empty
/// when none is pinned). One finding per check that could be made.
#[must_use]
pub fn findings(texts: &HostTexts, wanted: &[usize]) -> Vec<Finding> {
    [
        preemption(texts),
        throttling(texts),
        group_budget(texts),
        online(texts, wanted),
        affinity(texts, wanted),
        isolation(texts, wanted),
        governor(texts, wanted),
        clock_source(texts),
        hypervisor(texts),
        swap(texts),
        huge_pages(texts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn preemption(texts: &HostTexts) -> Option<Finding> {
    const ID: &str = "preempt_rt";
    let says_so = texts.realtime.as_deref().is_some_and(|text| text.trim() == "1");
    let version = texts.version.as_deref()?;
    if says_so || version.split_whitespace().any(|word| word == "PREEMPT_RT") {
        return fine(ID, "the kernel is PREEMPT_RT");
    }
    advice(
        ID,
        "the kernel is not PREEMPT_RT: interrupt handlers and long system calls delay real-time \
         threads by milliseconds now and then",
        "install a PREEMPT_RT kernel (Debian: `apt install linux-image-rt-amd64`)",
    )
}

/// The check whether real-time threads that never wait are stopped now and then.
pub const THROTTLING: &str = "sched_rt_runtime";

fn throttling(texts: &HostTexts) -> Option<Finding> {
    const ID: &str = THROTTLING;
    let runtime_us: i64 = texts.rt_runtime_us.as_deref()?.trim().parse().ok()?;
    let period_us: i64 = texts.rt_period_us.as_deref()?.trim().parse().ok()?;
    if runtime_us == 0 {
        return problem(
            ID,
            "kernel.sched_rt_runtime_us is 0: no real-time thread may run",
            "`sysctl -w kernel.sched_rt_runtime_us=950000`",
        );
    }
    if runtime_us < 0 || runtime_us >= period_us {
        return fine(ID, "real-time threads are not throttled");
    }
    advice(
        ID,
        format!(
            "a real-time thread that spins for {runtime_us} µs of {period_us} µs is stopped for \
             the rest (receive mode `busy` does)"
        ),
        "`sysctl -w kernel.sched_rt_runtime_us=-1` on a host that has CPUs left for all else",
    )
}

fn group_budget(texts: &HostTexts) -> Option<Finding> {
    const ID: &str = "rt_group_sched";
    let (file, text) = texts.group_budget.as_ref()?;
    let file = file.display();
    match text.trim().parse::<i64>().ok()? {
        0 => problem(
            ID,
            format!("CONFIG_RT_GROUP_SCHED, and {file} gives no real-time budget"),
            format!(
                "`echo 950000 > {file}` (its parents first), or move the process to the root \
                 cgroup, or boot with `rt_group_sched=0`"
            ),
        ),
        budget_us => fine(ID, format!("the cgroup's real-time budget is {budget_us} µs")),
    }
}

/// The wanted CPUs that a list lacks; none when the list is not known.
fn lacking(wanted: &[usize], list: Option<&str>) -> Option<Vec<usize>> {
    let there = parse_cpu_list(list?)?;
    Some(wanted.iter().copied().filter(|cpu| !there.contains(cpu)).collect())
}

fn online(texts: &HostTexts, wanted: &[usize]) -> Option<Finding> {
    const ID: &str = "cpu_online";
    let missing = lacking(wanted, texts.online.as_deref())?;
    let online = texts.online.as_deref()?.trim();
    if missing.is_empty() {
        return fine(ID, format!("CPUs {online} are online"));
    }
    let missing = format_cpu_list(&missing);
    problem(
        ID,
        format!("CPU {missing} is wanted and not online (online: {online})"),
        "choose another CPU, or `echo 1 > /sys/devices/system/cpu/cpuN/online`",
    )
}

fn affinity(texts: &HostTexts, wanted: &[usize]) -> Option<Finding> {
    const ID: &str = "cpu_allowed";
    let allowed = texts.allowed.as_deref()?.trim();
    let missing = lacking(wanted, Some(allowed))?;
    if missing.is_empty() {
        return fine(ID, format!("this process may run on CPUs {allowed}"));
    }
    let missing = format_cpu_list(&missing);
    advice(
        ID,
        format!("CPU {missing} is wanted and not among the CPUs of this process ({allowed})"),
        "harmless where the CPU is merely isolated; else widen the cpuset (`AllowedCPUs=`, \
         `--cpuset-cpus`) or `CPUAffinity=` of the unit",
    )
}

fn isolation(texts: &HostTexts, wanted: &[usize]) -> Option<Finding> {
    const ID: &str = "cpu_isolated";
    let missing = lacking(wanted, texts.isolated.as_deref())?;
    if missing.is_empty() {
        let isolated = texts.isolated.as_deref()?.trim();
        let isolated = if isolated.is_empty() { "none" } else { isolated };
        return fine(ID, format!("isolated CPUs: {isolated}; all that are wanted are among them"));
    }
    let missing = format_cpu_list(&missing);
    advice(
        ID,
        format!("CPU {missing} is wanted and not isolated: other work runs on it, too"),
        format!("boot with `isolcpus=domain,managed_irq,{missing} rcu_nocbs={missing}`"),
    )
}

fn governor(texts: &HostTexts, wanted: &[usize]) -> Option<Finding> {
    const ID: &str = "cpu_governor";
    if texts.governors.is_empty() {
        // No frequency scaling, or not ours to see (a guest).
        return None;
    }
    let concerned = |cpu: &usize| wanted.is_empty() || wanted.contains(cpu);
    let slow: Vec<usize> = texts
        .governors
        .iter()
        .filter(|(cpu, governor)| concerned(cpu) && governor.trim() != "performance")
        .map(|(cpu, _)| *cpu)
        .collect();
    if slow.is_empty() {
        return fine(ID, "the frequency governor is `performance`");
    }
    advice(
        ID,
        format!("the frequency governor of CPU {} is not `performance`", format_cpu_list(&slow)),
        "`echo performance > /sys/devices/system/cpu/cpuN/cpufreq/scaling_governor`",
    )
}

fn clock_source(texts: &HostTexts) -> Option<Finding> {
    const ID: &str = "clock_source";
    let source = texts.clock_source.as_deref()?.trim();
    let fast = ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"];
    if fast.contains(&source) {
        return fine(ID, format!("the clock source is {source}: read without a system call"));
    }
    advice(
        ID,
        format!("the clock source is {source}: each reading is a system call, and slow"),
        "find out why the kernel gave up the TSC (`dmesg | grep -i tsc`); `tsc=reliable` where the \
         hardware is known to be good",
    )
}

fn hypervisor(texts: &HostTexts) -> Option<Finding> {
    const ID: &str = "hypervisor";
    let flags = texts.cpuinfo.as_deref()?.lines().find(|line| line.starts_with("flags"))?;
    if !flags.split_whitespace().any(|flag| flag == "hypervisor") {
        return fine(ID, "no hypervisor");
    }
    // user, nice, system, idle, iowait, irq, softirq, steal; in clock ticks of 10 ms.
    let stolen_ms = texts.stat.as_deref().and_then(|stat| {
        let ticks: u64 = stat.lines().next()?.split_whitespace().nth(8)?.parse().ok()?;
        ticks.checked_mul(10)
    });
    let stolen = stolen_ms.map_or_else(
        || "unknown how long so far".to_owned(),
        |ms| format!("{ms} ms so far, over all CPUs"),
    );
    advice(
        ID,
        format!("a guest of a hypervisor, which may stop it at any time ({stolen})"),
        "pin the virtual CPUs to physical ones of their own, and take no delay figure from here",
    )
}

fn swap(texts: &HostTexts) -> Option<Finding> {
    const ID: &str = "swap";
    // The first line is the heading.
    if texts.swaps.as_deref()?.lines().count() <= 1 {
        return fine(ID, "no swap");
    }
    advice(
        ID,
        "swap is on: what is not locked can be paged out (applications beside us; our own memory \
         is locked)",
        "`swapoff -a`, and remove it from /etc/fstab",
    )
}

fn huge_pages(texts: &HostTexts) -> Option<Finding> {
    const ID: &str = "huge_pages";
    if !texts.huge_pages.as_deref()?.contains("[always]") {
        return fine(ID, "huge pages are made on request only");
    }
    advice(
        ID,
        "pages are put together into huge ones without request, which stops who uses them \
         meanwhile (applications beside us; this process asks not to be touched)",
        "`echo madvise > /sys/kernel/mm/transparent_hugepage/enabled`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    /// A host as it should be: PREEMPT_RT, CPUs 2 and 3 isolated, no hypervisor.
    fn fit() -> HostTexts {
        HostTexts {
            realtime: some("1\n"),
            version: some(
                "Linux version 6.12.0 (x) #1 SMP PREEMPT_RT Debian 6.12.0 (2025-01-01)\n",
            ),
            rt_runtime_us: some("-1\n"),
            rt_period_us: some("1000000\n"),
            group_budget: None,
            online: some("0-3\n"),
            isolated: some("2-3\n"),
            allowed: some("0-3"),
            governors: (0..4).map(|cpu| (cpu, "performance\n".to_owned())).collect(),
            clock_source: some("tsc\n"),
            cpuinfo: some("processor\t: 0\nflags\t\t: fpu vme tsc_reliable\n"),
            stat: some("cpu  74347 0 17386 835343 1255 0 158 35 0 0\n"),
            swaps: some("Filename\t\tType\n"),
            huge_pages: some("always [madvise] never\n"),
        }
    }

    fn only(texts: &HostTexts, wanted: &[usize], id: &str) -> Finding {
        let mut all = findings(texts, wanted).into_iter().filter(|finding| finding.id == id);
        let finding = all.next().unwrap_or_else(|| panic!("no finding {id}"));
        assert_eq!(all.next(), None, "{id} twice");
        finding
    }

    #[test]
    fn a_fit_host_needs_nothing() {
        let all = findings(&fit(), &[2, 3]);
        assert_eq!(all.len(), 10, "one per check but the one of a cgroup that it has not");
        for finding in all {
            assert_eq!(finding.level, Level::Fine, "{finding}");
            assert!(finding.remedy.is_empty());
        }
    }

    #[test]
    fn each_defect_is_found_and_comes_with_a_remedy() {
        type Spoil = fn(&mut HostTexts);
        let cases: [(&str, Level, Spoil); 12] = [
            ("preempt_rt", Level::Advice, |t| {
                t.realtime = None;
                t.version = some("Linux version 6.18.44 #1 SMP PREEMPT_DYNAMIC @0\n");
            }),
            ("sched_rt_runtime", Level::Advice, |t| t.rt_runtime_us = some("950000\n")),
            ("sched_rt_runtime", Level::Problem, |t| t.rt_runtime_us = some("0\n")),
            ("rt_group_sched", Level::Problem, |t| {
                t.group_budget = Some(("/cg/cpu.rt_runtime_us".into(), "0\n".to_owned()));
            }),
            ("cpu_online", Level::Problem, |t| t.online = some("0-2\n")),
            ("cpu_allowed", Level::Advice, |t| t.allowed = some("0-1")),
            ("cpu_isolated", Level::Advice, |t| t.isolated = some("\n")),
            ("cpu_governor", Level::Advice, |t| t.governors[3].1 = "powersave\n".to_owned()),
            ("clock_source", Level::Advice, |t| t.clock_source = some("hpet\n")),
            ("hypervisor", Level::Advice, |t| t.cpuinfo = some("flags\t: fpu hypervisor\n")),
            ("swap", Level::Advice, |t| t.swaps = some("Filename\tType\n/dev/sda2 partition\n")),
            ("huge_pages", Level::Advice, |t| t.huge_pages = some("[always] madvise never\n")),
        ];
        for (id, level, spoil) in cases {
            let mut texts = fit();
            spoil(&mut texts);
            let finding = only(&texts, &[2, 3], id);
            assert_eq!(finding.level, level, "{finding}");
            assert!(!finding.remedy.is_empty(), "{finding}");
        }
    }

    #[test]
    fn a_finding_names_what_it_is_about() {
        let mut texts = fit();
        texts.isolated = some("3\n");
        let finding = only(&texts, &[1, 2, 3], "cpu_isolated");
        assert!(finding.what.contains("CPU 1-2"), "{finding}");
        assert!(finding.remedy.contains("isolcpus=domain,managed_irq,1-2"), "{finding}");
        texts.cpuinfo = some("flags\t: hypervisor\n");
        let finding = only(&texts, &[], "hypervisor");
        assert!(finding.what.contains("350 ms so far"), "{finding}");
    }

    #[test]
    fn the_governor_of_a_cpu_that_is_not_wanted_does_not_matter() {
        let mut texts = fit();
        texts.governors[0].1 = "powersave\n".to_owned();
        assert_eq!(only(&texts, &[2, 3], "cpu_governor").level, Level::Fine);
        assert_eq!(only(&texts, &[], "cpu_governor").level, Level::Advice);
    }

    #[test]
    fn texts_that_are_missing_or_strange_yield_no_finding() {
        assert_eq!(findings(&HostTexts::default(), &[1]), []);
        let strange = HostTexts {
            rt_runtime_us: some("soon"),
            rt_period_us: some(""),
            group_budget: Some(("/x".into(), "?".to_owned())),
            online: some("0-"),
            isolated: some("all"),
            allowed: some("x"),
            cpuinfo: some("Features : fp asimd"),
            ..HostTexts::default()
        };
        assert_eq!(findings(&strange, &[1]), []);
    }

    #[test]
    fn this_host_can_be_read() {
        let texts = HostTexts::read();
        let all = findings(&texts, &[]);
        for id in ["preempt_rt", "cpu_online", "cpu_allowed"] {
            assert!(all.iter().any(|finding| finding.id == id), "no {id} in {all:?}");
        }
    }
}
