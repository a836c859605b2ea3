//! Packet sockets (AF_PACKET, raw) that hand over frames as they were on the wire.
//!
//! The kernel takes the outer VLAN tag off a frame before a packet socket sees it and leaves
//! checksums for hardware that a veth pair does not have. Both are undone here: the tag is put back
//! from the auxiliary data, and the checksum's whereabouts travel along in the [`Offload`] header,
//! which the sending side passes to the kernel again, so that even a frame the sender had merged
//! (64 KiB, segmentation left to the NIC) passes whole.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::net;

/// Frames that one call to the kernel takes at most, in either direction.
pub const BATCH_FRAMES: usize = 32;
/// The longest frame that is taken: a merged one of 64 KiB and its headers.
pub const FRAME_OCTETS_MAX: usize = 65_536 + 64;
/// Room in front of a received frame for the VLAN tag that is put back.
const TAG_OCTETS: usize = 4;
const SLOT_OCTETS: usize = TAG_OCTETS + FRAME_OCTETS_MAX;
const CONTROL_OCTETS: usize = 128;

/// What the kernel says about a frame beyond its octets: the header `struct virtio_net_hdr`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Offload([u8; Offload::OCTETS]);

impl Offload {
    /// Length of the header.
    pub const OCTETS: usize = 10;
    const NEEDS_CHECKSUM: u8 = 1;

    /// Where the sum begins and where it is stored, both from the frame's first octet, when the
    /// sender left the checksum open.
    #[must_use]
    pub fn open_checksum(&self) -> Option<(usize, usize)> {
        let start = usize::from(self.field(6));
        let offset = usize::from(self.field(8));
        (self.0[0] & Self::NEEDS_CHECKSUM != 0).then_some((start, start + offset))
    }

    /// Whether the frame is several that the sender left to the NIC to cut.
    #[must_use]
    pub const fn merged(&self) -> bool {
        self.0[1] != 0
    }

    /// The header of a frame from which `octets` octets were taken out before the checksummed part
    /// and put back.
    fn shift(&mut self, octets: u16) {
        for at in [2, 6] {
            let moved = self.field(at).saturating_add(octets).to_ne_bytes();
            if self.0[0] & Self::NEEDS_CHECKSUM != 0 || (at == 2 && self.merged()) {
                self.0[at..at + 2].copy_from_slice(&moved);
            }
        }
    }

    fn field(&self, at: usize) -> u16 {
        u16::from_ne_bytes([self.0[at], self.0[at + 1]])
    }
}

/// How a packet socket is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Take frames for other stations too.
    pub promiscuous: bool,
    /// Hand over and take the [`Offload`] header.
    pub offload: bool,
    /// Also hand over what this host sends on the interface.
    pub outgoing: bool,
    /// Wished size of the kernel's buffers in octets.
    pub buffer_octets: usize,
    /// Classic BPF: which frames to hand over at all (empty: all).
    pub filter: &'a [libc::sock_filter],
}

/// A raw packet socket on one interface. Never blocks.
#[derive(Debug)]
pub struct PacketSocket {
    descriptor: OwnedFd,
    index: u32,
    offload: bool,
    dropped: u64,
}

