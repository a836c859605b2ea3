//! What happens to cables: the kernel's network emulator in the switches, links that are cut, and
//! cables in the wrong LAN.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::network::{Network, command_at, finished};

/// A fault of the cables of one or more nodes, both ways.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Fault {
    Clean,
    Loss20A,
    Loss80A,
    /// A is without carrier for the middle third.
    CutAndBackA,
    /// A quarter of A's frames overtake the others.
    ReorderA,
    /// A 50 ms late and complete; B 20 ms late and 20 % lost.
    LateBoth,
    /// A late by 20 ± 10 ms, and so out of order.
    JitterA,
    DuplicateA,
    CorruptA,
    /// A is without carrier from the first third on, until the traffic ends.
    CutA,
    /// A carries nothing for the middle third, and nobody is told.
    SilentA,
    /// Everything on A twice in each cable it passes.
    RepeatA,
    /// Each cable in the other LAN.
    Swapped,
}

/// The faults that both drivers are put to.
pub(crate) const COMMON: [Fault; 9] = [
    Fault::Clean,
    Fault::Loss20A,
    Fault::Loss80A,
    Fault::CutAndBackA,
    Fault::ReorderA,
    Fault::LateBoth,
    Fault::JitterA,
    Fault::DuplicateA,
    Fault::CorruptA,
];

/// Share of the frames that [`Fault::CorruptA`] changes, one bit in each.
pub(crate) const CORRUPTED_SHARE: f64 = 0.05;

impl Fault {
    /// What the emulator is told for LAN A and LAN B.
    const fn netem(self) -> [Option<&'static str>; 2] {
        match self {
            Self::Clean | Self::CutAndBackA | Self::CutA | Self::Swapped => [None, None],
            Self::Loss20A => [Some("loss 20%"), None],
            Self::Loss80A => [Some("loss 80%"), None],
            Self::ReorderA => [Some("delay 5ms reorder 25%"), None],
            Self::LateBoth => [Some("delay 50ms"), Some("delay 20ms loss 20%")],
            Self::JitterA => [Some("delay 20ms 10ms"), None],
            Self::DuplicateA => [Some("duplicate 30%"), None],
            Self::CorruptA => [Some("corrupt 5%"), None],
            // Filled in for a third of the time.
            Self::SilentA => [Some("loss 0%"), None],
            Self::RepeatA => [Some("duplicate 100%"), None],
        }
    }

    /// Whether frames reach a receiver changed.
    pub(crate) const fn corrupts(self) -> bool {
        matches!(self, Self::CorruptA)
    }
}

/// What the emulators of a cell did.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Emulated {
    /// Frames that left an emulator.
    pub(crate) frames: u64,
    /// Frames that it swallowed.
    pub(crate) dropped: u64,
}

/// A fault in place at some nodes' cables.
pub(crate) struct Placed<'n> {
    network: &'n Network,
    fault: Fault,
    nodes: &'n [u8],
}

impl<'n> Placed<'n> {
    pub(crate) fn new(network: &'n Network, fault: Fault, nodes: &'n [u8]) -> Self {
        let placed = Self { network, fault, nodes };
        placed.tell("replace", |options| format!("netem limit 100000 {options}"));
        if fault == Fault::Swapped {
            nodes.iter().for_each(|&n| network.swap_lans(n, true));
        }
        placed
    }

    /// Does what has its time while traffic runs for `seconds`.
    pub(crate) fn act(&self, seconds: f64) {
        let third = Duration::from_secs_f64(seconds / 3.0);
        match self.fault {
            Fault::CutA | Fault::CutAndBackA => {
                sleep(third);
                self.set_link(false);
                if self.fault == Fault::CutAndBackA {
                    sleep(third);
                    self.set_link(true);
                }
            }
            Fault::SilentA => {
                sleep(third);
                self.tell("replace", |_| "netem limit 100000 loss 100%".to_owned());
                sleep(third);
                self.tell("replace", |_| "netem limit 100000 loss 0%".to_owned());
            }
            _ => {}
        }
    }

    /// Takes the fault away and tells what it did.
    pub(crate) fn clear(self) -> Emulated {
        let emulated = self.emulated();
        self.tell("delete", |_| String::new());
        if self.fault == Fault::CutA {
            self.set_link(true);
        }
        if self.fault == Fault::Swapped {
            self.nodes.iter().for_each(|&n| self.network.swap_lans(n, false));
        }
        emulated
    }

    fn set_link(&self, up: bool) {
        for n in self.nodes {
            self.network.net.set_link(&format!("n{n}"), "lan_a", up).unwrap();
        }
    }

    /// The interfaces with an emulator, each with what it is told.
    fn ends(&self) -> Vec<(String, &'static str)> {
        let mut ends = Vec::new();
        for (lan, options) in ["a", "b"].into_iter().zip(self.fault.netem()) {
            let Some(options) = options else { continue };
            for &n in self.nodes {
                ends.extend(self.network.cable_ends(n, lan).map(|end| (end, options)));
            }
        }
        ends
    }

    fn tell(&self, verb: &str, what: impl Fn(&str) -> String) {
        let line = |(end, options): (String, &str)| {
            format!("qdisc {verb} dev {end} root {}\n", what(options))
        };
        let lines: String = self.ends().into_iter().map(line).collect();
        if lines.is_empty() {
            return;
        }
        let file = self.network.net.folder().join("netem");
        fs::write(&file, &lines).unwrap();
        let mut command = command_at(self.network.fabric(), "tc");
        command.arg("-batch").arg(file);
        finished(format!("tc: {lines}"), command);
    }

    fn emulated(&self) -> Emulated {
        let mut command = command_at(self.network.fabric(), "tc");
        command.args(["-json", "-statistics", "qdisc", "show"]);
        let text = finished("tc qdisc show".to_owned(), command).out;
        let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
        let mut emulated = Emulated::default();
        for row in rows.iter().filter(|row| row["kind"] == "netem") {
            emulated.frames += row["packets"].as_u64().unwrap();
            emulated.dropped += row["drops"].as_u64().unwrap();
        }
        emulated
    }
}
