//! Netlink, synchronous: one request, its answer, an error that carries the kernel's own words.
//!
//! Requests are built from `netlink-packet-route` messages where it has them and from attributes
//! by hand where it has not (traffic control options, nftables). Answers are read attribute by
//! attribute instead of through the typed parsers: those fail a whole dump when one attribute that
//! nobody here asked about has a shape they do not know, which every new kernel may bring.
//!
//! Thread class: never a real-time thread; requests wait for the kernel, at most
//! [`ANSWER_TIMEOUT_S`] seconds for each datagram of the answer.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{
    NLA_F_NESTED, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_DUMP_INTR,
    NLM_F_REQUEST, NetlinkBuffer, NetlinkSerializable, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

/// How long one datagram of an answer may take. The kernel answers inside the request's own system
/// call, so only a stuck kernel comes near it.
const ANSWER_TIMEOUT_S: i64 = 10;

/// Room for one datagram: the kernel fills at most 32 KiB of a dump at a time.
const DATAGRAM_OCTETS: usize = 64 * 1024;

/// A dump that the kernel marks as interrupted by a change is repeated this often.
const DUMP_ATTEMPTS: usize = 16;

const NLMSG_HEADER_OCTETS: usize = 16;
const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// In an error message with extended acknowledgement: the kernel's explanation.
const NLMSGERR_ATTR_MSG: u16 = 1;

/// Why a request had no success.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NetlinkError {
    /// The kernel's error number, positive.
    pub(crate) errno: i32,
    /// The kernel's explanation, empty when it gave none.
    pub(crate) detail: String,
}

impl NetlinkError {
    pub(crate) fn new(errno: i32, detail: &str) -> Self {
        Self { errno, detail: detail.to_owned() }
    }

    fn malformed(what: &str) -> Self {
        Self::new(libc::EBADMSG, what)
    }
}

impl From<io::Error> for NetlinkError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EAGAIN) => Self::new(libc::ETIMEDOUT, "the kernel did not answer"),
            Some(errno) => Self::new(errno, ""),
            None => Self::new(libc::EIO, &error.to_string()),
        }
    }
}

impl std::fmt::Display for NetlinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = nix::errno::Errno::from_raw(self.errno).desc();
        match self.detail.as_str() {
            "" => write!(f, "{text} (errno {})", self.errno),
            detail => write!(f, "{text} (errno {}): {detail}", self.errno),
        }
    }
}

/// A request under construction: message type and flags, then the family's header, then attributes.
#[derive(Debug)]
pub(crate) struct Request {
    octets: Vec<u8>,
}

impl Request {
    /// An empty request; `flags` beside `NLM_F_REQUEST`.
    pub(crate) fn new(message_type: u16, flags: u16) -> Self {
        let mut octets = vec![0; NLMSG_HEADER_OCTETS];
        let mut header = NetlinkBuffer::new(&mut octets);
        header.set_message_type(message_type);
        header.set_flags(NLM_F_REQUEST | flags);
        Self { octets }
    }

    /// A request that carries a typed message.
    pub(crate) fn route(message: &RouteNetlinkMessage, flags: u16) -> Self {
        let mut request = Self::new(message.message_type(), flags);
        let start = request.octets.len();
        request.octets.resize(start + message.buffer_len(), 0);
        message.serialize(&mut request.octets[start..]);
        request
    }

    /// Appends octets as they are (a family's header), padded to four.
    pub(crate) fn raw(mut self, octets: &[u8]) -> Self {
        self.octets.extend_from_slice(octets);
        self.pad();
        self
    }

    /// Appends an attribute.
    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let start = self.open(kind);
        self.octets.extend_from_slice(value);
        self.close(start);
        self
    }

    /// Appends a text attribute, ended by a zero octet.
    pub(crate) fn text(mut self, kind: u16, value: &str) -> Self {
        let start = self.open(kind);
        self.octets.extend_from_slice(value.as_bytes());
        self.octets.push(0);
        self.close(start);
        self
    }

    /// Appends an attribute that holds the attributes which `fill` appends.
    pub(crate) fn nested(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        let start = self.open(kind | NLA_F_NESTED);
        self = fill(self);
        self.close(start);
        self
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.octets.len();
        self.octets.extend_from_slice(&[0, 0]);
        self.octets.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        // Everything built here is a few hundred octets; a longer attribute would be refused by the
        // kernel for its length, not misread.
        let len = u16::try_from(self.octets.len() - start).unwrap_or(u16::MAX);
        self.octets[start..start + 2].copy_from_slice(&len.to_ne_bytes());
        self.pad();
    }

    fn pad(&mut self) {
        self.octets.resize(self.octets.len().next_multiple_of(4), 0);
    }

    /// The finished octets under sequence number `sequence`.
    fn finish(mut self, sequence: u32, flags: u16) -> Vec<u8> {
        let len = u32::try_from(self.octets.len()).unwrap_or(u32::MAX);
        let mut header = NetlinkBuffer::new(&mut self.octets);
        header.set_length(len);
        header.set_sequence_number(sequence);
        let flags = header.flags() | flags;
        header.set_flags(flags);
        self.octets
    }
}

