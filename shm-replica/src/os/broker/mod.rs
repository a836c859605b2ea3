//! The daemon's side: it keeps the book, makes segments and hands them out.
//!
//! The control thread drives it: wait in `poll` on [`Broker::poll_fds`], then call
//! [`Broker::turn`]. No call here waits for a participant. What a participant asks is answered in
//! its turn; what follows from it for others (somebody becomes active) is done before the next one
//! is heard.

//!
//! | Module | Holds |
//! |---|---|
//! | `door` | who comes and who goes |
//! | `requests` | what participants ask, and the answers |
//! | `orders` | carrying out what the book orders |
//! | `owners` | owners from a former life of the daemon; switching over |
//! | `dropping` | giving up a last state, by order |
//! | `past` | segments that are in force no more, and hold the only state |
//! | `adopt` | segments from a former life |
//! | [`report`] | what there is, for people |

mod adopt;
mod door;
mod dropping;
mod orders;
mod owners;
mod past;
pub mod report;
mod requests;
mod session;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rt_core::limits::{PARTICIPANTS_MAX, REGIONS_MAX};
use rt_core::time::Instant;

use super::connection::{Listener, Peer};
use super::segment::{Segment, boot_id};
use crate::attach::{MESSAGE_OCTETS_MAX, RefusalCode, Reply};
use crate::book::{Book, Due, ParticipantId, Rights};
use crate::segment::RegionName;
pub use adopt::NotAdopted;
use door::Stranger;
pub use dropping::NotDropped;
pub use owners::{AwaitedOwner, Heir, SwitchoverRefused};
use session::Session;

/// Connections that have not said who they are yet.
const STRANGERS_MAX: usize = 16;
/// Messages of one participant before the others have their turn.
const MESSAGES_PER_TURN: usize = 16;
/// Promotions in one turn; each makes one more application have its active participant.
const PROMOTIONS_PER_TURN: usize = 64;

/// What the broker asks of the daemon, and tells it.
pub trait Host {
    /// What a process may do with a region of an application.
    fn rights(&self, peer: &Peer, application: RegionName, region: RegionName) -> Rights;

    /// Stores an epoch so that no end of the process or of the machine loses it, before it is used
    /// and before whoever is active is told that it is so no more.
    ///
    /// # Errors
    /// It cannot be stored; nobody becomes active then.
    fn store_epoch(&mut self, application: RegionName, epoch: u64) -> io::Result<()>;

    /// Writes down who is about to own an epoch, so that another life of the daemon knows whom to
    /// look for; until [`Self::owner_settled`] it may die before the owner learns of it.
    ///
    /// # Errors
    /// It cannot be written; nobody becomes active then.
    fn store_owner(&mut self, application: RegionName, epoch: u64, owner: &Peer) -> io::Result<()> {
        let _ = (application, epoch, owner);
        Ok(())
    }

    /// The owner that was written down knows.
    fn owner_settled(&mut self, application: RegionName) {
        let _ = application;
    }

    /// These processes are ready for an application and stand by: they follow its state.
    fn store_standbys(&mut self, application: RegionName, pids: &[i32]) {
        let _ = (application, pids);
    }

    /// Nobody owns the newest epoch any more, and who did has been told.
    fn owner_left(&mut self, application: RegionName) {
        let _ = application;
    }

