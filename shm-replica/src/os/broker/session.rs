//! One participant, as the broker has it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rt_core::limits::REGIONS_MAX;

use super::super::connection::{Connection, Peer};
use super::super::page::PageFile;
use super::super::segment::Segment;
use crate::attach::{REPLY_OCTETS_MAX, Reply};
use crate::book::RegionId;
use crate::segment::{Header, RegionName};

/// A connection whose first message has been understood.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) peer: Peer,
    /// The process, where the kernel gives a descriptor of it.
    pub(super) process: Option<OwnedFd>,
    pub(super) application: RegionName,
    /// The version that it speaks.
    pub(super) version: u16,
    pub(super) page: PageFile,
    /// Segments that it writes the next time that it becomes active.
    pub(super) prepared: Vec<(RegionId, Segment)>,
    /// Whether it stands by without the memory for it, and the segments that it will need.
    pub(super) is_hot: bool,
    pub(super) unprepared: Vec<(RegionId, Header)>,
    /// What it says that the images of each region hold.
    pub(super) schemas: Vec<(RegionId, Vec<u8>)>,
    /// The epoch of the newest segment of each region that it was sent to read; zero for none.
    pub(super) shown: [u64; REGIONS_MAX],
    /// Segments in force that it brought from a former life of the daemon.
    pub(super) held: Vec<(RegionId, Segment)>,
    /// It does not read what it is sent, or broke the rules.
    pub(super) is_lost: bool,
}

impl Session {
    /// Sends a message. One that cannot be sent ends the session: a participant that does not read
    /// does not know what it is any more.
    pub(super) fn send(&mut self, reply: &Reply<'_>, file: Option<BorrowedFd<'_>>) {
        self.is_lost |= send(&self.connection, self.version, reply, file).is_err();
    }

    /// Takes the segment that becomes the one in force: that which it brought, if it goes on with
    /// those, or that which was prepared.
    pub(super) fn take(&mut self, region: RegionId, resumes: bool) -> Option<Segment> {
        let from = if resumes { &mut self.held } else { &mut self.prepared };
        let at = from.iter().position(|(id, _)| *id == region)?;
        Some(from.swap_remove(at).1)
    }

    pub(super) fn schema(&self, region: RegionId) -> &[u8] {
        let known = self.schemas.iter().find(|(id, _)| *id == region);
        known.map_or(&[], |(_, schema)| schema)
    }

    /// Writes down what will be made when it becomes active; false where it is to be made before.
    pub(super) fn waits_without(&mut self, region: RegionId, header: Header) -> bool {
        if !self.is_hot {
            self.unprepared.retain(|(id, _)| *id != region);
            self.unprepared.push((region, header));
        }
        !self.is_hot
    }

    pub(super) fn take_unprepared(&mut self, region: RegionId) -> Option<Header> {
        let at = self.unprepared.iter().position(|(id, _)| *id == region)?;
        Some(self.unprepared.swap_remove(at).1)
    }

    pub(super) fn has_prepared(&self, region: RegionId) -> bool {
        self.prepared.iter().any(|(id, _)| *id == region)
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

pub(super) fn send(
    connection: &Connection,
    version: u16,
    reply: &Reply<'_>,
    file: Option<BorrowedFd<'_>>,
) -> std::io::Result<()> {
    let mut buffer = [0; REPLY_OCTETS_MAX];
    let octets = reply.encode_in(version, &mut buffer).map_err(std::io::Error::other)?;
    connection.send(octets, file)
}
