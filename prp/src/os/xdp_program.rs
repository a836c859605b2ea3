//! The XDP program of a LAN port: frames go to the AF_XDP socket of their receive queue, but for
//! those that others on this machine listen for.
//!
//! To the packet taps go, and so to any raw socket on the interface:
//!
//! - EtherType 0x88B6 (heartbeats and replication), whatever its magic,
//! - EtherType 0x88F7 (PTP),
//!
//! both also behind one or two VLAN tags, and inside an HSR tag behind these; and what an AF_XDP
//! socket cannot take whole: frames that are longer than a chunk of its memory, and frames whose
//! VLAN tag travels beside them, as it does between virtual interfaces. A queue without a socket
//! passes everything. What is passed is not lost for the port: it has a packet ring, and a frame
//! that is passed shows up there and a frame that is redirected does not, so that each is received
//! once.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;

use super::bpf::{self, Assembler, Instruction, Register};
use super::btf;
use super::open_error::OpenError;

/// The receive queues that may have a socket; those beyond it pass their frames to the ring.
pub(super) const QUEUES_MAX: u32 = 16;

const XDP_PASS: i32 = 2;
const FLAG_GENERIC: u32 = 1 << 1;
const FLAG_NATIVE: u32 = 1 << 2;

/// `struct xdp_md`.
const CONTEXT_DATA: i16 = 0;
const CONTEXT_DATA_END: i16 = 4;
const CONTEXT_QUEUE: i16 = 16;

const TYPE_AT: i16 = 12;
const VLAN_TAG_OCTETS: i16 = 4;
const HSR_TAG_OCTETS: i16 = 6;

/// An EtherType as a 16-bit load finds it.
const fn ethertype(value: u16) -> i32 {
    value.to_be() as i32
}

const VLAN_C: i32 = ethertype(0x8100);
const VLAN_S: i32 = ethertype(0x88a8);
const HSR: i32 = ethertype(0x892f);
const OWN: i32 = ethertype(0x88b6);
const PTP: i32 = ethertype(0x88f7);

/// What another port left is given back asynchronously.
const ATTACH_ATTEMPTS: u32 = 100;
const ATTACH_PAUSE: Duration = Duration::from_millis(10);

const REMEDY: &str = "needs CAP_BPF and CAP_NET_ADMIN; run as root or grant them";

/// Where in the kernel the program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hook {
    /// In the driver.
    Native,
    /// Behind it, on any driver.
    Generic,
}

/// Where VLAN tags are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tags {
    /// In their frames.
    Inside,
    /// Perhaps beside them: the driver has to be asked about each frame.
    Beside,
    /// Perhaps beside them, and those may be lost: for comparing modes.
    Lost,
}

/// The program on an interface, as long as this lives.
#[derive(Debug)]
pub(super) struct XdpProgram {
    // First: the program must not run without its sockets.
    _link: OwnedFd,
    map: OwnedFd,
    hook: Hook,
}

impl XdpProgram {
    /// Attaches it. Until sockets are [`Self::serve`]d it passes everything. Frames of more than
    /// `octets_max` octets are passed at any time.
    pub(super) fn attach(
        interface_index: u32,
        hook: Hook,
        octets_max: u16,
        tags: Tags,
    ) -> Result<Self, OpenError> {
        let asks = match (tags, hook) {
            (Tags::Inside, _) => None,
            // Only a driver can be asked.
            (Tags::Beside, Hook::Generic) => return Err(OpenError::TagsBeside),
            (Tags::Beside, Hook::Native) => {
                Some(btf::received_vlan_tag().ok_or(OpenError::TagsBeside)?)
            }
            (Tags::Lost, Hook::Native) => btf::received_vlan_tag(),
            (Tags::Lost, Hook::Generic) => None,
        };
        let map = bpf::create_map(bpf::MAP_TYPE_XSK, QUEUES_MAX, "bumpless_lan")
            .map_err(|errno| refused("make a map of AF_XDP sockets", errno))?;
        let instructions = program(map.as_fd(), octets_max, asks);
        let bound_to = asks.map(|_| interface_index);
        let program = bpf::load_xdp(&instructions, "bumpless_lan", bound_to)
            .map_err(|errno| refused("load the XDP program", errno))?;
        let flags = match hook {
            Hook::Native => FLAG_NATIVE,
            Hook::Generic => FLAG_GENERIC,
        };
        let mut attempts = 0;
        let link = loop {
            match bpf::link_xdp(program.as_fd(), interface_index, flags) {
                Err(Errno::EBUSY | Errno::EEXIST) if attempts < ATTACH_ATTEMPTS => {
                    attempts += 1;
                    std::thread::sleep(ATTACH_PAUSE);
                }
                Err(Errno::EBUSY | Errno::EEXIST) => return Err(OpenError::XdpTaken),
                Err(Errno::ENODEV | Errno::ENXIO) => {
                    return Err(OpenError::NoInterface { index: interface_index });
                }
                // What drivers say of frames that are longer than their buffers.
                Err(Errno::ERANGE | Errno::EMSGSIZE) => return Err(OpenError::MtuForXdp),
                Err(errno) => {
                    let operation = match hook {
                        Hook::Native => "attach the XDP program to the driver",
                        Hook::Generic => "attach the XDP program behind the driver",
                    };
                    return Err(refused(operation, errno));
                }
                Ok(link) => break link,
            }
        };
        Ok(Self { _link: link, map, hook })
    }

