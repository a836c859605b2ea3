//! What a run comes to.

use std::collections::BTreeMap;
use std::fmt;

/// Something that never may be, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// In true time, in nanoseconds since the run began.
    pub at_ns: u64,
    /// Which rule, by its number.
    pub rule: &'static str,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} ns: {}", self.rule, self.at_ns, self.what)
    }
}

/// What happened at least once, and how often: a run in which nothing happens proves nothing.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Seen(BTreeMap<&'static str, u64>);

impl Seen {
    /// It happened.
    pub fn note(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    /// Adds what another run saw.
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    /// How often.
    #[must_use]
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(what, count)| (*what, *count))
    }
}

/// What a run comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// What must not be.
    pub violations: Vec<Violation>,
    /// What happened.
    pub seen: Seen,
    /// How long it was, in nanoseconds of virtual time.
    pub virtual_ns: u64,
    /// How many things happened.
    pub events: u64,
    /// Faults that came.
    pub faults: u64,
    /// The longest time in which nobody drove, before the faults were healed.
    pub gap_max_ns: u64,
    /// How often the outputs changed hands.
    pub changes: u64,
}
