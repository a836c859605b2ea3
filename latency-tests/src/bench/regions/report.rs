//! The part of the page that is about regions: ratios first.

use std::fmt::{self, Write as _};

use super::round::{Contestant, SLOTS};
use super::{Regions, Way};
use crate::bench::report::{dash, plain, spread_text, write_row};
use crate::bench::spread::Spread;

impl Regions {
    /// Adds this part.
    pub(in crate::bench) fn write(&self, text: &mut String) {
        self.write_ratios(text);
        self.write_commits(text);
        self.write_times(text);
        self.write_limits(text);
    }

    fn write_ratios(&self, text: &mut String) {
        text.push_str(
            "## Published to observed: ratios\n\nOf the medians of rounds in turn. The line is \
             one cache line with a number and a stamp in it, passed on the same course; woken, the \
             kernel's wait and wake on that line. iceoryx2 copies images out as bumpless does; in \
             place, its reader verifies them where they lie.\n\n| octets | reader | bumpless by \
             line | iceoryx2 by line | iceoryx2 by bumpless | p99 | p99.99 | iceoryx2 in place by \
             bumpless |\n|---|---|---|---|---|---|---|---|\n",
        );
        for ours in self.ways.iter().filter(|way| way.contestant == Contestant::Ring.name()) {
            let same =
                |way: &&Way| way.woken == ours.woken && way.image_octets == ours.image_octets;
            let of = |who: Contestant| {
                self.ways.iter().filter(same).find(|way| way.contestant == who.name())
            };
            let theirs = of(Contestant::Iceoryx2);
            let in_place = of(Contestant::Iceoryx2InPlace);
            let two = |spread: &Spread| spread_text(spread, 2);
            let some = |spread: Option<&Spread>| spread.map_or_else(dash, two);
            let tail = |percentile| {
                let ns = |way: &Way| way.observed.times.percentile_ns(percentile);
                let both = theirs.and_then(ns).zip(ns(ours));
                both.map_or_else(dash, |(theirs, ours)| {
                    format!("{:.2}", theirs as f64 / ours as f64)
                })
            };
            let cells: [&dyn fmt::Display; 8] = [
                &ours.image_octets,
                &reader(ours.woken),
                &two(&ours.by_line),
                &some(theirs.map(|way| &way.by_line)),
                &some(theirs.map(|way| &way.by_ring)),
                &tail(99.0),
                &tail(99.99),
                &some(in_place.map(|way| &way.by_ring)),
            ];
            write_row(text, &cells);
        }
        text.push('\n');
    }

    fn write_commits(&self, text: &mut String) {
        text.push_str(
            "## Commit by plain copy\n\nOne thread, nobody reading; the copy goes to as many \
             places as the ring has slots.\n\n| octets | way | by copy | ns | copy ns |\n\
             |---|---|---|---|---|\n",
        );
        for commit in &self.commits {
            for way in &commit.ways {
                let cells: [&dyn fmt::Display; 5] = [
                    &commit.image_octets,
                    &way.way,
                    &spread_text(&way.ratio, 2),
                    &plain(&way.ns),
                    &plain(&commit.copy_ns),
                ];
                write_row(text, &cells);
            }
        }
        text.push('\n');
    }

    fn write_times(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "## Published to observed: times\n\nIn ns, one way, all rounds together, every image \
             charged, seen or skipped; each holds about one reading of the clock ({} ns) and the \
             end of a loop that has gone round for a period. A cache line passed to and fro \
             without a clock: {} ns one way. A percentile is left out where no image would be \
             beyond it.\n\n| octets | reader | contestant | median of rounds | \
             p50 | p99 | p99.99 | max | period µs | images | seen | skipped | missing | torn | \
             wrong | periods missed |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\
             ---|---|",
            spread_text(&self.clock_ns, 0),
            spread_text(&self.line_pass_ns, 0),
        );
        for way in &self.ways {
            let Way { observed, .. } = way;
            let at = |percentile| {
                let ns = observed.times.percentile_ns(percentile);
                ns.map_or_else(dash, |ns| ns.to_string())
            };
            let cells: [&dyn fmt::Display; 16] = [
                &way.image_octets,
                &reader(way.woken),
                &way.contestant,
                &plain(&way.median_ns),
                &at(50.0),
                &at(99.0),
                &at(99.99),
                &observed.times.max_ns(),
                &(way.period_ns / 1_000),
                &way.images,
                &observed.images,
                &observed.skipped,
                &observed.missing,
                &observed.torn,
                &observed.wrong,
                &way.periods_missed,
            ];
            write_row(text, &cells);
        }
        text.push('\n');
    }

    fn write_limits(&self, text: &mut String) {
        let cpu = |cpu: Option<usize>| cpu.map_or_else(|| "any".to_owned(), |cpu| cpu.to_string());
        let [writer, reader] = self.cpus.map(cpu);
        let told = if self.neighbours.is_empty() { "" } else { ": " };
        let _ = writeln!(
            text,
            "Writer on CPU {writer}, reader on CPU {reader}{told}{}. Two processes, SCHED_FIFO \
             where they have their CPU for themselves. Both sides of bumpless and iceoryx2 compute \
             a CRC-32C over the image. Ring and queue have {} places. Woken: bumpless by the \
             kernel's wait on a word of the ring, iceoryx2 by its event service. The course's one \
             reading of the clock is bumpless's stamp; a wall clock is not read. After the time \
             was taken every image is compared with what was published, octet by octet.\n\nA \
             virtual machine's CPU is lent: where the host takes it away, the longest times are \
             the host's. Waking a CPU that idles there is an exit to the host and back, for every \
             contestant. From a real-time thread that never sleeps the kernel takes the CPU, for \
             up to 50 ms in each second, if anything else waits for it: who polls wants a CPU that \
             is isolated.\n",
            self.neighbours, SLOTS,
        );
    }
}

const fn reader(woken: bool) -> &'static str {
    if woken { "woken" } else { "polling" }
}
