//! Payloads in Ethernet frames: found behind whatever tags and headers a link carries.

/// The EtherType of raw streams: local experimental 1, ordinary traffic to everybody.
pub const STREAM_ETHERTYPE: u16 = 0x88b5;
/// The shortest frame without its check sequence.
pub const FRAME_OCTETS_MIN: usize = 60;

const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;
const HSR: u16 = 0x892f;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const UDP: u8 = 17;

/// A payload's place in a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found<'a> {
    /// The outermost VLAN tag's control information.
    pub vlan_tci: Option<u16>,
    /// Whether there was an HSR tag.
    pub hsr: bool,
    /// From the payload's first octet to the end of the frame or datagram.
    pub payload: &'a [u8],
}

/// The header of a raw stream's frame.
#[derive(Clone, Copy, Debug)]
pub struct RawHeader {
    /// Destination address.
    pub destination: [u8; 6],
    /// Source address.
    pub source: [u8; 6],
    /// VLAN tag control information.
    pub vlan_tci: Option<u16>,
}

impl RawHeader {
    /// Length in octets.
    #[must_use]
    pub const fn octets(&self) -> usize {
        if self.vlan_tci.is_some() { 18 } else { 14 }
    }

    /// Writes the header to the beginning of `frame` and returns the rest. A frame too short for
    /// the header stays as it is.
    pub fn emit<'a>(&self, frame: &'a mut [u8]) -> &'a mut [u8] {
        let mut header = [0u8; 18];
        header[..6].copy_from_slice(&self.destination);
        header[6..12].copy_from_slice(&self.source);
        let mut end = 12;
        if let Some(tci) = self.vlan_tci {
            header[12..14].copy_from_slice(&VLAN.to_be_bytes());
            header[14..16].copy_from_slice(&tci.to_be_bytes());
            end = 16;
        }
        header[end..end + 2].copy_from_slice(&STREAM_ETHERTYPE.to_be_bytes());
        let Some((start, rest)) = frame.split_at_mut_checked(end + 2) else { return &mut [] };
        start.copy_from_slice(&header[..end + 2]);
        rest
    }
}

/// Finds what may be a stream's payload: behind EtherType 0x88B5, or in an unfragmented UDP
/// datagram; behind up to two VLAN tags and an HSR tag.
#[must_use]
pub fn find(frame: &[u8]) -> Option<Found<'_>> {
    let mut rest = frame.get(12..)?;
    let mut vlan_tci = None;
    let mut hsr = false;
    // Two VLAN tags and one HSR tag, in any order.
    for _ in 0..4 {
        let (ethertype, behind) = take_u16(rest)?;
        match ethertype {
            VLAN | SERVICE_VLAN => {
                let (tci, behind) = take_u16(behind)?;
                vlan_tci = vlan_tci.or(Some(tci));
                rest = behind;
            }
            HSR => {
                hsr = true;
                rest = behind.get(4..)?;
            }
            STREAM_ETHERTYPE => return Some(Found { vlan_tci, hsr, payload: behind }),
            IPV4 => return Some(Found { vlan_tci, hsr, payload: udp_in_ipv4(behind)? }),
            IPV6 => return Some(Found { vlan_tci, hsr, payload: udp_in_ipv6(behind)? }),
            _ => return None,
        }
    }
    None
}

fn take_u16(octets: &[u8]) -> Option<(u16, &[u8])> {
    let (first, rest) = octets.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*first), rest))
}

fn udp_in_ipv4(packet: &[u8]) -> Option<&[u8]> {
    const FRAGMENT: u16 = 0x3fff;
    let header = packet.first_chunk::<20>()?;
    let fragment = u16::from_be_bytes([header[6], header[7]]) & FRAGMENT != 0;
    if header[0] >> 4 != 4 || header[9] != UDP || fragment {
        return None;
    }
    udp(packet.get(usize::from(header[0] & 15) * 4..)?)
}