    /// These segments are in force, all that an application has of an epoch: keeps them where they
    /// outlive this process, all or none of them. Their owner does not know yet.
    fn keep(&mut self, application: RegionName, epoch: u64, segments: &[BorrowedFd<'_>]) {
        let _ = (application, epoch, segments);
    }

    /// None of them is of use any more.
    fn forget(&mut self, application: RegionName, epoch: u64) {
        let _ = (application, epoch);
    }

    /// Tells what happened, for people.
    fn tell(&mut self, event: Event);
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A process speaks for an application.
    Joined(RegionName, Peer),
    /// It ended, hung up, or was hung up on.
    Left(RegionName, Peer),
    /// A process became the active one.
    Active(RegionName, Peer, u64),
    /// What a process asked was refused.
    Refused(RegionName, Peer, String),
    /// The owner from before the daemon's start has ended, or has come back and owns nothing.
    OwnerGone(RegionName, i32),
    /// Something that should work did not.
    Failed(String),
}

/// See the module's text.
#[derive(Debug)]
pub struct Broker {
    listener: Listener,
    book: Book,
    instance: u64,
    boot_id: [u64; 2],
    /// This process's user.
    own_uid: u32,
    strangers: Vec<Stranger>,
    /// Nobody is let in before: the process was out of descriptors.
    accept_from: Instant,
    sessions: [Option<Session>; PARTICIPANTS_MAX],
    in_force: [Option<InForce>; REGIONS_MAX],
    /// What was in force before, where what is has no commit yet.
    past: [Option<InForce>; REGIONS_MAX],
    /// What each region's image holds, as who registered it last said.
    schemas: Vec<Vec<u8>>,
    /// Owners that live and have not come back since the start.
    awaited: Vec<(RegionName, AwaitedOwner)>,
    /// Processes that stood by when the daemon ended, and live.
    heirs: Vec<(RegionName, Heir)>,
    /// Where messages come in; lent out for a turn.
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct InForce {
    segment: Segment,
    /// None when it has gone: its place may be somebody else's by now.
    writer: Option<ParticipantId>,
    epoch: u64,
}

/// A request that is not granted: what to answer.
struct Refusal(RefusalCode, String);

impl From<RefusalCode> for Refusal {
    fn from(code: RefusalCode) -> Self {
        let why = match code {
            RefusalCode::UnknownRegion => "no such application or region is configured",
            RefusalCode::NotPermitted => {
                "this user may not do that with the region, or the region \
                                          is another application's"
            }
            RefusalCode::Taken => "it was registered already",
            RefusalCode::OtherLayout => {
                "another participant of the application registered it with \
                                         another size or number of slots"
            }
            RefusalCode::OtherSchema => "another participant registered it with another schema",
            RefusalCode::TooCostly => "the commits would take more of the cycle than is allowed",
            RefusalCode::NoRoom => "no room for more participants, or no memory",
            RefusalCode::BadRequest => "this is no request that makes sense now",
        };
        Self(code, why.to_owned())
    }
}

impl Broker {
    /// A broker that listens, with a book of all applications and regions. `instance` is a number
    /// of this life of the daemon's.
    ///
    /// # Errors
    /// The kernel does not say its boot id.
    pub fn new(listener: Listener, book: Book, instance: u64) -> io::Result<Self> {
        Ok(Self {
            listener,
            book,
            instance,
            boot_id: boot_id()?,
            own_uid: nix::unistd::geteuid().as_raw(),
            strangers: Vec::new(),
            accept_from: Instant::from_nanos(0),
            sessions: [const { None }; PARTICIPANTS_MAX],
            in_force: [const { None }; REGIONS_MAX],
            past: [const { None }; REGIONS_MAX],
            schemas: vec![Vec::new(); REGIONS_MAX],
            awaited: Vec::new(),
            heirs: Vec::new(),
            buffer: vec![0; MESSAGE_OCTETS_MAX],
        })
    }

    /// What the control thread waits for.
    pub fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let sessions = self.sessions.iter().flatten();
        let processes = sessions.clone().filter_map(|session| session.process.as_ref());
        let listener = self.may_accept().then(|| self.listener.as_fd());
        let strangers = self.strangers.iter().map(AsFd::as_fd);
        let sessions = sessions.map(AsFd::as_fd);
        let all = listener.into_iter().chain(strangers).chain(sessions);
        let awaited = self.awaited.iter().map(|(_, owner)| owner.process.as_fd());
        let awaited = awaited.chain(self.heirs.iter().map(|(_, heir)| heir.process.as_fd()));
        all.chain(processes.map(AsFd::as_fd))
            .chain(awaited)
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
    }

