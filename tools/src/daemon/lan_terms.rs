//! What a LAN interface has to be like while it is ours, and what is not so.
//!
//! Pure: the control thread looks at the interface and asks here. Whether an interface is up is not
//! among the terms: who sets a LAN interface down means to, and is believed.

use std::fmt;

use prp::os::claim::LanRequest;
use prp::os::link::LinkInfo;

use crate::config::Promiscuous;
use crate::report::EveryFrame;

/// One thing that is not as it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Defect {
    /// Its ingress is not closed.
    Received,
    /// It belongs to a bridge, bond or the like.
    Enslaved,
    /// It has another MAC address.
    Mac,
    /// It carries less.
    Mtu,
    /// The host does address resolution there.
    Arp,
    /// The host speaks IPv6 there.
    Ipv6,
    /// It merges what arrives.
    Merging,
}

impl Defect {
    const ALL: [Self; 7] = [
        Self::Received,
        Self::Enslaved,
        Self::Mac,
        Self::Mtu,
        Self::Arp,
        Self::Ipv6,
        Self::Merging,
    ];

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Received => "the host's stack received what arrives there",
            Self::Enslaved => "it was enslaved to another interface",
            Self::Mac => "its MAC address was another one",
            Self::Mtu => "its MTU was lowered",
            Self::Arp => "the host answered ARP there",
            Self::Ipv6 => "the host spoke IPv6 there",
            Self::Merging => "it merged frames that arrive",
        }
    }
}

/// A set of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Defects(u8);

impl Defects {
    /// None.
    pub const NONE: Self = Self(0);

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this one is among them.
    #[must_use]
    pub const fn has(self, defect: Defect) -> bool {
        self.0 & defect.bit() != 0
    }

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl FromIterator<Defect> for Defects {
    fn from_iter<T: IntoIterator<Item = Defect>>(defects: T) -> Self {
        Self(defects.into_iter().fold(0, |bits, defect| bits | defect.bit()))
    }
}

impl fmt::Display for Defects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> =
            Defect::ALL.into_iter().filter(|&d| self.has(d)).map(Defect::words).collect();
        f.write_str(&words.join(", "))
    }
}

/// A LAN interface as it is found.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// What the kernel says.
    pub info: &'a LinkInfo,
    /// Whether its ingress is closed.
    pub dropped: bool,
    /// Whether the host speaks IPv6 there.
    pub ipv6: bool,
    /// Whether it merges what arrives.
    pub merges: bool,
}

/// What is not as it should be.
#[must_use]
pub fn defects(seen: &Seen<'_>, wanted: &LanRequest) -> Defects {
    let found = [
        (!seen.dropped, Defect::Received),
        (seen.info.controller.is_some(), Defect::Enslaved),
        (wanted.mac.is_some_and(|mac| mac != seen.info.mac), Defect::Mac),
        (seen.info.mtu < wanted.mtu_min, Defect::Mtu),
        (!seen.info.noarp, Defect::Arp),
        (seen.ipv6, Defect::Ipv6),
        (seen.merges, Defect::Merging),
    ];
    found.into_iter().filter(|(is_so, _)| *is_so).map(|(_, defect)| defect).collect()
}

/// What a network card does to frames that are meant for us, or for the host's own guests.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Needs {
    /// It throws frames away for their VLAN tags.
    pub filters_tags: bool,
    /// The host interface receives frames for other stations: a bridge with others behind it.
    pub host: bool,
    /// It kept an address of its own, and would not take frames for ours.
    pub keeps_address: bool,
}

/// Why a LAN interface is to receive every frame, if it is.
///
/// Drivers let go of their VLAN filter for that, and take it up again when nobody asks any more.
/// (Rejected: switching the filter off by itself, which many drivers refuse, for which others reset
/// the link, and which a crash would leave behind.)
#[must_use]
pub const fn every_frame(wanted: Promiscuous, needs: Needs) -> Option<EveryFrame> {
    match wanted {
        Promiscuous::On => Some(EveryFrame::Configured),
        Promiscuous::Off => None,
        Promiscuous::Auto if needs.filters_tags => Some(EveryFrame::VlanFilter),
        Promiscuous::Auto if needs.host => Some(EveryFrame::Host),
        Promiscuous::Auto if needs.keeps_address => Some(EveryFrame::Address),
        Promiscuous::Auto => None,
    }
}