fn udp_in_ipv6(packet: &[u8]) -> Option<&[u8]> {
    let header = packet.first_chunk::<40>()?;
    if header[0] >> 4 != 6 || header[6] != UDP {
        return None;
    }
    udp(&packet[40..])
}

fn udp(datagram: &[u8]) -> Option<&[u8]> {
    let header = datagram.first_chunk::<8>()?;
    datagram.get(8..usize::from(u16::from_be_bytes([header[4], header[5]])))
}

/// A classic BPF program that lets frames with [`STREAM_ETHERTYPE`] pass, behind up to one VLAN tag
/// in the frame itself (the kernel has usually taken the tag off when a filter runs).
#[must_use]
pub const fn raw_stream_filter() -> [(u16, u8, u8, u32); 7] {
    const LOAD_HALF: u16 = 0x28;
    const JUMP_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    [
        (LOAD_HALF, 0, 0, 12),
        (JUMP_EQUAL, 3, 0, STREAM_ETHERTYPE as u32),
        (JUMP_EQUAL, 0, 3, VLAN as u32),
        (LOAD_HALF, 0, 0, 16),
        (JUMP_EQUAL, 0, 1, STREAM_ETHERTYPE as u32),
        (RETURN, 0, 0, 0x4_0000),
        (RETURN, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(parts: &[&[u8]]) -> Vec<u8> {
        let mut frame = vec![0x02; 12];
        frame.extend(parts.concat());
        frame
    }

    #[test]
    fn raw_payloads_are_found_behind_tags() {
        let plain = frame(&[&[0x88, 0xb5], b"hello"]);
        assert_eq!(find(&plain), Some(Found { vlan_tci: None, hsr: false, payload: b"hello" }));
        let tagged = frame(&[&[0x81, 0, 0xa0, 0x64, 0x88, 0xb5], b"hello"]);
        let found = find(&tagged).unwrap();
        assert_eq!((found.vlan_tci, found.payload), (Some(0xa064), &b"hello"[..]));
        let hsr = frame(&[&[0x81, 0, 0, 5, 0x89, 0x2f, 0, 1, 2, 3, 0x88, 0xb5], b"hello"]);
        assert!(find(&hsr).is_some_and(|found| found.hsr && found.payload == b"hello"));
    }

    #[test]
    fn what_is_emitted_is_found() {
        for vlan_tci in [None, Some(0x6005)] {
            let header = RawHeader { destination: [1; 6], source: [2; 6], vlan_tci };
            let mut frame = [0u8; 60];
            let octets = header.octets();
            header.emit(&mut frame)[0] = 9;
            let found = find(&frame).unwrap();
            assert_eq!((found.vlan_tci, found.payload.len()), (vlan_tci, 60 - octets));
            assert_eq!(found.payload[0], 9);
        }
    }

    #[test]
    fn udp_payloads_are_found_and_fragments_left() {
        let mut ipv4 = vec![0x45, 0, 0, 33, 0, 0, 0x40, 0, 64, 17, 0, 0];
        ipv4.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        ipv4.extend([0, 1, 0, 2, 0, 13, 0, 0]);
        ipv4.extend(b"hellopadding");
        let whole = frame(&[&[8, 0], &ipv4]);
        assert_eq!(find(&whole).unwrap().payload, b"hello");
        ipv4[6] = 0x20;
        assert_eq!(find(&frame(&[&[8, 0], &ipv4])), None);
        let mut ipv6 = vec![0x60, 0, 0, 0, 0, 13, 17, 64];
        ipv6.extend([0; 32]);
        ipv6.extend([0, 1, 0, 2, 0, 13, 0, 0]);
        ipv6.extend(b"hello");
        assert_eq!(find(&frame(&[&[0x86, 0xdd], &ipv6])).unwrap().payload, b"hello");
    }

    #[test]
    fn cut_frames_are_no_panic() {
        let mut whole = frame(&[&[0x81, 0, 0, 5, 0x81, 0, 0, 6, 8, 0, 0x4f], &[17; 90]]);
        whole[20] = 8;
        for octets in 0..whole.len() {
            let _ = find(&whole[..octets]);
        }
    }
}
