//! From the publication of an image to its being observed by another process.
//!
//! A thread of this process publishes an image into a ring of the library at each planned instant;
//! a thread of a second process, on another processor, observes it, first polling the ring and then
//! sleeping until it is woken as the library wakes its readers. The instant before the commit
//! travels in the image's stamp. A sample ends when the image has been copied out and its checksum
//! has been verified. Both read CLOCK_MONOTONIC, which is one for all processors: no clock is
//! compared with another. What counts as lost, and what as late, is said in [`account`].
//!
//! | Series | Sample |
//! |---|---|
//! | `polling` | from before the commit to the verified image, in a reader that polls |
//! | `woken` | the same in a reader that sleeps; the writer's call that wakes it is within |
//! | `commit` | the commit alone, at the writer, without that call |
//!
//! The segment is the probe's own, so an application that runs beside it is not touched. The ways
//! of waiting come one after the other, each with its share of the run: a reader that polls every
//! other image keeps its processor awake for those for which it sleeps. The clock is read once more
//! between commit and wake-up, which is within the samples of `woken`.
//!
//! Rejected: a second thread instead of a second process. It is not what an application does: other
//! page tables, another entry into the kernel, and no futex that processes share.
//!
//! | Module | Holds |
//! |---|---|
//! | [`account`] | what became of each planned image |
//! | [`talk`] | what the two processes tell each other |
//! | `reader` | the second process |
//! | [`region`] | a live application's region in place of an own one |
//! | `watch` | the second process as the first one sees it |
//! | `writer` | the thread that publishes |

pub mod account;
mod reader;
pub mod region;
pub mod talk;
mod watch;
mod writer;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, ValueEnum};
use rt_core::limits::IMAGE_OCTETS_MAX;
use rt_core::os::clock::MonotonicClock;
use rt_core::os::thread::RtThread;
use shm_replica::os::segment::{Segment, boot_id};
use shm_replica::segment::{Header, Layout, RegionName};
use tools::exit::Failure;

use super::super::report::{Measure, Series};
use super::{Asked, Probing, Progress};
use account::{Course, Way};
use talk::Orders;
use watch::Watch;
use writer::Writing;

pub use reader::reader_main;

/// The word on the command line that makes this program the second process; what follows it is for
/// [`reader_main`].
pub const READER: &str = "shm-reader";

/// Slots of the ring: the usual number.
const SLOTS: usize = rt_core::limits::RING_SLOTS_DEFAULT;

/// What is published and how it is observed.
#[derive(Args, Clone, PartialEq, Eq, Debug)]
#[command(next_help_heading = "Images")]
pub struct ShmOptions {
    /// Octets of an image
    #[arg(long, value_name = "OCTETS", default_value_t = 1_024)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=IMAGE_OCTETS_MAX as i64))]
    pub octets: u32,

    /// How the reader learns of an image: by polling, woken, or both, each in one half of the run.
    /// A real-time reader that polls leaves its processor to nothing of lower priority: name one
    /// that no controller needs [default: both; woken with --region and where writer and reader
    /// share a processor]
    #[arg(long, value_enum, value_name = "HOW")]
    pub wait: Option<Wait>,

    /// Observe this region of a running application, as one more reader, and publish nothing: the
    /// period is the application's, and the reader runs on the first processor. One that is woken
    /// adds a system call to each commit
    #[arg(long, value_name = "NAME", conflicts_with = "octets")]
    pub region: Option<String>,

    /// The daemon's socket for regions [default: that of the one instance in /run/bumpless]
    #[arg(long, value_name = "FILE", requires = "region")]
    pub socket: Option<PathBuf>,
}

impl Default for ShmOptions {
    fn default() -> Self {
        Self { octets: 1_024, wait: None, region: None, socket: None }
    }
}

/// How a reader learns of an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Wait {
    /// It looks again and again.
    Polling,
    /// It sleeps and is woken.
    Woken,
    /// The one, and then the other.
    Both,
}

