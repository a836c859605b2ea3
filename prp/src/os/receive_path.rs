//! The ways in, and which of them a LAN port takes.
//!
//! Asked for AF_XDP, a port tries zero copy, then the driver's own XDP (native), then XDP behind
//! the driver (generic), and keeps why a better one was not to be had. Left to itself it takes
//! native mode for a network card whose driver has it, and the ring for everything else. Generic
//! mode saves nothing over the ring. Zero copy is only taken when asked for: it moves transmission
//! to the slower packet socket, and no card of those that were at hand has it. And what is virtual
//! (veth, bridge, TAP, virtio) hands over frames that are not as on a wire, with tags and checksums
//! beside the frame, which the ring is told of, and AF_XDP has to find out.

use std::fmt;

use super::ethtool::Ethtool;
use super::open_error::OpenError;

/// How a LAN port shall receive.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum LanReceive {
    /// AF_XDP in native mode on a network card whose driver has it, the ring elsewhere.
    Auto,
    /// The packet ring.
    #[default]
    Ring,
    /// AF_XDP in the best mode that can be had, or an error.
    Xdp,
    /// AF_XDP in one mode, or an error: to compare modes. [`ReceivePath::Ring`] is the ring. In
    /// generic mode on a virtual interface a VLAN tag that travels beside its frame is lost.
    Only(ReceivePath),
}

/// How a LAN port receives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReceivePath {
    /// The packet ring.
    Ring,
    /// AF_XDP, the card writes to our memory. Transmits through a packet socket: frames that a card
    /// holds back while it has no link could not be taken back, and would leave late.
    XdpZeroCopy,
    /// AF_XDP from the driver, copied.
    XdpNative,
    /// AF_XDP from behind the driver, copied.
    XdpGeneric,
}

impl ReceivePath {
    /// The word users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::XdpZeroCopy => "xdp_zero_copy",
            Self::XdpNative => "xdp_native",
            Self::XdpGeneric => "xdp_generic",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Ring => "no ring",
            Self::XdpZeroCopy => "no zero copy",
            Self::XdpNative => "no native mode",
            Self::XdpGeneric => "no generic mode",
        }
    }
}

/// What was tried and could not be had, best first, each with its reason.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Refusals(pub(super) Vec<(ReceivePath, OpenError)>);

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What has the same reason is told together: zero copy and native mode share a program.
        for (number, same) in self.0.chunk_by(|one, next| one.1 == next.1).enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            let words: Vec<_> = same.iter().map(|(path, _)| path.words()).collect();
            let reason = same.first().map(|(_, reason)| reason.to_string()).unwrap_or_default();
            write!(f, "{separator}{}: {reason}", words.join(", "))?;
        }
        Ok(())
    }
}

impl Refusals {
    /// The one error that says all of it.
    pub(super) fn into_error(self) -> OpenError {
        match self.0.last() {
            // What no mode helps against has its own remedy.
            Some((_, error)) if is_final(error) => error.clone(),
            _ => OpenError::NoXdp { reasons: self.to_string() },
        }
    }
}

/// Whether another mode would end in the same way.
fn is_final(error: &OpenError) -> bool {
    matches!(
        error,
        OpenError::NotPermitted { .. } | OpenError::NoInterface { .. } | OpenError::XdpTaken
    )
}

/// Tries `paths` in their order until one opens. Gives what was refused before it.
pub(super) fn first_that_opens<T>(
    paths: &[ReceivePath],
    mut open: impl FnMut(ReceivePath) -> Result<T, OpenError>,
) -> Result<(ReceivePath, T, Refusals), Refusals> {
    let mut refusals = Refusals::default();
    for path in paths {
        match open(*path) {
            Ok(opened) => return Ok((*path, opened, refusals)),
            Err(error) => {
                let ends = is_final(&error);
                refusals.0.push((*path, error));
                if ends {
                    break;
                }
            }
        }
    }
    Err(refusals)
}

/// Drivers of what is no network card, although it may sit on a bus.
const VIRTUAL: &[&str] = &[
    "bonding",
    "bridge",
    "dummy",
    "hv_netvsc",
    "ipvlan",
    "macvlan",
    "netvsc",
    "team",
    "tun",
    "veth",
    "vif",
    "virtio_net",
    "vmxnet3",
];

