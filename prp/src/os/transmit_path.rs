//! The ways out, and which of them a LAN port takes.
//!
//! A packet socket's frames wait in the interface's queueing discipline while a card's transmit
//! ring is full. Behind AF_XDP in copy mode nothing waits: the kernel says `EAGAIN`, and what the
//! ring cannot take is lost, since waiting for the card would hold up the real-time thread for
//! milliseconds. One TCP window of full frames is longer than the usual ring of 256. So what may
//! choose takes AF_XDP only where the interface hands frames on within this kernel (veth, bridge,
//! VLAN, TAP) and never says that it is busy. Everything with a device behind it has a ring, the
//! virtual cards of hypervisors included.

use std::fmt;

use super::open_error::OpenError;

/// How a LAN port transmits.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum TransmitPath {
    /// AF_XDP on an interface without a device behind it, where it can be had; else a packet
    /// socket.
    #[default]
    Auto,
    /// A packet socket: frames pass the interface's packet taps and tc egress.
    Packet,
    /// AF_XDP: a third less work per frame, past packet taps and tc egress. What finds a card's
    /// transmit ring full is dropped and counted.
    Xdp,
}

impl TransmitPath {
    /// The word users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Packet => "packet",
            Self::Xdp => "xdp",
        }
    }
}

/// Why [`TransmitPath::Auto`] did not become AF_XDP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TransmitFallback {
    /// The packet socket is the better way out of this interface.
    NotChosen(String),
    /// AF_XDP was tried and could not be had.
    Refused(OpenError),
}

impl fmt::Display for TransmitFallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotChosen(reason) => f.write_str(reason),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

/// Bus addresses that are none: what drivers without a device say instead of nothing.
const NO_BUS: &[&str] = &["", "N/A", "tap", "tun"];

/// Why a port that may choose takes the packet socket on an interface with this driver and bus
/// address; `None` for one that has no device behind it.
pub(super) fn reason_for_the_packet_socket(
    interface: &str,
    driver: Option<&str>,
    bus: Option<&str>,
) -> Option<String> {
    match (driver, bus.unwrap_or_default()) {
        (Some(_), bus) if NO_BUS.contains(&bus) => None,
        (Some(driver), _) => Some(format!(
            "{interface} ({driver}) is a network card; while its transmit ring is full AF_XDP \
             would drop frames, which wait behind a packet socket"
        )),
        (None, _) => Some(format!("{interface} does not say which driver it has")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_wait_where_a_device_may_be_busy() {
        let rows = [
            ("e1000e", Some("0000:00:03.0"), true),
            ("igc", Some("0000:02:00.0"), true),
            ("r8152", Some("usb-0000:00:14.0-1"), true),
            ("st_gmac", Some("30bf0000.ethernet"), true),
            ("virtio_net", Some("0000:00:02.0"), true),
            ("vmxnet3", Some("0000:0b:00.0"), true),
            ("hv_netvsc", Some("000d3a6f-1c52-000d-3a6f-1c52000d3a6f"), true),
            ("vif", Some("vif-0"), true),
            ("veth", None, false),
            ("bonding", None, false),
            ("802.1Q VLAN Support", Some("N/A"), false),
            ("bridge", Some("N/A"), false),
            ("macvlan", Some(""), false),
            ("tun", Some("tap"), false),
        ];
        for (driver, bus, waits) in rows {
            let why = reason_for_the_packet_socket("eth1", Some(driver), bus);
            assert_eq!(why.is_some(), waits, "{driver} {bus:?}");
            let names_it = |why: String| why.contains("eth1") && why.contains(driver);
            assert!(why.is_none_or(names_it), "{driver}");
        }
    }

    #[test]
    fn what_does_not_say_what_it_is_may_be_a_card() {
        for bus in [None, Some(""), Some("0000:00:03.0")] {
            let why = reason_for_the_packet_socket("eth1", None, bus);
            assert!(why.is_some_and(|why| why.contains("driver")), "{bus:?}");
        }
    }
}
