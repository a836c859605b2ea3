//! What a check says: a finding, and what can be done about it.

use std::fmt;
use std::path::PathBuf;

/// How much a finding matters. Ordered by what a reader should see first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// As it should be.
    Fine,
    /// Costs little, or matters to others on this host only.
    Note,
    /// Could not be seen, so that nothing can be said.
    Unknown,
    /// It works, with delays that are longer or less certain.
    Warning,
    /// What is planned cannot work like this.
    Problem,
}

impl Level {
    /// Every level, the best first.
    pub const ALL: [Self; 5] =
        [Self::Fine, Self::Note, Self::Unknown, Self::Warning, Self::Problem];

    /// The word users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Note => "note",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Stable name of the check, for scripts.
    pub id: &'static str,
    /// What it is about: `kernel`, `CPU 3`, an interface.
    pub subject: String,
    /// How much it matters.
    pub level: Level,
    /// What was seen, in words.
    pub seen: String,
    /// What follows from it for who runs this host; empty when all is fine.
    pub consequence: String,
    /// What to do about it; several stand beside each other, or are alternatives that say so.
    pub remedies: Vec<Remedy>,
}

impl Finding {
    /// A finding without consequence.
    #[must_use]
    pub fn fine(id: &'static str, subject: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(id, subject, Level::Fine, seen, "")
    }

    /// A finding with its consequence, as yet without a remedy.
    #[must_use]
    pub fn new(
        id: &'static str,
        subject: impl Into<String>,
        level: Level,
        seen: impl Into<String>,
        consequence: impl Into<String>,
    ) -> Self {
        Self {
            id,
            subject: one_line(&subject.into()),
            level,
            seen: one_line(&seen.into()),
            consequence: one_line(&consequence.into()),
            remedies: Vec::new(),
        }
    }

    /// Adds a remedy.
    #[must_use]
    pub fn remedy(mut self, remedy: Remedy) -> Self {
        self.remedies.push(remedy);
        self
    }

    /// Adds remedies.
    #[must_use]
    pub fn remedies(mut self, remedies: impl IntoIterator<Item = Remedy>) -> Self {
        self.remedies.extend(remedies);
        self
    }

    /// Adds a sentence as a remedy.
    #[must_use]
    pub fn advice(self, words: impl Into<String>) -> Self {
        self.remedy(Remedy::Advice(words.into()))
    }

    /// Adds a sentence where it applies.
    #[must_use]
    pub fn advice_if(self, applies: bool, words: &str) -> Self {
        if applies { self.advice(words) } else { self }
    }

    /// Adds a command that a person runs.
    #[must_use]
    pub fn command(self, command: impl Into<String>) -> Self {
        self.remedy(Remedy::Command(command.into()))
    }

    /// Adds a parameter of the kernel's command line.
    #[must_use]
    pub fn boot(self, key: &str, value: impl Into<String>) -> Self {
        self.remedy(Remedy::Boot { key: key.to_owned(), value: value.into() })
    }

    /// The settings that would end or ease this while the host runs.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.remedies.iter().filter_map(|remedy| match remedy {
            Remedy::Change(change) => Some(change),
            _ => None,
        })
    }
}

/// In one line, for a log.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {} [{}]", self.level.name(), self.subject, self.seen, self.id)?;
        if !self.consequence.is_empty() {
            write!(f, ": {}", self.consequence)?;
        }
        for (place, remedy) in self.remedies.iter().enumerate() {
            write!(f, "{}{remedy}", if place == 0 { "; remedy: " } else { "; " })?;
        }
        Ok(())
    }
}

/// Something to do about a finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Remedy {
    /// A setting that can be changed while the host runs.
    Change(Change),
    /// A parameter for the kernel's command line; the value is empty where it takes none.
    Boot {
        /// As in `isolcpus`.
        key: String,
        /// As in `domain,managed_irq,3`.
        value: String,
    },
    /// A line for a drop-in of the daemon's unit, in section `[Service]`.
    Unit(String),
    /// A command that a person should run, for it does more than set a value.
    Command(String),
    /// What no command does.
    Advice(String),
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Change(change) => write!(f, "`{}`", change.command),
            Self::Boot { key, value } if value.is_empty() => write!(f, "boot with `{key}`"),
            Self::Boot { key, value } => write!(f, "boot with `{key}={value}`"),
            Self::Unit(line) => write!(f, "`{line}` in the unit"),
            Self::Command(command) => write!(f, "`{command}`"),
            Self::Advice(words) => f.write_str(words),
        }
    }
}