impl PacketSocket {
    /// Opens a socket on `interface`, which need not be up.
    ///
    /// # Errors
    /// `ENODEV` (no such interface), `EPERM` (`CAP_NET_RAW` missing) and what else the system says.
    pub fn open(interface: &str, options: Options<'_>) -> io::Result<Self> {
        let index = net::interface_index(interface)?;
        // Without a protocol nothing arrives before the socket is completely set up.
        let descriptor = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )?;
        let socket = Self { descriptor, index, offload: options.offload, dropped: 0 };
        net::enlarge_buffers(&socket, options.buffer_octets);
        let on: libc::c_int = 1;
        set(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA, &on)?;
        if options.offload {
            set(&socket, libc::SOL_PACKET, libc::PACKET_VNET_HDR, &on)?;
        }
        if !options.outgoing {
            set(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &on)?;
        }
        if options.promiscuous {
            let membership = libc::packet_mreq {
                mr_ifindex: i32::try_from(index).unwrap_or(0),
                mr_type: u16::try_from(libc::PACKET_MR_PROMISC).unwrap_or(0),
                mr_alen: 0,
                mr_address: [0; 8],
            };
            set(&socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &membership)?;
        }
        if !options.filter.is_empty() {
            attach_filter(&socket, options.filter)?;
        }
        bind_to_all_protocols(socket.as_fd(), index)?;
        Ok(socket)
    }

    /// The number that the interface had when the socket was opened.
    #[must_use]
    pub const fn interface_index(&self) -> u32 {
        self.index
    }

    /// Frames that the kernel dropped because the receive buffer was full, since the opening.
    pub fn kernel_dropped(&mut self) -> u64 {
        self.dropped += dropped_since(self);
        self.dropped
    }

    /// Takes up to [`BATCH_FRAMES`] waiting frames into `inbox`, replacing what was there.
    ///
    /// # Errors
    /// `EAGAIN` when none waits, `ENETDOWN` when the interface went down or away, `EINVAL` when the
    /// kernel dropped a frame that its offload header cannot describe.
    pub fn receive(&self, inbox: &mut Inbox) -> io::Result<()> {
        inbox.receive(self.descriptor.as_raw_fd(), self.offload)
    }

    /// Hands `frames` (at most [`BATCH_FRAMES`]; more are not looked at) to the kernel, in order,
    /// and returns how many it took before it refused one.
    ///
    /// # Errors
    /// Why the first frame was refused; the caller drops or keeps it and goes on behind it.
    pub fn send(&self, frames: &[Outgoing<'_>]) -> io::Result<usize> {
        let frames = &frames[..frames.len().min(BATCH_FRAMES)];
        // SAFETY: all-zero is a valid value of both plain C structures.
        let mut parts: [[libc::iovec; 2]; BATCH_FRAMES] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut messages: [libc::mmsghdr; BATCH_FRAMES] = unsafe { mem::zeroed() };
        for ((frame, parts), message) in frames.iter().zip(&mut parts).zip(&mut messages) {
            // The kernel only reads through these pointers; the cast is for C's lack of const.
            parts[0].iov_base = frame.offload.0.as_ptr().cast_mut().cast();
            parts[0].iov_len = Offload::OCTETS;
            parts[1].iov_base = frame.octets.as_ptr().cast_mut().cast();
            parts[1].iov_len = frame.octets.len();
            let used = if self.offload { &mut parts[..] } else { &mut parts[1..] };
            message.msg_hdr.msg_iov = used.as_mut_ptr();
            message.msg_hdr.msg_iovlen = used.len();
        }
        let count = u32::try_from(frames.len()).unwrap_or(0);
        // SAFETY: the first `count` messages point to part lists, and these to frames and headers,
        // that all outlive the call; the kernel reads them and writes only `msg_len`.
        let sent = unsafe {
            libc::sendmmsg(
                self.descriptor.as_raw_fd(),
                messages.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// Binds a packet socket to an interface and to all protocols.
pub(super) fn bind_to_all_protocols(socket: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    let every_protocol = u16::try_from(libc::ETH_P_ALL).unwrap_or(3);
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap_or(0),
        sll_protocol: every_protocol.to_be(),
        sll_ifindex: i32::try_from(index).unwrap_or(0),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: `address` is a link-layer address of the length given; the kernel copies it.
    let done = unsafe {
        libc::bind(socket.as_raw_fd(), ptr::from_ref(&address).cast(), length_of(&address))
    };
    Errno::result(done)?;
    Ok(())
}

/// Sets an option of a socket.
pub(super) fn set<T>(
    socket: &impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `socket` is borrowed; the kernel reads the
    // octets of `value`, whose length is given, and a filter program it points to, which
    // `attach_filter` keeps alive.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            ptr::from_ref(value).cast(),
            length_of(value),
        )
    };
    Errno::result(done)?;
    Ok(())
}

/// Has a packet socket hand over what a program of classic BPF lets pass.
pub(super) fn attach_filter(socket: &impl AsFd, filter: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::EINVAL)?,
        // The kernel only reads it; the cast is for C's lack of const.
        filter: filter.as_ptr().cast_mut(),
    };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// Frames that the kernel dropped at a packet socket since this was asked before, or since the
/// opening; 0 where it does not say. Real-time class: one system call that never blocks.
pub(super) fn dropped_since(socket: &impl AsFd) -> u64 {
    // Packets and drops, both set back to zero by the reading.
    let mut statistics = [0u32; 2];
    let mut octets = length_of(&statistics);
    // SAFETY: the descriptor is open for as long as `socket` is borrowed; the kernel writes at most
    // `octets` octets to `statistics`, which is that long and valid for any bit pattern.
    let done = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            statistics.as_mut_ptr().cast(),
            &raw mut octets,
        )
    };
    if done == 0 { u64::from(statistics[1]) } else { 0 }
}

