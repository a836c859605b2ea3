//! The frames that the wire probe sends and follows: ICMP echo requests of its own, which any host
//! answers. Pure.
//!
//! Behind the ICMP header stand a magic, the run's number and the frame's, so that each is known
//! wherever it is met: with or without VLAN tags, an HSR tag, or a trailer behind it.

use libc::sock_filter;

/// What stands behind the ICMP header, before the zeros up to the planned size: magic, run, number.
pub(super) const MARK_OCTETS: usize = 24;
/// The largest echo: what an Ethernet frame carries behind the headers of IPv6 and ICMP.
pub(super) const ECHO_OCTETS_MAX: usize = 1_452;

const MAGIC: [u8; 8] = *b"BMPLWIRE";
const ICMP_OCTETS: usize = 8;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;
const HSR: u16 = 0x892f;

/// The version of IP, and with it that of ICMP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    const fn protocol(self) -> u8 {
        match self {
            Self::V4 => 1,
            Self::V6 => 58,
        }
    }

    /// Types of request and reply.
    const fn kinds(self) -> [u8; 2] {
        match self {
            Self::V4 => [8, 0],
            Self::V6 => [128, 129],
        }
    }
}

/// A run's echoes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Echoes {
    /// Over which IP.
    pub(super) family: Family,
    /// Drawn by chance; its low 16 bits are the ICMP identifier.
    pub(super) run: u64,
}

/// An echo of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Echo {
    /// Whether it is the answer.
    pub(super) is_reply: bool,
    /// Its number.
    pub(super) number: u64,
}

impl Echoes {
    const fn identifier(self) -> [u8; 2] {
        let [high, low] = [self.run.to_be_bytes()[6], self.run.to_be_bytes()[7]];
        [high, low]
    }

