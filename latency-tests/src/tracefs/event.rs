//! A line of the kernel's record.

/// An event as the kernel prints it:
/// `  lre-243   [001] d..2.  20.223393: sched_waking: comm=lre pid=251 prio=39 target_cpu=001`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event<'a> {
    /// The thread that ran.
    pub tid: u32,
    /// When: nanoseconds, or ticks where the record counts ticks.
    pub at: u64,
    /// Its name.
    pub name: &'a str,
    /// What it says.
    pub text: &'a str,
}

impl<'a> Event<'a> {
    /// Reads a line; nothing where it holds no event (headings, gaps, anything else).
    #[must_use]
    pub fn parse(line: &'a str) -> Option<Self> {
        // A thread's name may hold anything, so the first "[001]" behind a number counts.
        let (before, rest) = line
            .match_indices(" [")
            .map(|(at, _)| line.split_at(at))
            .find(|(before, rest)| has_tid(before) && rest.get(5..6) == Some("]"))?;
        let tid = before.trim_end().rsplit_once('-')?.1.parse().ok()?;
        let mut words = rest.splitn(2, ": ");
        let at = time(words.next()?.split_whitespace().next_back()?)?;
        let (name, text) = words.next()?.split_once(':')?;
        Some(Self { tid, at, name, text: text.trim_start() })
    }

    /// The number that stands behind `key` and an equals sign.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        self.word(key)?.parse().ok()
    }

    /// The word that stands behind `key` and an equals sign.
    #[must_use]
    pub fn word(&self, key: &str) -> Option<&'a str> {
        let mut words = self.text.split_whitespace();
        words.find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }
}

fn has_tid(before: &str) -> bool {
    let tid = before.trim_end().rsplit_once('-').map(|(_, tid)| tid);
    tid.is_some_and(|tid| tid.parse::<u32>().is_ok())
}

/// `20.223393` in nanoseconds, `17247154330` as it is.
fn time(text: &str) -> Option<u64> {
    let Some((seconds, micros)) = text.split_once('.') else { return text.parse().ok() };
    let seconds = seconds.parse::<u64>().ok()?.checked_mul(1_000_000_000)?;
    if micros.len() != 6 {
        return None;
    }
    seconds.checked_add(micros.parse::<u64>().ok()? * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_in_both_clocks() {
        let line = "       ktimers/0-18      [000] d.s33    23.080342: sched_waking: comm=lre \
                    pid=229 prio=39 target_cpu=001";
        let event = Event::parse(line).unwrap();
        assert_eq!((event.tid, event.at, event.name), (18, 23_080_342_000, "sched_waking"));
        assert_eq!((event.number("pid"), event.word("comm")), (Some(229), Some("lre")));
        assert_eq!(event.number("comm"), None);
        let line = " a [b]-197 [003] d..2.  17247154330: sys_exit: NR 271 = 1";
        let event = Event::parse(line).unwrap();
        assert_eq!((event.tid, event.at, event.text), (197, 17_247_154_330, "NR 271 = 1"));
    }

    #[test]
    fn what_is_no_event_is_none() {
        for line in [
            "",
            "# tracer: nop",
            "CPU:0 [LOST 12 EVENTS]",
            " lre-x [000] d 1.000000: a: b",
            " lre-1 [000] d 1.00: a: b",
            " lre-1 [000] d 99999999999999999999.000000: a: b",
            " lre-1 [000]",
            " é-1 [é00] d 1.000000: a: b",
        ] {
            assert_eq!(Event::parse(line), None, "{line}");
        }
    }
}
