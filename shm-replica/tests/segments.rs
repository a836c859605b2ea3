//! Segments: what is made can be taken, and what is none is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::Ordering;

use bumpless::image::{ImageReader, ImageWriter, Stamp};
use bumpless::os::segment::{Segment, SegmentError, boot_id};
use bumpless::os::wake;
use bumpless::segment::{Header, Layout, RegionName, WrongHeader};
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use rt_core::os::clock::MonotonicClock;
use rt_core::time::{Duration, Instant};

const OCTETS: usize = 1_000;

fn header() -> Header {
    Header {
        layout: Layout::new(OCTETS, 4, 0).unwrap(),
        schema_hash: 0,
        boot_id: boot_id().unwrap(),
        name: RegionName::new("plant").unwrap(),
    }
}

fn refusal(file: OwnedFd) -> SegmentError {
    Segment::open(file, false).unwrap_err()
}

/// A memory file that holds what a segment's header says, changed by `change`, sealed by `seals`.
fn forged(change: impl FnOnce(&mut Vec<u8>), seals: SealFlag) -> OwnedFd {
    let true_one = Segment::create(&header(), &[]).unwrap();
    let words = true_one.memory().iter().map(|word| word.load(Ordering::Relaxed));
    let mut octets: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    change(&mut octets);
    let file = memfd_create("forged", MFdFlags::MFD_ALLOW_SEALING).unwrap();
    let mut file = File::from(file);
    file.write_all(&octets).unwrap();
    file.rewind().unwrap();
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).unwrap();
    file.into()
}

#[test]
fn an_image_crosses_from_the_writers_descriptor_to_the_readers() {
    let segment = Segment::create(&header(), &[]).unwrap();
    let reader = Segment::open(segment.for_reading().unwrap(), false).unwrap();
    let writer = Segment::open(segment.file().try_clone().unwrap(), true).unwrap();
    assert_eq!(*reader.header(), header());
    let place = header().layout.place();
    let mut writer = ImageWriter::new(writer.into_memory(), place, OCTETS).unwrap();
    let mut reader = ImageReader::new(reader.into_memory(), place, OCTETS, 5).unwrap();
    let mut into = vec![0; OCTETS];
    for cycle in 1..=10 {
        let stamp = Stamp { epoch: 5, cycle, ..Stamp::default() };
        writer.publish(&[cycle.to_le_bytes()[0]; OCTETS], stamp).unwrap();
        assert_eq!(reader.newest(&mut into).unwrap().stamp, stamp);
        assert_eq!(into, [cycle.to_le_bytes()[0]; OCTETS]);
    }
}

#[test]
fn who_waits_is_woken_by_each_commit_through_a_mapping_for_reading() {
    let segment = Segment::create(&header(), &[]).unwrap();
    let memory = Segment::open(segment.for_reading().unwrap(), false).unwrap().into_memory();
    let place = header().layout.place();
    let far = MonotonicClock::now() + Duration::from_secs(60);
    const COMMITS: u64 = 2_000;
    let waiter = std::thread::spawn(move || {
        let mut reader = ImageReader::new(memory, place, OCTETS, 5).unwrap();
        let mut into = vec![0; OCTETS];
        let (mut last, mut waits) = (0, 0);
        while last < COMMITS {
            assert!(wake::wait(reader.memory(), &place, last, far).unwrap(), "slept over a commit");
            waits += 1;
            if let Ok(image) = reader.newest(&mut into) {
                last = image.sequence;
            }
        }
        waits
    });
    let mut writer = ImageWriter::new(segment.into_memory(), place, OCTETS).unwrap();
    for cycle in 1..=COMMITS {
        let stamp = Stamp { epoch: 5, cycle, ..Stamp::default() };
        writer.publish(&[1; OCTETS], stamp).unwrap();
        wake::wake_all(writer.memory(), &place);
        if cycle % 16 == 0 {
            std::thread::yield_now();
        }
    }
    let waits = waiter.join().unwrap();
    assert!((1..=2 * COMMITS).contains(&waits), "{waits} waits for {COMMITS} commits");
}