/// A setting with the value it has and the one it should have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// What is set.
    pub target: Target,
    /// The value that was read.
    pub old: String,
    /// The value that is wanted.
    pub new: String,
    /// What sets it by hand.
    pub command: String,
    /// What sets it back by hand.
    pub undo: String,
    /// What else happens when it is set; empty when nothing does.
    pub caution: String,
}

/// Where a setting is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Target {
    /// A file of the kernel's, by its absolute path.
    File(PathBuf),
    /// A setting of a device that is no file; who made the finding knows how to set it.
    Device {
        /// As in `eth1`.
        device: String,
        /// As in `rx-usecs`.
        setting: String,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Device { device, setting } => write!(f, "{device} {setting}"),
        }
    }
}

impl Change {
    /// A value to be written into a file of `/proc` or `/sys`.
    #[must_use]
    pub fn file(path: &str, old: &str, new: &str) -> Self {
        let (old, new) = (one_line(old.trim()), one_line(new.trim()));
        Self {
            target: Target::File(PathBuf::from(path)),
            command: write_command(path, &new),
            undo: write_command(path, &old),
            old,
            new,
            caution: String::new(),
        }
    }

    /// Says what else happens when it is set.
    #[must_use]
    pub fn with_caution(mut self, caution: &str) -> Self {
        caution.clone_into(&mut self.caution);
        self
    }
}

/// What a file held, short and on one line whatever it was.
fn one_line(text: &str) -> String {
    const CHARACTERS_MAX: usize = 400;
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut line: String = text.chars().take(CHARACTERS_MAX).map(clean).collect();
    if text.chars().nth(CHARACTERS_MAX).is_some() {
        line.push('…');
    }
    line
}

/// The command that writes a value, as people write it.
fn write_command(path: &str, value: &str) -> String {
    let value = shell_word(value);
    let network = "/proc/sys/net/";
    match path.strip_prefix("/proc/sys/") {
        // An interface's name may hold a dot, which the short form cannot tell from a separator.
        Some(name) if !path.starts_with(network) => {
            format!("sysctl -w {}={value}", shell_word(&name.replace('/', ".")))
        }
        _ => format!("echo {value} > {}", shell_word(path)),
    }
}

/// A word as a shell takes it for one, whatever is in it: what is printed may be pasted.
#[must_use]
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,@%+=[]".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_how_it_is_made_and_undone() {
        let change = Change::file("/proc/sys/kernel/numa_balancing", "1\n", "0");
        assert_eq!(change.command, "sysctl -w kernel.numa_balancing=0");
        assert_eq!(change.undo, "sysctl -w kernel.numa_balancing=1");
        let change = Change::file("/sys/kernel/mm/ksm/run", "1", "0");
        assert_eq!(change.command, "echo 0 > /sys/kernel/mm/ksm/run");
        let change = Change::file("/proc/sys/net/ipv4/conf/eth0.5/arp_filter", "1", "0");
        assert_eq!(change.undo, "echo 1 > /proc/sys/net/ipv4/conf/eth0.5/arp_filter");
    }

    #[test]
    fn what_is_pasted_is_one_word_whatever_a_file_held() {
        assert_eq!(shell_word("0-3,8"), "0-3,8");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("x; reboot"), "'x; reboot'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        let change = Change::file("/sys/a", "$(reboot)", "1");
        assert_eq!(change.undo, "echo '$(reboot)' > /sys/a");
    }

    #[test]
    fn the_worst_is_the_greatest() {
        assert!(Level::ALL.is_sorted());
        assert_eq!(Level::ALL.map(Level::name)[4], "problem");
    }

    #[test]
    fn a_finding_is_one_line_in_a_log() {
        let finding = Finding::new("swap", "host", Level::Note, "swap is on", "pages leave")
            .command("swapoff -a")
            .boot("nosmt", "");
        assert_eq!(
            finding.to_string(),
            "note: host: swap is on [swap]: pages leave; remedy: `swapoff -a`; boot with `nosmt`"
        );
    }
}
