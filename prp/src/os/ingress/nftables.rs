//! The drop as a packet filter: an nftables `netdev` table whose only chain, at the interface's
//! ingress, has the policy "drop" and no rule.

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL};

use super::super::netlink::{Connection, NetlinkError, Request, as_text, attributes};

const CHAIN: &str = "drop";

const NFPROTO_UNSPEC: u8 = 0;
const NFPROTO_NETDEV: u8 = 5;
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const DELETE_TABLE: u16 = SUBSYSTEM << 8 | 2;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const GET_CHAIN: u16 = SUBSYSTEM << 8 | 4;

const NFTA_TABLE_NAME: u16 = 1;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_HOOK_DEV: u16 = 3;
const HOOK_INGRESS: u32 = 0;
const POLICY_DROP: u32 = 0;
/// Before every chain that a firewall would put there.
const PRIORITY: i32 = i32::MIN;
const GENERIC_HEADER_OCTETS: usize = 4;

/// The table of an interface. By its name and not its index, so that what a crash left behind is
/// found when the interface comes back under another index.
fn table_of(interface: &str) -> String {
    format!("bumpless_{interface}")
}

/// `struct nfgenmsg`.
fn generic(family: u8, resource: u16) -> [u8; GENERIC_HEADER_OCTETS] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

fn table(message_type: u16, flags: u16, name: &str) -> Request {
    Request::new(message_type, flags | NLM_F_ACK)
        .raw(&generic(NFPROTO_NETDEV, 0))
        .text(NFTA_TABLE_NAME, name)
}

/// Whether our chain is at the ingress of the interface of that name and drops.
pub(super) fn is_installed(
    netfilter: &mut Connection,
    interface: &str,
) -> Result<bool, NetlinkError> {
    let request = Request::new(GET_CHAIN, 0)
        .raw(&generic(NFPROTO_NETDEV, 0))
        .text(NFTA_CHAIN_TABLE, &table_of(interface))
        .text(NFTA_CHAIN_NAME, CHAIN);
    let mut installed = false;
    let result = netfilter.get(request, |message| {
        let chain = message.payload.get(GENERIC_HEADER_OCTETS..).unwrap_or(&[]);
        let find = |wanted| attributes(chain).find(|(kind, _)| *kind == wanted).map(|(_, v)| v);
        let drops = find(NFTA_CHAIN_POLICY) == Some(&POLICY_DROP.to_be_bytes());
        let hook = find(NFTA_CHAIN_HOOK).unwrap_or(&[]);
        let here = attributes(hook)
            .any(|(kind, value)| kind == NFTA_HOOK_DEV && as_text(value) == interface);
        installed = drops && here;
    });
    match result {
        Err(error) if error.errno == libc::ENOENT => Ok(false),
        result => result.map(|()| installed),
    }
}

/// Installs table and chain in one transaction, in place of what was there under the name.
pub(super) fn install(netfilter: &mut Connection, interface: &str) -> Result<(), NetlinkError> {
    let name = table_of(interface);
    let chain = Request::new(NEW_CHAIN, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK)
        .raw(&generic(NFPROTO_NETDEV, 0))
        .text(NFTA_CHAIN_TABLE, &name)
        .text(NFTA_CHAIN_NAME, CHAIN)
        .nested(NFTA_CHAIN_HOOK, |hook| {
            hook.attribute(NFTA_HOOK_HOOKNUM, &HOOK_INGRESS.to_be_bytes())
                .attribute(NFTA_HOOK_PRIORITY, &PRIORITY.to_be_bytes())
                .text(NFTA_HOOK_DEV, interface)
        })
        .attribute(NFTA_CHAIN_POLICY, &POLICY_DROP.to_be_bytes())
        .text(NFTA_CHAIN_TYPE, "filter");
    let changes = vec![
        // Made if it is missing, so that the deletion finds one in either case.
        table(NEW_TABLE, NLM_F_CREATE, &name),
        table(DELETE_TABLE, 0, &name),
        table(NEW_TABLE, NLM_F_CREATE | NLM_F_EXCL, &name),
        chain,
    ];
    transact(netfilter, changes)
}

/// Removes the table; without one nothing happens.
pub(super) fn remove(netfilter: &mut Connection, interface: &str) -> Result<(), NetlinkError> {
    match transact(netfilter, vec![table(DELETE_TABLE, 0, &table_of(interface))]) {
        Err(error) if error.errno == libc::ENOENT => Ok(()),
        result => result,
    }
}

/// All of `changes` or none.
fn transact(netfilter: &mut Connection, changes: Vec<Request>) -> Result<(), NetlinkError> {
    let bound = |kind| Request::new(kind, 0).raw(&generic(NFPROTO_UNSPEC, SUBSYSTEM));
    let mut batch = vec![bound(BATCH_BEGIN)];
    batch.extend(changes);
    batch.push(bound(BATCH_END));
    netfilter.batch(batch)
}