    pub(super) fn hook(&self) -> Hook {
        self.hook
    }

    /// Frames of this receive queue go to this socket from now on.
    pub(super) fn serve(&self, queue: u32, socket: BorrowedFd<'_>) -> Result<(), OpenError> {
        bpf::set_entry(self.map.as_fd(), queue, socket)
            .map_err(|errno| refused("enter an AF_XDP socket in the map", errno))
    }
}

fn refused(operation: &'static str, errno: Errno) -> OpenError {
    match errno {
        Errno::EPERM | Errno::EACCES => OpenError::NotPermitted { operation, remedy: REMEDY },
        errno => OpenError::System { operation, errno },
    }
}

/// `asks`: the function that tells of a tag beside the frame.
fn program(map: BorrowedFd<'_>, octets_max: u16, asks: Option<i32>) -> Vec<Instruction> {
    use Register::{R0, R1, R2, R3, R4, R5, R6, R10};
    let mut a = Assembler::default();
    let (redirect, pass, classify) = (a.label(), a.label(), a.label());
    // R2 is where the frame begins, and later a tag's length further on, so that the type is
    // always TYPE_AT octets behind it; R3 is the frame's end, R4 what must lie before it.
    a.copy(R6, R1);
    if let Some(function) = asks {
        // Its answers' room: the tag's type and the tag.
        for (argument, offset) in [(R2, -2), (R3, -4)] {
            a.store_u16(R10, offset, 0);
            a.copy(argument, R10);
            a.add(argument, i32::from(offset));
        }
        a.call_kernel(function);
        a.jump_if_equal(R0, 0, pass);
    }
    a.load_u32(R2, R6, CONTEXT_DATA);
    a.load_u32(R3, R6, CONTEXT_DATA_END);
    a.copy(R4, R2);
    a.add(R4, i32::from(octets_max) + 1);
    a.jump_unless_more(R4, R3, pass);
    let (no_tag, no_second_tag) = (a.label(), a.label());
    for behind in [no_tag, no_second_tag] {
        let tagged = a.label();
        a.copy(R4, R2);
        a.add(R4, i32::from(TYPE_AT + 2 + VLAN_TAG_OCTETS));
        a.jump_if_more(R4, R3, redirect);
        a.load_u16(R5, R2, TYPE_AT);
        a.jump_if_equal(R5, VLAN_C, tagged);
        a.jump_unless_equal(R5, VLAN_S, behind);
        a.place(tagged);
        a.add(R2, i32::from(VLAN_TAG_OCTETS));
    }
    a.place(no_tag);
    a.place(no_second_tag);
    a.copy(R4, R2);
    a.add(R4, i32::from(TYPE_AT + 2 + HSR_TAG_OCTETS));
    a.jump_if_more(R4, R3, redirect);
    a.load_u16(R5, R2, TYPE_AT);
    a.jump_unless_equal(R5, HSR, classify);
    a.load_u16(R5, R2, TYPE_AT + HSR_TAG_OCTETS);
    a.place(classify);
    a.jump_if_equal(R5, OWN, pass);
    a.jump_if_equal(R5, PTP, pass);
    a.place(redirect);
    a.load_map(R1, map);
    a.load_u32(R2, R6, CONTEXT_QUEUE);
    // What happens to a queue without a socket.
    a.set(R3, XDP_PASS);
    a.call(bpf::HELPER_REDIRECT_MAP);
    a.exit();
    a.place(pass);
    a.set(R0, XDP_PASS);
    a.exit();
    a.finish()
}
