//! Who comes and who goes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rt_core::limits::PARTICIPANTS_MAX;
use rt_core::os::clock::MonotonicClock;
use rt_core::time::{Duration, Instant};

use super::session::{Session, send};
use super::{Broker, Event, Host, MESSAGES_PER_TURN, Refusal, STRANGERS_MAX, is_readable};
use crate::attach::{RefusalCode, Reply, Request, VERSION, VERSIONS, version_of};
use crate::book::ParticipantId;
use crate::os::connection::{Connection, Peer};
use crate::os::page::PageFile;
use crate::page::{Office, Role};
use crate::segment::RegionName;

/// Connections taken in one turn: a flood of them has to come back.
const ACCEPTS_PER_TURN: usize = 32;
/// How long nobody is let in after the process ran out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long one may take to say who it is; its library does so at once.
const STRANGERS_PATIENCE: Duration = Duration::from_secs(1);
/// Connections of one user, other than root and the daemon's own, that have not said so yet.
const STRANGERS_PER_GUEST: usize = STRANGERS_MAX / 4;
/// Participants of such a user.
const PARTICIPANTS_PER_GUEST: usize = PARTICIPANTS_MAX / 4;

/// A connection that has not said who it is.
#[derive(Debug)]
pub(super) struct Stranger {
    connection: Connection,
    uid: u32,
    until: Instant,
}

impl AsFd for Stranger {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

impl Broker {
    pub(super) fn accept(&mut self) {
        for _ in 0..ACCEPTS_PER_TURN {
            if !self.may_accept() {
                return;
            }
            let connection = match self.listener.accept() {
                Ok(connection) => connection,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // Out of descriptors: the listener stays readable, and looking at it again at
                    // once would keep this thread busy.
                    self.accept_from = MonotonicClock::now().saturating_add(ACCEPT_PAUSE);
                    return;
                }
            };
            // Who cannot be told is not let in, and of a user's too many the last ones are not.
            let Ok(peer) = connection.peer() else { continue };
            let of_same = self.strangers.iter().filter(|it| it.uid == peer.uid).count();
            if !self.is_guest(peer.uid) || of_same < STRANGERS_PER_GUEST {
                let until = MonotonicClock::now().saturating_add(STRANGERS_PATIENCE);
                self.strangers.push(Stranger { connection, uid: peer.uid, until });
            }
        }
    }

    pub(super) fn may_accept(&self) -> bool {
        self.strangers.len() < STRANGERS_MAX && MonotonicClock::now() >= self.accept_from
    }

    /// Whether people have to know who comes and goes for it: who only looks is no news.
    pub(super) fn is_configured(&self, application: RegionName) -> bool {
        self.book.applications().any(|known| known == application)
    }

    /// Whether a user is neither root nor the daemon's own: one that others may not suffer from.
    fn is_guest(&self, uid: u32) -> bool {
        uid != 0 && uid != self.own_uid
    }

    pub(super) fn hear_strangers(&mut self, buffer: &mut [u8], host: &mut impl Host) {
        let now = MonotonicClock::now();
        for stranger in std::mem::take(&mut self.strangers) {
            match stranger.connection.receive(buffer) {
                Ok(Some(came)) => self.welcome(stranger.connection, came.octets, host),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && now < stranger.until => {
                    self.strangers.push(stranger);
                }
                Ok(None) | Err(_) => {}
            }
        }
    }