impl Wait {
    const fn ways(self) -> &'static [Way] {
        match self {
            Self::Polling => &[Way::Polling],
            Self::Woken => &[Way::Woken],
            Self::Both => &[Way::Polling, Way::Woken],
        }
    }
}

/// The program that is the second process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// Its file.
    pub file: PathBuf,
    /// Its arguments before those for [`reader_main`].
    pub arguments: Vec<OsString>,
}

impl Default for Program {
    /// This one, whatever has become of its file since.
    fn default() -> Self {
        Self { file: "/proc/self/exe".into(), arguments: vec![READER.into()] }
    }
}

/// Starts to measure. The writer is on the first of the processors that are asked for, the reader
/// on the second one; where they are fewer, see [`processors`]. The memory of this process is the
/// caller's to lock; the second process locks its own.
///
/// The calling thread has to live as long as the measurement: the second process is ended when it
/// ends.
///
/// # Errors
/// What is asked for does not go together, a thread is not granted what it has to have, or the
/// second process does not start.
pub fn start(asked: &Asked, options: &ShmOptions) -> Result<Box<dyn Probing>, Failure> {
    Ok(match &options.region {
        Some(name) => Box::new(region::start(asked, options, name)?),
        None => Box::new(start_with(&Program::default(), asked, options)?),
    })
}

/// As [`start`] of an own segment, with the program for the second process.
///
/// # Errors
/// As there.
pub fn start_with(program: &Program, asked: &Asked, options: &ShmOptions) -> Result<Shm, Failure> {
    let (cpus, wait) = processors(&asked.cpus, options.wait)?;
    let ways = wait.ways();
    if asked.cycles < ways.len() as u64 {
        let what = format!("{} images are too few for {} ways to wait", asked.cycles, ways.len());
        return Err(Failure::usage(what, "ask for more of them, or say --wait woken"));
    }
    let course = Course::new(ways, asked.cycles, asked.interval);
    let segment = segment(options.octets)?;
    let orders = Orders {
        parent: std::process::id(),
        course: course.clone(),
        begin_ns: MonotonicClock::now().as_nanos(),
        cpu: cpus[1],
        policy: asked.policy.into(),
        allow_non_rt: asked.allow_non_rt,
    };
    let stops = Arc::new(AtomicBool::new(false));
    let reading = segment.for_reading().map_err(|error| failed(&error))?;
    let mut watch = Watch::start(program, &orders, reading, Arc::clone(&stops))?;
    watch.becomes_ready()?;
    let writing = Writing {
        course,
        cpu: cpus[0],
        policy: asked.policy,
        allow_non_rt: asked.allow_non_rt,
        begin: orders.begin(),
    };
    let writer = writing.start(segment, Arc::clone(&stops))?;
    Ok(Shm { writer, watch, stops, course: orders.course, octets: options.octets })
}

/// Where writer and reader run, and how the reader waits.
///
/// # Errors
/// Usage: a reader that polls where the writer has to run, too, and so never would.
pub fn processors(cpus: &[usize], wait: Option<Wait>) -> Result<([usize; 2], Wait), Failure> {
    let [writer, reader] = match *cpus {
        [writer, reader, ..] => [writer, reader],
        [only] if wait == Some(Wait::Woken) => [only, only],
        [only] => {
            let what = format!(
                "shm: the writer and a reader that polls need a processor each, and there is only \
                 CPU {only}"
            );
            return Err(Failure::usage(what, "name two (-a 1,2), or say --wait woken"));
        }
        [] => return Err(Failure::usage("shm: no processor to measure on", "name two (-a 1,2)")),
    };
    let is_shared = writer == reader;
    match wait {
        Some(Wait::Polling | Wait::Both) if is_shared => Err(Failure::usage(
            format!("shm: who polls on CPU {reader} keeps the writer there from publishing"),
            "name two processors (-a 1,2), or say --wait woken",
        )),
        None if is_shared => Ok(([writer, reader], Wait::Woken)),
        wait => Ok(([writer, reader], wait.unwrap_or(Wait::Both))),
    }
}

