//! What this instance owns on the host, in a file of its runtime folder: written before each
//! change, so that after a crash the next start knows what is ours, and what to restore at the end.

use std::fs;
use std::io;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};

use prp::os::claim::LanOriginals;
use prp::types::{LanId, MacAddress};
use serde::{Deserialize, Serialize};

const FILE_NAME: &str = "owned.json";
const VERSION: u32 = 1;
/// A marker is some hundred octets; a file much larger is none of ours.
const FILE_OCTETS_MAX: u64 = 64 * 1024;

/// Everything owned.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owned {
    version: u32,
    /// The node's address.
    #[serde(default)]
    pub mac: Option<String>,
    /// The host interface.
    pub host: Option<OwnedHost>,
    /// The interfaces of LAN A and B.
    pub lans: [Option<OwnedLan>; 2],
}

/// The host interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnedHost {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// The text that we attached to it.
    pub alias: String,
    /// The name of the inner end, if it is a veth pair.
    pub inner: Option<String>,
}

/// A LAN interface as it was before we took it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnedLan {
    /// Its name.
    pub name: String,
    index: u32,
    mac: String,
    mtu: u32,
    up: bool,
    noarp: bool,
    ipv6_disabled: Option<bool>,
    ipv6_addresses: Vec<(Ipv6Addr, u8)>,
    gro: Option<bool>,
    lro: Option<bool>,
    gro_hw: Option<bool>,
    #[serde(default)]
    rx_vlan: Option<bool>,
    #[serde(default)]
    rx_vlan_service: Option<bool>,
    clsact: bool,
}

impl OwnedLan {
    /// A LAN interface and what it was.
    #[must_use]
    pub fn new(name: &str, originals: &LanOriginals) -> Self {
        Self {
            name: name.to_owned(),
            index: originals.index,
            mac: originals.mac.to_string(),
            mtu: originals.mtu,
            up: originals.up,
            noarp: originals.noarp,
            ipv6_disabled: originals.ipv6_disabled,
            ipv6_addresses: originals.ipv6_addresses.clone(),
            gro: originals.gro,
            lro: originals.lro,
            gro_hw: originals.gro_hw,
            rx_vlan: originals.rx_vlan,
            rx_vlan_service: originals.rx_vlan_service,
            clsact: originals.clsact,
        }
    }

    /// Its index.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// What it was; `None` when the file has been tampered with.
    #[must_use]
    pub fn originals(&self) -> Option<LanOriginals> {
        Some(LanOriginals {
            index: self.index,
            mac: self.mac.parse::<MacAddress>().ok().filter(|mac| mac.is_station())?,
            mtu: self.mtu,
            up: self.up,
            noarp: self.noarp,
            ipv6_disabled: self.ipv6_disabled,
            ipv6_addresses: self.ipv6_addresses.clone(),
            gro: self.gro,
            lro: self.lro,
            gro_hw: self.gro_hw,
            rx_vlan: self.rx_vlan,
            rx_vlan_service: self.rx_vlan_service,
            clsact: self.clsact,
        })
    }
}

/// The file.
#[derive(Debug)]
pub struct Marker {
    path: PathBuf,
    /// Its content as stored last.
    pub owned: Owned,
}

impl Marker {
    /// Reads what a former life left. A file that is no marker counts as none: then nothing is
    /// adopted, and an interface of our name is refused as foreign.
    #[must_use]
    pub fn open(folder: &Path) -> Self {
        let path = folder.join(FILE_NAME);
        let nothing = Owned { version: VERSION, mac: None, host: None, lans: [None, None] };
        let owned = read(&path).filter(|owned| owned.version == VERSION).unwrap_or(nothing);
        Self { path, owned }
    }

    /// Stores the content, whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn store(&self) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(&self.owned)?;
        let new = self.path.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(new, &self.path)
    }

    /// A start has failed: owned is again what was owned before, without the LANs that were given
    /// back since.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn go_back_to(mut self, before: Owned, given_back: &[LanId]) -> io::Result<()> {
        self.owned = before;
        for lan in given_back {
            self.owned.lans[lan.index()] = None;
        }
        if self.owned.host.is_none() && self.owned.lans == [None, None] {
            return self.remove();
        }
        self.store()
    }

    /// Nothing is owned any more.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

fn read(path: &Path) -> Option<Owned> {
    if fs::metadata(path).ok()?.len() > FILE_OCTETS_MAX {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_is_found_again() {
        let folder = std::env::temp_dir().join(format!("bmpl-marker-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let originals = LanOriginals {
            index: 7,
            mac: MacAddress([2, 0, 0, 0, 0, 9]),
            mtu: 1500,
            up: true,
            noarp: false,
            ipv6_disabled: Some(false),
            ipv6_addresses: vec![("fd00::1".parse().unwrap(), 64)],
            gro: Some(true),
            lro: None,
            gro_hw: None,
            rx_vlan: Some(true),
            rx_vlan_service: None,
            clsact: false,
        };
        let mut marker = Marker::open(&folder);
        assert_eq!(marker.owned.lans, [None, None]);
        marker.owned.lans[1] = Some(OwnedLan::new("eth1", &originals));
        marker.store().unwrap();
        let again = Marker::open(&folder);
        assert_eq!(again.owned, marker.owned);
        assert_eq!(again.owned.lans[1].as_ref().unwrap().originals(), Some(originals));
        again.remove().unwrap();
        assert_eq!(Marker::open(&folder).owned.lans, [None, None]);
        fs::write(folder.join(FILE_NAME), "{\"version\":1,\"host\":42}").unwrap();
        assert_eq!(Marker::open(&folder).owned.host, None);
        fs::remove_dir_all(folder).unwrap();
    }
}
