//! Owners from a former life of the daemon, and switching over by order.
//!
//! A record that outlives the daemon says who owned each application's newest epoch. While that
//! process lives it may be acting, whether it has come back or not: so nobody else becomes active.
//! No time-out decides that; the end of the process does, or its return.

use std::os::fd::OwnedFd;

use thiserror::Error;

use super::{Broker, Event, Host, is_readable};
use crate::book::{OrderRefused, ParticipantId};
use crate::os::connection::Peer;
use crate::segment::RegionName;

/// The owner of an application's newest epoch, of which a former life of the daemon wrote.
#[derive(Debug)]
pub struct AwaitedOwner {
    /// The process.
    pub pid: i32,
    /// A descriptor that becomes readable when it ends.
    pub process: OwnedFd,
    /// Whether the daemon may have ended before the process learnt that it was the owner. If it
    /// comes back and holds nothing, it was not.
    pub may_not_know: bool,
}

/// A process that stood by when a former life of the daemon ended.
#[derive(Debug)]
pub struct Heir {
    /// The process.
    pub pid: i32,
    /// A descriptor that becomes readable when it ends.
    pub process: OwnedFd,
    /// Whether it has come back.
    pub is_back: bool,
}

/// Why nobody takes over by order.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SwitchoverRefused {
    /// No such application.
    #[error("no application {0} is configured")]
    Unknown(RegionName),
    /// Nobody is ready.
    #[error("application {0} has no process that stands by: start one")]
    NoStandby(RegionName),
    /// See [`OrderRefused::NotInCharge`].
    #[error("this node is not in charge (role = \"standby\" under [regions])")]
    NotInCharge,
    /// See [`OrderRefused::OwnerIsOut`].
    #[error(
        "process {1} owns application {0} since before the daemon was started, lives, and has not \
         come back: end it, or wait until it has"
    )]
    OwnerIsOut(RegionName, i32),
    /// It was ordered, and something failed.
    #[error("process {1} of application {0} did not become active: see the daemon's log")]
    Failed(RegionName, i32),
}

impl Broker {
    /// Waits for an owner before anybody else becomes active for its application.
    pub fn await_owner(&mut self, application: RegionName, owner: AwaitedOwner) {
        self.book.owner_is_out(application);
        self.awaited.push((application, owner));
    }

    /// Waits for one of those who stood by, and so have the state, before one who has none becomes
    /// active by itself.
    pub fn await_heirs(&mut self, application: RegionName, heirs: impl IntoIterator<Item = Heir>) {
        let before = self.heirs.len();
        self.heirs.extend(heirs.into_iter().map(|heir| (application, heir)));
        if self.heirs.len() > before {
            self.book.heirs_are_out(application);
        }
    }

    /// Makes the standby of an application active, in the place of whoever is; who it is, and its
    /// epoch.
    ///
    /// # Errors
    /// See [`SwitchoverRefused`]; all is as before, but for [`SwitchoverRefused::Failed`].
    pub fn switch_over(
        &mut self,
        application: RegionName,
        host: &mut impl Host,
    ) -> Result<(Peer, u64), SwitchoverRefused> {
        if !self.is_configured(application) {
            return Err(SwitchoverRefused::Unknown(application));
        }
        if let Some((_, owner)) = self.awaited.iter().find(|(name, _)| *name == application) {
            return Err(SwitchoverRefused::OwnerIsOut(application, owner.pid));
        }
        let none = SwitchoverRefused::NoStandby(application);
        let standby = self.book.standby_of(application).ok_or_else(|| none.clone())?;
        let peer = self.sessions[standby.index()].as_ref().map(|session| session.peer.clone());
        let peer = peer.ok_or_else(|| none.clone())?;
        self.book.order_active(standby).map_err(|refused| match refused {
            OrderRefused::NotInCharge => SwitchoverRefused::NotInCharge,
            OrderRefused::OwnerIsOut => SwitchoverRefused::OwnerIsOut(application, peer.pid),
            OrderRefused::NotReady | OrderRefused::IsActive => none,
        })?;
        self.settle(host);
        match self.book.active(application) {
            Some((Some(active), epoch)) if active == standby => Ok((peer, epoch)),
            _ => {
                self.book.cancel_order(application);
                Err(SwitchoverRefused::Failed(application, peer.pid))
            }
        }
    }

    /// Looks whether awaited owners have ended.
    pub(super) fn look_for_owners(&mut self, host: &mut impl Host) {
        while let Some(at) = self.awaited.iter().position(|(_, it)| is_readable(&it.process)) {
            let (application, owner) = self.awaited.swap_remove(at);
            self.has_gone(application, owner.pid, host);
        }
        while let Some(at) = self.heirs.iter().position(|(_, it)| is_readable(&it.process)) {
            let (application, _) = self.heirs.swap_remove(at);
            self.look_whether_all_heirs_are_back(application);
        }
        self.settle(host);
    }

    /// A process has joined; it may be one of those who stood by.
    pub(super) fn look_for_heir(&mut self, who: ParticipantId, application: RegionName, pid: i32) {
        if self.heirs.iter().any(|(name, heir)| *name == application && heir.pid == pid) {
            self.book.is_heir(who);
        }
    }

    /// One of those who stood by is there with all that it has, or has hung up.
    pub(super) fn heir_is_back(&mut self, application: RegionName, pid: i32, is_back: bool) {
        let is_it = |(name, heir): &&mut (RegionName, Heir)| {
            *name == application && heir.pid == pid && heir.is_back != is_back
        };
        let Some((_, heir)) = self.heirs.iter_mut().find(is_it) else { return };
        heir.is_back = is_back;
        if is_back {
            self.look_whether_all_heirs_are_back(application);
        } else {
            self.book.heirs_are_out(application);
        }
    }

    fn look_whether_all_heirs_are_back(&mut self, application: RegionName) {
        let mut ours = self.heirs.iter().filter(|(name, _)| *name == application);
        if ours.all(|(_, heir)| heir.is_back) {
            self.book.heirs_gone(application);
        }
    }

    /// Writes down who stands by.
    pub(super) fn note_standbys(&self, application: RegionName, host: &mut impl Host) {
        let pids: Vec<i32> = self.standbys(application).map(|it| it.pid).collect();
        host.store_standbys(application, &pids);
    }

    /// Whether a participant may be who held a segment in force when the daemon ended.
    pub(super) fn may_own(&self, who: ParticipantId) -> bool {
        let Some(session) = &self.sessions[who.index()] else { return false };
        let awaited = self.awaited.iter().find(|(name, _)| *name == session.application);
        awaited.is_none_or(|(_, owner)| owner.pid == session.peer.pid)
    }

    /// A participant has said all that it holds.
    pub(super) fn came_back(&mut self, who: ParticipantId, host: &mut impl Host) {
        let Some(session) = &self.sessions[who.index()] else { return };
        let (application, pid) = (session.application, session.peer.pid);
        let is_it = |(name, owner): &(RegionName, AwaitedOwner)| {
            *name == application && owner.pid == pid && owner.may_not_know
        };
        if !self.book.resumes(who)
            && let Some(at) = self.awaited.iter().position(is_it)
        {
            self.awaited.swap_remove(at);
            self.has_gone(application, pid, host);
        }
        self.heir_is_back(application, pid, true);
        self.note_standbys(application, host);
    }

    fn has_gone(&mut self, application: RegionName, pid: i32, host: &mut impl Host) {
        self.book.owner_gone(application);
        host.owner_left(application);
        host.tell(Event::OwnerGone(application, pid));
    }
}