fn segment(image_octets: u32) -> Result<Segment, Failure> {
    let header = Header {
        layout: Layout::new(image_octets as usize, SLOTS, 0).map_err(|error| failed(&error))?,
        schema_hash: 0,
        boot_id: boot_id().map_err(|error| failed(&error))?,
        name: RegionName::new("latency").map_err(|error| failed(&error))?,
    };
    Segment::create(&header, &[]).map_err(|error| failed(&error))
}

/// The failure of something that has nothing more to say.
fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::failed(format!("shm: {error}"), "")
}

/// A measurement that goes on.
#[derive(Debug)]
pub struct Shm {
    writer: RtThread<writer::Body>,
    watch: Watch,
    stops: Arc<AtomicBool>,
    course: Course,
    octets: u32,
}

impl Shm {
    /// The number of the second process.
    #[must_use]
    pub fn reader(&self) -> u32 {
        self.watch.pid()
    }
}

impl Probing for Shm {
    fn more(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("octets".to_owned(), self.octets.to_string())])
    }

    fn progress(&self) -> Progress {
        let [over, lost, max_ns] = self.watch.so_far();
        Progress { over, planned: self.course.images(), lost, max_ns }
    }

    fn is_over(&self) -> bool {
        self.writer.is_finished() && self.watch.is_over()
    }

    fn stop(&self) {
        self.stops.store(true, Ordering::Relaxed);
    }

    fn finish(self: Box<Self>) -> Result<Vec<Series>, Failure> {
        let Self { writer, watch, course, .. } = *self;
        let joined = writer.join_with_report();
        let (written, report) = joined.map_err(|panic| failed(&panic))?;
        let published = written.map_err(|error| failed(&error))?;
        let mut series = watch.finish(&course, published.images)?;
        let facts = published.used.facts(&report);
        series.push(Series::new("commit", Measure::Span, &published.commits).by(facts));
        Ok(series)
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};
    use tools::exit::ExitCode;

    use super::*;
    use crate::latency::options::Options;

    #[derive(Parser, Debug)]
    struct CommandLine {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        images: ShmOptions,
    }

    #[test]
    fn its_options_stand_beside_those_of_each_probe() {
        CommandLine::command().debug_assert();
        let parse = |words: &str| CommandLine::try_parse_from(words.split(' '));
        assert_eq!(parse("x").unwrap().images, ShmOptions::default());
        let said = parse("x -i 500 --octets 64 --wait woken").unwrap();
        assert_eq!((said.images.octets, said.images.wait), (64, Some(Wait::Woken)));
        assert_eq!(said.options.interval, 500);
        let live = parse("x --region plant --socket /s").unwrap().images;
        assert_eq!((live.region.as_deref(), live.socket), (Some("plant"), Some("/s".into())));
        for refused in
            ["x --octets 0", "x --octets 67108865", "x --socket /s", "x --region a --octets 9"]
        {
            assert!(parse(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_reader_that_polls_has_a_processor_of_its_own_or_there_is_an_error_that_says_so() {
        use Wait::{Both, Polling, Woken};
        assert_eq!(processors(&[3, 1], None), Ok(([3, 1], Both)));
        assert_eq!(processors(&[0, 1, 2, 3], Some(Polling)), Ok(([0, 1], Polling)));
        assert_eq!(processors(&[2, 2], None), Ok(([2, 2], Woken)));
        assert_eq!(processors(&[2], Some(Woken)), Ok(([2, 2], Woken)));
        for (cpus, wait) in [
            (&[0][..], None),
            (&[0], Some(Polling)),
            (&[0], Some(Both)),
            (&[2, 2], Some(Polling)),
            (&[2, 2], Some(Both)),
            (&[], None),
        ] {
            let refused = processors(cpus, wait).unwrap_err();
            assert_eq!(refused.code, ExitCode::Usage);
            assert!(refused.remedy.contains("-a 1,2"), "{refused}");
            assert_eq!(refused.remedy.contains("--wait woken"), !cpus.is_empty(), "{refused}");
        }
    }
}