    /// The book, to give it orders; [`Self::turn`] carries out what follows.
    pub const fn book(&mut self) -> &mut Book {
        &mut self.book
    }

    /// Somebody who is ready for an application and not active, if there is one.
    #[must_use]
    pub fn standby_of(&self, application: RegionName) -> Option<ParticipantId> {
        self.book.standby_of(application)
    }

    /// Hears everybody who has something to say, and does what follows. Never waits. It is to be
    /// called at least once a second, too: who does not say who it is has to leave some time.
    pub fn turn(&mut self, host: &mut impl Host) {
        self.look_for_owners(host);
        self.bury_the_past(host);
        self.accept();
        let mut buffer = std::mem::take(&mut self.buffer);
        self.hear_strangers(&mut buffer, host);
        for index in 0..PARTICIPANTS_MAX {
            self.hear(index, &mut buffer, host);
        }
        self.buffer = buffer;
        self.settle(host);
        // Who was found lost while others were heard; each time there is one less.
        while let Some(index) = self.sessions.iter().position(is_lost) {
            self.part_with(index, host);
            self.settle(host);
        }
    }

    /// Makes active who is due, and carries out what was ordered before.
    pub fn settle(&mut self, host: &mut impl Host) {
        for _ in 0..PROMOTIONS_PER_TURN {
            let Some(due) = self.book.due() else { return };
            match self.promote(due, host) {
                Ok(true) => {}
                Ok(false) => return,
                Err(what) => {
                    host.tell(Event::Failed(what));
                    return;
                }
            }
        }
    }

    /// Makes somebody active. In this order, whatever ends in between: the epoch is stored, the
    /// former owner told, the next one written down, and then put in charge. Whether it was still
    /// there.
    fn promote(&mut self, due: Due, host: &mut impl Host) -> Result<bool, String> {
        let Some(session) = &self.sessions[due.participant.index()] else {
            return Err("who is due is not there".to_owned());
        };
        let (application, peer) = (session.application, session.peer.clone());
        let cannot = |error: io::Error| {
            format!("epoch {} of {application} cannot be stored: {error}", due.epoch)
        };
        host.store_epoch(application, due.epoch).map_err(cannot)?;
        let mut orders = Vec::new();
        self.book.stand_down(due, &mut |order| orders.push(order));
        self.carry_out(&orders, false, host);
        match host.store_owner(application, due.epoch, &peer) {
            // Its process has just ended; the next turn finds that, too.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.lose(due.participant);
                return Ok(false);
            }
            written => written.map_err(cannot)?,
        }
        orders.clear();
        self.book.promote(due, &mut |order| orders.push(order));
        self.carry_out(&orders, due.resumes, host);
        host.owner_settled(application);
        self.awaited.retain(|(name, _)| *name != application);
        self.heirs.retain(|(name, _)| *name != application);
        self.note_standbys(application, host);
        host.tell(Event::Active(application, peer, due.epoch));
        Ok(true)
    }

    /// Has a participant hung up on at the end of the turn; it may come again.
    fn lose(&mut self, who: ParticipantId) {
        if let Some(session) = &mut self.sessions[who.index()] {
            session.is_lost = true;
        }
    }

    fn send(&mut self, who: ParticipantId, reply: &Reply<'_>, file: Option<OwnedFd>) {
        if let Some(session) = &mut self.sessions[who.index()] {
            session.send(reply, file.as_ref().map(AsFd::as_fd));
        }
    }
}

fn is_lost(session: &Option<Session>) -> bool {
    session.as_ref().is_some_and(|session| session.is_lost)
}

/// Whether a process's descriptor says that it has ended.
fn is_readable(file: &OwnedFd) -> bool {
    let mut waits = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    poll(&mut waits, PollTimeout::ZERO) == Ok(1)
}
