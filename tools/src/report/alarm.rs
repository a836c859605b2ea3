//! What is wrong in the network now, as sentences.

use prp::lre::LreAlarms;
use prp::types::LanId;

/// The conditions of an LRE that last, a sentence each, with the remedy.
#[must_use]
pub fn sentences(alarms: &LreAlarms) -> Vec<String> {
    let mut list = Vec::new();
    for lan in LanId::BOTH {
        if alarms.wrong_lan[lan.index()] {
            list.push(format!(
                "port {lan} receives frames of LAN {}: cables are swapped or the LANs are joined; \
                 see lreCntErrWrongLan{lan} and bumpless nodes",
                lan.other()
            ));
        }
    }
    for lan in LanId::BOTH {
        if alarms.own_frame[lan.index()] {
            list.push(format!(
                "port {lan} receives frames with our own address: separate the LANs, or find the \
                 node that uses the address too"
            ));
        }
    }
    if alarms.node_table_full {
        list.push(
            "the node table is full: frames of nodes outside it may be delivered twice; raise \
             node_table_size"
                .to_owned(),
        );
    }
    if alarms.duplicate_memory_full {
        list.push(
            "the memory of duplicate discard is used up: frames may be delivered twice; raise \
             node_table_size"
                .to_owned(),
        );
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_that_lasts_is_one_sentence() {
        assert!(sentences(&LreAlarms::default()).is_empty());
        let all = LreAlarms {
            wrong_lan: [true; 2],
            own_frame: [true; 2],
            node_table_full: true,
            duplicate_memory_full: true,
        };
        assert_eq!(sentences(&all).len(), 6);
        let swapped = LreAlarms { wrong_lan: [false, true], ..LreAlarms::default() };
        let list = sentences(&swapped);
        assert!(list.len() == 1 && list[0].starts_with("port B receives frames of LAN A"));
    }
}