/// The attributes in `octets`: kind without its flag bits, and value. Ends at the first malformed
/// one.
pub(crate) fn attributes(octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(octets).map_while(|attribute| {
        let attribute = attribute.ok()?;
        let (kind, end) = (attribute.kind(), usize::from(attribute.length()));
        Some((kind, attribute.into_inner().get(4..end)?))
    })
}

/// An attribute's value as a number in the host's order.
pub(crate) fn as_u32(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|octets| u32::from_ne_bytes(*octets))
}

/// An attribute's value as text up to its zero octet; what is not UTF-8 is replaced.
pub(crate) fn as_text(value: &[u8]) -> String {
    let end = value.iter().position(|&octet| octet == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// One message of an answer: type, flags, sequence number and payload.
pub(crate) struct Message<'a> {
    pub(crate) message_type: u16,
    flags: u16,
    sequence: u32,
    pub(crate) payload: &'a [u8],
}

/// The messages of one datagram. Ends at the first malformed one.
pub(crate) fn messages(datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let header = NetlinkBuffer::new_checked(rest).ok()?;
        let len = usize::try_from(header.length()).ok()?;
        let message = Message {
            message_type: header.message_type(),
            flags: header.flags(),
            sequence: header.sequence_number(),
            payload: rest.get(NLMSG_HEADER_OCTETS..len)?,
        };
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some(message)
    })
}