/// The length of a value, as the kernel is told it.
pub(super) fn length_of<T>(value: &T) -> libc::socklen_t {
    libc::socklen_t::try_from(size_of_val(value)).unwrap_or(0)
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// A frame to send. The header is used by sockets that were opened with [`Options::offload`].
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// What the kernel still has to do to the frame.
    pub offload: Offload,
    /// The frame, destination address first.
    pub octets: &'a [u8],
}

/// A received frame's whereabouts in an [`Inbox`].
#[derive(Clone, Copy, Default, Debug)]
struct Slot {
    start: usize,
    end: usize,
    offload: Offload,
    outgoing: bool,
    truncated: bool,
}

/// Where received frames stand, reused from call to call.
#[derive(Debug)]
pub struct Inbox {
    octets: Vec<u8>,
    slots: [Slot; BATCH_FRAMES],
    count: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            octets: vec![0; BATCH_FRAMES * SLOT_OCTETS],
            slots: [Slot::default(); BATCH_FRAMES],
            count: 0,
        }
    }
}

impl Inbox {
    /// How many frames there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Frame number `index`, its VLAN tags in place.
    #[must_use]
    pub fn frame(&self, index: usize) -> &[u8] {
        let slot = &self.slots[index];
        &self.octets[slot.start..slot.end]
    }

    /// What the kernel left undone on frame number `index`.
    #[must_use]
    pub const fn offload(&self, index: usize) -> Offload {
        self.slots[index].offload
    }

    /// Whether this host sent frame number `index`.
    #[must_use]
    pub const fn outgoing(&self, index: usize) -> bool {
        self.slots[index].outgoing
    }

    /// Whether frame number `index` was longer than [`FRAME_OCTETS_MAX`] and lost its end.
    #[must_use]
    pub const fn truncated(&self, index: usize) -> bool {
        self.slots[index].truncated
    }