/// Why a port that may choose takes the ring on this interface; `None` for a network card.
pub(super) fn reason_for_the_ring(ethtool: &Ethtool, interface: &str) -> Option<String> {
    let driver = ethtool.driver(interface).ok().flatten();
    let bus = ethtool.bus_address(interface).ok().flatten();
    match (driver, bus) {
        (Some(driver), Some(bus)) if bus.contains(':') && !VIRTUAL.contains(&driver.as_str()) => {
            None
        }
        (Some(driver), _) => Some(format!(
            "{interface} ({driver}) is no network card, and AF_XDP is chosen for these alone"
        )),
        (None, _) => Some(format!("{interface} does not say which driver it has")),
    }
}

/// Drivers of virtual interfaces that take frames off a queue as they were written there.
const AS_WRITTEN: &[&str] = &["tun", "vif", "virtio_net", "vmxnet3", "xen_netfront"];

/// Whether frames come from within this kernel, VLAN tags perhaps beside them. A card can be told
/// to leave them inside.
pub(super) fn tags_may_be_beside(ethtool: &Ethtool, interface: &str) -> bool {
    let driver = ethtool.driver(interface).ok().flatten().unwrap_or_default();
    let bus = ethtool.bus_address(interface).ok().flatten().unwrap_or_default();
    !bus.contains(':') && !AS_WRITTEN.contains(&driver.as_str())
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;
    use ReceivePath::{XdpGeneric, XdpNative, XdpZeroCopy};

    const ALL: [ReceivePath; 3] = [XdpZeroCopy, XdpNative, XdpGeneric];

    fn unsupported(operation: &'static str) -> OpenError {
        OpenError::System { operation, errno: Errno::EOPNOTSUPP }
    }

    /// What opens, and what was tried for it, on a card that has these.
    fn probe(card: &[ReceivePath]) -> (Option<ReceivePath>, Vec<ReceivePath>, String) {
        let mut tried = Vec::new();
        let found = first_that_opens(&ALL, |path| {
            tried.push(path);
            card.contains(&path).then_some(()).ok_or_else(|| unsupported("bind"))
        });
        match found {
            Ok((path, (), refusals)) => (Some(path), tried, refusals.to_string()),
            Err(refusals) => (None, tried, refusals.to_string()),
        }
    }

    #[test]
    fn the_best_that_opens_is_taken_and_nothing_behind_it_tried() {
        let (path, tried, why) = probe(&ALL);
        assert_eq!((path, &tried[..], why.as_str()), (Some(XdpZeroCopy), &ALL[..1], ""));
        let (path, tried, why) = probe(&[XdpNative, XdpGeneric]);
        assert_eq!((path, &tried[..]), (Some(XdpNative), &ALL[..2]));
        assert!(why.starts_with("no zero copy: bind: EOPNOTSUPP"), "{why}");
        let (path, tried, why) = probe(&[XdpGeneric]);
        assert_eq!((path, &tried[..]), (Some(XdpGeneric), &ALL[..]));
        assert!(why.starts_with("no zero copy, no native mode: bind: EOPNOTSUPP"), "{why}");
    }

    #[test]
    fn where_nothing_opens_each_reason_is_told() {
        let (path, tried, why) = probe(&[]);
        assert_eq!((path, &tried[..]), (None, &ALL[..]));
        for word in ["no zero copy", "no native mode", "no generic mode"] {
            assert!(why.contains(word), "{why}");
        }
        let other = [(XdpZeroCopy, OpenError::MtuForXdp), (XdpNative, unsupported("bind"))];
        let why = Refusals(other.to_vec()).to_string();
        assert!(why.contains("MTU") && why.contains("; no native mode: bind: "), "{why}");
        let refusals = Refusals(vec![(XdpZeroCopy, unsupported("bind"))]);
        let error = refusals.into_error();
        assert!(error.to_string().contains("no zero copy: bind: EOPNOTSUPP"), "{error}");
    }

    #[test]
    fn what_no_mode_helps_against_ends_the_probing() {
        let missing = OpenError::NotPermitted { operation: "bpf", remedy: "run as root" };
        for fatal in [missing, OpenError::NoInterface { index: 7 }, OpenError::XdpTaken] {
            let mut tried = 0;
            let found = first_that_opens(&ALL, |_| {
                tried += 1;
                Err::<(), _>(fatal.clone())
            });
            assert_eq!((tried, found.unwrap_err().into_error()), (1, fatal));
        }
    }
}