    /// Writes request `number` with so many octets behind the ICMP header: what a raw socket takes.
    /// Nothing when the buffer is too short. The check sum of ICMPv6 is the kernel's to make.
    pub(super) fn request<'a>(
        &self,
        number: u64,
        octets: usize,
        buffer: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        let message = buffer.get_mut(..ICMP_OCTETS + octets)?;
        message.fill(0);
        let (header, data) = message.split_first_chunk_mut::<ICMP_OCTETS>()?;
        header[0] = self.family.kinds()[0];
        header[4..6].copy_from_slice(&self.identifier());
        let number = number.to_be_bytes();
        header[6..8].copy_from_slice(&number[6..]);
        let mark = data.first_chunk_mut::<MARK_OCTETS>()?;
        mark[..8].copy_from_slice(&MAGIC);
        mark[8..16].copy_from_slice(&self.run.to_be_bytes());
        mark[16..].copy_from_slice(&number);
        if self.family == Family::V4 {
            let sum = internet_checksum(message);
            message.get_mut(2..4)?.copy_from_slice(&sum.to_be_bytes());
        }
        Some(message)
    }

    /// The echo in an ICMP message.
    fn in_message(&self, message: &[u8]) -> Option<Echo> {
        let (header, data) = message.split_first_chunk::<ICMP_OCTETS>()?;
        let mark = data.first_chunk::<MARK_OCTETS>()?;
        let is_ours = header[1] == 0
            && header[4..6] == self.identifier()
            && mark[..8] == MAGIC
            && mark[8..16] == self.run.to_be_bytes();
        let kind = self.family.kinds().iter().position(|kind| *kind == header[0]);
        let number = mark.last_chunk::<8>().map(|it| u64::from_be_bytes(*it))?;
        if is_ours { kind.map(|kind| Echo { is_reply: kind == 1, number }) } else { None }
    }

    /// The echo in what a raw socket hands over: IPv4 with its header, IPv6 without.
    pub(super) fn in_datagram(&self, datagram: &[u8]) -> Option<Echo> {
        match self.family {
            Family::V4 => self.in_message(behind_ipv4(datagram)?),
            Family::V6 => self.in_message(datagram),
        }
    }

    /// The echo in a frame.
    pub(super) fn in_frame(&self, frame: &[u8]) -> Option<Echo> {
        let mut rest = frame.get(12..)?;
        // Two VLAN tags and an HSR tag, in any order.
        for _ in 0..4 {
            let (ethertype, behind) = rest.split_first_chunk::<2>()?;
            match u16::from_be_bytes(*ethertype) {
                VLAN | SERVICE_VLAN => rest = behind.get(2..)?,
                HSR => rest = behind.get(4..)?,
                IPV4 if self.family == Family::V4 => {
                    return self.in_message(behind_ipv4(behind)?);
                }
                IPV6 if self.family == Family::V6 => {
                    let header = behind.first_chunk::<40>()?;
                    let is_icmp = header[0] >> 4 == 6 && header[6] == self.family.protocol();
                    return if is_icmp { self.in_message(behind.get(40..)?) } else { None };
                }
                _ => return None,
            }
        }
        None
    }

    /// Classic BPF that lets pass what may be an echo of this run: by its identifier where nothing
    /// stands before the IP header, by its EtherType alone behind a tag.
    pub(super) fn filter(&self) -> [sock_filter; 12] {
        const LOAD_HALF: u16 = 0x28;
        const LOAD_OCTET: u16 = 0x30;
        const LOAD_HALF_AT_X: u16 = 0x48;
        const X_HEADER: u16 = 0xb1;
        const X_CONSTANT: u16 = 0x01;
        const JUMP_EQUAL: u16 = 0x15;
        const RETURN: u16 = 0x06;
        let (ethertype, protocol_at) = match self.family {
            Family::V4 => (IPV4, 14 + 9),
            Family::V6 => (IPV6, 14 + 6),
        };
        // Where ICMP begins, behind the Ethernet header: four times the low half of an octet.
        let load_x = match self.family {
            Family::V4 => (X_HEADER, 0, 0, 14),
            Family::V6 => (X_CONSTANT, 0, 0, 40),
        };
        let identifier = u32::from(u16::from_be_bytes(self.identifier()));
        [
            (LOAD_HALF, 0, 0, 12),
            (JUMP_EQUAL, 3, 0, u32::from(ethertype)),
            (JUMP_EQUAL, 7, 0, u32::from(VLAN)),
            (JUMP_EQUAL, 6, 0, u32::from(SERVICE_VLAN)),
            (JUMP_EQUAL, 5, 6, u32::from(HSR)),
            (LOAD_OCTET, 0, 0, protocol_at),
            (JUMP_EQUAL, 0, 4, u32::from(self.family.protocol())),
            load_x,
            (LOAD_HALF_AT_X, 0, 0, 14 + 4),
            (JUMP_EQUAL, 0, 1, identifier),
            (RETURN, 0, 0, 0x4_0000),
            (RETURN, 0, 0, 0),
        ]
        .map(|(code, jt, jf, k)| sock_filter { code, jt, jf, k })
    }
}

fn behind_ipv4(packet: &[u8]) -> Option<&[u8]> {
    const FRAGMENT: u16 = 0x3fff;
    let header = packet.first_chunk::<20>()?;
    let is_whole = u16::from_be_bytes([header[6], header[7]]) & FRAGMENT == 0;
    if header[0] >> 4 != 4 || header[9] != Family::V4.protocol() || !is_whole {
        return None;
    }
    let octets = usize::from(header[0] & 15) * 4;
    if octets < 20 { None } else { packet.get(octets..) }
}

