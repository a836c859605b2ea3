//! Checksums that a sender on this machine left open.
//!
//! Over a veth or towards a card with offload the stack writes only the pseudo header's sum and
//! leaves the rest to the device. A redundancy trailer appended to such a frame would be summed
//! as payload by whoever completes it later, so a port completes it first.

/// A frame says that its checksum lies outside of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutsideFrame;

/// SCTP is the one protocol whose deferred checksum is no Internet checksum but a CRC; its field
/// is the only one that starts at the eighth octet of its header.
const SCTP_CHECKSUM_OFFSET: usize = 8;
const IP_PROTOCOL_SCTP: u8 = 132;

/// Completes the checksum of `frame` in place. `start` is where summing starts, counted from the
/// frame's first octet; the checksum itself lies at `start + offset` and holds the pseudo header's
/// sum so far.
///
/// Real-time class: linear in the frame's length.
///
/// # Errors
/// [`OutsideFrame`]; the frame is unchanged then.
pub fn complete(frame: &mut [u8], start: usize, offset: usize) -> Result<(), OutsideFrame> {
    let is_sctp = offset == SCTP_CHECKSUM_OFFSET && ip_protocol(frame) == Some(IP_PROTOCOL_SCTP);
    let covered = frame.get_mut(start..).ok_or(OutsideFrame)?;
    if is_sctp {
        let field = covered.get_mut(offset..offset + 4).ok_or(OutsideFrame)?;
        field.fill(0);
        let crc = crc32c(covered).to_le_bytes();
        covered[offset..offset + 4].copy_from_slice(&crc);
    } else {
        let field = offset.checked_add(2).and_then(|end| covered.get(offset..end));
        field.ok_or(OutsideFrame)?;
        let sum = match !fold(sum(covered)) {
            // To UDP a zero means that there is no checksum; both zeros are equal to all others.
            0 => 0xffff,
            sum => sum,
        };
        covered[offset..offset + 2].copy_from_slice(&sum.to_ne_bytes());
    }
    Ok(())
}

/// Completes the checksum of a frame of whose checksum nothing is known, if its sender left it
/// open: then its field holds the pseudo header's sum exactly, and the checksum is wrong. Says
/// whether it did.
///
/// Finds TCP, UDP and SCTP on IPv4 and IPv6 behind at most two VLAN tags and an HSR tag; not behind
/// IPv6 extension headers and not inside tunnels. A frame that was damaged on its way is taken for
/// one that was left open with a probability of 2^-16 only.
///
/// Real-time class: a few octets of the headers; linear in the frame's length if it is open.
pub fn complete_if_open(frame: &mut [u8]) -> bool {
    let Some(segment) = find_segment(frame) else { return false };
    let Segment { start, end, checksum_at, pseudo } = segment;
    let Some(covered) = frame.get_mut(start..end) else { return false };
    let Some(pseudo) = pseudo else {
        // SCTP: an open one is zero.
        let Some(field) = covered.get_mut(checksum_at..checksum_at + 4) else { return false };
        if field != [0; 4] {
            return false;
        }
        let crc = crc32c(covered).to_le_bytes();
        covered[checksum_at..checksum_at + 4].copy_from_slice(&crc);
        return crc != [0; 4];
    };
    let field = covered.get(checksum_at..).and_then(|rest| rest.first_chunk());
    if field.copied().map(u16::from_ne_bytes) != Some(pseudo) {
        return false;
    }
    let is_right = fold(sum(covered) + u64::from(pseudo)) == 0xffff;
    !is_right && complete(&mut frame[..end], start, checksum_at).is_ok()
}

/// A transport segment in a frame, and where its checksum is.
struct Segment {
    start: usize,
    end: usize,
    /// From `start`.
    checksum_at: usize,
    /// The pseudo header's sum, folded; `None` for SCTP, which has none.
    pseudo: Option<u16>,
}

