//! Frames built by hand, without the code under test.

use prp::types::{LanId, MacAddress};

/// Reads octets written as hexadecimal groups; `5a*46` repeats a group.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for group in text.split_whitespace() {
        let (digits, times) = group.split_once('*').unwrap_or((group, "1"));
        let times: usize = times.parse().expect("a number of repeats");
        let group: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).expect("hexadecimal digits"))
            .collect();
        for _ in 0..times {
            octets.extend_from_slice(&group);
        }
    }
    octets
}

/// Address header and a type, then `payload` octets of 0x5a.
pub(crate) fn untagged(
    destination: MacAddress,
    source: MacAddress,
    types: &[u16],
    payload: usize,
) -> Vec<u8> {
    let mut frame = [destination.0, source.0].concat();
    for field in types {
        frame.extend(field.to_be_bytes());
    }
    frame.resize(frame.len() + payload, 0x5a);
    frame
}

/// Appends an RCT. `lsdu` is what it states.
pub(crate) fn append_rct(frame: &mut Vec<u8>, lan_id: LanId, number: u16, lsdu: usize) {
    let nibble = match lan_id {
        LanId::A => 0xa0,
        LanId::B => 0xb0,
    };
    let [high, low] = number.to_be_bytes();
    let size = u16::try_from(lsdu).expect("twelve bits").to_be_bytes();
    frame.extend([high, low, nibble | size[0], size[1], 0x88, 0xfb]);
}

/// A frame of a PRP node of the shortest length, 66 octets.
pub(crate) fn tagged(source: MacAddress, lan_id: LanId, number: u16) -> Vec<u8> {
    let mut frame = untagged(super::OWN, source, &[0x88b5], 46);
    append_rct(&mut frame, lan_id, number, 52);
    frame
}

/// What a supervision frame announces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announcement {
    pub(crate) source: MacAddress,
    pub(crate) tlv: u8,
    pub(crate) mac: MacAddress,
    pub(crate) redbox: Option<MacAddress>,
    pub(crate) number: u16,
}

impl Announcement {
    /// A node announces itself.
    pub(crate) const fn of(mac: MacAddress) -> Self {
        Self { source: mac, tlv: 20, mac, redbox: None, number: 0 }
    }

    /// The frame of 60 octets, without RCT.
    pub(crate) fn octets(&self) -> Vec<u8> {
        let mut frame = hex("01154e000100");
        frame.extend(self.source.0);
        frame.extend(hex("88fb 0001"));
        frame.extend(self.number.to_be_bytes());
        frame.extend([self.tlv, 6]);
        frame.extend(self.mac.0);
        if let Some(redbox) = self.redbox {
            frame.extend([30, 6]);
            frame.extend(redbox.0);
        }
        frame.resize(60, 0);
        frame
    }

    /// With RCT: 66 octets.
    pub(crate) fn with_rct(&self, lan_id: LanId, number: u16) -> Vec<u8> {
        let mut frame = self.octets();
        append_rct(&mut frame, lan_id, number, 52);
        frame
    }
}
