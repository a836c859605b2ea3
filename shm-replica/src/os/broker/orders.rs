//! Carrying out what the book orders.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{Ordering, fence};

use super::session::Session;
use super::{Broker, Event, Host, InForce};
use crate::attach::Reply;
use crate::book::{Order, ParticipantId, RegionId};
use crate::os::segment::{Segment, SegmentError, failed};
use crate::segment::{Header, RegionName};

impl Broker {
    /// Makes the segment that a participant writes the next time that it becomes active; the
    /// descriptor for it.
    pub(super) fn prepare(
        &mut self,
        region: RegionId,
        who: ParticipantId,
        header: &Header,
    ) -> Result<OwnedFd, SegmentError> {
        let session = self.sessions[who.index()].as_ref();
        let segment = Segment::create(header, session.map_or(&[], |it| it.schema(region)))?;
        let file = segment.file().try_clone().map_err(failed("hand a region's memory over"))?;
        if let Some(session) = &mut self.sessions[who.index()] {
            session.prepared.push((region, segment));
        }
        Ok(file)
    }

    pub(super) fn carry_out(&mut self, orders: &[Order], resumes: bool, host: &mut impl Host) {
        for order in orders {
            match *order {
                Order::Office(who, office) => {
                    if let Some(session) = &mut self.sessions[who.index()] {
                        session.page.change(|page| page.set_office(office));
                        // Who commits looks at its page behind its commit. Either it finds that it
                        // was relieved, or who comes after this finds the commit.
                        fence(Ordering::SeqCst);
                        session.send(&Reply::Office, None);
                    }
                }
                Order::Supersede(region, epoch) => self.supersede(region, epoch, host),
                Order::PutInForce(region, who, epoch) => {
                    self.put_in_force(region, who, epoch, resumes, host);
                }
                Order::Keep(application, epoch) => self.keep(application, epoch, host),
                Order::Show(region, reader) => self.show(region, reader),
                Order::Prepare(region, who) => self.prepare_next(region, who, host),
                Order::Wakes(region, count) => self.tell_wakes(region, count),
                Order::Vacant(application) => host.owner_left(application),
            }
        }
    }

    fn tell_wakes(&self, region: RegionId, count: u32) {
        let writer = self.in_force[region.index()].as_ref().and_then(|it| it.writer);
        if let Some(session) = writer.and_then(|it| self.sessions[it.index()].as_ref()) {
            session.page.change(|page| page.set_wakes(region.index(), count.into()));
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
        let Some(segment) = session.take(region, resumes).or_else(|| self.make_now(region, writer))
        else {
            self.lose(writer);
            host.tell(Event::Failed(format!("no segment for region {}", region.index())));
            return;
        };
        if let Ok(state) = segment.state() {
            state.set_epoch(epoch);
        }
        self.in_force[region.index()] = Some(InForce { segment, writer: Some(writer), epoch });
        for session in self.sessions.iter().flatten() {
            let shown = session.shown[region.index()];
            session.page.change(|page| page.set_region_epoch(region.index(), epoch, shown));
        }
    }

    fn keep(&self, application: RegionName, epoch: u64, host: &mut impl Host) {
        let in_force = self.in_force.iter().flatten();
        let segments: Vec<_> = in_force
            .filter(|it| self.is_of(it, application, epoch))
            .map(|it| it.segment.file().as_fd())
            .collect();
        host.keep(application, epoch, &segments);
    }

    /// The segment of one who stands by without its memory, handed over before its role.
    fn make_now(&mut self, region: RegionId, who: ParticipantId) -> Option<Segment> {
        let header = self.sessions[who.index()].as_mut()?.take_unprepared(region)?;
        let file = self.prepare(region, who, &header).ok()?;
        self.send(who, &Reply::Next { index: region.0.into() }, Some(file));
        self.sessions[who.index()].as_mut()?.take(region, false)
    }

    fn show(&mut self, region: RegionId, reader: ParticipantId) {
        let Some(in_force) = &self.in_force[region.index()] else { return };
        let reply = Reply::Segment { index: region.0.into(), epoch: in_force.epoch };
        match in_force.segment.for_reading() {
            Ok(file) => {
                let epoch = in_force.epoch;
                self.send_segment(reader, region, epoch, &reply, file);
            }
            Err(_) => {
                // It asks again when it comes again.
                self.lose(reader);
            }
        }
    }

    /// Sends a segment to read, and remembers that it did: who becomes active goes on from what it
    /// was shown last.
    pub(super) fn send_segment(
        &mut self,
        reader: ParticipantId,
        region: RegionId,
        epoch: u64,
        reply: &Reply<'_>,
        file: OwnedFd,
    ) {
        if let Some(session) = &mut self.sessions[reader.index()] {
            session.shown[region.index()] = epoch;
            session.send(reply, Some(file.as_fd()));
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
        if self.sessions[who.index()].as_mut().is_some_and(|it| it.waits_without(region, header)) {
            return;
        }
        match self.prepare(region, who, &header) {
            Ok(file) => self.send(who, &Reply::Next { index: region.0.into() }, Some(file)),
            Err(error) => {
                self.lose(who);
                host.tell(Event::Failed(error.to_string()));
            }
        }
    }
}
