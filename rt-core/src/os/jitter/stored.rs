//! J as it is kept in the daemon's configuration, and whether it still holds.
//!
//! One text for both nodes of a pair: the timers rest on the worse of the two, and a node finds
//! itself among the hosts by what it is. A text for each node was rejected: two of them that are
//! exchanged look as if all were well.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use super::bound::Method;
use super::date::date_text;
use crate::time::Duration;

/// A measurement older than this should be made again: kernels, firmware and fans change.
pub const MAX_AGE_DAYS: u64 = 365;

const DAY_S: u64 = 86_400;

/// Clocks of two hosts may differ by this much before a date lies in the future.
const CLOCKS_DIFFER_S: u64 = DAY_S;

/// The facts that decide how late threads wake; the governors of all processors are one more. A
/// host where one of them changed is another one.
pub const DECIDING: &[&str] = &[
    "clocksource",
    "command_line",
    "cpu_microcode",
    "cpu_model",
    "cpus_isolated",
    "cpus_nohz_full",
    "cpus_online",
    "hypervisor",
    "kernel",
    "kernel_build",
    "preemption",
    "product",
    "sched_rt_period_us",
    "sched_rt_runtime_us",
    "transparent_hugepage",
    "vendor",
];

/// Words of the kernel's command line that say what is started, and not how it runs.
const OF_STARTING: &[&str] =
    &["BOOT_IMAGE", "initrd", "quiet", "resume", "ro", "root", "rootflags", "rw", "splash"];

/// What is stored of a measurement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// When the oldest of its recordings began: seconds since 1970.
    pub measured_s: u64,
    /// The program that wrote it, with its version.
    pub program: String,
    /// J: the bound of the worse host.
    pub jitter: Duration,
    /// The bound of the round trip on LAN A and on LAN B.
    pub round_trip: [Duration; 2],
    /// The hosts, one or two.
    pub hosts: Vec<StoredHost>,
}

/// One of the hosts that were measured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredHost {
    /// What it was called.
    pub name: String,
    /// Its own bound.
    pub bound: Duration,
    /// Where the bound comes from.
    pub method: Method,
    /// The mean time between events beyond the bound, at least.
    pub horizon: Duration,
    /// Cycles that were recorded.
    pub samples: u64,
    /// What the host was, by name of the fact.
    pub facts: BTreeMap<String, String>,
}

/// A fact that is not what it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Its name.
    pub fact: String,
    /// When it was measured; `None` where the host did not tell.
    pub stored: Option<String>,
    /// Now.
    pub present: Option<String>,
}

/// Why a stored J is not to be relied upon.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Doubt {
    /// This is none of the hosts that were measured, or it was changed since.
    OtherHost {
        /// The one that it resembles most.
        nearest: String,
        /// What differs from that one.
        differences: Vec<Difference>,
    },
    /// It is older than [`MAX_AGE_DAYS`].
    Old {
        /// Its age.
        days: u64,
    },
    /// It was measured after now: one of two clocks is wrong.
    Future {
        /// When it was.
        measured_s: u64,
    },
}

impl Stored {
    /// Whether it holds on a host of `present` facts, `now_s` seconds after 1970; empty where
    /// nothing speaks against it. Pure.
    #[must_use]
    pub fn judge(&self, present: &BTreeMap<String, String>, now_s: u64) -> Vec<Doubt> {
        let differing = |host: &StoredHost| (differences(&host.facts, present), host.name.clone());
        let nearest = self.hosts.iter().map(differing).min_by_key(|it| it.0.len());
        let mut doubts = Vec::new();
        if let Some((differences, nearest)) = nearest.filter(|it| !it.0.is_empty()) {
            doubts.push(Doubt::OtherHost { nearest, differences });
        }
        let days = now_s.saturating_sub(self.measured_s) / DAY_S;
        if self.measured_s > now_s.saturating_add(CLOCKS_DIFFER_S) {
            doubts.push(Doubt::Future { measured_s: self.measured_s });
        } else if days > MAX_AGE_DAYS {
            doubts.push(Doubt::Old { days });
        }
        doubts
    }

