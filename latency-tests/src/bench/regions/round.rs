//! One round of one contestant: two processes, started, listened to, and ended in every case.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::Deserialize;
use shm_replica::os::segment::{Segment, SegmentError, boot_id};
use shm_replica::segment::{Header, Layout, RegionName};
use tools::exit::{ExitCode, Failure};

use super::course::{Observed, Plan, Published};
use super::role::{READY, Role, Side};

/// Slots of the ring, and what iceoryx2 may queue for its reader.
pub const SLOTS: usize = 4;
/// A process that has nothing to say after its run and so long is stuck.
const PATIENCE: Duration = Duration::from_secs(30);
/// What names of iceoryx2's files in shared memory begin with.
const PREFIX: &str = "bumpless_bench_";

/// Who runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contestant {
    /// A cache line, without content.
    Line,
    /// The ring of images.
    Ring,
    /// The crate iceoryx2, whose reader copies the image out, as the ring's does.
    Iceoryx2,
    /// The same, whose reader verifies the image where it lies and keeps it there.
    Iceoryx2InPlace,
}

impl Contestant {
    /// As in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Line => "cache line",
            Self::Ring => "bumpless",
            Self::Iceoryx2 => "iceoryx2",
            Self::Iceoryx2InPlace => "iceoryx2 in place",
        }
    }
}

/// The programs that hold the ends, and where they run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// This program.
    pub own: PathBuf,
    /// The one with iceoryx2's ends.
    pub iceoryx2: Option<PathBuf>,
    /// The writer's CPU and the reader's.
    pub cpus: [Option<usize>; 2],
}

impl Place {
    /// Runs a contestant once.
    ///
    /// # Errors
    /// A process does not start, fails, or is stuck.
    pub fn run(
        &self,
        contestant: Contestant,
        plan: &Plan,
    ) -> Result<(Published, Observed), Failure> {
        let ends = self.ends(contestant, plan.image_octets)?;
        let [writer, reader] = [Side::Writer, Side::Reader];
        let mut reader = self.start(&ends, reader, plan, ends.for_reader()?)?;
        reader.hears(READY, PATIENCE)?;
        let mut writer = self.start(&ends, writer, plan, ends.for_writer()?)?;
        let length = Duration::from_nanos(plan.period.as_nanos().saturating_mul(plan.last()));
        let published = writer.says(length + PATIENCE)?;
        let observed = reader.says(PATIENCE)?;
        writer.ends()?;
        reader.ends()?;
        Ok((published, observed))
    }

    /// Passes a cache line to and fro; one way in ns.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn pass_line(&self, passes: u64) -> Result<f64, Failure> {
        let ends = self.ends(Contestant::Line, size_of::<u64>())?;
        let plan = Plan {
            image_octets: size_of::<u64>(),
            images: passes,
            warm_up: 0,
            period: rt_core::time::Duration::from_nanos(0),
            woken: false,
        };
        let mut pong = self.start(&ends, Side::Pong, &plan, ends.for_writer()?)?;
        pong.hears(READY, PATIENCE)?;
        let mut ping = self.start(&ends, Side::Ping, &plan, ends.for_writer()?)?;
        let found = ping.says(PATIENCE)?;
        let _: f64 = pong.says(PATIENCE)?;
        ping.ends()?;
        pong.ends()?;
        Ok(found)
    }

    fn ends(&self, contestant: Contestant, image_octets: usize) -> Result<Ends, Failure> {
        match contestant {
            Contestant::Ring => Ok(Ends::Segment("ring", segment(image_octets)?)),
            Contestant::Line => Ok(Ends::Segment("line", segment(size_of::<u64>())?)),
            Contestant::Iceoryx2 | Contestant::Iceoryx2InPlace => {
                let missing = || Failure::new(ExitCode::Missing, "no program for iceoryx2", "");
                let program = self.iceoryx2.clone().ok_or_else(missing)?;
                let copies_out = contestant == Contestant::Iceoryx2;
                Ok(Ends::Iceoryx2 { program, folder: Folder::make()?, copies_out })
            }
        }
    }

    fn start(
        &self,
        ends: &Ends,
        side: Side,
        plan: &Plan,
        input: Stdio,
    ) -> Result<Process, Failure> {
        let cpu = self.cpus[usize::from(matches!(side, Side::Reader | Side::Pong))];
        let mut role = Role::new(side, plan, cpu)?;
        let mut command = match ends {
            Ends::Segment(name, _) => {
                let mut command = Command::new(&self.own);
                command.args(["region-end", "--contestant", name]);
                command
            }
            Ends::Iceoryx2 { program, folder, copies_out } => {
                role.copies_out = *copies_out;
                let mut command = Command::new(program);
                command.arg("--root").arg(&folder.root).args(["--prefix", &folder.prefix]);
                command
            }
        };
        command.args(role.arguments()).stdin(input);
        Process::start(&mut command)
    }
}

