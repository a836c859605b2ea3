//! The broker with participants on its real socket, one message at a time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod woken;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use bumpless::attach::{MESSAGE_OCTETS_MAX, RefusalCode, Registration, Reply, Request};
use bumpless::book::{Book, Rights, Takeover};
use bumpless::image::{ImageReader, ImageWriter, Stamp};
use bumpless::os::broker::{AwaitedOwner, Broker, Event, Host, SwitchoverRefused};
use bumpless::os::connection::{Connection, Listener, Peer};
use bumpless::os::mapping::Mapping;
use bumpless::os::page::open_page;
use bumpless::os::process;
use bumpless::os::segment::Segment;
use bumpless::os::wake;
use bumpless::page::{Office, Page, Role};
use bumpless::ring::Place;
use bumpless::schema::{Block, Kind, SchemaBuilder};
use bumpless::segment::{Layout, RegionName};
use rt_core::os::clock::MonotonicClock;
use rt_core::time::Duration;

const OCTETS: usize = 256;

fn name(text: &str) -> RegionName {
    RegionName::new(text).unwrap()
}

/// The daemon's part.
#[derive(Default)]
struct Told {
    epochs: HashMap<RegionName, u64>,
    cannot_store: bool,
    read_only: bool,
    events: Vec<Event>,
    /// What was written down of owners, and of segments that are kept.
    notes: Vec<String>,
}

impl Host for Told {
    fn rights(&self, peer: &Peer, _: RegionName, _: RegionName) -> Rights {
        assert_eq!(peer.pid, i32::try_from(std::process::id()).unwrap());
        Rights { write: !self.read_only, read: true }
    }