const ETHERTYPE_HSR: [u8; 2] = [0x89, 0x2f];
const IP_PROTOCOL_TCP: u8 = 6;
const IP_PROTOCOL_UDP: u8 = 17;

fn find_segment(frame: &[u8]) -> Option<Segment> {
    let mut at = 12;
    for _ in 0..2 {
        if matches!(frame.get(at..at + 2)?, [0x81, 0x00] | [0x88, 0xa8]) {
            at += 4;
        }
    }
    if frame.get(at..at + 2)? == ETHERTYPE_HSR {
        at += 6;
    }
    let ethertype = frame.get(at..at + 2)?;
    let ip_at = at + 2;
    let ip = frame.get(ip_at..)?;
    let (protocol, header_octets, total_octets, addresses) = match ethertype {
        [0x08, 0x00] => {
            let header: &[u8; 20] = ip.first_chunk()?;
            let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff;
            if header[0] >> 4 != 4 || fragment != 0 {
                return None;
            }
            let header_octets = usize::from(header[0] & 15) * 4;
            let total_octets = usize::from(u16::from_be_bytes([header[2], header[3]]));
            (header[9], header_octets, total_octets, ip.get(12..20)?)
        }
        [0x86, 0xdd] => {
            let header: &[u8; 40] = ip.first_chunk()?;
            let payload_octets = usize::from(u16::from_be_bytes([header[4], header[5]]));
            (header[6], 40, 40 + payload_octets, ip.get(8..40)?)
        }
        _ => return None,
    };
    let segment = ip.get(header_octets..total_octets)?;
    let (checksum_at, octets_min) = match protocol {
        IP_PROTOCOL_TCP => (16, 20),
        IP_PROTOCOL_UDP => (6, 8),
        IP_PROTOCOL_SCTP => (SCTP_CHECKSUM_OFFSET, 12),
        _ => return None,
    };
    if header_octets < 20 || segment.len() < octets_min {
        return None;
    }
    let pseudo = (protocol != IP_PROTOCOL_SCTP).then(|| {
        // At most 65,535 octets, for the header says so in 16 bits.
        let octets = u16::try_from(segment.len()).unwrap_or(u16::MAX);
        let rest = u64::from(u16::from_ne_bytes([0, protocol])) + u64::from(octets.to_be());
        fold(sum(addresses) + rest)
    });
    let (start, end) = (ip_at + header_octets, ip_at + total_octets);
    Some(Segment { start, end, checksum_at, pseudo })
}

/// The sum of 16-bit words in the machine's order of octets; a last odd octet is padded with zero.
fn sum(octets: &[u8]) -> u64 {
    let (words, rest) = octets.as_chunks::<4>();
    let total: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let mut last = [0u8; 4];
    last[..rest.len()].copy_from_slice(rest);
    // A frame is far too short for 2^32 words, so 64 bits hold the sum of 32-bit words.
    total + u64::from(u32::from_ne_bytes(last))
}

/// Folds a sum to 16 bits, the carry added at the low end.
fn fold(sum: u64) -> u16 {
    let mut folded = (sum & 0xffff_ffff) + (sum >> 32);
    while folded > 0xffff {
        folded = (folded & 0xffff) + (folded >> 16);
    }
    // The loop leaves at most 16 bits.
    u16::try_from(folded).unwrap_or(u16::MAX)
}

/// The IP protocol of a frame, where the header says it in a fixed place.
fn ip_protocol(frame: &[u8]) -> Option<u8> {
    let mut rest = frame.get(12..)?;
    while let [0x81, 0x00, _, _, inner @ ..] | [0x88, 0xa8, _, _, inner @ ..] = rest {
        rest = inner;
    }
    if let [0x89, 0x2f, _, _, _, _, inner @ ..] = rest {
        rest = inner;
    }
    match rest {
        [0x08, 0x00, ip @ ..] => ip.get(9).copied(),
        [0x86, 0xdd, ip @ ..] => ip.get(6).copied(),
        _ => None,
    }
}

