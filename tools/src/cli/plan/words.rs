//! The answer for people: every sum spelled out, every figure exact.

use rt_core::margins::{Change, Direction, Finding, Inequality, Lever, Sum, What};
use rt_core::pair::Mode;
use rt_core::time::Duration;

use super::super::text::{Side, Style, Table, number};
use super::span::show;
use super::takeover::{Answer, Remedies};

impl Answer {
    pub(super) fn text(&self, style: Style) -> String {
        let mut text = self.verdict(style);
        text += &self.timers_text(style);
        text += &self.bounds_text(style);
        text += &self.inequalities_text(style);
        text += &self.loss_text();
        for caution in &self.cautions {
            text += &format!("\n{} {caution}\n", style.odd("caution:"));
        }
        text
    }

    fn verdict(&self, style: Style) -> String {
        if self.is_possible() {
            return format!("{} in mode {}\n", style.good("Possible"), self.setting.mode);
        }
        let word = style.bad("Impossible");
        let mut text = format!("{word} in mode {}\n", self.setting.mode);
        for remedies in &self.remedies {
            let sentence = self.sentence(&remedies.finding);
            text += &format!("\nbecause ({}) {sentence}\n", remedies.finding.inequality.number());
            text += &self.remedies_text(remedies);
        }
        text
    }

    /// Why an inequality fails.
    pub(super) fn sentence(&self, finding: &Finding) -> String {
        if finding.inequality == Inequality::SomebodyDecides {
            let why = match self.setting.mode {
                Mode::Manual => "a person decides, and nobody knows how soon",
                _ => "nothing confirms that the peer is off",
            };
            return format!("nobody takes over from a silent peer: {why}");
        }
        let (given, needed) = self.sides(finding);
        let verb = if finding.holds { "outlasts" } else { "does not outlast" };
        let Finding { given: is, needed: takes, .. } = finding;
        let missing = if finding.holds || *takes == Duration::MAX {
            String::new()
        } else if finding.margin() == Duration::ZERO {
            ": it has to be longer".to_owned()
        } else {
            format!(": {} short", show(finding.margin()))
        };
        format!("{given} ({}) {verb} {needed} ({}){missing}", show(*is), show(*takes))
    }

    fn sides(&self, finding: &Finding) -> (String, String) {
        let (given, needed) = finding.inequality.sides();
        let (given, needed) = match (finding.inequality, self.setting.mode) {
            (Inequality::SuspicionBeforeLeaseEnds, Mode::Latch) => {
                (given, "suspecting and claiming the latches")
            }
            (Inequality::SuspicionBeforeLeaseEnds, Mode::Fence | Mode::SameHost) => {
                (given, "suspecting")
            }
            (Inequality::LossWithinRecoveryPoint, _) if self.setting.recovery_point == Some(0) => {
                ("what is left of a cycle", "having the state at the standby, and its answer")
            }
            (Inequality::LossWithinRecoveryPoint, _) => {
                ("the cycles that may be lost", "the way of the state to the standby")
            }
            _ => (given, needed),
        };
        let late: Vec<&str> = self.late_outputs().collect();
        let is_named = finding.inequality == Inequality::TakeoverWithinHold && !finding.holds;
        let given = if is_named {
            let shortest = if late.len() > 1 { "shortest " } else { "" };
            format!("the {shortest}hold time of {}", late.join(", "))
        } else {
            given.to_owned()
        };
        (given, needed.to_owned())
    }

    fn remedies_text(&self, remedies: &Remedies) -> String {
        if remedies.finding.inequality == Inequality::SomebodyDecides {
            return "  it would need another mode: W, L, F or H\n".to_owned();
        }
        let mut text = String::new();
        if !remedies.changes.is_empty() {
            text += "  it would need one of these, with all else as it is:\n";
        }
        for change in &remedies.changes {
            let enough = if change.suffices { "" } else { " (and that is not enough)" };
            text += &format!("    {}{enough}\n", self.change_text(change));
        }
        let useless: Vec<_> = remedies.useless.iter().map(|it| words(*it)).collect();
        if !useless.is_empty() {
            text += &format!("  no value would do of: {}\n", useless.join(", "));
        }
        if self.heartbeat_chosen && remedies.useless.contains(&Lever::Heartbeat) {
            let least = show(self.setting.heartbeat_min());
            text += &format!("  (no heartbeat shorter than {least} can be kept, or is worth it)\n");
        }
        text
    }

    fn change_text(&self, change: &Change) -> String {
        let way = match change.direction {
            Direction::AtMost => "at most",
            Direction::AtLeast => "at least",
        };
        let value = match change.lever.is_count() {
            true => change.value.to_string(),
            false => show(Duration::from_nanos(change.value)),
        };
        let is = match (change.lever.of(&self.setting), change.lever.is_count()) {
            (Some(value), true) => format!(", not {value}"),
            (Some(value), false) => format!(", not {}", show(Duration::from_nanos(value))),
            (None, _) => String::new(),
        };
        let mut what = words(change.lever).to_owned();
        if change.lever == Lever::Hold {
            what += " of ";
            what += &self.late_outputs().collect::<Vec<_>>().join(", ");
        }
        format!("{what} {way} {value}{is}")
    }