    fn store_epoch(&mut self, application: RegionName, epoch: u64) -> io::Result<()> {
        if self.cannot_store {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let before = self.epochs.insert(application, epoch);
        assert!(before.is_none_or(|before| epoch >= before));
        Ok(())
    }

    fn store_owner(&mut self, application: RegionName, epoch: u64, _: &Peer) -> io::Result<()> {
        self.notes.push(format!("{application} {epoch}"));
        Ok(())
    }

    fn owner_settled(&mut self, application: RegionName) {
        self.notes.push(format!("{application} settled"));
    }

    fn owner_left(&mut self, application: RegionName) {
        self.notes.push(format!("{application} left"));
    }

    fn keep(&mut self, application: RegionName, epoch: u64, segments: &[BorrowedFd<'_>]) {
        self.notes.push(format!("keep {} of {application} {epoch}", segments.len()));
    }

    fn forget(&mut self, application: RegionName, epoch: u64) {
        self.notes.push(format!("forget {application} {epoch}"));
    }

    fn tell(&mut self, event: Event) {
        self.events.push(event);
    }
}

/// A process that the test may end.
struct Child(std::process::Child);

impl Child {
    fn start() -> Self {
        Self(std::process::Command::new("sleep").arg("600").spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id().try_into().unwrap()
    }

    fn awaited(&self) -> AwaitedOwner {
        let process = process::open(self.pid()).unwrap();
        AwaitedOwner { pid: self.pid(), process, may_not_know: false }
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Daemon {
    broker: Broker,
    host: Told,
    folder: PathBuf,
}

impl Daemon {
    fn start(test: &str, epoch: u64) -> Self {
        let folder = std::env::temp_dir().join(format!("bumpless-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self { broker: broker(&folder.join("socket"), epoch), host: Told::default(), folder }
    }

    /// Ends the daemon as SIGKILL does, and starts another one.
    fn restart(&mut self, epoch: u64) {
        let socket = self.folder.join("socket");
        std::fs::remove_file(&socket).unwrap();
        self.broker = broker(&socket, epoch);
    }

    fn turn(&mut self) {
        self.broker.turn(&mut self.host);
    }

    fn join(&mut self, application: &str) -> Participant {
        let connection = Connection::open(&self.folder.join("socket")).unwrap();
        let mut participant = Participant { connection, page: None };
        participant.say(&Request::Hello { application: name(application), library: "test" }, None);
        self.turn();
        let (reply, file) = participant.hear().unwrap();
        assert!(reply.starts_with("Welcome"), "{reply}");
        participant.page = Some(open_page(&file.unwrap()).unwrap());
        participant
    }

    /// Ends a participant. A process that another test starts has its descriptors too, until it has
    /// become another program: so the end may be seen a little later.
    fn end(&mut self, who: Participant) {
        let left = |host: &Told| {
            host.events.iter().filter(|event| matches!(event, Event::Left(..))).count()
        };
        let before = left(&self.host);
        drop(who);
        for _ in 0..10_000 {
            self.turn();
            if left(&self.host) > before {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("its end is not seen");
    }

    fn ask(
        &mut self,
        who: &Participant,
        request: &Request<'_>,
        file: Option<&OwnedFd>,
    ) -> (String, Option<OwnedFd>) {
        who.say(request, file);
        self.turn();
        who.hear().unwrap()
    }

    /// Somebody who writes `plant` and is ready.
    fn controller(&mut self) -> (Participant, Segment) {
        let who = self.join("plc");
        let (reply, file) = self.ask(&who, &Request::Register(registration()), None);
        assert_eq!(reply, "Registered { index: 0 }");
        let segment = Segment::open(file.unwrap(), true).unwrap();
        assert_eq!(self.ask(&who, &Request::Ready, None).0, "Done");
        (who, segment)
    }

    fn reader(&mut self, schema: &[u8]) -> (Participant, String, Option<OwnedFd>) {
        let who = self.join("hmi");
        let (reply, file) =
            self.ask(&who, &Request::Attach { region: name("plant"), schema }, None);
        (who, reply, file)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn broker(socket: &std::path::Path, epoch: u64) -> Broker {
    let mut book = Book::new(20);
    book.add_application(name("plc"), Takeover::OnExit, epoch).unwrap();
    book.add_application(name("hmi"), Takeover::OnExit, 0).unwrap();
    book.add_region(name("plant"), name("plc")).unwrap();
    book.add_region(name("trend"), name("plc")).unwrap();
    book.set_in_charge(true, &mut |_| {});
    Broker::new(Listener::bind(socket).unwrap(), book, epoch + 1_000).unwrap()
}

fn registration() -> Registration<'static> {
    Registration::new(name("plant"), Layout::new(OCTETS, 4, 0).unwrap(), &[])
}

struct Participant {
    connection: Connection,
    page: Option<Page<Mapping>>,
}

impl Participant {
    fn say(&self, request: &Request<'_>, file: Option<&OwnedFd>) {
        let mut buffer = vec![0; MESSAGE_OCTETS_MAX];
        let octets = request.encode(&mut buffer).unwrap();
        self.connection.send(octets, file.map(|file| file.as_fd())).unwrap();
    }

    /// The next message beside those that only speak of the page, as text; none when the daemon has
    /// hung up or says nothing.
    fn hear(&self) -> Option<(String, Option<OwnedFd>)> {
        loop {
            let heard = self.hear_any()?;
            if heard.0 != "Office" {
                return Some(heard);
            }
        }
    }

    fn hear_any(&self) -> Option<(String, Option<OwnedFd>)> {
        let mut buffer = vec![0; MESSAGE_OCTETS_MAX];
        let came = self.connection.receive(&mut buffer).ok()??;
        Some((format!("{:?}", Reply::decode(came.octets).unwrap()), came.file))
    }

    fn office(&self) -> (Role, u64) {
        let Office { role, epoch } = self.page.as_ref().unwrap().office();
        (role, epoch)
    }
}

fn publish(segment: &Segment, cycle: u64) {
    let epoch = segment.state().unwrap().epoch().unwrap();
    let place = segment.header().layout.place();
    let mut writer = ImageWriter::new(&**segment.memory(), place, OCTETS).unwrap();
    let stamp = Stamp { epoch, cycle, ..Stamp::default() };
    writer.publish(&[cycle.to_le_bytes()[0]; OCTETS], stamp).unwrap();
}

/// The cycle of the newest image that a reader finds in the segment it was handed.
fn newest(file: OwnedFd) -> (u64, u64) {
    let segment = Segment::open(file, false).unwrap();
    let epoch = segment.state().unwrap().epoch().unwrap();
    let place = segment.header().layout.place();
    let reader = ImageReader::new(segment.into_memory(), place, OCTETS, epoch).unwrap();
    let mut into = [0; OCTETS];
    let found = reader.last_whole(&mut into).unwrap();
    assert_eq!(into, [found.stamp.cycle.to_le_bytes()[0]; OCTETS]);
    (found.stamp.epoch, found.stamp.cycle)
}

#[test]
fn what_the_active_one_publishes_is_read_and_its_death_hands_over() {
    let mut daemon = Daemon::start("handover", 7);
    let (first, segment) = daemon.controller();
    assert_eq!(first.office(), (Role::Active, 8));
    publish(&segment, 41);
    let (second, next) = daemon.controller();
    assert_eq!(second.office(), (Role::Standby, 8));
    assert_eq!(next.state().unwrap().epoch(), None, "not in force yet");
    let (reader, reply, file) = daemon.reader(&[]);
    assert_eq!(reply, "Attached { index: 0, epoch: 8 }");
    assert_eq!(newest(file.unwrap()), (8, 41));
    daemon.end(first);
    assert_eq!(second.office(), (Role::Active, 9));
    assert_eq!(segment.state().unwrap().superseded_by(), Some(9));
    let (reply, file) = reader.hear().unwrap();
    assert_eq!(reply, "Segment { index: 0, epoch: 9 }");
    publish(&next, 42);
    assert_eq!(newest(file.unwrap()), (9, 42));
    // Where the former one writes nobody looks.
    publish(&segment, 99);
    assert_eq!(reader.page.as_ref().unwrap().region_epoch(0), 9);
}

#[test]
fn the_last_image_of_one_who_died_alone_stays_readable() {
    let mut daemon = Daemon::start("alone", 0);
    let (only, segment) = daemon.controller();
    publish(&segment, 5);
    drop(segment);
    daemon.end(only);
    let (_reader, reply, file) = daemon.reader(&[]);
    assert_eq!(reply, "Attached { index: 0, epoch: 1 }");
    assert_eq!(newest(file.unwrap()), (1, 5));
}

#[test]
fn a_switchover_by_order_leaves_the_former_one_with_a_segment_for_the_next_time() {
    let mut daemon = Daemon::start("order", 0);
    let (first, old) = daemon.controller();
    let (second, _next) = daemon.controller();
    let (peer, epoch) = daemon.broker.switch_over(name("plc"), &mut daemon.host).unwrap();
    assert_eq!((peer.pid, epoch), (i32::try_from(std::process::id()).unwrap(), 2));
    assert_eq!((first.office(), second.office()), ((Role::Standby, 2), (Role::Active, 2)));
    let (reply, file) = first.hear().unwrap();
    assert_eq!(reply, "Next { index: 0 }");
    let next = Segment::open(file.unwrap(), true).unwrap();
    assert_eq!(old.state().unwrap().superseded_by(), Some(2));
    daemon.end(second);
    assert_eq!(first.office(), (Role::Active, 3));
    assert_eq!(next.state().unwrap().epoch(), Some(3));
}

#[test]
fn who_lives_through_the_daemons_death_goes_on_in_its_segment() {
    let mut daemon = Daemon::start("daemon-dies", 0);
    let (first, segment) = daemon.controller();
    publish(&segment, 1);
    daemon.restart(1);
    assert!(first.hear().is_none());
    publish(&segment, 2);
    let again = daemon.join("plc");
    assert_ne!(again.page.as_ref().unwrap().instance(), first.page.as_ref().unwrap().instance());
    let held = Registration { held_epoch: 1, ..registration() };
    let (reply, _) = daemon.ask(&again, &Request::Register(held), Some(segment.file()));
    assert_eq!(reply, "Registered { index: 0 }");
    assert_eq!(daemon.ask(&again, &Request::Ready, None).0, "Done");
    assert_eq!(again.office(), (Role::Active, 1), "the epoch that it had");
    publish(&segment, 3);
    let (_reader, _, file) = daemon.reader(&[]);
    assert_eq!(newest(file.unwrap()), (1, 3));
}

#[test]
fn who_owns_the_newest_epoch_is_written_down_before_it_is_used_and_after_it_knows() {
    let mut daemon = Daemon::start("notes", 0);
    let (first, _segment) = daemon.controller();
    let expected = ["plc 1", "keep 1 of plc 1", "plc settled"];
    assert_eq!(std::mem::take(&mut daemon.host.notes), expected);
    let (second, _next) = daemon.controller();
    daemon.end(first);
    let expected = ["plc left", "plc 2", "forget plc 1", "keep 1 of plc 2", "plc settled"];
    assert_eq!(std::mem::take(&mut daemon.host.notes), expected);
    daemon.end(second);
    assert_eq!(daemon.host.notes, ["plc left"], "its last segment is kept");
}

#[test]
fn segments_of_an_epoch_are_kept_together_and_as_long_as_one_of_them_is_the_last_state() {
    let mut daemon = Daemon::start("together", 0);
    let both = |daemon: &mut Daemon| {
        let who = daemon.join("plc");
        let segments = ["plant", "trend"].map(|region| {
            let asked = Registration { region: name(region), ..registration() };
            let (_, file) = daemon.ask(&who, &Request::Register(asked), None);
            Segment::open(file.unwrap(), true).unwrap()
        });
        daemon.ask(&who, &Request::Ready, None);
        (who, segments)
    };
    let kept = |daemon: &mut Daemon| -> Vec<String> {
        let notes = std::mem::take(&mut daemon.host.notes).into_iter();
        notes.filter(|it| it.starts_with("keep") || it.starts_with("forget")).collect()
    };
    let (first, segments) = both(&mut daemon);
    assert_eq!(kept(&mut daemon), ["keep 2 of plc 1"]);
    segments.iter().for_each(|segment| publish(segment, 1));
    let (second, [plant, trend]) = both(&mut daemon);
    daemon.end(first);
    assert_eq!(kept(&mut daemon), ["keep 2 of plc 2"], "what there is to go on from stays");
    publish(&plant, 2);
    daemon.turn();
    assert!(kept(&mut daemon).is_empty(), "the last state of the other region is of epoch 1");
    publish(&trend, 2);
    daemon.turn();
    assert_eq!(kept(&mut daemon), ["forget plc 1"]);
    // One that never commits is not kept beside what it was to go on from.
    let (third, _) = both(&mut daemon);
    daemon.end(second);
    assert_eq!(kept(&mut daemon), ["keep 2 of plc 3"]);
    let (_fourth, _) = both(&mut daemon);
    daemon.end(third);
    assert_eq!(kept(&mut daemon), ["forget plc 3", "keep 2 of plc 4"]);
}

#[test]
fn while_an_owner_from_before_lives_nobody_takes_over_and_its_end_lets_the_standby() {
    let mut daemon = Daemon::start("awaited", 4);
    let mut owner = Child::start();
    daemon.broker.await_owner(name("plc"), owner.awaited());
    let (standby, _segment) = daemon.controller();
    assert_eq!(standby.office(), (Role::Standby, 4));
    let refused = daemon.broker.switch_over(name("plc"), &mut daemon.host).unwrap_err();
    assert_eq!(refused, SwitchoverRefused::OwnerIsOut(name("plc"), owner.pid()));
    assert!(refused.to_string().contains(&owner.pid().to_string()), "{refused}");
    assert_eq!(daemon.broker.applications()[0].awaited, Some(owner.pid()));
    owner.kill();
    let mut waits: Vec<_> = daemon.broker.poll_fds().collect();
    assert!(nix::poll::poll(&mut waits, 10_000u16).unwrap() > 0, "nobody is told");
    drop(waits);
    daemon.turn();
    assert_eq!(standby.office(), (Role::Active, 5));
    assert!(daemon.host.events.contains(&Event::OwnerGone(name("plc"), owner.pid())));
    assert_eq!(daemon.host.notes[0], "plc left");
}

#[test]
fn an_owner_that_comes_back_with_its_segment_goes_on_and_another_process_with_it_does_not() {
    let mut daemon = Daemon::start("comes-back", 0);
    let (_first, segment) = daemon.controller();
    publish(&segment, 1);
    let come_back = |daemon: &mut Daemon| {
        let again = daemon.join("plc");
        let held = Registration { held_epoch: 1, ..registration() };
        daemon.ask(&again, &Request::Register(held), Some(segment.file()));
        daemon.ask(&again, &Request::Ready, None);
        again
    };
    daemon.restart(1);
    let child = Child::start();
    daemon.broker.await_owner(name("plc"), child.awaited());
    let stranger = come_back(&mut daemon);
    assert_eq!(stranger.office().0, Role::Standby, "it is not the process that owned it");
    daemon.restart(1);
    let pid = i32::try_from(std::process::id()).unwrap();
    let process = process::open(pid).unwrap();
    let owner = AwaitedOwner { pid, process, may_not_know: false };
    daemon.broker.await_owner(name("plc"), owner);
    let (standby, _next) = daemon.controller();
    assert_eq!(standby.office(), (Role::Standby, 1), "of the same process, but holding nothing");
    let owner = come_back(&mut daemon);
    assert_eq!(owner.office(), (Role::Active, 1), "although another was there before it");
    assert_eq!(standby.office(), (Role::Standby, 1));
    publish(&segment, 2);
    let (_reader, _, file) = daemon.reader(&[]);
    assert_eq!(newest(file.unwrap()), (1, 2));
}

#[test]
fn an_owner_that_was_never_told_so_comes_back_and_another_may_be_active() {
    let mut daemon = Daemon::start("never-told", 3);
    let pid = i32::try_from(std::process::id()).unwrap();
    let process = process::open(pid).unwrap();
    daemon.broker.await_owner(name("plc"), AwaitedOwner { pid, process, may_not_know: true });
    let (who, _segment) = daemon.controller();
    assert_eq!(who.office(), (Role::Active, 4));
}

#[test]
fn a_segment_that_was_kept_is_in_force_again_for_readers_and_nothing_else_is() {
    let mut daemon = Daemon::start("kept", 0);
    let (first, segment) = daemon.controller();
    publish(&segment, 7);
    let (standby, prepared) = daemon.controller();
    let kept = || segment.file().try_clone().unwrap();
    drop((first, standby));
    daemon.restart(1);
    for (what, file) in [
        ("never in force", prepared.file().try_clone().unwrap()),
        ("for reading", segment.for_reading().unwrap()),
        ("no segment", std::fs::File::open("/dev/null").unwrap().into()),
    ] {
        assert!(daemon.broker.adopt(name("plc"), 1, file).is_err(), "{what}");
    }
    assert_eq!(daemon.broker.adopt(name("plc"), 1, kept()).unwrap(), name("plant"));
    assert!(daemon.broker.adopt(name("plc"), 1, kept()).is_err(), "once");
    let (_reader, reply, file) = daemon.reader(&[]);
    assert_eq!(reply, "Attached { index: 0, epoch: 1 }");
    assert_eq!(newest(file.unwrap()), (1, 7));
    let report = daemon.broker.regions()[0].clone();
    let shown = report.segment.unwrap();
    assert_eq!((report.readers, shown.epoch, shown.writer), (1, 1, None));
    assert_eq!(shown.newest.map(|(sequence, stamp)| (sequence, stamp.cycle)), Some((1, 7)));
    let (_next, _) = daemon.controller();
    assert_eq!(segment.state().unwrap().superseded_by(), Some(2));
    // Its successor has no commit, so it is the state all the same.
    daemon.restart(2);
    assert_eq!(daemon.broker.adopt(name("plc"), 1, kept()).unwrap(), name("plant"));
    let (_reader, reply, file) = daemon.reader(&[]);
    assert_eq!((&*reply, newest(file.unwrap())), ("Attached { index: 0, epoch: 1 }", (1, 7)));
    let (_next, segment) = daemon.controller();
    let (reader, reply, _) = daemon.reader(&[]);
    assert_eq!(reply, "Attached { index: 0, epoch: 1 }");
    let (reply, file) = reader.hear().unwrap();
    assert_eq!(reply, "Segment { index: 0, epoch: 3 }", "and the one in force behind it");
    publish(&segment, 8);
    daemon.turn();
    assert_eq!(newest(file.unwrap()), (3, 8));
    let (_reader, reply, file) = daemon.reader(&[]);
    assert_eq!((&*reply, newest(file.unwrap())), ("Attached { index: 0, epoch: 3 }", (3, 8)));
    daemon.restart(0);
    assert!(daemon.broker.adopt(name("plc"), 1, kept()).is_err(), "an epoch that was never stored");
}

#[test]
fn who_is_of_no_application_that_is_configured_reads_only() {
    let mut daemon = Daemon::start("unknown", 0);
    let (_first, segment) = daemon.controller();
    publish(&segment, 3);
    let who = daemon.join("tool");
    let attach = Request::Attach { region: name("plant"), schema: &[] };
    let (reply, file) = daemon.ask(&who, &attach, None);
    assert_eq!(
        (reply.as_str(), newest(file.unwrap())),
        ("Attached { index: 0, epoch: 1 }", (1, 3))
    );
    let refused = daemon.ask(&who, &Request::Register(registration()), None).0;
    assert!(refused.contains("NotPermitted"), "{refused}");
    let of_it = |event: &&Event| matches!(event, Event::Joined(name, _) if name.as_str() == "tool");
    assert_eq!(daemon.host.events.iter().find(of_it), None, "who only looks is no news");
}

#[test]
fn a_segment_that_is_not_the_one_in_force_is_not_taken_for_it() {
    let mut daemon = Daemon::start("forged", 0);
    let (_first, segment) = daemon.controller();
    let (_standby, prepared) = daemon.controller();
    for (what, file, epoch, stored) in [
        ("of another epoch", segment.file(), 2, 2),
        ("never in force", prepared.file(), 1, 1),
        ("for reading", &segment.for_reading().unwrap(), 1, 1),
        ("none at all", &OwnedFd::from(std::fs::File::open("/dev/null").unwrap()), 1, 1),
    ] {
        daemon.restart(stored);
        daemon.host = Told::default();
        let who = daemon.join("plc");
        let held = Registration { held_epoch: epoch, ..registration() };
        let (reply, _) = daemon.ask(&who, &Request::Register(held), Some(file));
        assert_eq!(reply, "Registered { index: 0 }");
        daemon.ask(&who, &Request::Ready, None);
        assert_eq!(who.office(), (Role::Active, stored + 1), "{what}");
    }
}

#[test]
fn an_epoch_that_cannot_be_stored_makes_nobody_active_until_it_can() {
    let mut daemon = Daemon::start("storage", 0);
    daemon.host.cannot_store = true;
    let (who, segment) = daemon.controller();
    assert_eq!(who.office(), (Role::Standby, 0));
    assert_eq!(segment.state().unwrap().epoch(), None);
    assert!(daemon.host.events.iter().any(|event| matches!(event, Event::Failed(_))));
    daemon.host.cannot_store = false;
    daemon.turn();
    assert_eq!(who.office(), (Role::Active, 1));
}

#[test]
fn other_schemas_are_refused_with_the_first_difference() {
    let schema = |kind| {
        let mut buffer = vec![0; 1_000];
        let mut builder = SchemaBuilder::new(&mut buffer);
        builder.push(Block { name: "speed", kind, count: 32 }).unwrap();
        builder.finish().unwrap().octets().to_vec()
    };
    let (ours, theirs) = (schema(Kind::F64), schema(Kind::U64));
    let mut daemon = Daemon::start("schemas", 0);
    let register = |schema| {
        let layout = Layout::new(OCTETS, 4, 0).unwrap();
        Request::Register(Registration::new(name("plant"), layout, schema))
    };
    let first = daemon.join("plc");
    assert_eq!(daemon.ask(&first, &register(&ours), None).0, "Registered { index: 0 }");
    let second = daemon.join("plc");
    let refused = daemon.ask(&second, &register(&theirs), None).0;
    assert!(refused.contains("OtherSchema") && refused.contains("speed"), "{refused}");
    let (_, refused, _) = daemon.reader(&theirs);
    assert!(refused.contains("OtherSchema") && refused.contains("speed"), "{refused}");
    let (_, attached, _) = daemon.reader(&ours);
    assert_eq!(attached, "Attached { index: 0, epoch: 0 }");
    let refused = daemon.ask(&second, &register(&[1, 2, 3]), None).0;
    assert!(refused.contains("BadRequest"), "{refused}");
}

#[test]
fn who_may_not_write_is_refused_and_nothing_of_it_stays() {
    let mut daemon = Daemon::start("rights", 0);
    daemon.host.read_only = true;
    let who = daemon.join("plc");
    let (reply, file) = daemon.ask(&who, &Request::Register(registration()), None);
    assert!(reply.contains(&format!("{:?}", RefusalCode::NotPermitted)), "{reply}");
    assert!(file.is_none());
    assert!(daemon.ask(&who, &Request::Ready, None).0.contains("BadRequest"));
    assert_eq!(who.office(), (Role::None, 0));
}

#[test]
fn nonsense_is_answered_and_harms_nobody() {
    let mut daemon = Daemon::start("nonsense", 0);
    let (first, _segment) = daemon.controller();
    let socket = daemon.folder.join("socket");
    for octets in [&b"GET / HTTP/1.0\r\n"[..], b"BMPR?\0\xff\xff", b"BMPR?\0\x01\0\x04", b"x"] {
        let stranger = Connection::open(&socket).unwrap();
        stranger.send(octets, None).unwrap();
        daemon.turn();
        let mut buffer = vec![0; MESSAGE_OCTETS_MAX];
        let reply = stranger.receive(&mut buffer).unwrap().unwrap();
        assert!(matches!(Reply::decode(reply.octets), Ok(Reply::Refused { .. })));
        assert!(stranger.receive(&mut buffer).unwrap().is_none(), "hung up");
        first.connection.send(octets, None).unwrap();
        daemon.turn();
        assert!(first.hear().unwrap().0.starts_with("Refused"));
    }
    // More strangers than there is room for, who say nothing.
    let silent: Vec<_> = (0..40).filter_map(|_| Connection::open(&socket).ok()).collect();
    daemon.turn();
    assert_eq!(first.office(), (Role::Active, 1));
    // Their connections are taken, or wait: nobody waits for them to say something.
    let end = MonotonicClock::now() + Duration::from_secs(30);
    let hello = Request::Hello { application: name("hmi"), library: "test" };
    let welcome = loop {
        assert!(MonotonicClock::now() < end, "who says nothing keeps the door shut");
        std::thread::sleep(std::time::Duration::from_millis(20));
        daemon.turn();
        let Ok(connection) = Connection::open(&socket) else { continue };
        let late = Participant { connection, page: None };
        late.say(&hello, None);
        daemon.turn();
        if let Some((welcome, _)) = late.hear() {
            break welcome;
        }
    };
    assert!(welcome.starts_with("Welcome"), "{welcome}");
    drop(silent);
    daemon.turn();
    daemon.join("hmi");
}

#[test]
fn who_does_not_read_is_hung_up_on() {
    let mut daemon = Daemon::start("deaf", 0);
    let deaf = daemon.join("hmi");
    let wake = Request::Wake { region: name("plant"), wanted: true };
    for _ in 0..5_000 {
        let mut buffer = vec![0; MESSAGE_OCTETS_MAX];
        if deaf.connection.send(wake.encode(&mut buffer).unwrap(), None).is_err() {
            break;
        }
        daemon.turn();
    }
    let left = |event: &Event| matches!(event, Event::Left(..));
    assert!(daemon.host.events.iter().any(left), "it still waits for it");
    assert_eq!(deaf.office(), (Role::None, 0));
    daemon.controller();
}
