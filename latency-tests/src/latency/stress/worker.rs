//! What a process of a load does, until it is killed.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration as StdDuration;

use memmap2::MmapMut;
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, unshare};
use nix::sys::prctl::set_name;
use nix::sys::statfs::statfs;
use nix::sys::statvfs::statvfs;
use nix::unistd::Pid;
use rt_core::os::clock::MonotonicClock;
use rt_core::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

use super::Kind;
use super::board::{self, Said};
use crate::os::net::set_interface_up;

/// Tells a program that it is to work for a load, and what; its input is the board then.
pub const WORKER: &str = "BUMPLESS_STRESS_WORKER";

/// From one word on the board to the next.
const SAY_EVERY: Duration = Duration::from_millis(50);
/// Steps of a round of computing: some milliseconds.
const STEPS: u64 = 1 << 20;
/// Datagrams that are on their way at once; all fit a socket's default buffer.
const BATCH: usize = 32;
/// Sizes of datagrams, in turn.
const DATAGRAMS: [usize; 3] = [64, 512, 1_400];
/// The largest file; also a sixteenth of what is free.
const FILE_OCTETS_MAX: u64 = 16 << 20;
const FREE_SHARE: u64 = 16;
/// Octets of a write, and writes until they have to have reached the disk.
const WRITE_OCTETS: usize = 256 << 10;
const WRITES_PER_SYNC: u64 = 4;
/// A disk that wears out is not written faster.
const OCTETS_PER_SECOND_MAX: u64 = 64 << 20;
/// The smallest page there is.
const PAGE_OCTETS: usize = 4_096;

/// What a process has to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) kind: Kind,
    /// Where it runs; where the kernel likes, without.
    pub(super) cpu: Option<usize>,
    /// Of memory, where the kind has that bound.
    pub(super) octets_max: u64,
}

/// To be called first by every program that starts a load: where it was started to work for one it
/// does so until it is killed, or returns what to end with because it cannot. Otherwise returns
/// none, at once.
#[must_use]
pub fn serve() -> Option<ExitCode> {
    let job = env::var(WORKER).ok()?;
    let mut work = Work { said: Said::default(), next: MonotonicClock::now() };
    let Err(error) = match serde_json::from_str(&job) {
        Ok(job) => run(&job, &mut work),
        Err(error) => Err(io::Error::other(format!("{WORKER}: {error}"))),
    };
    work.said.failure = Some(error.to_string());
    // Who looks at the exit code only is told, too.
    let _ = work.say();
    Some(ExitCode::FAILURE)
}

/// What it has done, and when it says so again.
struct Work {
    said: Said,
    next: Instant,
}

impl Work {
    fn round(&mut self, rounds: u64, octets: u64) -> io::Result<()> {
        let begun = self.said.rounds > 0;
        self.said.rounds = self.said.rounds.saturating_add(rounds);
        self.said.octets = self.said.octets.saturating_add(octets);
        let now = MonotonicClock::now();
        if begun && now < self.next {
            return Ok(());
        }
        self.next = now + SAY_EVERY;
        self.say()
    }

    fn say(&self) -> io::Result<()> {
        board::write(io::stdin().as_fd(), &self.said)
    }
}

/// Something that does not end but by a failure.
enum Never {}

fn run(job: &Job, work: &mut Work) -> io::Result<Never> {
    // For lists of processes; nothing depends on it.
    let _ = set_name(c"bumpless-stress");
    // Where memory becomes scarce it is the load that has to go. Not always permitted, no harm.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    if let Some(cpu) = job.cpu {
        let mut cpus = CpuSet::new();
        cpus.set(cpu)?;
        sched_setaffinity(Pid::from_raw(0), &cpus)
            .map_err(|errno| told(format!("CPU {cpu}"), errno.into()))?;
    }
    match job.kind {
        Kind::Cpu => compute(work),
        Kind::Mem => copy(work, job.octets_max),
        Kind::Net => exchange(work),
        Kind::Disk => write(work),
    }
}

fn told(what: impl AsRef<str>, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", what.as_ref()))
}

fn compute(work: &mut Work) -> io::Result<Never> {
    let mut number = 0x9e37_79b9_7f4a_7c15_u64;
    loop {
        for _ in 0..STEPS {
            number ^= number << 13;
            number ^= number >> 7;
            number ^= number << 17;
        }
        number = black_box(number);
        work.round(1, 0)?;
    }
}

