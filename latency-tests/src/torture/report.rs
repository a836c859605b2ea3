//! What a run of kills showed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Greatest time that a histogram tells apart.
const TIME_MAX_US: u64 = 60_000_000;

/// How a kill is told of that came behind its window.
pub const AT_ITS_END: &str = "at its end";

/// The last instruction of a window that is told from those after it.
const OFFSET_MAX: usize = 1_000_000;

/// Kills within one window, by the instruction at which they came.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Offsets {
    /// How many kills after so many instructions. Written down where there were any.
    #[serde(with = "sparse")]
    pub kills: Vec<u32>,
    /// Instructions of a whole window, the fewest and the most that were seen.
    pub length: Option<(u64, u64)>,
}

/// Counts as pairs of a place and what is there, for most places have nothing.
mod sparse {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::OFFSET_MAX;

    pub(super) fn serialize<S: Serializer>(counts: &[u32], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(counts.iter().enumerate().filter(|(_, count)| **count > 0))
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Vec<u32>, D::Error> {
        let pairs: Vec<(usize, u32)> = Vec::deserialize(from)?;
        let length = pairs.iter().map(|(at, _)| at + 1).max().unwrap_or(0);
        if length > OFFSET_MAX + 1 {
            return Err(D::Error::custom("an offset that no window has"));
        }
        let mut counts = vec![0; length];
        for (at, count) in pairs {
            counts[at] = count;
        }
        Ok(counts)
    }
}

impl Offsets {
    /// A kill after so many instructions; whether that was behind the window's end.
    pub fn count(&mut self, offset: u64, is_whole: bool) {
        let at = usize::try_from(offset).unwrap_or(usize::MAX).min(OFFSET_MAX);
        if self.kills.len() <= at {
            self.kills.resize(at + 1, 0);
        }
        self.kills[at] += 1;
        if is_whole {
            let (least, most) = self.length.unwrap_or((offset, offset));
            self.length = Some((least.min(offset), most.max(offset)));
        }
    }

    /// How many boundaries between two instructions there are, and at how many of them there was a
    /// kill. Where windows differ in length, those that all of them have.
    #[must_use]
    pub fn coverage(&self) -> (usize, usize) {
        let Some((least, _)) = self.length else { return (0, 0) };
        let boundaries = usize::try_from(least).unwrap_or(usize::MAX).saturating_add(1);
        let hit = self.kills.iter().take(boundaries).filter(|count| **count > 0).count();
        (boundaries, hit)
    }

    /// All kills here.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.kills.iter().map(|count| u64::from(*count)).sum()
    }

    fn merge(&mut self, other: &Self) {
        if self.kills.len() < other.kills.len() {
            self.kills.resize(other.kills.len(), 0);
        }
        for (count, more) in self.kills.iter_mut().zip(&other.kills) {
            *count += more;
        }
        self.length = match (self.length, other.length) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, other) => one.or(other),
        };
    }

    /// In ten parts of the window.
    fn tenths(&self) -> [u64; 10] {
        let mut tenths = [0; 10];
        let length = self.length.map_or(self.kills.len() as u64, |(_, most)| most + 1).max(1);
        for (at, count) in self.kills.iter().enumerate() {
            let tenth = usize::try_from(at as u64 * 10 / length).unwrap_or(9).min(9);
            tenths[tenth] += u64::from(*count);
        }
        tenths
    }
}

/// See the module's text.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// How many of which kind.
    pub kills: BTreeMap<String, u64>,
    /// By window.
    pub offsets: BTreeMap<String, Offsets>,
    /// From the kill to the return of the next owner's first commit, by the class of standby: time
    /// in whole µs, and how often.
    pub recoveries: BTreeMap<String, BTreeMap<u64, u64>>,
    /// Rules that were broken.
    pub broken: Vec<String>,
    /// Takeovers that were looked at.
    pub takeovers: u64,
    /// Of these: the cycle was complete and its commit had not returned.
    pub ahead: u64,
    /// Starts of the daemon.
    pub daemons: u64,
    /// Owners that a new daemon took back with their epoch.
    pub taken_back: u64,
    /// Images that were looked at octet by octet.
    pub images: u64,
    /// Reads that the writer overtook thrice.
    pub lapped: u64,
    /// Commits that returned, of owners that were killed.
    pub commits: u64,
    /// How often memory was counted with all participants dead.
    pub censuses: u64,
    /// Segments that were there too many then.
    pub leaked: u64,
    /// The most segments and pages at once in a running lane.
    pub memories_max: u64,
    /// How long the lanes ran, together.
    pub seconds: f64,
}

