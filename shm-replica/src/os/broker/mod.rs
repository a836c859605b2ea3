//! The daemon's side: it keeps the book, makes segments and hands them out.
//!
//! The control thread drives it: wait in `poll` on [`Broker::poll_fds`], then call
//! [`Broker::turn`]. No call here waits for a participant. What a participant asks is answered in
//! its turn; what follows from it for others (somebody becomes active) is done before the next one
//! is heard.

mod session;

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rt_core::limits::{PARTICIPANTS_MAX, REGIONS_MAX};

use super::connection::{Connection, Listener, Peer};
use super::page::PageFile;
use super::segment::{Segment, SegmentError, boot_id, failed};
use super::wake;
use crate::attach::{MESSAGE_OCTETS_MAX, RefusalCode, Registration, Reply, Request};
use crate::book::{Book, Order, ParticipantId, RegionId, Rights};
use crate::page::Office;
use crate::schema::{Schema, compare};
use crate::segment::{Header, RegionName};
use session::{Session, send};

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

    /// Stores an epoch so that no end of the process or of the machine loses it, before it is used.
    ///
    /// # Errors
    /// It cannot be stored; nobody becomes active then.
    fn store_epoch(&mut self, application: RegionName, epoch: u64) -> io::Result<()>;

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
    strangers: Vec<Connection>,
    sessions: [Option<Session>; PARTICIPANTS_MAX],
    in_force: [Option<InForce>; REGIONS_MAX],
    /// What each region's image holds, as its writers agreed.
    schemas: Vec<Vec<u8>>,
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
            RefusalCode::TooCostly => {
                "a commit would take more of the cycle than is allowed: make \
                                       the region smaller, the cycle longer, or raise the share"
            }
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
            strangers: Vec::new(),
            sessions: [const { None }; PARTICIPANTS_MAX],
            in_force: [const { None }; REGIONS_MAX],
            schemas: vec![Vec::new(); REGIONS_MAX],
            buffer: vec![0; MESSAGE_OCTETS_MAX],
        })
    }

    /// What the control thread waits for.
    pub fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let sessions = self.sessions.iter().flatten();
        let processes = sessions.clone().filter_map(|session| session.process.as_ref());
        let listener = (self.strangers.len() < STRANGERS_MAX).then(|| self.listener.as_fd());
        let strangers = self.strangers.iter().map(AsFd::as_fd);
        let sessions = sessions.map(AsFd::as_fd);
        let all = listener.into_iter().chain(strangers).chain(sessions);
        all.chain(processes.map(AsFd::as_fd)).map(|fd| PollFd::new(fd, PollFlags::POLLIN))
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

    /// Hears everybody who has something to say, and does what follows. Never waits.
    pub fn turn(&mut self, host: &mut impl Host) {
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
            let Some(session) = &self.sessions[due.participant.index()] else { return };
            let (application, peer) = (session.application, session.peer);
            if let Err(error) = host.store_epoch(application, due.epoch) {
                let what =
                    format!("epoch {} of {application} cannot be stored: {error}", due.epoch);
                host.tell(Event::Failed(what));
                return;
            }
            let mut orders = Vec::new();
            self.book.promote(due, &mut |order| orders.push(order));
            self.carry_out(&orders, due.resumes, host);
            host.tell(Event::Active(application, peer, due.epoch));
        }
    }

    fn accept(&mut self) {
        while self.strangers.len() < STRANGERS_MAX {
            match self.listener.accept() {
                Ok(connection) => self.strangers.push(connection),
                // Nobody, or out of descriptors: then somebody has to leave first.
                Err(_) => return,
            }
        }
    }

    fn hear_strangers(&mut self, buffer: &mut [u8], host: &mut impl Host) {
        for stranger in std::mem::take(&mut self.strangers) {
            match stranger.receive(buffer) {
                Ok(Some(came)) => self.welcome(stranger, came.octets, host),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.strangers.push(stranger);
                }
                Ok(None) | Err(_) => {}
            }
        }
    }

    fn welcome(&mut self, stranger: Connection, octets: &[u8], host: &mut impl Host) {
        let answer = match Request::decode(octets) {
            Ok(Request::Hello { application, .. }) => {
                self.introduce(&stranger, application).map(|it| (it, application))
            }
            Ok(_) => Err(RefusalCode::BadRequest.into()),
            Err(malformed) => Err(Refusal(RefusalCode::BadRequest, malformed.to_string())),
        };
        match answer {
            Ok(((who, peer, page), application)) => {
                let mut session = Session {
                    process: stranger.peer_process().ok(),
                    connection: stranger,
                    peer,
                    application,
                    page,
                    prepared: Vec::new(),
                    held: Vec::new(),
                    is_lost: false,
                };
                let welcome =
                    Reply::Welcome { instance: self.instance, daemon: env!("CARGO_PKG_VERSION") };
                match session.page.for_reading() {
                    Ok(file) => session.send(&welcome, Some(file.as_fd())),
                    Err(_) => session.is_lost = true,
                }
                host.tell(Event::Joined(application, peer));
                self.sessions[who.index()] = Some(session);
            }
            Err(Refusal(code, why)) => {
                // It is hung up on anyway.
                let _ = send(&stranger, &Reply::Refused { code, why: &why }, None);
            }
        }
    }

    fn introduce(
        &mut self,
        stranger: &Connection,
        application: RegionName,
    ) -> Result<(ParticipantId, Peer, PageFile), Refusal> {
        let no_room = |error: String| Refusal(RefusalCode::NoRoom, error);
        let peer = stranger.peer().map_err(|error| no_room(error.to_string()))?;
        let page = PageFile::create(self.instance).map_err(|error| no_room(error.to_string()))?;
        page.change(|page| {
            for (index, in_force) in self.in_force.iter().enumerate() {
                page.set_region_epoch(index, in_force.as_ref().map_or(0, |it| it.epoch));
            }
        });
        Ok((self.book.join(application)?, peer, page))
    }

    fn hear(&mut self, index: usize, buffer: &mut [u8], host: &mut impl Host) {
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

    fn part_with(&mut self, index: usize, host: &mut impl Host) {
        let Some(session) = self.sessions[index].take() else { return };
        // It may live on without its connection: then its page says that it is nothing any more.
        session.page.change(|page| page.set_office(Office::default()));
        let who = ParticipantId::at(index);
        for in_force in self.in_force.iter_mut().flatten() {
            in_force.writer = in_force.writer.filter(|writer| *writer != who);
        }
        let mut orders = Vec::new();
        self.book.gone(who, &mut |order| orders.push(order));
        self.carry_out(&orders, false, host);
        host.tell(Event::Left(session.application, session.peer));
    }

    fn answer(
        &mut self,
        who: ParticipantId,
        octets: &[u8],
        file: Option<OwnedFd>,
        host: &mut impl Host,
    ) {
        let answered = match Request::decode(octets) {
            Ok(Request::Register(registration)) => self.register(who, &registration, file, host),
            Ok(Request::Ready) => self.ordered(who, host, |book, order| book.ready(who, order)),
            Ok(Request::Attach { region, schema }) => self.attach(who, region, schema, host),
            Ok(Request::Wake { region, wanted }) => {
                self.ordered(who, host, |book, order| book.wake(who, region, wanted, order))
            }
            Ok(Request::Leave { region }) => self.ordered(who, host, |book, order| {
                book.leave(who, region, order);
                Ok(())
            }),
            Ok(Request::Hello { .. }) => Err(RefusalCode::BadRequest.into()),
            Err(malformed) => Err(Refusal(RefusalCode::BadRequest, malformed.to_string())),
        };
        let Some(session) = &mut self.sessions[who.index()] else { return };
        if let Err(Refusal(code, why)) = answered {
            session.send(&Reply::Refused { code, why: &why }, None);
            host.tell(Event::Refused(session.application, session.peer, why));
        }
    }

    /// Asks the book, says that it is done, and carries out what it ordered.
    fn ordered(
        &mut self,
        who: ParticipantId,
        host: &mut impl Host,
        ask: impl FnOnce(&mut Book, &mut dyn FnMut(Order)) -> Result<(), RefusalCode>,
    ) -> Result<(), Refusal> {
        let mut orders = Vec::new();
        ask(&mut self.book, &mut |order| orders.push(order))?;
        self.send(who, &Reply::Done, None);
        self.carry_out(&orders, false, host);
        Ok(())
    }

    fn register(
        &mut self,
        who: ParticipantId,
        asked: &Registration<'_>,
        file: Option<OwnedFd>,
        host: &mut impl Host,
    ) -> Result<(), Refusal> {
        let bad = |why: String| Refusal(RefusalCode::BadRequest, why);
        let layout = asked.layout().map_err(|wrong| bad(wrong.to_string()))?;
        let schema_hash = schema_hash(asked.region, asked.schema, layout.image_octets())?;
        let header = Header { layout, schema_hash, boot_id: self.boot_id, name: asked.region };
        let held = file.and_then(|file| held_segment(file, &header, asked.held_epoch));
        let held_epoch = if held.is_some() { asked.held_epoch } else { 0 };
        let registration = Registration { held_epoch, ..*asked };
        let rights = self.rights(who, asked.region, host)?;
        let granted = self.book.register(who, &registration, schema_hash, rights);
        let granted = granted.map_err(|code| self.refusal(code, asked.region, asked.schema))?;
        let id = granted.region;
        if granted.resumes
            && let (Some(session), Some(held)) = (&mut self.sessions[who.index()], held)
        {
            session.held.push((id, held));
        }
        self.schemas[id.index()] = asked.schema.to_vec();
        let index = id.0.into();
        match self.prepare(id, who, &header) {
            Ok(file) => self.send(who, &Reply::Registered { index }, Some(file)),
            Err(error) => {
                // The book has it already; who comes again finds it as before.
                self.lose(who);
                return Err(Refusal(RefusalCode::NoRoom, error.to_string()));
            }
        }
        Ok(())
    }

    fn attach(
        &mut self,
        who: ParticipantId,
        region: RegionName,
        schema: &[u8],
        host: &mut impl Host,
    ) -> Result<(), Refusal> {
        let schema_hash = match schema {
            [] => 0,
            octets => parsed(octets)?.hash(),
        };
        let rights = self.rights(who, region, host)?;
        let attached = self.book.attach(who, region, schema_hash, rights);
        let (id, _) = attached.map_err(|code| self.refusal(code, region, schema))?;
        let in_force = self.in_force[id.index()].as_ref();
        let epoch = in_force.map_or(0, |it| it.epoch);
        let file = in_force.map(|it| it.segment.for_reading()).transpose();
        let file = file.map_err(|error| Refusal(RefusalCode::NoRoom, error.to_string()))?;
        self.send(who, &Reply::Attached { index: id.0.into(), epoch }, file);
        Ok(())
    }

    fn rights(
        &self,
        who: ParticipantId,
        region: RegionName,
        host: &impl Host,
    ) -> Result<Rights, Refusal> {
        let session = self.sessions[who.index()].as_ref().ok_or(RefusalCode::BadRequest)?;
        Ok(host.rights(&session.peer, session.application, region))
    }

    /// What to answer, with the first difference where schemas differ.
    fn refusal(&self, code: RefusalCode, region: RegionName, schema: &[u8]) -> Refusal {
        let known = self.book.region(region).map(|id| &self.schemas[id.index()][..]);
        let both =
            known.and_then(|it| Some((Schema::parse(it).ok()?, Schema::parse(schema).ok()?)));
        match both.map(|(known, asked)| compare(&asked, &known)) {
            Some(Err(mismatch)) if code == RefusalCode::OtherSchema => {
                Refusal(code, format!("region {region}: {mismatch}"))
            }
            _ => code.into(),
        }
    }

    /// Makes the segment that a participant writes the next time that it becomes active; the
    /// descriptor for it.
    fn prepare(
        &mut self,
        region: RegionId,
        who: ParticipantId,
        header: &Header,
    ) -> Result<OwnedFd, SegmentError> {
        let segment = Segment::create(header, &self.schemas[region.index()])?;
        let file = segment.file().try_clone().map_err(failed("hand a region's memory over"))?;
        if let Some(session) = &mut self.sessions[who.index()] {
            session.prepared.push((region, segment));
        }
        Ok(file)
    }

    fn carry_out(&mut self, orders: &[Order], resumes: bool, host: &mut impl Host) {
        for order in orders {
            match *order {
                Order::Office(who, office) => {
                    if let Some(session) = &mut self.sessions[who.index()] {
                        session.page.change(|page| page.set_office(office));
                        session.send(&Reply::Office, None);
                    }
                }
                Order::Supersede(region, epoch) => {
                    if let Some(former) = self.in_force[region.index()].take()
                        && let Ok(state) = former.segment.state()
                    {
                        state.supersede(epoch);
                        // Who waits for its next commit would wait for ever.
                        let place = former.segment.header().layout.place();
                        wake::wake_all(former.segment.memory(), &place);
                    }
                }
                Order::PutInForce(region, who, epoch) => {
                    self.put_in_force(region, who, epoch, resumes, host);
                }
                Order::Show(region, reader) => self.show(region, reader),
                Order::Prepare(region, who) => self.prepare_next(region, who, host),
                Order::Wakes(region, count) => {
                    let writer = self.in_force[region.index()].as_ref().and_then(|it| it.writer);
                    if let Some(session) = writer.and_then(|it| self.sessions[it.index()].as_ref())
                    {
                        session.page.change(|page| page.set_wakes(region.index(), count.into()));
                    }
                }
            }
        }
    }

    fn put_in_force(
        &mut self,
        region: RegionId,
        writer: ParticipantId,
        epoch: u64,
        resumes: bool,
        host: &mut impl Host,
    ) {
        let Some(session) = &mut self.sessions[writer.index()] else { return };
        let Some(segment) = session.take(region, resumes) else {
            session.is_lost = true;
            host.tell(Event::Failed(format!("no segment for region {}", region.index())));
            return;
        };
        if let Ok(state) = segment.state() {
            state.set_epoch(epoch);
        }
        self.in_force[region.index()] = Some(InForce { segment, writer: Some(writer), epoch });
        for session in self.sessions.iter().flatten() {
            session.page.change(|page| page.set_region_epoch(region.index(), epoch));
        }
    }

    fn show(&mut self, region: RegionId, reader: ParticipantId) {
        let Some(in_force) = &self.in_force[region.index()] else { return };
        let reply = Reply::Segment { index: region.0.into(), epoch: in_force.epoch };
        match in_force.segment.for_reading() {
            Ok(file) => self.send(reader, &reply, Some(file)),
            Err(_) => {
                // It asks again when it comes again.
                self.lose(reader);
            }
        }
    }

    fn prepare_next(&mut self, region: RegionId, who: ParticipantId, host: &mut impl Host) {
        let has_one = |session: &Session| session.has_prepared(region);
        if self.sessions[who.index()].as_ref().is_none_or(has_one) {
            return;
        }
        let Some(header) = self.in_force[region.index()].as_ref().map(|it| *it.segment.header())
        else {
            return;
        };
        match self.prepare(region, who, &header) {
            Ok(file) => self.send(who, &Reply::Next { index: region.0.into() }, Some(file)),
            Err(error) => {
                self.lose(who);
                host.tell(Event::Failed(error.to_string()));
            }
        }
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

/// The hash of a writer's schema, which has to describe the image.
fn schema_hash(region: RegionName, schema: &[u8], image_octets: usize) -> Result<u64, Refusal> {
    if schema.is_empty() {
        return Ok(0);
    }
    let schema = parsed(schema)?;
    if schema.image_octets() == image_octets {
        return Ok(schema.hash());
    }
    let described = schema.image_octets();
    let why = format!(
        "region {region}: the schema describes {described} octets, the image has {image_octets}"
    );
    Err(Refusal(RefusalCode::BadRequest, why))
}

fn parsed(schema: &[u8]) -> Result<Schema<'_>, Refusal> {
    Schema::parse(schema).map_err(|wrong| Refusal(RefusalCode::BadRequest, wrong.to_string()))
}

/// A segment that a participant brings from a former life of the daemon, if it is one that such a
/// daemon made, of this region, under this epoch, and in force then.
fn held_segment(file: OwnedFd, header: &Header, epoch: u64) -> Option<Segment> {
    let segment = Segment::open(file, true).ok()?;
    let state = segment.state().ok()?;
    let is_in_force = state.epoch() == Some(epoch) && state.superseded_by().is_none();
    let is_it = segment.is_of_this_user() && segment.header() == header && is_in_force;
    is_it.then_some(segment)
}

fn is_lost(session: &Option<Session>) -> bool {
    session.as_ref().is_some_and(|session| session.is_lost)
}

/// Whether a process's descriptor says that it has ended.
fn is_readable(file: &OwnedFd) -> bool {
    let mut waits = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    poll(&mut waits, PollTimeout::ZERO) == Ok(1)
}
