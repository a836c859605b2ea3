//! What participants ask, and the answers.

use std::os::fd::OwnedFd;

use super::{Broker, Event, Host, InForce, Refusal};
use crate::attach::{RefusalCode, Registration, Reply, Request, StandbyClass};
use crate::book::{Book, Order, ParticipantId, Rights};
use crate::os::segment::{Segment, SegmentError};
use crate::schema::{Schema, compare};
use crate::segment::{Header, RegionName};

impl Broker {
    pub(super) fn answer(
        &mut self,
        who: ParticipantId,
        octets: &[u8],
        file: Option<OwnedFd>,
        host: &mut impl Host,
    ) {
        let answered = match Request::decode(octets) {
            Ok(Request::Register(registration)) => self.register(who, &registration, file, host),
            Ok(Request::Ready) => self
                .ordered(who, host, |book, order| book.ready(who, order))
                .map(|()| self.came_back(who, host)),
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
            host.tell(Event::Refused(session.application, session.peer.clone(), why));
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
        let schema_hash = schema_hash(asked.schema, layout.image_octets())?;
        let header = Header { layout, schema_hash, boot_id: self.boot_id, name: asked.region };
        let held = file.filter(|_| self.may_own(who));
        let held = held.and_then(|file| held_segment(file, &header, asked.held_epoch));
        let held_epoch = if held.is_some() { asked.held_epoch } else { 0 };
        let registration = Registration { held_epoch, ..*asked };
        let rights = self.rights(who, asked.region, host)?;
        let granted = self.book.register(who, &registration, schema_hash, rights);
        let granted = granted.map_err(|code| match code {
            RefusalCode::TooCostly => {
                Refusal(code, self.book.cost_with(who, &registration).to_string())
            }
            _ => self.refusal(code, asked.region, asked.schema),
        })?;
        let id = granted.region;
        if granted.resumes
            && let (Some(session), Some(held)) = (&mut self.sessions[who.index()], held)
        {
            session.held.push((id, held));
        }
        self.schemas[id.index()] = asked.schema.to_vec();
        let index = id.0.into();
        if let Some(session) = &mut self.sessions[who.index()] {
            session.schemas.push((id, asked.schema.to_vec()));
            session.is_hot &= asked.class == StandbyClass::Hot;
            if session.waits_without(id, header) {
                session.send(&Reply::Registered { index }, None);
                return Ok(());
            }
        }
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
        let (first, behind) = self.readable(id);
        let read = |it: &InForce| it.segment.for_reading().map(|file| (it.epoch, file));
        let no_room = |error: SegmentError| Refusal(RefusalCode::NoRoom, error.to_string());
        let first = first.map(read).transpose().map_err(no_room)?;
        let behind = behind.map(read).transpose().map_err(no_room)?;
        let index = id.0.into();
        match first {
            None => self.send(who, &Reply::Attached { index, epoch: 0 }, None),
            Some((epoch, file)) => {
                self.send_segment(who, id, epoch, &Reply::Attached { index, epoch }, file);
            }
        }
        if let Some((epoch, file)) = behind {
            self.send_segment(who, id, epoch, &Reply::Segment { index, epoch }, file);
        }
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
                let remedy = format!(
                    "set other_schema = \"by_name\" for it in the daemon's configuration, and let \
                     the program map by name (BMPL_REGION_MAP_BY_NAME); or give the old state up \
                     when no process of the application is left (bumpless region drop {region})"
                );
                Refusal(code, format!("{mismatch}: {remedy}"))
            }
            _ => code.into(),
        }
    }
}

/// The hash of a writer's schema, which has to describe the image.
fn schema_hash(schema: &[u8], image_octets: usize) -> Result<u64, Refusal> {
    if schema.is_empty() {
        return Ok(0);
    }
    let schema = parsed(schema)?;
    if schema.image_octets() == image_octets {
        return Ok(schema.hash());
    }
    let described = schema.image_octets();
    let why = format!("the schema describes {described} octets, the image has {image_octets}");
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
