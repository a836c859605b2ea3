//! Counters of the LRE, by the names of IEC-62439-3-MIB (`lreInterfaceStatsTable`).

use crate::types::PortId;

/// Values per port A, B, C.
pub type PerPort = [u64; 3];

/// The MIB's counters. They only rise (the two table sizes excepted) and wrap after 584 years at
/// one per nanosecond.
///
/// Read for `lreCntUnique*`, `lreCntDuplicate*` and `lreCntMulti*`: each entry of duplicate discard
/// is counted once, when it dies, on the port on which its first copy came.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LreCounters {
    /// `lreCntTxA..C`: tagged frames sent on A and B; frames handed to the host on C.
    pub tx: PerPort,
    /// `lreCntErrWrongLanA..C`: frames whose LAN id does not fit the port.
    pub err_wrong_lan: PerPort,
    /// `lreCntRxA..C`: tagged frames received on A and B; frames taken from the host on C.
    pub rx: PerPort,
    /// `lreCntErrorsA..C`: malformed frames.
    pub errors: PerPort,
    /// `lreCntNodes`: entries of the node table.
    pub nodes: u64,
    /// `lreCntProxyNodes`: entries of the proxy node table.
    pub proxy_nodes: u64,
    /// `lreCntUniqueA..C`: numbers of which one copy came.
    pub unique: PerPort,
    /// `lreCntDuplicateA..C`: numbers of which exactly two copies came.
    pub duplicate: PerPort,
    /// `lreCntMultiA..C`: numbers of which more than two copies came.
    pub multi: PerPort,
    /// `lreCntOwnRxA`, `B`: own frames that came back.
    pub own_rx: [u64; 2],
}

impl LreCounters {
    /// How many values [`LreCounters::named`] gives.
    pub const COUNT: usize = 25;

    /// The counters whose values [`LreCounters::named`] gave, in its order.
    #[must_use]
    pub const fn from_values(values: [u64; Self::COUNT]) -> Self {
        let v = values;
        Self {
            tx: [v[0], v[1], v[2]],
            err_wrong_lan: [v[3], v[4], v[5]],
            rx: [v[6], v[7], v[8]],
            errors: [v[9], v[10], v[11]],
            nodes: v[12],
            proxy_nodes: v[13],
            unique: [v[14], v[15], v[16]],
            duplicate: [v[17], v[18], v[19]],
            multi: [v[20], v[21], v[22]],
            own_rx: [v[23], v[24]],
        }
    }

    /// Every counter with its name in the MIB, in the MIB's order.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); Self::COUNT] {
        let [a, b, c] = [PortId::A, PortId::B, PortId::C].map(PortId::index);
        [
            ("lreCntTxA", self.tx[a]),
            ("lreCntTxB", self.tx[b]),
            ("lreCntTxC", self.tx[c]),
            ("lreCntErrWrongLanA", self.err_wrong_lan[a]),
            ("lreCntErrWrongLanB", self.err_wrong_lan[b]),
            ("lreCntErrWrongLanC", self.err_wrong_lan[c]),
            ("lreCntRxA", self.rx[a]),
            ("lreCntRxB", self.rx[b]),
            ("lreCntRxC", self.rx[c]),
            ("lreCntErrorsA", self.errors[a]),
            ("lreCntErrorsB", self.errors[b]),
            ("lreCntErrorsC", self.errors[c]),
            ("lreCntNodes", self.nodes),
            ("lreCntProxyNodes", self.proxy_nodes),
            ("lreCntUniqueA", self.unique[a]),
            ("lreCntUniqueB", self.unique[b]),
            ("lreCntUniqueC", self.unique[c]),
            ("lreCntDuplicateA", self.duplicate[a]),
            ("lreCntDuplicateB", self.duplicate[b]),
            ("lreCntDuplicateC", self.duplicate[c]),
            ("lreCntMultiA", self.multi[a]),
            ("lreCntMultiB", self.multi[b]),
            ("lreCntMultiC", self.multi[c]),
            ("lreCntOwnRxA", self.own_rx[a]),
            ("lreCntOwnRxB", self.own_rx[b]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_in_their_places() {
        let values = core::array::from_fn(|n| n as u64 + 1);
        assert_eq!(LreCounters::from_values(values).named().map(|(_, value)| value), values);
    }

    #[test]
    fn each_name_stands_once() {
        let names = LreCounters::default().named().map(|(name, _)| name);
        for (i, name) in names.iter().enumerate() {
            assert!(!names[i + 1..].contains(name), "{name} twice");
        }
    }
}