/// A netlink socket of the network namespace in which it was opened, whichever thread uses it
/// later.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Connection {
    /// Opens a socket of `protocol` (`NETLINK_ROUTE`, `NETLINK_NETFILTER`) in the namespace of the
    /// calling thread.
    pub(crate) fn open(protocol: i32) -> Result<Self, NetlinkError> {
        let mut socket = Socket::new(protocol as isize)?;
        socket.bind_auto()?;
        // Both only make errors shorter and clearer; a kernel without them answers as well.
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_ext_ack(true);
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(ANSWER_TIMEOUT_S, 0))
            .map_err(io::Error::from)?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; DATAGRAM_OCTETS] })
    }

    /// Joins a multicast group and stops waiting: what follows is read with [`Self::receive`].
    pub(crate) fn subscribe(&mut self, group: u32) -> Result<(), NetlinkError> {
        self.socket.add_membership(group)?;
        self.socket.set_non_blocking(true)?;
        Ok(())
    }

    /// One datagram of the kernel; what other processes sent is skipped.
    pub(crate) fn receive(&mut self) -> io::Result<&[u8]> {
        loop {
            let mut room = &mut self.buffer[..];
            let (len, sender) = match self.socket.recv_from(&mut room, libc::MSG_TRUNC) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                received => received?,
            };
            if sender.port_number() != 0 {
                continue;
            }
            if len > self.buffer.len() {
                return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
            }
            return Ok(&self.buffer[..len]);
        }
    }

    /// Sends `request` and waits for the kernel's acknowledgement.
    pub(crate) fn acknowledged(&mut self, request: Request) -> Result<(), NetlinkError> {
        self.exchange(request, NLM_F_ACK, |_| {}).map(drop)
    }

    /// Sends a query and hands each message of the answer to `each`, before the acknowledgement.
    pub(crate) fn get(
        &mut self,
        request: Request,
        each: impl FnMut(&Message<'_>),
    ) -> Result<(), NetlinkError> {
        self.exchange(request, NLM_F_ACK, each).map(drop)
    }

    /// Asks for a whole table: builds the result from nothing with `each` until a dump came through
    /// that no change interrupted.
    pub(crate) fn dump<T: Default>(
        &mut self,
        request: impl Fn() -> Request,
        mut each: impl FnMut(&mut T, &Message<'_>),
    ) -> Result<T, NetlinkError> {
        for _ in 0..DUMP_ATTEMPTS {
            let mut table = T::default();
            let whole =
                self.exchange(request(), NLM_F_DUMP, |message| each(&mut table, message))?;
            if whole {
                return Ok(table);
            }
        }
        Err(NetlinkError::new(libc::EINTR, "the table changed during every attempt to read it"))
    }

    /// Sends a transaction of several messages in one datagram; each of `requests` that asks for an
    /// acknowledgement is waited for. The first error ends it.
    pub(crate) fn batch(&mut self, requests: Vec<Request>) -> Result<(), NetlinkError> {
        let mut datagram = Vec::new();
        let mut waiting = Vec::new();
        let first = self.sequence.wrapping_add(1);
        let count = requests.len();
        for request in requests {
            self.sequence = self.sequence.wrapping_add(1);
            let octets = request.finish(self.sequence, 0);
            if NetlinkBuffer::new(&octets).flags() & NLM_F_ACK != 0 {
                waiting.push(self.sequence);
            }
            datagram.extend_from_slice(&octets);
        }
        self.send(&datagram)?;
        while !waiting.is_empty() {
            for message in messages(self.receive()?) {
                let place = usize::try_from(message.sequence.wrapping_sub(first));
                let ours = place.is_ok_and(|place| place < count);
                if ours && message.message_type == NLMSG_ERROR {
                    error_of(&message)?;
                    waiting.retain(|&sequence| sequence != message.sequence);
                }
            }
        }
        Ok(())
    }

    fn send(&self, datagram: &[u8]) -> Result<(), NetlinkError> {
        let sent = self.socket.send_to(datagram, &SocketAddr::new(0, 0), 0)?;
        if sent == datagram.len() { Ok(()) } else { Err(NetlinkError::malformed("cut request")) }
    }

    /// The one exchange: true when the answer was whole, false when a change interrupted a dump.
    fn exchange(
        &mut self,
        request: Request,
        flags: u16,
        mut each: impl FnMut(&Message<'_>),
    ) -> Result<bool, NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        self.send(&request.finish(sequence, flags))?;
        let mut whole = true;
        loop {
            for message in messages(self.receive()?) {
                if message.sequence != sequence {
                    continue;
                }
                whole &= message.flags & NLM_F_DUMP_INTR == 0;
                match message.message_type {
                    NLMSG_NOOP => {}
                    NLMSG_ERROR | NLMSG_DONE => return error_of(&message).map(|()| whole),
                    _ => each(&message),
                }
            }
        }
    }
}

/// What an error or end-of-dump message says: its first four octets are 0 or a negative errno.
fn error_of(message: &Message<'_>) -> Result<(), NetlinkError> {
    let Some(code) = message.payload.first_chunk().map(|octets| i32::from_ne_bytes(*octets)) else {
        // An end of dump may be empty.
        return match message.message_type {
            NLMSG_DONE => Ok(()),
            _ => Err(NetlinkError::malformed("error message without a code")),
        };
    };
    if code == 0 || (message.message_type == NLMSG_DONE && code > 0) {
        return Ok(());
    }
    Err(NetlinkError { errno: code.saturating_abs(), detail: explanation(message) })
}

/// The kernel's words behind an error: after the code and the request's header (and the request
/// itself, unless the kernel left it out as asked).
fn explanation(message: &Message<'_>) -> String {
    if message.flags & NLM_F_ACK_TLVS == 0 {
        return String::new();
    }
    let request = message.payload.get(4..).unwrap_or(&[]);
    let skip = match as_u32(request) {
        Some(len) if message.flags & NLM_F_CAPPED == 0 => {
            usize::try_from(len).unwrap_or(usize::MAX).saturating_add(3) & !3
        }
        _ => NLMSG_HEADER_OCTETS,
    };
    attributes(request.get(skip..).unwrap_or(&[]))
        .find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)
        .map_or_else(String::new, |(_, text)| as_text(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_nest_and_pad_their_attributes() {
        let octets = Request::new(16, NLM_F_ACK)
            .raw(&[9; 6])
            .nested(2, |inner| inner.text(1, "veth").attribute(3, &7u32.to_ne_bytes()))
            .finish(5, 0);
        let message = messages(&octets).next().unwrap();
        assert_eq!((message.message_type, message.sequence), (16, 5));
        assert_eq!(message.flags, NLM_F_REQUEST | NLM_F_ACK);
        let (kind, nested) = attributes(&message.payload[8..]).next().unwrap();
        assert_eq!(kind, 2);
        let inner: Vec<_> = attributes(nested).collect();
        assert_eq!(inner.len(), 2);
        assert_eq!(as_text(inner[0].1), "veth");
        assert_eq!((inner[1].0, as_u32(inner[1].1)), (3, Some(7)));
    }

    #[test]
    fn hostile_lengths_end_the_reading() {
        for len in 0..=40u32 {
            let mut octets = Request::new(16, 0).attribute(1, &[1, 2, 3]).finish(1, 0);
            octets[..4].copy_from_slice(&len.to_ne_bytes());
            assert!(messages(&octets).count() <= 1, "{len}");
        }
        for len in [0u16, 1, 3, 9, u16::MAX] {
            let mut octets = vec![0, 0, 1, 0, 1, 2, 3, 4];
            octets[..2].copy_from_slice(&len.to_ne_bytes());
            assert_eq!(attributes(&octets).count(), 0, "{len}");
        }
    }

    #[test]
    fn errors_carry_the_kernels_words() {
        let mut payload = (-libc::EINVAL).to_ne_bytes().to_vec();
        payload.extend_from_slice(&[0; 16]);
        payload.extend_from_slice(&[9, 0, 1, 0, b'n', b'o', b'p', b'e', 0, 0, 0, 0]);
        let flags = NLM_F_ACK_TLVS | NLM_F_CAPPED;
        let message = Message { message_type: NLMSG_ERROR, flags, sequence: 1, payload: &payload };
        let error = error_of(&message).unwrap_err();
        assert_eq!(error, NetlinkError::new(libc::EINVAL, "nope"));
    }
}