#[cfg(test)]
mod tests {
    use prp::types::MacAddress;

    use super::super::test_values::{MAC, lan_interface};
    use super::*;

    #[test]
    fn each_change_is_seen_and_what_is_nobodys_business_is_not() {
        let wanted = LanRequest { mac: Some(MAC), ..LanRequest::default() };
        let seen = |info: &LinkInfo, dropped, ipv6, merges| {
            defects(&Seen { info, dropped, ipv6, merges }, &wanted)
        };
        let one = |defect| Defects::from_iter([defect]);
        let good = lan_interface();
        assert_eq!(seen(&good, true, false, false), Defects::NONE);
        for fine in [
            LinkInfo { up: false, running: false, ..good.clone() },
            LinkInfo { mtu: 9000, promiscuous: true, ..good.clone() },
            LinkInfo { name: "eth7".to_owned(), alias: Some("x".to_owned()), ..good.clone() },
        ] {
            assert_eq!(seen(&fine, true, false, false), Defects::NONE, "{fine:?}");
        }
        assert_eq!(seen(&good, false, false, false), one(Defect::Received));
        assert_eq!(seen(&good, true, true, false), one(Defect::Ipv6));
        assert_eq!(seen(&good, true, false, true), one(Defect::Merging));
        for (changed, defect) in [
            (LinkInfo { controller: Some(9), ..good.clone() }, Defect::Enslaved),
            (LinkInfo { mac: MacAddress([2; 6]), ..good.clone() }, Defect::Mac),
            (LinkInfo { mtu: 1505, ..good.clone() }, Defect::Mtu),
            (LinkInfo { noarp: false, ..good.clone() }, Defect::Arp),
        ] {
            assert_eq!(seen(&changed, true, false, false), one(defect), "{changed:?}");
        }
        let any = LanRequest::default();
        let other = LinkInfo { mac: MacAddress([2; 6]), ..good };
        let seen = Seen { info: &other, dropped: true, ipv6: false, merges: false };
        assert!(defects(&seen, &any).is_empty(), "no address is asked for");
    }

    #[test]
    fn every_frame_is_taken_when_something_needs_it_and_only_off_forbids_it() {
        let none = Needs::default();
        let all = Needs { filters_tags: true, host: true, keeps_address: true };
        for needs in [none, all] {
            assert_eq!(every_frame(Promiscuous::On, needs), Some(EveryFrame::Configured));
            assert_eq!(every_frame(Promiscuous::Off, needs), None);
        }
        assert_eq!(every_frame(Promiscuous::Auto, none), None);
        for (needs, why) in [
            (Needs { filters_tags: true, ..none }, EveryFrame::VlanFilter),
            (Needs { host: true, ..none }, EveryFrame::Host),
            (Needs { keeps_address: true, ..none }, EveryFrame::Address),
            (all, EveryFrame::VlanFilter),
        ] {
            assert_eq!(every_frame(Promiscuous::Auto, needs), Some(why), "{needs:?}");
        }
    }

    #[test]
    fn sets_are_sets() {
        let both: Defects = [Defect::Mac, Defect::Mtu].into_iter().collect();
        let mtu: Defects = [Defect::Mtu].into_iter().collect();
        assert_eq!((both.and(mtu), mtu.without(both)), (mtu, Defects::NONE));
        assert!(both.without(mtu).has(Defect::Mac) && !both.without(mtu).has(Defect::Mtu));
        assert_eq!(both.to_string(), "its MAC address was another one, its MTU was lowered");
        let all: Defects = Defect::ALL.into_iter().collect();
        assert_eq!(all.to_string().split(", ").count(), Defect::ALL.len());
    }
}
