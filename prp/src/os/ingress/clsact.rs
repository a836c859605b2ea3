//! The drop as a classifier at the interface's ingress (`clsact` with `cls_bpf` in direct action).

use std::os::fd::AsRawFd as _;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};

use super::super::bpf::{self, Assembler, Instruction, Register};
use super::super::netlink::{
    Connection, Message, NetlinkError, Request, as_text, as_u32, attributes,
};

/// The program's and the filter's name: how ours is found again.
const NAME: &str = "bumpless_drop";
/// The filter's place: late enough that a data path of our own can go before it (1), early enough
/// that nothing else is likely to.
const PRIORITY: u32 = 2;
/// The filter's handle among others of that priority.
const HANDLE: u32 = 0xb1;

const PARENT_CLSACT: u32 = 0xffff_fff1;
const PARENT_INGRESS: u32 = 0xffff_fff2;
const PARENT_EGRESS: u32 = 0xffff_fff3;
const HANDLE_CLSACT: u32 = 0xffff_0000;

const TC_HEADER_OCTETS: usize = 20;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;
const TC_ACT_SHOT: i32 = 2;
const ETH_P_ALL: u16 = 3;

/// The smallest program there is: whatever arrives is dropped.
fn drop_all() -> Vec<Instruction> {
    let mut a = Assembler::default();
    a.set(Register::R0, TC_ACT_SHOT);
    a.exit();
    a.finish()
}

/// `struct tcmsg`.
fn header(index: u32, handle: u32, parent: u32, info: u32) -> [u8; TC_HEADER_OCTETS] {
    let mut octets = [0; TC_HEADER_OCTETS];
    for (place, word) in [(4, index), (8, handle), (12, parent), (16, info)] {
        octets[place..place + 4].copy_from_slice(&word.to_ne_bytes());
    }
    octets
}

/// Priority and protocol of our filter, as the message header carries them.
fn info() -> u32 {
    PRIORITY << 16 | u32::from(ETH_P_ALL.to_be())
}

/// What a traffic control message says about one qdisc or filter.
struct Entry<'a> {
    index: u32,
    handle: u32,
    parent: u32,
    info: u32,
    kind: String,
    options: &'a [u8],
}

impl<'a> Entry<'a> {
    fn parse(message: &Message<'a>) -> Option<Self> {
        let (header, rest) = message.payload.split_at_checked(TC_HEADER_OCTETS)?;
        let mut entry = Self {
            index: as_u32(&header[4..])?,
            handle: as_u32(&header[8..])?,
            parent: as_u32(&header[12..])?,
            info: as_u32(&header[16..])?,
            kind: String::new(),
            options: &[],
        };
        for (kind, value) in attributes(rest) {
            match kind {
                TCA_KIND => entry.kind = as_text(value),
                TCA_OPTIONS => entry.options = value,
                _ => {}
            }
        }
        Some(entry)
    }

    /// Whether this is our filter: by its place and by its program's name.
    fn is_ours(&self) -> bool {
        let named =
            || attributes(self.options).any(|(kind, v)| kind == TCA_BPF_NAME && as_text(v) == NAME);
        self.handle == HANDLE && self.info == info() && self.kind == "bpf" && named()
    }
}

/// Whether the interface has a qdisc at its ingress, ours or not.
pub(super) fn has_qdisc(route: &mut Connection, index: u32) -> Result<bool, NetlinkError> {
    let request = || Request::new(libc::RTM_GETQDISC, 0).raw(&header(index, 0, 0, 0));
    route.dump(request, |found: &mut bool, message| {
        *found |= Entry::parse(message)
            .is_some_and(|entry| entry.index == index && entry.parent == PARENT_CLSACT);
    })
}

/// The filters at one hook of the interface: how many there are, and whether ours is among them.
fn filters(route: &mut Connection, index: u32, parent: u32) -> Result<(usize, bool), NetlinkError> {
    let request = || Request::new(libc::RTM_GETTFILTER, 0).raw(&header(index, 0, parent, 0));
    route.dump(request, |found: &mut (usize, bool), message| {
        // A filter's chain is announced by a message without a handle.
        if let Some(entry) = Entry::parse(message).filter(|entry| entry.handle != 0) {
            found.0 += 1;
            found.1 |= entry.is_ours();
        }
    })
}

/// Whether our filter is at the interface's ingress.
pub(super) fn is_attached(route: &mut Connection, index: u32) -> Result<bool, NetlinkError> {
    filters(route, index, PARENT_INGRESS).map(|(_, ours)| ours)
}

/// Loads the program and attaches it, with a qdisc of our own where there is none.
pub(super) fn attach(route: &mut Connection, index: u32) -> Result<(), NetlinkError> {
    let program = bpf::load_classifier(&drop_all(), NAME).map_err(|errno| {
        let words = "bpf program not loaded (needs CAP_BPF and CAP_NET_ADMIN outside of any user \
                     namespace, and a kernel with bpf)";
        NetlinkError::new(errno as i32, words)
    })?;
    let qdisc = Request::new(libc::RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL)
        .raw(&header(index, HANDLE_CLSACT, PARENT_CLSACT, 0))
        .text(TCA_KIND, "clsact");
    let made = match route.acknowledged(qdisc) {
        Ok(()) => true,
        Err(error) if error.errno == libc::EEXIST => false,
        Err(error) => return Err(error),
    };
    let fd = program.as_raw_fd().to_ne_bytes();
    let filter = Request::new(libc::RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL)
        .raw(&header(index, HANDLE, PARENT_INGRESS, info()))
        .text(TCA_KIND, "bpf")
        .nested(TCA_OPTIONS, |options| {
            options
                .attribute(TCA_BPF_FD, &fd)
                .text(TCA_BPF_NAME, NAME)
                .attribute(TCA_BPF_FLAGS, &TCA_BPF_FLAG_ACT_DIRECT.to_ne_bytes())
        });
    route.acknowledged(filter).inspect_err(|_| {
        if made {
            // The filter's refusal is what the caller has to know; an empty qdisc does nothing.
            let _ = remove_qdisc(route, index);
        }
    })
}

/// Removes our filter, and the qdisc too when `with_qdisc` is set and nothing else uses it.
pub(super) fn detach(
    route: &mut Connection,
    index: u32,
    with_qdisc: bool,
) -> Result<(), NetlinkError> {
    if is_attached(route, index)? {
        let filter = Request::new(libc::RTM_DELTFILTER, 0)
            .raw(&header(index, HANDLE, PARENT_INGRESS, info()))
            .text(TCA_KIND, "bpf");
        route.acknowledged(filter)?;
    }
    let unused = filters(route, index, PARENT_INGRESS)?.0 == 0
        && filters(route, index, PARENT_EGRESS)?.0 == 0;
    if with_qdisc && unused && has_qdisc(route, index)? {
        remove_qdisc(route, index)?;
    }
    Ok(())
}

fn remove_qdisc(route: &mut Connection, index: u32) -> Result<(), NetlinkError> {
    let qdisc =
        Request::new(libc::RTM_DELQDISC, 0).raw(&header(index, HANDLE_CLSACT, PARENT_CLSACT, 0));
    route.acknowledged(qdisc)
}