/// RFC 1071.
fn internet_checksum(octets: &[u8]) -> u16 {
    let (pairs, rest) = octets.as_chunks::<2>();
    let last = rest.first().map_or(0, |octet| u32::from(*octet) << 8);
    let mut sum = pairs.iter().fold(last, |sum, it| sum + u32::from(u16::from_be_bytes(*it)));
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    let [.., high, low] = (!sum).to_be_bytes();
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const RUN: u64 = 0x1122_3344_5566_7788;
    const V4: Echoes = Echoes { family: Family::V4, run: RUN };
    const V6: Echoes = Echoes { family: Family::V6, run: RUN };

    fn message(echoes: &Echoes, kind: u8) -> Vec<u8> {
        let mut message = echoes.request(9, 56, &mut [0xee; 200]).unwrap().to_vec();
        message[0] = kind;
        message
    }

    fn ipv4(message: &[u8], options: usize) -> Vec<u8> {
        let mut packet = vec![0; 20 + 4 * options];
        packet[0] = 0x45 + u8::try_from(options).unwrap();
        packet[6] = 0x40;
        packet[9] = 1;
        packet.extend(message);
        packet
    }

    fn ipv6(message: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 40];
        packet[0] = 0x60;
        packet[6] = 58;
        packet.extend(message);
        packet
    }

    fn frame(before: &[u8], packet: &[u8]) -> Vec<u8> {
        [&[2; 12], before, packet, &[0, 1, 0xa0, 0x5e, 0x88, 0xfb]].concat()
    }

    #[test]
    fn an_echo_is_found_behind_tags_and_before_a_trailer() {
        let tags: [&[u8]; 4] =
            [&[], &[0x81, 0, 0, 5], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6], &[0x89, 0x2f, 0, 1, 2, 3]];
        for tag in tags {
            for (kind, is_reply) in [(8, false), (0, true)] {
                for options in [0, 3] {
                    let packet = ipv4(&message(&V4, kind), options);
                    let whole = frame(&[tag, &[8, 0]].concat(), &packet);
                    assert_eq!(V4.in_frame(&whole), Some(Echo { is_reply, number: 9 }));
                    assert_eq!(V6.in_frame(&whole), None);
                    assert_eq!(V4.in_datagram(&packet), V4.in_frame(&whole));
                }
            }
            for (kind, is_reply) in [(128, false), (129, true)] {
                let message = message(&V6, kind);
                let whole = frame(&[tag, &[0x86, 0xdd]].concat(), &ipv6(&message));
                assert_eq!(V6.in_frame(&whole), Some(Echo { is_reply, number: 9 }));
                assert_eq!(V6.in_datagram(&message), V6.in_frame(&whole));
            }
        }
    }

    #[test]
    fn what_is_not_of_this_run_or_cut_is_none_of_ours() {
        let whole = frame(&[8, 0], &ipv4(&message(&V4, 8), 0));
        let other = Echoes { run: RUN ^ (1 << 60), ..V4 };
        assert_eq!(other.in_frame(&whole), None);
        let needed = 14 + 20 + 8 + MARK_OCTETS;
        for octets in 0..whole.len() {
            assert_eq!(V4.in_frame(&whole[..octets]).is_some(), octets >= needed, "{octets}");
        }
        // Type, code, identifier, magic, run, IP version and length, protocol, fragments.
        for at in [14, 20, 23, 34, 35, 38, 42, 57] {
            let mut changed = whole.clone();
            changed[at] ^= 0x0a;
            assert_eq!(V4.in_frame(&changed), None, "octet {at}");
        }
        let many = [&[0x81, 0, 0, 5].repeat(5)[..], &[8, 0]].concat();
        assert_eq!(V4.in_frame(&frame(&many, &ipv4(&message(&V4, 8), 0))), None);
    }

    #[test]
    fn the_check_sum_of_a_request_is_right_and_its_length_as_planned() {
        for octets in [MARK_OCTETS, 57, ECHO_OCTETS_MAX] {
            let mut buffer = [0xee; 1_500];
            let message = V4.request(u64::MAX - 3, octets, &mut buffer).unwrap();
            assert_eq!(message.len(), 8 + octets);
            // With its own sum in it a right message sums up to nothing.
            assert_eq!(internet_checksum(message), 0);
        }
        assert_eq!(V4.request(1, 56, &mut [0; 63]), None);
        assert_eq!(V4.request(1, MARK_OCTETS - 1, &mut [0; 100]), None);
    }
}
