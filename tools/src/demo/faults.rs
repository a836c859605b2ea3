//! The list of faults, in the order in which they are shown.
//!
//! A fault stands in the cables of host 2, so that host 1 keeps its link: that is how it is with a
//! switch in between, and it is the harder case. The cable of the pair on a single LAN takes what
//! the LANs of the PRP pair take, all of it.

use serde_json::{Value, json};

/// What happens to a cable.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Act {
    /// The plug is pulled: the host sees its link go.
    Unplug,
    /// Nothing passes any more, and no link goes down: what monitoring of the link does not see.
    Cut,
    /// Settings of `bumpless-impair`.
    Impair(Value),
}

/// What a fault must do to the pair on a single LAN; otherwise it did not act, and what PRP made of
/// it says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Harm {
    /// Nothing at all: this is the check that the machine itself loses nothing.
    None,
    /// It loses.
    Loses,
    /// It receives more often than once.
    Repeats,
    /// Frames are late or in another order, which no count of ours shows; the impairment counts it.
    Disturbs,
}

/// One line of the demo.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Fault {
    /// Its name in documents.
    pub(super) key: &'static str,
    /// Its name for people; at most [`NAME_COLUMNS`].
    pub(super) name: &'static str,
    /// More about it; two columns less at most.
    pub(super) detail: &'static str,
    /// What LAN A takes.
    pub(super) lan_a: Option<Act>,
    /// What LAN B takes.
    pub(super) lan_b: Option<Act>,
    /// What the single LAN takes.
    pub(super) single: Option<Act>,
    /// What that must do.
    pub(super) harm: Harm,
}

/// The widest name.
pub(super) const NAME_COLUMNS: usize = 20;
/// The widest detail: it stands under the name, a little to the right.
#[cfg(test)]
const DETAIL_COLUMNS: usize = NAME_COLUMNS - 2;

impl Fault {
    /// Name and detail in one.
    pub(super) fn text(&self) -> String {
        match self.detail {
            "" => self.name.to_owned(),
            detail => format!("{}, {detail}", self.name),
        }
    }

    fn on_a(key: &'static str, name: &'static str, detail: &'static str, act: Act) -> Self {
        let (lan_a, single) = (Some(act.clone()), Some(act));
        Self { key, name, detail, lan_a, lan_b: None, single, harm: Harm::Loses }
    }

    fn disturbs(self, harm: Harm) -> Self {
        Self { harm, ..self }
    }
}

/// The faults; with `cut_both` one more at the end, which no redundancy survives.
pub(super) fn list(cut_both: bool) -> Vec<Fault> {
    let impair = |settings: Value| Act::Impair(settings);
    let late_and_lossy = json!({"delay_us": 50_000, "lose": {"probability": 0.2}});
    let mut faults = vec![
        Fault {
            key: "none",
            name: "no fault",
            detail: "",
            lan_a: None,
            lan_b: None,
            single: None,
            harm: Harm::None,
        },
        Fault::on_a("lan_a_unplugged", "LAN A unplugged", "and plugged again", Act::Unplug),
        Fault {
            key: "lan_b_unplugged",
            name: "LAN B unplugged",
            lan_a: None,
            lan_b: Some(Act::Unplug),
            ..Fault::on_a("", "", "and plugged again", Act::Unplug)
        },
        Fault::on_a("lan_a_cut", "LAN A cut silently", "links stay up", Act::Cut),
        Fault::on_a(
            "lan_a_loss",
            "LAN A loses frames",
            "20 %",
            impair(json!({"lose": {"probability": 0.2}})),
        ),
        Fault::on_a("lan_a_delay", "LAN A is late", "50 ms", impair(json!({"delay_us": 50_000})))
            .disturbs(Harm::Disturbs),
        Fault::on_a(
            "lan_a_jitter",
            "LAN A jitters",
            "10 to 30 ms late",
            impair(json!({"delay_us": 20_000, "jitter_us": 10_000})),
        )
        .disturbs(Harm::Disturbs),
        Fault::on_a(
            "lan_a_reorder",
            "LAN A reorders",
            "25 % held for 5 ms",
            impair(json!({"reorder": {"probability": 0.25, "hold_us": 5_000}})),
        )
        .disturbs(Harm::Disturbs),
        Fault::on_a(
            "lan_a_repeat",
            "LAN A repeats",
            "each frame 5 times",
            impair(json!({"repeat": {"probability": 1.0, "count": 4}})),
        )
        .disturbs(Harm::Repeats),
        Fault {
            key: "both_lans_bad",
            name: "A late, B loses",
            detail: "50 ms; 20 %",
            lan_a: Some(impair(json!({"delay_us": 50_000}))),
            lan_b: Some(impair(json!({"lose": {"probability": 0.2}}))),
            single: Some(impair(late_and_lossy)),
            harm: Harm::Loses,
        },
    ];
    if cut_both {
        let lan_b = Some(Act::Cut);
        let both = Fault::on_a("both_lans_cut", "both LANs cut", "too much for PRP", Act::Cut);
        faults.push(Fault { lan_b, ..both });
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_are_told_apart() {
        let faults = list(true);
        for fault in &faults {
            assert!(fault.name.chars().count() <= NAME_COLUMNS, "{}", fault.name);
            assert!(fault.detail.chars().count() <= DETAIL_COLUMNS, "{}", fault.detail);
            assert_eq!(faults.iter().filter(|other| other.key == fault.key).count(), 1);
        }
    }

    #[test]
    fn at_least_one_lan_always_carries_frames_unless_both_are_to_be_cut() {
        let stops = |act: &Option<Act>| matches!(act, Some(Act::Unplug | Act::Cut));
        let loses = |act: &Option<Act>| match act {
            Some(Act::Impair(settings)) => settings.get("lose").is_some(),
            act => stops(act),
        };
        assert!(list(false).iter().all(|fault| !(loses(&fault.lan_a) && loses(&fault.lan_b))));
        assert!(list(true).last().is_some_and(|last| stops(&last.lan_a) && stops(&last.lan_b)));
    }
}