impl Report {
    /// All kills.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.kills.values().sum()
    }

    /// Those within a window of a commit or of becoming attached, be it the participant's own or
    /// the daemon's part of it; not those at such a window's end.
    #[must_use]
    pub fn in_publish_or_attach(&self) -> u64 {
        let is_named = |kind: &str| kind.contains("publish") || kind.contains("attach");
        let is_it = |kind: &str| is_named(kind) && !kind.ends_with(AT_ITS_END);
        self.kills.iter().filter(|(kind, _)| is_it(kind)).map(|(_, count)| count).sum()
    }

    /// The last system call after which a kind of process was stepped.
    #[must_use]
    pub fn calls(&self, window: &str) -> u64 {
        let prefix = format!("{window}, after call ");
        let numbers = self
            .offsets
            .keys()
            .filter_map(|it| it.strip_prefix(&prefix)?.split(',').next()?.parse().ok());
        numbers.max().unwrap_or(0)
    }

    /// A takeover by a standby of a class took so long.
    pub fn recovery(&mut self, class: &str, time_ns: u64) {
        let times = self.recoveries.entry(class.to_owned()).or_default();
        *times.entry(time_ns / 1_000).or_default() += 1;
    }

    /// One more of a kind.
    pub fn kill(&mut self, kind: &str) {
        *self.kills.entry(kind.to_owned()).or_default() += 1;
    }

    /// Adds another lane's.
    pub fn merge(&mut self, other: &Self) {
        for (kind, count) in &other.kills {
            *self.kills.entry(kind.clone()).or_default() += count;
        }
        for (window, offsets) in &other.offsets {
            self.offsets.entry(window.clone()).or_default().merge(offsets);
        }
        for (class, times) in &other.recoveries {
            let all = self.recoveries.entry(class.clone()).or_default();
            for (time, count) in times {
                *all.entry(*time).or_default() += count;
            }
        }
        self.broken.extend(other.broken.iter().cloned());
        self.takeovers += other.takeovers;
        self.ahead += other.ahead;
        self.daemons += other.daemons;
        self.taken_back += other.taken_back;
        self.images += other.images;
        self.lapped += other.lapped;
        self.commits += other.commits;
        self.censuses += other.censuses;
        self.leaked += other.leaked;
        self.memories_max = self.memories_max.max(other.memories_max);
        self.seconds += other.seconds;
    }

    /// As tables, which are Markdown too.
    #[must_use]
    pub fn page(&self) -> String {
        let mut text = String::from("| killed | kills |\n|---|---|\n");
        for (kind, count) in &self.kills {
            let _ = writeln!(text, "| {kind} | {count} |");
        }
        let (all, within) = (self.total(), self.in_publish_or_attach());
        let _ = writeln!(text, "| all | {all} |\n| of these within publish or attach | {within} |");
        text.push_str(
            "\n| stepped window | instructions | boundaries with a kill | kills by tenth |\n\
             |---|---|---|---|\n",
        );
        for (window, offsets) in &self.offsets {
            let (boundaries, hit) = offsets.coverage();
            let length = offsets.length.map_or_else(
                || "not seen whole".to_owned(),
                |(least, most)| format!("{least} to {most}"),
            );
            let tenths = offsets.tenths().map(|it| it.to_string()).join(" ");
            let _ = writeln!(text, "| {window} | {length} | {hit} of {boundaries} | {tenths} |");
        }
        text.push_str(
            "\n| standby | takeovers | p50 µs | p90 µs | p99 µs | max µs |\n\
             |---|---|---|---|---|---|\n",
        );
        for (class, times) in &self.recoveries {
            let Ok(mut histogram) = Histogram::<u64>::new_with_bounds(1, TIME_MAX_US, 3) else {
                continue;
            };
            for (&time, &count) in times {
                histogram.saturating_record_n(time.max(1), count);
            }
            let at = |quantile| histogram.value_at_quantile(quantile);
            let _ = writeln!(
                text,
                "| {class} | {} | {} | {} | {} | {} |",
                histogram.len(),
                at(0.5),
                at(0.9),
                at(0.99),
                histogram.max()
            );
        }
        let _ = writeln!(
            text,
            "\n{} commits returned, {} images checked octet by octet, {} reads overtaken; {} \
             takeovers looked at, {} of them of a cycle whose commit was complete and had not \
             returned; {} starts of the daemon, {} owners taken back; {} censuses, {} segments \
             leaked, {} segments and pages at most; {} rules broken",
            self.commits,
            self.images,
            self.lapped,
            self.takeovers,
            self.ahead,
            self.daemons,
            self.taken_back,
            self.censuses,
            self.leaked,
            self.memories_max,
            self.broken.len(),
        );
        for broken in &self.broken {
            let _ = writeln!(text, "- {broken}");
        }
        text
    }
}