#[test]
fn a_wait_for_a_commit_that_does_not_come_ends_when_it_should() {
    let segment = Segment::create(&header(), &[]).unwrap();
    let place = header().layout.place();
    let until = MonotonicClock::now() + Duration::from_millis(20);
    assert!(!wake::wait(segment.memory(), &place, 0, until).unwrap());
    assert!(MonotonicClock::now() >= until);
    assert!(wake::wait(segment.memory(), &place, 1, Instant::FAR_FUTURE).unwrap());
}

#[test]
fn a_reader_cannot_write_whatever_it_does_with_its_descriptor() {
    let segment = Segment::create(&header(), &[]).unwrap();
    let file = segment.for_reading().unwrap();
    assert!(Segment::open(file.try_clone().unwrap(), true).is_err(), "mapped for writing");
    let mode = File::from(file.try_clone().unwrap()).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "who is not its owner cannot open it again");
    assert!(nix::unistd::ftruncate(segment.file(), 0).is_err(), "sealed");
    assert!(nix::unistd::ftruncate(segment.file(), 1 << 20).is_err(), "sealed");
    assert!(nix::unistd::write(&file, &[0]).is_err());
    let reader = Segment::open(file, false).unwrap();
    assert_eq!(reader.memory().octets_at(0, 8), None, "no pointer to write through");
}

#[test]
fn what_is_no_segment_is_refused_with_its_reason() {
    let whole = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    Segment::open(forged(|_| {}, whole), true).unwrap();
    for seals in [SealFlag::empty(), SealFlag::F_SEAL_SEAL, whole - SealFlag::F_SEAL_SHRINK] {
        assert!(matches!(refusal(forged(|_| {}, seals)), SegmentError::NotSealed));
    }
    let size = header().layout.segment_octets();
    for octets in [0, 1, 4_095, 4_096, size - 4_096, size + 4_096] {
        let refusal = refusal(forged(|memory| memory.resize(octets, 0), whole));
        let SegmentError::Header(WrongHeader::Size { found, .. }) = refusal else {
            panic!("{octets}: {refusal}");
        };
        assert_eq!(found, octets as u64);
    }
    let magic = refusal(forged(|memory| memory[0] = b'b', whole));
    assert!(matches!(magic, SegmentError::Header(WrongHeader::Magic(_))));
    for path in ["/dev/null", "/dev/zero", "/proc/self/status", "/tmp"] {
        let file = open(path, OFlag::O_RDONLY, Mode::empty()).unwrap();
        assert!(matches!(refusal(file), SegmentError::NotSealed), "{path}");
    }
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    assert!(matches!(refusal(socket.into()), SegmentError::NotSealed));
}

#[test]
fn a_segment_of_another_boot_is_refused() {
    let header = Header { boot_id: [1, 2], ..header() };
    let segment = Segment::create(&header, &[]).unwrap();
    assert!(matches!(refusal(segment.for_reading().unwrap()), SegmentError::OtherBoot));
}

#[test]
fn nothing_is_left_of_a_segment_that_nobody_has() {
    let ours = |path: &std::path::Path| path.to_string_lossy().contains("memfd:bumpless:left");
    let open_files = || {
        let files = std::fs::read_dir("/proc/self/fd").unwrap();
        // Other tests open and close files of theirs meanwhile.
        files.filter_map(|file| file.unwrap().path().read_link().ok()).filter(|f| ours(f)).count()
    };
    let mappings = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|line| line.contains("memfd:bumpless:left")).count()
    };
    let header = Header { name: RegionName::new("left").unwrap(), ..header() };
    for _ in 0..100 {
        let segment = Segment::create(&header, &[]).unwrap();
        let reader = Segment::open(segment.for_reading().unwrap(), false).unwrap();
        assert_eq!((open_files(), mappings()), (2, 2));
        let _ = (segment.file().as_raw_fd(), reader.header());
    }
    assert_eq!((open_files(), mappings()), (0, 0));
}
