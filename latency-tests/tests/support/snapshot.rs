//! What a host's interfaces were like, to be compared with what they are.
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::thread::sleep;
use std::time::Duration;

use prp::os::ethtool::{Ethtool, Offload};
use prp::os::ingress::IngressDrop;
use prp::os::link::{LinkInfo, Links};
use tools::netlab::Host;

/// The interfaces of a host with everything that a daemon might change, as text by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Snapshot(pub(crate) BTreeMap<String, String>);

impl Snapshot {
    /// Takes it.
    pub(crate) fn of(host: &Host) -> Self {
        host.run(|| {
            let mut entries = BTreeMap::new();
            let mut links = Links::open().unwrap();
            for info in links.all().unwrap() {
                let name = info.name.clone();
                if info.ethernet {
                    offloads(&name, &mut entries);
                    ingress(&info, &mut entries);
                }
                addresses(&mut links, &info, &mut entries);
                entries.insert(format!("{name} link"), format!("{info:?}"));
                for family in ["ipv4", "ipv6"] {
                    settings(&format!("/proc/sys/net/{family}/conf/{name}"), &mut entries);
                }
            }
            Self(entries)
        })
        .unwrap()
    }

    /// Waits until the host is so again: what the kernel does on its own accord takes a moment.
    /// What is said with a failure may be empty.
    #[track_caller]
    pub(crate) fn check_again(&self, host: &Host, log: &str) {
        let mut differences = Vec::new();
        for _ in 0..100 {
            differences = self.differences(&Self::of(host));
            if differences.is_empty() {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        panic!("not as before:\n{}\n{log}", differences.join("\n"));
    }

    /// What is different in `other`, a line each.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let keys: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        keys.into_iter()
            .filter(|key| self.0.get(*key) != other.0.get(*key))
            .map(|key| format!("{key}: {:?} -> {:?}", self.0.get(key), other.0.get(key)))
            .collect()
    }
}

fn offloads(name: &str, entries: &mut BTreeMap<String, String>) {
    let ethtool = Ethtool::open().unwrap();
    for which in [
        Offload::Gro,
        Offload::Lro,
        Offload::GroHw,
        Offload::Tso,
        Offload::Gso,
        Offload::TxChecksum,
    ] {
        let state = ethtool.offload(name, which).unwrap();
        entries.insert(format!("{name} offload {}", which.name()), format!("{state:?}"));
    }
}

fn ingress(info: &LinkInfo, entries: &mut BTreeMap<String, String>) {
    let mut ingress = IngressDrop::open().unwrap();
    let (drop, qdisc) = (ingress.find(info.index), ingress.has_clsact(info.index));
    entries.insert(format!("{} ingress drop", info.name), format!("{:?}", drop.unwrap()));
    entries.insert(format!("{} ingress qdisc", info.name), format!("{:?}", qdisc.unwrap()));
}

/// Addresses that stay; the kernel's own link-local ones come and go with IPv6.
fn addresses(links: &mut Links, info: &LinkInfo, entries: &mut BTreeMap<String, String>) {
    let is_link_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let mut addresses = links.addresses(info.index).unwrap();
    addresses.retain(|address| !is_link_local(&address.ip));
    addresses.sort();
    entries.insert(format!("{} addresses", info.name), format!("{addresses:?}"));
}

fn settings(folder: &str, entries: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        // A secret that was never set cannot be read.
        if let Ok(text) = fs::read_to_string(&path) {
            entries.insert(path.display().to_string(), text);
        }
    }
}
