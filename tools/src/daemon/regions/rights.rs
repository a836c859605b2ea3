//! Who may do what with a region: users and groups, looked up once.
//!
//! Root and the daemon's own user may do everything: they can take it anyway.

use nix::unistd::geteuid;
use shm_replica::book::Rights;
use shm_replica::os::connection::Peer;
use shm_replica::segment::RegionName;

use crate::config::RegionsConfig;
use crate::config::regions::{Who, WhoId};
use crate::exit::Failure;

/// The rights of every region.
#[derive(Debug)]
pub(super) struct RightsTable {
    own: u32,
    regions: Vec<OfRegion>,
}

#[derive(Debug)]
struct OfRegion {
    name: RegionName,
    write: Vec<WhoId>,
    read: Vec<WhoId>,
}

impl RightsTable {
    /// Looks all names up. Reads the user database.
    ///
    /// # Errors
    /// There is no such user or group.
    pub(super) fn resolve(config: &RegionsConfig) -> Result<Self, Failure> {
        let all = |index: usize, key: &str, list: &[Who]| {
            let key = format!("region[{}].{key}", index + 1);
            list.iter().map(|who| who.resolve(&key)).collect::<Result<Vec<_>, _>>()
        };
        let of_region = |(index, region): (usize, &crate::config::regions::RegionConfig)| {
            Ok(OfRegion {
                name: region.name,
                write: all(index, "write", &region.write)?,
                read: all(index, "read", &region.read)?,
            })
        };
        let regions = config.regions.iter().enumerate().map(of_region);
        Ok(Self { own: geteuid().as_raw(), regions: regions.collect::<Result<_, Failure>>()? })
    }

    /// What a process may do with a region.
    pub(super) fn of(&self, peer: &Peer, region: RegionName) -> Rights {
        if peer.uid == 0 || peer.uid == self.own {
            return Rights { write: true, read: true };
        }
        let is_it = |who: &WhoId| match *who {
            WhoId::Uid(uid) => uid == peer.uid,
            WhoId::Gid(gid) => gid == peer.gid || peer.groups.contains(&gid),
        };
        let named = self.regions.iter().find(|it| it.name == region);
        named.map_or_else(Rights::default, |it| Rights {
            write: it.write.iter().any(is_it),
            read: it.read.iter().any(is_it),
        })
    }

    /// Whether anybody beside root and the daemon's own user has a right.
    pub(super) fn names_others(&self) -> bool {
        self.regions.iter().any(|it| !it.write.is_empty() || !it.read.is_empty())
    }
}