const CRC32C_POLYNOMIAL_REFLECTED: u32 = 0x82f6_3b78;

const CRC32C_TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut octet = 0u32;
    while octet < 256 {
        let mut crc = octet;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ CRC32C_POLYNOMIAL_REFLECTED } else { crc >> 1 };
            bit += 1;
        }
        table[octet as usize] = crc;
        octet += 1;
    }
    table
};

fn crc32c(octets: &[u8]) -> u32 {
    !octets.iter().fold(u32::MAX, |crc, octet| {
        CRC32C_TABLE[((crc ^ u32::from(*octet)) & 0xff) as usize] ^ (crc >> 8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum as RFC 1071 writes it, octet by octet.
    fn rfc_1071(octets: &[u8]) -> u16 {
        let mut sum = 0u32;
        for (index, octet) in octets.iter().enumerate() {
            sum += if index % 2 == 0 { u32::from(*octet) << 8 } else { u32::from(*octet) };
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).unwrap()
    }

    #[test]
    fn a_completed_checksum_makes_the_whole_sum_all_ones() {
        for len in [8usize, 9, 10, 11, 64, 1_471, 1_472] {
            let mut frame: Vec<u8> =
                (0..len + 34).map(|i| u8::try_from(i * 37 % 251).unwrap()).collect();
            // As the kernel leaves it: the pseudo header's sum, not complemented.
            let pseudo = 0x1234u16;
            frame[40..42].copy_from_slice(&pseudo.to_be_bytes());
            complete(&mut frame, 34, 6).unwrap();
            let checksum = u16::from_be_bytes([frame[40], frame[41]]);
            // Verified as a receiver does: pseudo header + all octets = 0xffff.
            let total = u32::from(rfc_1071(&frame[34..])) + u32::from(pseudo);
            assert_eq!((total & 0xffff) + (total >> 16), 0xffff, "{len} octets, {checksum:#x}");
        }
    }

    /// A frame with a segment of `protocol` behind these tags, its checksum left open as the kernel
    /// does, and where the segment begins. Octets follow that no header counts.
    fn open_segment(tags: &[u8], ipv6: bool, protocol: u8, octets: usize) -> (Vec<u8>, usize) {
        let mut frame = [&[2; 12], tags].concat();
        let length = u16::try_from(octets).unwrap();
        let addresses_at = frame.len() + 2 + if ipv6 { 8 } else { 12 };
        if ipv6 {
            frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend_from_slice(&length.to_be_bytes());
            frame.extend_from_slice(&[protocol, 64]);
            frame.extend((0..32u8).map(|i| i.wrapping_mul(77)));
        } else {
            frame.extend_from_slice(&[0x08, 0x00, 0x45, 0]);
            frame.extend_from_slice(&(20 + length).to_be_bytes());
            frame.extend_from_slice(&[1, 2, 0x40, 0, 64, protocol, 9, 9]);
            frame.extend_from_slice(&[10, 1, 2, 3, 192, 168, 250, 251]);
        }
        let start = frame.len();
        let pseudo_octets = frame[addresses_at..].to_vec();
        frame.extend((0..octets).map(|i| u8::try_from(i * 37 % 251).unwrap()));
        let at = start + if protocol == 6 { 16 } else { 6 };
        if protocol == IP_PROTOCOL_SCTP {
            frame[start + 8..start + 12].fill(0);
        } else {
            let pseudo = [&pseudo_octets[..], &[0, protocol], &length.to_be_bytes()].concat();
            frame[at..at + 2].copy_from_slice(&rfc_1071(&pseudo).to_be_bytes());
        }
        frame.extend_from_slice(&[0xaa; 6]);
        (frame, start)
    }

    #[test]
    fn a_checksum_of_which_nothing_is_known_is_completed_if_it_is_open() {
        let hsr = [0x89, 0x2f, 0, 60, 0, 1];
        let tags: [&[u8]; 4] = [&[], &[0x81, 0, 0, 5], &[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2], &hsr];
        for tags in tags {
            for ipv6 in [false, true] {
                for (protocol, octets) in [(6, 20), (6, 1_401), (17, 8), (17, 500), (132, 40)] {
                    let (mut frame, start) = open_segment(tags, ipv6, protocol, octets);
                    let mut expected = frame.clone();
                    let offset = match protocol {
                        6 => 16,
                        17 => 6,
                        _ => 8,
                    };
                    complete(&mut expected[..start + octets], start, offset).unwrap();
                    let what = format!("{tags:?} {ipv6} {protocol} {octets}");
                    assert!(complete_if_open(&mut frame), "{what}");
                    assert_eq!(frame, expected, "{what}");
                    // What is complete, and what is wrong in another way, stays as it is.
                    assert!(!complete_if_open(&mut frame), "{what}");
                    frame[start] ^= 1;
                    let damaged = frame.clone();
                    assert!(!complete_if_open(&mut frame), "{what}");
                    assert_eq!(frame, damaged, "{what}");
                }
            }
        }
    }

    #[test]
    fn fragments_and_headers_that_lie_are_left_alone() {
        let (whole, start) = open_segment(&[], false, 17, 100);
        let ip = start - 20;
        for (at, value) in [
            (ip, 0x44),     // a header shorter than a header
            (ip, 0x4f),     // one that reaches into the segment
            (ip, 0x65),     // another version
            (ip + 2, 0xff), // longer than the frame
            (ip + 3, 20),   // no segment
            (ip + 3, 27),   // too short a segment
            (ip + 6, 0x20), // more fragments
            (ip + 7, 1),    // a later fragment
            (ip + 9, 1),    // another protocol
            (12, 0x88),     // another EtherType
        ] {
            let mut frame = whole.clone();
            frame[at] = value;
            let before = frame.clone();
            assert!(!complete_if_open(&mut frame), "{at} {value:#x}");
            assert_eq!(frame, before);
        }
        for length in 0..whole.len() - 6 {
            let mut frame = whole[..length].to_vec();
            assert!(!complete_if_open(&mut frame), "{length} octets");
        }
    }

    #[test]
    fn a_sum_of_zero_is_sent_as_all_ones() {
        let mut frame = [0u8; 20];
        frame[..2].copy_from_slice(&[0xff, 0xff]);
        complete(&mut frame, 0, 6).unwrap();
        assert_eq!(&frame[6..8], &[0xff, 0xff]);
    }

    #[test]
    fn places_outside_the_frame_are_refused_and_nothing_is_changed() {
        let original = [0x5a_u8; 60];
        for (start, offset) in
            [(60, 0), (61, 0), (usize::MAX, 2), (34, 25), (34, 26), (34, usize::MAX), (0, 59)]
        {
            let mut frame = original;
            assert_eq!(complete(&mut frame, start, offset), Err(OutsideFrame), "{start} {offset}");
            assert_eq!(frame, original);
        }
        assert_eq!(complete(&mut [], 0, 0), Err(OutsideFrame));
    }

    #[test]
    fn sctp_gets_its_crc() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283, "the check value of CRC-32C");
        let mut frame = [0u8; 60];
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        frame[23] = IP_PROTOCOL_SCTP;
        frame[34..50].copy_from_slice(b"portport....abcd");
        let mut zeroed = frame;
        zeroed[42..46].fill(0);
        complete(&mut frame, 34, 8).unwrap();
        assert_eq!(frame[42..46], crc32c(&zeroed[34..]).to_le_bytes());
        let mut tagged = [0u8; 64];
        tagged[12..20].copy_from_slice(&[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2]);
        tagged[20..22].copy_from_slice(&[0x86, 0xdd]);
        tagged[28] = IP_PROTOCOL_SCTP;
        assert_eq!(ip_protocol(&tagged), Some(IP_PROTOCOL_SCTP));
    }
}
