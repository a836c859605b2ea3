//! Words that every module here speaks: ports, LANs, MAC addresses.

use core::fmt;
use core::str::FromStr;

/// One of the two networks of a doubly attached node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LanId {
    /// LAN A; its frames carry LAN id 0xA.
    A,
    /// LAN B; its frames carry LAN id 0xB.
    B,
}

impl LanId {
    /// Both, in order.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// 0 for A, 1 for B: the index of everything that is kept per LAN.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for LanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

/// A port of the LRE, by the letters of the MIB: A, B and C, where C is the application of a doubly
/// attached node or the interlink of a RedBox.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PortId {
    /// Port A, on LAN A.
    A,
    /// Port B, on LAN B.
    B,
    /// Port C: the host, or the interlink of a RedBox.
    C,
}

impl PortId {
    /// 0 for A, 1 for B, 2 for C: the index of everything that is kept per port.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
            Self::C => 2,
        }
    }
}

impl From<LanId> for PortId {
    fn from(lan: LanId) -> Self {
        match lan {
            LanId::A => Self::A,
            LanId::B => Self::B,
        }
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
        })
    }
}

/// A MAC address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// All stations.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether the address names a group (multicast or broadcast).
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// Whether the address can be that of one station: not a group, not all zero.
    #[must_use]
    pub const fn is_station(self) -> bool {
        !self.is_group() && self.to_key() != 0
    }

    /// The address with this number; the upper 16 bits do not matter.
    #[must_use]
    pub const fn from_key(key: u64) -> Self {
        let k = key.to_be_bytes();
        Self([k[2], k[3], k[4], k[5], k[6], k[7]])
    }

    /// The six octets as a number, the first octet highest.
    #[must_use]
    pub const fn to_key(self) -> u64 {
        let m = self.0;
        u64::from_be_bytes([0, 0, m[0], m[1], m[2], m[3], m[4], m[5]])
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = self.0;
        write!(f, "{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", m[0], m[1], m[2], m[3], m[4], m[5])
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not a MAC address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MacAddressSyntax;

impl fmt::Display for MacAddressSyntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a MAC address (six octets in hexadecimal, as in 02:00:5e:10:00:01)")
    }
}

impl core::error::Error for MacAddressSyntax {}

impl FromStr for MacAddress {
    type Err = MacAddressSyntax;

    /// Reads `02:00:5e:10:00:01` or `02-00-5e-10-00-01`.
    fn from_str(text: &str) -> Result<Self, MacAddressSyntax> {
        let mut octets = [0u8; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().ok_or(MacAddressSyntax)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(MacAddressSyntax);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| MacAddressSyntax)?;
        }
        match parts.next() {
            None => Ok(Self(octets)),
            Some(_) => Err(MacAddressSyntax),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_addresses_are_read_and_written() {
        let mac: MacAddress = "02:00:5E:10:00:01".parse().unwrap();
        assert_eq!(mac.to_string(), "02:00:5e:10:00:01");
        assert_eq!("02-00-5e-10-00-01".parse(), Ok(mac));
        assert_eq!(mac.to_key(), 0x0200_5e10_0001);
        for bad in
            ["", "02:00:5e:10:00", "02:00:5e:10:00:01:02", "2:0:5e:10:0:1", "02:00:5e:10:00:+1"]
        {
            assert_eq!(bad.parse::<MacAddress>(), Err(MacAddressSyntax), "{bad}");
        }
    }

    #[test]
    fn groups_and_stations_are_told_apart() {
        assert!(MacAddress::BROADCAST.is_group());
        assert!(!MacAddress::BROADCAST.is_station());
        assert!(!MacAddress([0; 6]).is_station());
        assert!(MacAddress([2, 0, 0, 0, 0, 1]).is_station());
    }
}