    /// The table of the daemon's configuration, as TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_toml(&mut text);
        text
    }

    fn write_toml(&self, text: &mut String) -> fmt::Result {
        let [a, b] = self.round_trip.map(number);
        writeln!(text, "[jitter]")?;
        writeln!(text, "measured = {}", quoted(&date_text(self.measured_s)))?;
        writeln!(text, "program = {}", quoted(&self.program))?;
        writeln!(text, "jitter_ns = {}", number(self.jitter))?;
        writeln!(text, "round_trip_a_ns = {a}\nround_trip_b_ns = {b}")?;
        for host in &self.hosts {
            writeln!(text, "\n[[jitter.host]]")?;
            writeln!(text, "name = {}", quoted(&host.name))?;
            writeln!(text, "bound_ns = {}", number(host.bound))?;
            writeln!(text, "method = {}", quoted(host.method.name()))?;
            writeln!(text, "horizon_s = {}", host.horizon.as_millis() / 1_000)?;
            writeln!(text, "samples = {}", host.samples.min(i64::MAX.unsigned_abs()))?;
            writeln!(text, "\n[jitter.host.facts]")?;
            for (fact, value) in &host.facts {
                writeln!(text, "{} = {}", quoted(fact), quoted(value))?;
            }
        }
        Ok(())
    }
}

/// TOML has no greater numbers.
fn number(span: Duration) -> u64 {
    span.as_nanos().min(i64::MAX.unsigned_abs())
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// The deciding facts in which a host differs from what it was.
fn differences(
    stored: &BTreeMap<String, String>,
    present: &BTreeMap<String, String>,
) -> Vec<Difference> {
    let (stored, present) = (deciding(stored), deciding(present));
    let names: BTreeSet<&String> = stored.keys().chain(present.keys()).collect();
    let pairs = names.into_iter().map(|name| (name, stored.get(name), present.get(name)));
    pairs
        .filter(|(_, stored, present)| stored != present)
        .map(|(fact, stored, present)| Difference {
            fact: fact.clone(),
            stored: stored.cloned(),
            present: present.cloned(),
        })
        .collect()
}

fn deciding(facts: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let told = DECIDING.iter().filter_map(|name| {
        let value = facts.get(*name)?;
        let value = if *name == "command_line" { of_running(value) } else { value.clone() };
        Some(((*name).to_owned(), value))
    });
    let mut found: BTreeMap<String, String> = told.collect();
    let governors = facts.iter().filter(|(name, _)| name.starts_with("governor_"));
    let governors: BTreeSet<&str> = governors.map(|(_, value)| value.as_str()).collect();
    if !governors.is_empty() {
        let all = governors.into_iter().collect::<Vec<_>>().join(" and ");
        found.insert("governor".to_owned(), all);
    }
    found
}

/// A command line without what does not matter once the kernel runs.
fn of_running(line: &str) -> String {
    let is_of_starting =
        |word: &&str| OF_STARTING.contains(&word.split('=').next().unwrap_or_default());
    let words: Vec<&str> = line.split_whitespace().filter(|it| !is_of_starting(it)).collect();
    words.join(" ")
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fact, stored, present } = self;
        let told = |value: &Option<String>| match value {
            Some(value) => format!("{value:?}"),
            None => "not told".to_owned(),
        };
        write!(f, "{fact} was {} and is {}", told(stored), told(present))
    }
}