    fn receive(&mut self, descriptor: libc::c_int, with_offload: bool) -> io::Result<()> {
        self.count = 0;
        let mut offloads = [[0u8; Offload::OCTETS]; BATCH_FRAMES];
        let mut controls = [ControlSpace([0; CONTROL_OCTETS]); BATCH_FRAMES];
        // SAFETY: all-zero is a valid value of this plain C structure, as of the next two.
        let mut names: [libc::sockaddr_ll; BATCH_FRAMES] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut parts: [[libc::iovec; 2]; BATCH_FRAMES] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut messages: [libc::mmsghdr; BATCH_FRAMES] = unsafe { mem::zeroed() };
        for (index, buffer) in self.octets.chunks_exact_mut(SLOT_OCTETS).enumerate() {
            let parts = &mut parts[index];
            parts[0].iov_base = offloads[index].as_mut_ptr().cast();
            parts[0].iov_len = Offload::OCTETS;
            let frame = &mut buffer[TAG_OCTETS..];
            parts[1].iov_base = frame.as_mut_ptr().cast();
            parts[1].iov_len = frame.len();
            let used = if with_offload { &mut parts[..] } else { &mut parts[1..] };
            let header = &mut messages[index].msg_hdr;
            header.msg_iov = used.as_mut_ptr();
            header.msg_iovlen = used.len();
            header.msg_name = ptr::from_mut(&mut names[index]).cast();
            header.msg_namelen = length_of(&names[index]);
            header.msg_control = controls[index].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_OCTETS;
        }
        let count = u32::try_from(BATCH_FRAMES).unwrap_or(0);
        // SAFETY: every message points to a part list, an address and a control buffer of its own
        // with their true lengths, and the parts to disjoint buffers; all outlive the call.
        let received = unsafe {
            libc::recvmmsg(
                descriptor,
                messages.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        for index in 0..received {
            let offload = if with_offload { Offload(offloads[index]) } else { Offload::default() };
            let header_octets = if with_offload { Offload::OCTETS } else { 0 };
            let message = &messages[index];
            let octets = usize::try_from(message.msg_len).unwrap_or(0);
            let octets = octets.saturating_sub(header_octets).min(FRAME_OCTETS_MAX);
            let start = index * SLOT_OCTETS + TAG_OCTETS;
            self.slots[index] = Slot {
                start,
                end: start + octets,
                offload,
                outgoing: names[index].sll_pkttype == libc::PACKET_OUTGOING,
                truncated: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            };
            let control_octets = message.msg_hdr.msg_controllen.min(CONTROL_OCTETS);
            if let Some(tag) = stripped_tag(&controls[index].0[..control_octets]) {
                self.put_tag_back(index, tag);
            }
        }
        self.count = received;
        Ok(())
    }

    /// Moves the two addresses of frame `index` forward and writes the tag behind them.
    fn put_tag_back(&mut self, index: usize, tag: [u8; TAG_OCTETS]) {
        const ADDRESSES: usize = 12;
        let slot = &mut self.slots[index];
        if slot.end - slot.start < ADDRESSES {
            return;
        }
        let start = slot.start - TAG_OCTETS;
        self.octets.copy_within(slot.start..slot.start + ADDRESSES, start);
        self.octets[start + ADDRESSES..start + ADDRESSES + TAG_OCTETS].copy_from_slice(&tag);
        slot.start = start;
        slot.offload.shift(4);
    }
}

/// Control messages start at an address that suits their header.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct ControlSpace([u8; CONTROL_OCTETS]);

/// The VLAN tag that the kernel took off, from the auxiliary data of one message.
fn stripped_tag(control: &[u8]) -> Option<[u8; TAG_OCTETS]> {
    const STATUS_VLAN_VALID: u32 = 1 << 4;
    const STATUS_TPID_VALID: u32 = 1 << 6;
    const HEADER: usize = size_of::<libc::cmsghdr>();
    let mut rest = control;
    while rest.len() >= HEADER {
        let octets = usize::from_ne_bytes(rest[..8].try_into().ok()?);
        let level = i32::from_ne_bytes(rest[8..12].try_into().ok()?);
        let kind = i32::from_ne_bytes(rest[12..16].try_into().ok()?);
        let data = rest.get(HEADER..octets)?;
        if level == libc::SOL_PACKET && kind == libc::PACKET_AUXDATA && data.len() >= 20 {
            // struct tpacket_auxdata: status, len, snaplen (32 bits each), mac, net, tci, tpid
            // (16).
            let status = u32::from_ne_bytes(data[..4].try_into().ok()?);
            if status & STATUS_VLAN_VALID == 0 {
                return None;
            }
            let tci = u16::from_ne_bytes([data[16], data[17]]);
            let told = u16::from_ne_bytes([data[18], data[19]]);
            let tpid = if status & STATUS_TPID_VALID == 0 { 0x8100 } else { told };
            let (tpid, tci) = (tpid.to_be_bytes(), tci.to_be_bytes());
            return Some([tpid[0], tpid[1], tci[0], tci[1]]);
        }
        rest = rest.get(octets.next_multiple_of(8)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auxiliary(status: u32, tci: u16, tpid: u16) -> Vec<u8> {
        let mut control = 36usize.to_ne_bytes().to_vec();
        control.extend(libc::SOL_PACKET.to_ne_bytes());
        control.extend(libc::PACKET_AUXDATA.to_ne_bytes());
        control.extend(status.to_ne_bytes());
        control.extend([0; 12]);
        control.extend(tci.to_ne_bytes());
        control.extend(tpid.to_ne_bytes());
        control
    }

    #[test]
    fn a_stripped_tag_is_found_in_the_auxiliary_data() {
        let (valid, with_tpid) = (1 << 4, 1 << 6);
        assert_eq!(stripped_tag(&auxiliary(0, 5, 6)), None);
        let plain = stripped_tag(&auxiliary(valid, 0xa064, 0));
        assert_eq!(plain, Some([0x81, 0x00, 0xa0, 0x64]));
        let service = stripped_tag(&auxiliary(valid | with_tpid, 1, 0x88a8));
        assert_eq!(service, Some([0x88, 0xa8, 0, 1]));
        let whole = auxiliary(valid, 1, 0);
        for octets in 0..whole.len() {
            assert_eq!(stripped_tag(&whole[..octets]), None, "{octets}");
        }
        assert_eq!(stripped_tag(&[0; 128]), None, "a length of zero ends the search");
    }

    #[test]
    fn a_tag_put_back_moves_the_open_checksum() {
        let header = |flags: u8, start: u16| {
            let mut octets = [0u8; Offload::OCTETS];
            octets[0] = flags;
            octets[6..8].copy_from_slice(&start.to_ne_bytes());
            octets[8..10].copy_from_slice(&16u16.to_ne_bytes());
            Offload(octets)
        };
        let mut open = header(1, 34);
        open.shift(4);
        assert_eq!(open.open_checksum(), Some((38, 54)));
        let mut closed = header(0, 0);
        closed.shift(4);
        assert_eq!(closed, header(0, 0));
    }
}