/// What both ends of a contestant have.
enum Ends {
    Segment(&'static str, Segment),
    Iceoryx2 { program: PathBuf, folder: Folder, copies_out: bool },
}

impl Ends {
    fn for_writer(&self) -> Result<Stdio, Failure> {
        self.input(|segment| Ok(segment.file().try_clone()))
    }

    fn for_reader(&self) -> Result<Stdio, Failure> {
        self.input(|segment| segment.for_reading().map(Ok))
    }

    fn input(
        &self,
        file: impl FnOnce(&Segment) -> Result<io::Result<OwnedFd>, SegmentError>,
    ) -> Result<Stdio, Failure> {
        let Self::Segment(_, segment) = self else { return Ok(Stdio::null()) };
        let file = file(segment).map_err(|error| Failure::failed(error.to_string(), ""))?;
        file.map(Stdio::from).map_err(|error| Failure::failed(error.to_string(), ""))
    }
}

/// A segment for images of a size.
pub(super) fn segment(image_octets: usize) -> Result<Segment, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::failed(error.to_string(), "");
    let header = Header {
        layout: Layout::new(image_octets, SLOTS, 0).map_err(|error| failed(&error))?,
        schema_hash: 0,
        boot_id: boot_id().map_err(|error| failed(&error))?,
        name: RegionName::new("bench").map_err(|error| failed(&error))?,
    };
    Segment::create(&header, &[]).map_err(|error| failed(&error))
}

/// What iceoryx2 leaves: files in a folder of ours, and in shared memory under a prefix of ours.
struct Folder {
    root: PathBuf,
    prefix: String,
}

impl Folder {
    fn make() -> Result<Self, Failure> {
        let prefix = format!("{PREFIX}{}_", std::process::id());
        let root = std::env::temp_dir().join(&prefix);
        let folder = Self { root, prefix };
        folder.clean();
        clean_after_the_dead();
        fs::create_dir(&folder.root).map_err(|error| {
            Failure::failed(format!("{}: {error}", folder.root.display()), "set TMPDIR")
        })?;
        Ok(folder)
    }

    /// A process that was ended could not do it itself.
    fn clean(&self) {
        let _ = fs::remove_dir_all(&self.root);
        for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&self.prefix) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Removes what a bench left that was killed.
fn clean_after_the_dead() {
    let is_of_the_dead = |name: &str| {
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_'));
        process.is_some_and(|(id, _)| {
            id.parse::<u32>().is_ok() && !PathBuf::from(format!("/proc/{id}")).exists()
        })
    };
    for folder in [PathBuf::from("/dev/shm"), std::env::temp_dir()] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if is_of_the_dead(&entry.file_name().to_string_lossy()) {
                let _ = fs::remove_file(entry.path());
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.clean();
    }
}

/// A running end. It ends with this value.
struct Process {
    name: String,
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Process {
    fn start(command: &mut Command) -> Result<Self, Failure> {
        // Whole, so that one that gets stuck is known by its end and its images.
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let name = words.map(|it| it.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let missing = |why: &dyn std::fmt::Display| {
            Failure::new(ExitCode::Missing, format!("{name}: {why}"), "")
        };
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| missing(&error))?;
        let (sender, lines) = mpsc::channel();
        if let Some(output) = child.stdout.take() {
            // Ends with the process's output, which ends with the process.
            std::thread::spawn(move || {
                let read = BufReader::new(output).lines().map_while(Result::ok);
                read.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
            });
        }
        Ok(Self { name, child, lines })
    }

    fn line(&self, within: Duration) -> Result<String, Failure> {
        self.lines.recv_timeout(within).map_err(|why| {
            let what = match why {
                mpsc::RecvTimeoutError::Timeout => "is stuck and was ended",
                mpsc::RecvTimeoutError::Disconnected => "has failed; see above",
            };
            Failure::new(ExitCode::Invalid, format!("{} {what}", self.name), "")
        })
    }

    fn hears(&mut self, wanted: &str, within: Duration) -> Result<(), Failure> {
        let line = self.line(within)?;
        if line == wanted {
            return Ok(());
        }
        Err(Failure::failed(format!("{} said `{line}`, not `{wanted}`", self.name), ""))
    }

    fn says<T: for<'a> Deserialize<'a>>(&mut self, within: Duration) -> Result<T, Failure> {
        let line = self.line(within)?;
        serde_json::from_str(&line)
            .map_err(|error| Failure::failed(format!("{} said `{line}`: {error}", self.name), ""))
    }

    /// Waits for its end, which is at hand: it has said everything.
    fn ends(&mut self) -> Result<(), Failure> {
        for _ in 0..1_000 {
            if let Ok(Some(status)) = self.child.try_wait() {
                if status.success() {
                    return Ok(());
                }
                return Err(Failure::failed(format!("{}: {status}", self.name), ""));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(Failure::new(ExitCode::Invalid, format!("{} does not end", self.name), ""))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