/// A sentence, with what to do.
impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const AGAIN: &str =
            "measure again, and store what `bumpless latency derive --write` then gives";
        match self {
            Self::OtherHost { nearest, differences } => {
                let all: Vec<String> = differences.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "measured on another host than this, or this one was changed (compared with \
                     host {nearest:?}: {}): {AGAIN}",
                    all.join("; ")
                )
            }
            Self::Old { days } => {
                write!(f, "measured {days} days ago, more than {MAX_AGE_DAYS}: {AGAIN}")
            }
            Self::Future { measured_s } => write!(
                f,
                "measured on {}, which is still to come: set the clocks of the hosts right, or \
                 {AGAIN}",
                date_text(*measured_s)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    const LINE: &str = "BOOT_IMAGE=/vmlinuz root=UUID=1 ro isolcpus=2,3 nohz_full=2,3";

    fn host(name: &str, more: &[(&str, &str)]) -> StoredHost {
        let mut all = facts(&[
            ("kernel", "6.12.1-rt"),
            ("command_line", LINE),
            ("cpu_model", "Xeon"),
            ("cpu_vendor", "GenuineIntel"),
            ("governor_cpu0", "performance"),
            ("governor_cpu1", "performance"),
        ]);
        all.extend(facts(more));
        StoredHost {
            name: name.to_owned(),
            bound: Duration::from_nanos(123_456),
            method: Method::Extrapolated,
            horizon: Duration::from_secs(360_000),
            samples: 3_600_000,
            facts: all,
        }
    }

    const NOW_S: u64 = 1_800_000_000;

    fn stored() -> Stored {
        Stored {
            measured_s: NOW_S,
            program: "bumpless-latency 0.1.0".to_owned(),
            jitter: Duration::from_nanos(150_000),
            round_trip: [Duration::from_nanos(81_000), Duration::from_nanos(92_000)],
            hosts: vec![host("a", &[]), host("b", &[("cpu_model", "Atom")])],
        }
    }

    #[test]
    fn a_node_finds_itself_among_the_hosts() {
        let stored = stored();
        for host in &stored.hosts {
            assert_eq!(stored.judge(&host.facts, NOW_S), []);
        }
        // Another disk and a word that nobody measures change nothing.
        let mut moved = stored.hosts[1].facts.clone();
        moved.insert(
            "command_line".to_owned(),
            "BOOT_IMAGE=/other root=UUID=2 rw quiet isolcpus=2,3 nohz_full=2,3".to_owned(),
        );
        moved.insert("cpu_vendor".to_owned(), "another".to_owned());
        assert_eq!(stored.judge(&moved, NOW_S), []);
    }

    #[test]
    fn what_differs_is_named_with_both_values() {
        let mut present = stored().hosts[0].facts.clone();
        present.extend(facts(&[
            ("kernel", "6.12.2-rt"),
            ("cpu_microcode", "0x2b"),
            ("governor_cpu1", "powersave"),
        ]));
        let line = ("command_line", "BOOT_IMAGE=/vmlinuz root=UUID=1 ro nohz_full=2,3");
        present.extend(facts(&[line]));
        let doubts = stored().judge(&present, NOW_S);
        let [Doubt::OtherHost { nearest, differences }] = &*doubts else { panic!("{doubts:?}") };
        assert_eq!(nearest, "a");
        let said: Vec<String> = differences.iter().map(ToString::to_string).collect();
        let expected = [
            r#"command_line was "isolcpus=2,3 nohz_full=2,3" and is "nohz_full=2,3""#,
            r#"cpu_microcode was not told and is "0x2b""#,
            r#"governor was "performance" and is "performance and powersave""#,
            r#"kernel was "6.12.1-rt" and is "6.12.2-rt""#,
        ];
        assert_eq!(said, expected);
        assert!(doubts[0].to_string().contains("bumpless latency derive"), "{}", doubts[0]);
        let unseen = stored().judge(&BTreeMap::new(), NOW_S);
        let [Doubt::OtherHost { differences, .. }] = &*unseen else { panic!("{unseen:?}") };
        assert_eq!(differences.len(), 4, "a host that tells nothing is not taken for it");
    }

    #[test]
    fn each_deciding_fact_makes_another_host() {
        for fact in DECIDING.iter().copied().chain(["governor_cpu0"]) {
            let mut present = stored().hosts[0].facts.clone();
            present.insert(fact.to_owned(), "something else".to_owned());
            assert_eq!(stored().judge(&present, NOW_S).len(), 1, "{fact}");
        }
    }

    #[test]
    fn age_is_told_after_a_year_and_a_date_to_come_at_once() {
        let stored = stored();
        let judged = |now_s| stored.judge(&stored.hosts[0].facts, now_s);
        assert_eq!(judged(NOW_S + 366 * DAY_S - 1), []);
        assert_eq!(judged(NOW_S + 366 * DAY_S), [Doubt::Old { days: 366 }]);
        assert_eq!(judged(NOW_S - DAY_S), []);
        assert_eq!(judged(NOW_S - DAY_S - 1), [Doubt::Future { measured_s: NOW_S }]);
        let said = Doubt::Future { measured_s: NOW_S }.to_string();
        assert!(said.starts_with("measured on 2027-01-15T08:00:00Z, which is still to come"));
    }

    #[test]
    fn the_table_is_as_the_configuration_has_it() {
        let mut stored = stored();
        stored.hosts.truncate(1);
        stored.hosts[0].facts = facts(&[("command_line", "a=\"b\\c\" d\u{7}"), ("kernel", "6")]);
        let expected = r#"[jitter]
measured = "2027-01-15T08:00:00Z"
program = "bumpless-latency 0.1.0"
jitter_ns = 150000
round_trip_a_ns = 81000
round_trip_b_ns = 92000

[[jitter.host]]
name = "a"
bound_ns = 123456
method = "extrapolated"
horizon_s = 360000
samples = 3600000

[jitter.host.facts]
"command_line" = "a=\"b\\c\" d\u0007"
"kernel" = "6"
"#;
        assert_eq!(stored.to_toml(), expected);
    }
}
