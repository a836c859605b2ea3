//! Reading a region as any other reader does, through the daemon's socket.
//!
//! (The library's participant was the alternative: it gives images in the shape that its own
//! program has, and here they are wanted as they stand, with the schema that came with them.)

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rt_core::os::clock::MonotonicClock;
use shm_replica::attach::{MESSAGE_OCTETS_MAX, RefusalCode, Reply, Request};
use shm_replica::image::{ImageReader, NoImage};
use shm_replica::os::connection::Connection;
use shm_replica::os::mapping::Mapping;
use shm_replica::os::segment::Segment;
use shm_replica::segment::{Layout, RegionName};

use super::image::Shown;
use crate::daemon::regions::SOCKET_NAME;
use crate::exit::Failure;

/// How long the daemon may be silent.
const SILENCE_MS: u16 = 5_000;
/// The application that this command says it is of: one that nobody configures.
const APPLICATION: &str = "_bumpless";

/// A reader of one region.
pub(super) struct RegionReader {
    name: RegionName,
    connection: Connection,
    buffer: Vec<u8>,
    /// The segment in force.
    segment: Option<InForce>,
    /// The one before it, which is read until that has a commit.
    former: Option<InForce>,
}

struct InForce {
    reader: ImageReader<Mapping>,
    layout: Layout,
    schema: Vec<u8>,
}

impl InForce {
    /// The newest image that is whole; none before the first.
    fn last_whole(&self) -> Result<Option<Shown>, NoImage> {
        let mut image = vec![0; self.layout.image_octets()];
        let found = match self.reader.last_whole(&mut image) {
            Ok(found) => found,
            Err(NoImage::Nothing) => return Ok(None),
            Err(why) => return Err(why),
        };
        let now_ns = MonotonicClock::now().as_nanos();
        Ok(Some(Shown {
            sequence: found.sequence,
            stamp: found.stamp,
            age_ns: now_ns.saturating_sub(found.stamp.committed_at_ns),
            image,
            schema: self.schema.clone(),
        }))
    }
}

/// What the daemon says, as far as it matters here.
enum Said {
    Welcome,
    Attached,
    Segment(Option<OwnedFd>),
    Other,
}

impl RegionReader {
    /// Attaches to a region.
    ///
    /// # Errors
    /// No daemon runs there or it serves no such region (code 1), or it may not be read (code 3).
    pub(super) fn open(folder: &Path, name: RegionName) -> Result<Self, Failure> {
        let path = folder.join(SOCKET_NAME);
        let connection = Connection::open(&path).map_err(|error| not_there(folder, &error))?;
        let buffer = vec![0; MESSAGE_OCTETS_MAX];
        let mut this = Self { name, connection, buffer, segment: None, former: None };
        let application = RegionName::new(APPLICATION).unwrap_or(name);
        let library = env!("CARGO_PKG_VERSION");
        this.say(&Request::Hello { application, library })?;
        this.hear(|said| matches!(said, Said::Welcome))?;
        this.say(&Request::Attach { region: name, schema: &[] })?;
        this.hear(|said| matches!(said, Said::Attached))?;
        Ok(this)
    }

