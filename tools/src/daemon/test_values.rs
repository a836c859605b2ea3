//! What the tests of several modules start from.

use prp::os::link::LinkInfo;
use prp::types::MacAddress;

/// The node's address.
pub(super) const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

/// A LAN interface in order, as the kernel describes it.
pub(super) fn lan_interface() -> LinkInfo {
    LinkInfo {
        index: 3,
        name: "eth1".to_owned(),
        mac: MAC,
        mtu: 1506,
        up: true,
        running: true,
        noarp: true,
        promiscuous: false,
        loopback: false,
        ethernet: true,
        controller: None,
        alias: None,
        kind: None,
        mtu_min: None,
        mtu_max: None,
        tx_queue_packets: 1000,
    }
}