    fn timers_text(&self, style: Style) -> String {
        let Self { timers, setting, .. } = self;
        let mut table = Table::new(&[("Timers", Side::Left), ("", Side::Right), ("", Side::Left)]);
        let mut row = |name: &str, value: String, how: String| {
            table.row(vec![name.to_owned(), value, how]);
        };
        let how = if !self.heartbeat_chosen {
            "as given"
        } else if self.is_possible() {
            "the longest with which all holds, in steps of 10 µs, up to 100 ms"
        } else {
            "the shortest that can be kept, or is worth it"
        };
        row("heartbeat", show(timers.heartbeat), how.to_owned());
        row("misses", timers.misses.to_string(), "heartbeats in a row that may be lost".to_owned());
        row(
            "suspicion",
            show(setting.suspicion(timers).total()),
            spelled(&setting.suspicion(timers)),
        );
        let losses = setting.losses(timers.heartbeat, timers.misses);
        let suspecting = setting.suspecting(timers.heartbeat, timers.misses);
        let how = if timers.lease == losses.total() {
            format!("(3) {}", spelled(&losses))
        } else if timers.lease == suspecting.total() {
            format!("(4) {}", spelled(&suspecting))
        } else {
            "as given".to_owned()
        };
        row("lease", show(timers.lease), how);
        let drift = u64::from(setting.measured.drift_ppm);
        let how = if timers.promise == setting.measured.promise_min(timers.lease) {
            let [fast, slow] = [number(1_000_000 + drift), number(1_000_000 - drift)];
            format!("(2) lease × {fast} / {slow} + 1 ns")
        } else {
            "as given".to_owned()
        };
        row("promise", show(timers.promise), how);
        let how = "for how long a node that starts hears out who is there".to_owned();
        row("listen", show(setting.listen(timers)), how);
        format!("\n{}", table.render(style))
    }

    fn bounds_text(&self, style: Style) -> String {
        let bounds = &self.bounds;
        let mut table = Table::new(&[
            ("Until the next owner drives, at most", Side::Left),
            ("", Side::Right),
            ("", Side::Left),
        ]);
        let mut row = |name: &str, sum: &Sum| {
            table.row(vec![name.to_owned(), show(sum.total()), spelled(sum)]);
        };
        if let Some(sum) = &bounds.silent {
            row("(5) silent crash", sum);
        }
        row("(6) witnessed death", &bounds.evidence);
        row("planned switchover", &bounds.planned);
        if let Some(sum) = &bounds.after_release {
            row("nobody decides, and one way is cut", sum);
        }
        let mut text = format!("\n{}", table.render(style));
        if bounds.silent.is_none() {
            text += "No bound for a silent crash: nobody takes over by itself.\n";
        }
        let slack = show(bounds.slack);
        let (fits, misses) = match bounds.planned_misses {
            0 => ("fits", "none".to_owned()),
            1 => ("does not fit", "a cycle".to_owned()),
            more => ("does not fit", format!("{} cycles", number(more))),
        };
        text += &format!(
            "A planned switchover {fits} in what is left of a cycle ({slack}): it misses \
             {misses}.\n"
        );
        text
    }

    fn inequalities_text(&self, style: Style) -> String {
        let mut table = Table::new(&[
            ("Inequality", Side::Left),
            ("", Side::Left),
            ("Given", Side::Right),
            ("Takes", Side::Right),
            ("Left", Side::Right),
        ]);
        let mut row = |name: String, finding: &Finding| {
            let verdict = if finding.holds { "holds" } else { "FAILS" };
            let margin = match (finding.holds, finding.needed) {
                (_, Duration::MAX) => "none".to_owned(),
                (true, _) => show(finding.margin()),
                (false, _) => format!("−{}", show(finding.margin())),
            };
            let [given, needed] = [show(finding.given), show(finding.needed)];
            table.row(vec![name, verdict.to_owned(), given, needed, margin]);
        };
        let shown = |it: &&Finding| it.inequality != Inequality::SomebodyDecides;
        if self.findings.iter().filter(shown).count() + self.outputs.len() == 0 {
            return String::new();
        }
        for finding in self.findings.iter().filter(shown) {
            let (given, needed) = self.sides(finding);
            row(format!("({}) {given} outlasts {needed}", finding.inequality.number()), finding);
            if finding.inequality.number() == 4 {
                self.rows_of_outputs(&mut row);
            }
        }
        format!("\n{}", table.render(style))
    }

    fn rows_of_outputs(&self, row: &mut impl FnMut(String, &Finding)) {
        for (name, finding) in &self.outputs {
            row(format!("(8) the hold time of {name} outlasts a takeover and a cycle"), finding);
        }
    }

    fn loss_text(&self) -> String {
        let Some(loss) = self.loss else { return String::new() };
        let costs = match self.setting.mode {
            Mode::Fence => "switches the peer off",
            Mode::SameHost => "kills the peer",
            _ => "costs the redundancy for a while, not the outputs",
        };
        format!(
            "\nFalse suspicions in a year: {:.3e} expected, where each LAN loses {} frames in a \
             million,\neach by itself. Networks lose frames in bursts, and then it is more. A \
             false suspicion\n{costs}.\n",
            loss.suspicions_a_year,
            number(loss.ppm.into())
        )
    }
}

/// The parts of a sum, as they follow one another.
pub(super) fn spelled(sum: &Sum) -> String {
    let parts = sum.parts().map(|it| {
        let name = match it.what {
            What::Heartbeat if it.times > 1 => "heartbeats",
            what => what.name(),
        };
        match it.times {
            1 => format!("{name} {}", show(it.each)),
            times => {
                format!("{times} × {name} {}", show(it.each)).replace("heartbeats", "heartbeat")
            }
        }
    });
    parts.collect::<Vec<_>>().join(" + ")
}

fn words(lever: Lever) -> &'static str {
    match lever {
        Lever::Jitter => "J",
        Lever::RoundTrip => "round trip",
        Lever::WitnessRoundTrip => "witness round trip",
        Lever::LatchRoundTrip => "latch round trip",
        Lever::Fence => "fence time",
        Lever::Transfer => "transfer time",
        Lever::Hold => "hold time",
        Lever::RecoveryTime => "recovery time",
        Lever::RecoveryPoint => "recovery point",
        other => other.name(),
    }
}