    /// The newest image that is whole; none before the first.
    ///
    /// # Errors
    /// The image is damaged.
    pub(super) fn look(&mut self) -> Result<Option<Shown>, Failure> {
        for segment in [&self.segment, &self.former].into_iter().flatten() {
            let found = segment.last_whole();
            let found = found.map_err(|why| {
                Failure::failed(
                    format!("region {}: no image is whole: {why}", self.name),
                    "look again; see who writes it with bumpless regions",
                )
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Waits for a time, and hears what the daemon says meanwhile.
    ///
    /// # Errors
    /// The daemon has ended.
    pub(super) fn wait(&mut self, time: Duration) -> Result<(), Failure> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let until = MonotonicClock::now() + rt_core::time::Duration::from_millis(millis(time));
        loop {
            let left = until.since(MonotonicClock::now()).as_millis();
            self.poll(u16::try_from(left).unwrap_or(u16::MAX));
            while self.next()?.is_some() {}
            if MonotonicClock::now() >= until {
                return Ok(());
            }
        }
    }

    fn poll(&self, millis: u16) {
        let mut waits = [PollFd::new(self.connection.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut waits, PollTimeout::from(millis));
    }

    fn say(&mut self, request: &Request<'_>) -> Result<(), Failure> {
        let octets = request.encode(&mut self.buffer);
        let octets = octets.map_err(|error| Failure::failed(error.to_string(), ""))?;
        self.connection.send(octets, None).map_err(|error| self.gone(&error.to_string()))
    }

    /// Hears the daemon until it has said what is waited for.
    fn hear(&mut self, is_it: impl Fn(&Said) -> bool) -> Result<(), Failure> {
        let until = MonotonicClock::now() + rt_core::time::Duration::from_millis(SILENCE_MS.into());
        loop {
            match self.next()? {
                Some(said) if is_it(&said) => return Ok(()),
                Some(_) => {}
                None if MonotonicClock::now() >= until => {
                    return Err(self.gone("it does not answer"));
                }
                None => self.poll(SILENCE_MS),
            }
        }
    }

    /// What the daemon has said, if there is something.
    fn next(&mut self) -> Result<Option<Said>, Failure> {
        let came = match self.connection.receive(&mut self.buffer) {
            Ok(Some(came)) => came,
            Ok(None) => return Err(self.gone("it closed the connection")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(self.gone(&error.to_string())),
        };
        let said = match Reply::decode(came.octets) {
            Ok(Reply::Welcome { .. }) => Said::Welcome,
            Ok(Reply::Attached { .. }) => match came.file {
                Some(file) => {
                    self.take(file)?;
                    Said::Attached
                }
                None => Said::Attached,
            },
            Ok(Reply::Segment { .. }) => Said::Segment(came.file),
            Ok(Reply::Refused { code, why }) => return Err(refused(self.name, code, why)),
            Ok(_) => Said::Other,
            Err(malformed) => {
                let remedy = "use the bumpless of the daemon's version";
                return Err(Failure::failed(malformed.to_string(), remedy));
            }
        };
        if let Said::Segment(Some(file)) = said {
            self.take(file)?;
            return Ok(Some(Said::Other));
        }
        Ok(Some(said))
    }

    fn take(&mut self, file: OwnedFd) -> Result<(), Failure> {
        let wrong = |why: String| Failure::failed(format!("region {}: {why}", self.name), "");
        let segment = Segment::open(file, false).map_err(|error| wrong(error.to_string()))?;
        let layout = segment.header().layout;
        let epoch = segment.state().map_err(|error| wrong(error.to_string()))?.epoch();
        let schema = segment.schema_octets();
        let memory = segment.into_memory();
        let reader =
            ImageReader::new(memory, layout.place(), layout.image_octets(), epoch.unwrap_or(0));
        let reader = reader.ok_or_else(|| wrong("its segment is damaged".to_owned()))?;
        let former = self.segment.replace(InForce { reader, layout, schema });
        self.former = former.filter(|it| it.last_whole().is_ok_and(|found| found.is_some()));
        Ok(())
    }

    fn gone(&self, why: &str) -> Failure {
        Failure::failed(
            format!("region {}: the daemon: {why}", self.name),
            "see with bumpless status whether it runs",
        )
    }
}

fn refused(region: RegionName, code: RefusalCode, why: &str) -> Failure {
    let message = format!("region {region}: {why}");
    match code {
        RefusalCode::NotPermitted => Failure::missing(
            format!("region {region}: this user may not read it"),
            "run as root or as a user that its read = [...] names",
        ),
        RefusalCode::UnknownRegion => Failure::failed(
            format!("there is no region {region}"),
            "bumpless regions lists those that there are",
        ),
        _ => Failure::failed(message, ""),
    }
}

fn not_there(folder: &Path, error: &io::Error) -> Failure {
    let folder = folder.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Failure::failed(
            format!("no bumplessd with regions runs in {folder}"),
            "start it, or choose another with --name or --runtime-dir",
        ),
        io::ErrorKind::PermissionDenied => Failure::missing(
            format!("no permission to talk to the daemon in {folder}"),
            "run as root or join the group of that folder",
        ),
        _ => Failure::failed(format!("{folder}: {error}"), "see the daemon's log"),
    }
}