/// Three quarters of its octets are copied to and fro, one is mapped and unmapped.
fn copy(work: &mut Work, octets_max: u64) -> io::Result<Never> {
    let octets = usize::try_from(octets_max).map_err(io::Error::other)? / 8 * 8;
    let half = octets / 8 * 3;
    let mut memory = vec![1u8; 2 * half];
    let (mut from, mut to) = memory.split_at_mut(half);
    loop {
        to.copy_from_slice(from);
        (from, to) = (black_box(to), from);
        let mut fresh = MmapMut::map_anon(octets / 4)?;
        for page in fresh.chunks_mut(PAGE_OCTETS) {
            page[0] = 1;
        }
        drop(black_box(fresh));
        work.round(1, (half + octets / 4) as u64)?;
    }
}

/// A round is a datagram.
fn exchange(work: &mut Work) -> io::Result<Never> {
    // Root need not be root: in a user namespace of its own everybody is.
    unshare(CloneFlags::CLONE_NEWNET)
        .or_else(|_| unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET))
        .map_err(|errno| told("a network namespace of its own", errno.into()))?;
    set_interface_up("lo", true).map_err(|error| told("lo up", error))?;
    let [from, to] = [0, 1].map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)));
    let (from, to) = (from?, to?);
    from.connect(to.local_addr()?)?;
    to.set_nonblocking(true)?;
    let mut datagram = [0; DATAGRAMS[2]];
    loop {
        for octets in DATAGRAMS.iter().cycle().take(BATCH) {
            from.send(&datagram[..*octets])?;
        }
        let (mut rounds, mut octets) = (0, 0);
        while rounds < 2 * BATCH as u64 {
            match to.recv(&mut datagram) {
                Ok(received) => octets += received as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            rounds += 1;
        }
        work.round(rounds, octets)?;
    }
}

/// A round is a file that reached the disk.
fn write(work: &mut Work) -> io::Result<Never> {
    let folder = folder_on_a_disk()?;
    let content: Vec<u8> = (0u8..=u8::MAX).cycle().take(WRITE_OCTETS).collect();
    loop {
        let begun = MonotonicClock::now();
        let free = statvfs(&folder)?;
        let free = free.blocks_available().saturating_mul(free.fragment_size());
        let writes = FILE_OCTETS_MAX.min(free / FREE_SHARE) / WRITE_OCTETS as u64;
        if writes == 0 {
            let what = folder.display().to_string();
            return Err(told(what, io::ErrorKind::StorageFull.into()));
        }
        let mut file = nameless_file(&folder)?;
        for number in 1..=writes {
            file.write_all(&content)?;
            if number % WRITES_PER_SYNC == 0 || number == writes {
                file.sync_all()?;
            }
        }
        drop(file);
        let octets = writes * WRITE_OCTETS as u64;
        work.round(1, octets)?;
        let least_ns = octets.saturating_mul(1_000_000_000) / OCTETS_PER_SECOND_MAX;
        let taken_ns = MonotonicClock::now().since(begun).as_nanos();
        sleep(StdDuration::from_nanos(least_ns.saturating_sub(taken_ns)));
    }
}

/// A file that is gone when it is closed, however that comes.
fn nameless_file(folder: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    if let Ok(file) = options.clone().custom_flags(libc::O_TMPFILE).open(folder) {
        return Ok(file);
    }
    // Not every file system has them: this one has a name for a moment.
    let path = folder.join(format!("bumpless-stress-{}", std::process::id()));
    let file = options.create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// The first folder for temporary files that does not lie in memory.
fn folder_on_a_disk() -> io::Result<PathBuf> {
    /// Not among the names of the crate that knows the others.
    const RAMFS: i64 = 0x8584_58f6;
    let places = [env::temp_dir(), "/var/tmp".into(), env::current_dir().unwrap_or_default()];
    let lies_in_memory = |path: &Path| {
        statfs(path).is_ok_and(|it| {
            let kind = it.filesystem_type();
            kind == nix::sys::statfs::TMPFS_MAGIC || kind.0 == RAMFS
        })
    };
    let fits = |path: &PathBuf| !lies_in_memory(path) && nameless_file(path).is_ok();
    places.into_iter().find(fits).ok_or_else(|| {
        io::Error::other(
            "no folder for temporary files lies on a disk and may be written (set TMPDIR to one)",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_load_has_no_name() {
        let scratch = tools::netlab::Scratch::new().unwrap();
        let mut file = nameless_file(scratch.path()).unwrap();
        file.write_all(b"content").unwrap();
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
        assert_eq!(file.metadata().unwrap().len(), 7);
    }

    #[test]
    fn who_was_not_started_for_a_load_goes_on() {
        assert!(serve().is_none());
    }
}
