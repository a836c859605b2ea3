//! A writer that dies at any instruction leaves a whole image.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::fd::AsRawFd as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bumpless::image::{ImageReader, ImageWriter, NoImage, Stamp};
use bumpless::os::mapping::Mapping;
use bumpless::os::segment::{Segment, boot_id};
use bumpless::segment::{Header, Layout, RegionName};
use nix::fcntl::{OFlag, open};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

/// Says to this program that it is the writer, and how large its images are.
const WRITER: &str = "BUMPLESS_TEST_WRITER";
const EPOCH: u64 = 9;

fn soak() -> bool {
    std::env::var_os("BUMPLESS_SOAK").is_some_and(|value| value == "1")
}

fn segment(octets: usize) -> Segment {
    let header = Header {
        layout: Layout::new(octets, 4, 0).unwrap(),
        schema_hash: 0,
        boot_id: boot_id().unwrap(),
        name: RegionName::new("torture").unwrap(),
    };
    Segment::create(&header, &[]).unwrap()
}

/// The image of a cycle: each octet follows from the cycle and its place.
fn fill(image: &mut [u8], cycle: u64) {
    for (index, octets) in image.chunks_mut(8).enumerate() {
        let word = (cycle << 20 ^ index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        octets.copy_from_slice(&word.to_le_bytes()[..octets.len()]);
    }
}

struct Watch {
    reader: ImageReader<Mapping>,
    image: Vec<u8>,
    expected: Vec<u8>,
    newest: u64,
}

impl Watch {
    fn new(segment: &Segment) -> Self {
        let layout = segment.header().layout;
        let octets = layout.image_octets();
        let memory = Segment::open(segment.for_reading().unwrap(), false).unwrap().into_memory();
        let reader = ImageReader::new(memory, layout.place(), octets, EPOCH).unwrap();
        Self { reader, image: vec![0; octets], expected: vec![0; octets], newest: 0 }
    }

    /// Looks as a successor would: there is an image, it is one that was committed, and it is not
    /// older than the one seen before. Its cycle.
    fn look(&mut self) -> u64 {
        match self.reader.last_whole(&mut self.image) {
            Ok(found) => {
                fill(&mut self.expected, found.stamp.cycle);
                assert!(self.image == self.expected, "cycle {} is torn", found.stamp.cycle);
                assert!(found.stamp.cycle >= self.newest, "{found:?}, after {}", self.newest);
                self.newest = found.stamp.cycle;
            }
            Err(fault) => assert_eq!((fault, self.newest), (NoImage::Nothing, 0)),
        }
        self.newest
    }
}

/// Starts this program as a writer of the segment.
fn writer(segment: &Segment, stepped: bool) -> Child {
    let octets = segment.header().layout.image_octets();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_writer", "--nocapture", "--test-threads", "1"]);
    let file = format!("/proc/{}/fd/{}", std::process::id(), segment.file().as_raw_fd());
    command.env(WRITER, format!("{octets} {stepped} {file}"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Not a test: what a writer does, in a process of its own.
#[test]
fn the_writer() {
    let Ok(orders) = std::env::var(WRITER) else { return };
    let orders: Vec<_> = orders.split(' ').collect();
    let (octets, stepped): (usize, bool) = (orders[0].parse().unwrap(), orders[1].parse().unwrap());
    let file = open(orders[2], OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
    if stepped {
        ptrace::traceme().unwrap();
        raise(Signal::SIGSTOP).unwrap();
    }
    let segment = Segment::open(file, true).unwrap();
    let place = segment.header().layout.place();
    let mut image = vec![0; octets];
    let mut before = vec![0; octets];
    let memory = segment.into_memory();
    let mut found = ImageReader::new(&*memory, place, octets, EPOCH).unwrap();
    let first = found.newest(&mut before).map_or(0, |image| image.stamp.cycle) + 1;
    let mut writer = ImageWriter::new(&*memory, place, octets).unwrap();
    for cycle in first.. {
        fill(&mut image, cycle);
        let stamp = Stamp { epoch: EPOCH, cycle, ..Stamp::default() };
        writer.publish(&image, stamp).unwrap();
        if stepped && cycle == first + 5 {
            raise(Signal::SIGSTOP).unwrap();
        }
    }
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_writer_killed_at_random_leaves_a_whole_image_and_its_successor_goes_on() {
    let kills = if soak() { 20_000 } else { 150 };
    for octets in [64, 4_096, 1 << 20] {
        let segment = segment(octets);
        let mut watch = Watch::new(&segment);
        let mut random = 0x2545_f491_4f6c_dd1d_u64 ^ octets as u64;
        for _ in 0..kills / 3 {
            let before = watch.look();
            let child = writer(&segment, false);
            for _ in 0..10_000 {
                if watch.look() > before {
                    break;
                }
                std::thread::sleep(Duration::from_micros(200));
            }
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            std::thread::sleep(Duration::from_nanos(random % 2_000_000));
            watch.look();
            end(child);
            assert!(watch.look() > before, "each writer gets to a commit of its own");
        }
    }
}

/// What a writer leaves when it is killed is what stands in the memory between two instructions; so
/// each such state is looked at, and only some of them are brought about by a kill.
#[test]
fn at_each_instruction_of_attach_and_of_six_commits_there_is_a_whole_image() {
    // A few octets, and so many that they are copied by other instructions.
    for octets in [64, 1_000] {
        step_through_six_commits(octets);
    }
}

fn step_through_six_commits(octets: usize) {
    let segment = segment(octets);
    let mut watch = Watch::new(&segment);
    let mut child = writer(&segment, true);
    // A test runs in a thread of its own there, and it is that thread which asked to be traced.
    let ours = Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD);
    let first = waitpid(None, ours).unwrap();
    let WaitStatus::Stopped(thread, Signal::SIGSTOP) = first else { panic!("{first:?}") };
    let stopped = |signal| WaitStatus::Stopped(thread, signal);
    let mut seen = [0u64; 8];
    let mut steps = 0u64;
    loop {
        ptrace::step(thread, None).unwrap();
        let status = waitpid(thread, ours).unwrap();
        if status == stopped(Signal::SIGSTOP) {
            break;
        }
        assert_eq!(status, stopped(Signal::SIGTRAP));
        steps += 1;
        let cycle = usize::try_from(watch.look()).unwrap();
        seen[cycle] += 1;
        assert!(steps < 3_000_000, "the writer does not come to its end");
    }
    child.kill().unwrap();
    // Who traces a thread hears of its end first; then whoever waits for the process.
    assert_eq!(
        waitpid(thread, ours).unwrap(),
        WaitStatus::Signaled(thread, Signal::SIGKILL, false)
    );
    child.wait().unwrap();
    println!("{octets} octets: {steps} instructions; by newest cycle: {seen:?}");
    assert_eq!(seen[7], 0);
    assert!(seen[..7].iter().all(|&count| count > 20), "{seen:?}");
    assert_eq!(watch.look(), 6);
}