    fn welcome(&mut self, stranger: Connection, octets: &[u8], host: &mut impl Host) {
        // A version that is not spoken here is answered in one that is.
        let spoken = version_of(octets).ok().filter(|it| VERSIONS.contains(it));
        let version = spoken.unwrap_or(VERSION);
        let answer = match Request::decode(octets) {
            Ok(Request::Hello { application, .. }) => {
                self.introduce(&stranger, application, host).map(|it| (it, application))
            }
            Ok(_) => Err(RefusalCode::BadRequest.into()),
            Err(malformed) => Err(Refusal(RefusalCode::BadRequest, malformed.to_string())),
        };
        match answer {
            Ok(((who, peer, page), application)) => {
                // Only who writes may have a segment from before to bring.
                let may_write = |region| host.rights(&peer, application, region).write;
                if self.book.regions().any(|(region, ..)| may_write(region)) {
                    stranger.let_descriptors_come();
                }
                let mut session = Session {
                    process: stranger.peer_process().ok(),
                    connection: stranger,
                    peer: peer.clone(),
                    application,
                    version,
                    page,
                    prepared: Vec::new(),
                    is_hot: true,
                    unprepared: Vec::new(),
                    schemas: Vec::new(),
                    shown: [0; rt_core::limits::REGIONS_MAX],
                    held: Vec::new(),
                    is_lost: false,
                };
                let welcome =
                    Reply::Welcome { instance: self.instance, daemon: env!("CARGO_PKG_VERSION") };
                match session.page.for_reading() {
                    Ok(file) => session.send(&welcome, Some(file.as_fd())),
                    Err(_) => session.is_lost = true,
                }
                self.look_for_heir(who, application, peer.pid);
                if self.is_configured(application) {
                    host.tell(Event::Joined(application, peer));
                }
                self.sessions[who.index()] = Some(session);
            }
            Err(Refusal(code, why)) => {
                // It is hung up on anyway.
                let _ = send(&stranger, version, &Reply::Refused { code, why: &why }, None);
            }
        }
    }

    fn introduce(
        &mut self,
        stranger: &Connection,
        application: RegionName,
        host: &impl Host,
    ) -> Result<(ParticipantId, Peer, PageFile), Refusal> {
        let no_room = |error: String| Refusal(RefusalCode::NoRoom, error);
        let peer = stranger.peer().map_err(|error| no_room(error.to_string()))?;
        if peer.pid <= 0 {
            let why = "the daemon cannot see this process: it is in a PID namespace beside the \
                       daemon's or above";
            return Err(Refusal(RefusalCode::NotPermitted, why.to_owned()));
        }
        // Places are few: who may do nothing gets none, and a user not all of them.
        let may = |(region, ..): (RegionName, RegionName, u32)| {
            let rights = host.rights(&peer, application, region);
            rights.read || rights.write
        };
        if self.is_guest(peer.uid) {
            if !self.book.regions().any(may) {
                let why = "this user may neither write nor read any region";
                return Err(Refusal(RefusalCode::NotPermitted, why.to_owned()));
            }
            let sessions = self.sessions.iter().flatten();
            if sessions.filter(|it| it.peer.uid == peer.uid).count() >= PARTICIPANTS_PER_GUEST {
                let why = format!("this user has {PARTICIPANTS_PER_GUEST} participants already");
                return Err(no_room(why));
            }
        }
        let page = PageFile::create(self.instance).map_err(|error| no_room(error.to_string()))?;
        page.change(|page| {
            for (index, in_force) in self.in_force.iter().enumerate() {
                page.set_region_epoch(index, in_force.as_ref().map_or(0, |it| it.epoch), 0);
            }
        });
        Ok((self.book.join(application)?, peer, page))
    }

    pub(super) fn hear(&mut self, index: usize, buffer: &mut [u8], host: &mut impl Host) {
        for _ in 0..MESSAGES_PER_TURN {
            let Some(session) = &self.sessions[index] else { return };
            let has_ended = session.process.as_ref().is_some_and(is_readable);
            let came = if session.is_lost || has_ended {
                Ok(None)
            } else {
                session.connection.receive(buffer)
            };
            match came {
                Ok(Some(came)) => {
                    let who = ParticipantId::at(index);
                    self.answer(who, came.octets, came.file, host);
                    self.settle(host);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(None) | Err(_) => {
                    self.part_with(index, host);
                    return;
                }
            }
        }
    }

    pub(super) fn part_with(&mut self, index: usize, host: &mut impl Host) {
        let Some(session) = self.sessions[index].take() else { return };
        // It may live on without its connection: then its page says that it is nothing any more.
        // With the epoch that it knew: no page says so before its participant was ready.
        let Office { epoch, .. } = session.page.office();
        session.page.change(|page| page.set_office(Office { role: Role::None, epoch }));
        let who = ParticipantId::at(index);
        for in_force in self.in_force.iter_mut().flatten() {
            in_force.writer = in_force.writer.filter(|writer| *writer != who);
        }
        let mut orders = Vec::new();
        self.book.gone(who, &mut |order| orders.push(order));
        self.carry_out(&orders, false, host);
        self.heir_is_back(session.application, session.peer.pid, false);
        self.note_standbys(session.application, host);
        if self.is_configured(session.application) {
            host.tell(Event::Left(session.application, session.peer));
        }
    }
}
