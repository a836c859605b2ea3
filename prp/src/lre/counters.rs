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

    /// The names of the values, in the MIB's order.
    const NAMES: [&'static str; Self::COUNT] = [
        "lreCntTxA",
        "lreCntTxB",
        "lreCntTxC",
        "lreCntErrWrongLanA",
        "lreCntErrWrongLanB",
        "lreCntErrWrongLanC",
        "lreCntRxA",
        "lreCntRxB",
        "lreCntRxC",
        "lreCntErrorsA",
        "lreCntErrorsB",
        "lreCntErrorsC",
        "lreCntNodes",
        "lreCntProxyNodes",
        "lreCntUniqueA",
        "lreCntUniqueB",
        "lreCntUniqueC",
        "lreCntDuplicateA",
        "lreCntDuplicateB",
        "lreCntDuplicateC",
        "lreCntMultiA",
        "lreCntMultiB",
        "lreCntMultiC",
        "lreCntOwnRxA",
        "lreCntOwnRxB",
    ];

    /// The counters whose values [`LreCounters::values`] gave, in its order.
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

    /// The values without their names, in the MIB's order. Real-time class: copies.
    #[must_use]
    pub const fn values(&self) -> [u64; Self::COUNT] {
        let Self { tx, err_wrong_lan, rx, errors, nodes, proxy_nodes, .. } = *self;
        let Self { unique, duplicate, multi, own_rx, .. } = *self;
        [
            tx[0],
            tx[1],
            tx[2],
            err_wrong_lan[0],
            err_wrong_lan[1],
            err_wrong_lan[2],
            rx[0],
            rx[1],
            rx[2],
            errors[0],
            errors[1],
            errors[2],
            nodes,
            proxy_nodes,
            unique[0],
            unique[1],
            unique[2],
            duplicate[0],
            duplicate[1],
            duplicate[2],
            multi[0],
            multi[1],
            multi[2],
            own_rx[0],
            own_rx[1],
        ]
    }

    /// Every counter with its name in the MIB, in the MIB's order.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); Self::COUNT] {
        let values = self.values();
        core::array::from_fn(|at| (Self::NAMES[at], values[at]))
    }
}

// The places of the arrays are those of the ports.
const _: () = assert!(PortId::A.index() == 0 && PortId::B.index() == 1 && PortId::C.index() == 2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_in_their_places() {
        let values = core::array::from_fn(|n| n as u64 + 1);
        let counters = LreCounters::from_values(values);
        assert_eq!(counters.values(), values);
        let named = counters.named();
        assert_eq!(named.map(|(_, value)| value), values);
        assert_eq!((named[8], counters.rx[2]), (("lreCntRxC", 9), 9));
        assert_eq!((named[23], counters.own_rx[0]), (("lreCntOwnRxA", 24), 24));
    }

    #[test]
    fn each_name_stands_once() {
        let names = LreCounters::default().named().map(|(name, _)| name);
        for (i, name) in names.iter().enumerate() {
            assert!(!names[i + 1..].contains(name), "{name} twice");
        }
    }
}
