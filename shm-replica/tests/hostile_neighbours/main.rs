//! Whoever shares a memory or a socket with a participant may mean harm: a writer of its segment, a
//! reader with its descriptor, something that poses as the daemon. It is refused, or what it does
//! has a bound; nothing crashes, hangs, or reads where it should not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod forge;
mod headers;
mod held;
mod impostor;
mod readers;
mod words;

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::Ordering;

use bumpless::attach::{REPLY_OCTETS_MAX, Reply};
use bumpless::image::{ImageReader, ImageWriter, Stamp};
use bumpless::os::connection::Connection;
use bumpless::os::segment::{Segment, boot_id};
use bumpless::page::{Office, Role};
use bumpless::segment::{HEADER_OCTETS, Header, Layout, RegionName};
use impostor::{Impostor, encoded, lives, lives_as, page, proper};
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use nix::unistd::ftruncate;

const OCTETS: usize = 64;

fn name(text: &str) -> RegionName {
    RegionName::new(text).unwrap()
}

fn soak() -> bool {
    std::env::var_os("BUMPLESS_SOAK").is_some_and(|value| value == "1")
}

fn segment() -> Segment {
    segment_of("plant")
}

fn segment_of(region: &str) -> Segment {
    let layout = Layout::new(OCTETS, 4, 0).unwrap();
    let header = Header { layout, schema_hash: 0, boot_id: boot_id().unwrap(), name: name(region) };
    Segment::create(&header, &[]).unwrap()
}

fn opened(segment: &Segment) -> Option<Segment> {
    Segment::open(segment.for_reading().unwrap(), false).ok()
}

#[test]
fn a_writer_that_means_harm_stops_no_reader_and_shows_it_nothing_that_is_not_sealed() {
    let rounds = if soak() { 2_000_000 } else { 20_000 };
    let segment = segment();
    let layout = segment.header().layout;
    let file = segment.file().try_clone().unwrap();
    let memory = Segment::open(file, true).unwrap().into_memory();
    let words = HEADER_OCTETS / 8..memory.len();
    let mut writer = ImageWriter::new(memory, layout.place(), OCTETS).unwrap();
    let (mut random, mut image) = (0x9e37_79b9_7f4a_7c15u64, [0; OCTETS]);
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let reader = opened(&segment).unwrap();
    let mut reader = ImageReader::new(reader.into_memory(), layout.place(), OCTETS, 1).unwrap();
    for round in 0..rounds {
        if round % 4 == 0 {
            let stamp = Stamp { epoch: 1, cycle: round, ..Stamp::default() };
            writer.publish(&[9; OCTETS], stamp).unwrap();
        }
        for _ in 0..next() % 4 {
            // Sequence words, stamps, checksums, images and the hint: small, near, far and any.
            let at = words.start + usize::try_from(next()).unwrap() % words.len();
            let at = if next() % 4 == 0 { layout.place().newest } else { at };
            let near = writer.sequence().wrapping_mul(2).wrapping_add(next() % 9);
            let value = [next(), near, next() % 16, u64::MAX][usize::try_from(next() % 4).unwrap()];
            writer.memory()[at].store(value, Ordering::Relaxed);
        }
        for way in 0..4 {
            let read = match way {
                0 => reader.newest(&mut image),
                1 => reader.next(&mut image),
                2 => reader.last_whole(&mut image),
                _ => reader.last_whole_to(next() % (round + 1), &mut image),
            };
            // By chance alone a checksum fits once in four thousand million.
            assert!(read.is_err() || image == [9; OCTETS], "{read:?}: {image:?}");
        }
    }
}

/// A file of a kind that is no segment and no page.
fn wrong_file(kind: usize) -> Option<OwnedFd> {
    let memory = |flags, octets| {
        let file = memfd_create("x", flags).unwrap();
        ftruncate(&file, octets).unwrap();
        file
    };
    let sealed = |octets, seals| {
        let file = memory(MFdFlags::MFD_ALLOW_SEALING, octets);
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).unwrap();
        file
    };
    let shrink = SealFlag::F_SEAL_SHRINK;
    let all = shrink | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    let device = |path: &str| open(path, OFlag::O_RDWR, Mode::empty()).unwrap();
    Some(match kind {
        0 => return None,
        1 => device("/dev/null"),
        2 => device("/dev/zero"),
        3 => memory(MFdFlags::empty(), 1 << 16),
        4 => sealed(0, shrink),
        5 => sealed(8, all),
        6 => sealed(4_096, all),
        7 => sealed(1 << 20, all),
        8 => sealed(1 << 20, SealFlag::F_SEAL_GROW),
        9 => Connection::pair().unwrap().0.as_fd().try_clone_to_owned().unwrap(),
        10 => File::open("/proc/self/mem").unwrap().into(),
        11 => File::open("/").unwrap().into(),
        12 => nix::unistd::pipe().unwrap().0,
        _ => segment().for_reading().unwrap(),
    })
}

#[test]
fn descriptors_of_any_kind_in_the_place_of_a_segment_or_a_page_are_refused() {
    for writes in [false, true] {
        for kind in 0..13 {
            for is_page in [false, true] {
                let test = format!("wrong-file-{writes}-{kind}-{is_page}");
                let impostor = Impostor::start(&test, move |_, octets| {
                    let office = Office { role: Role::Active, epoch: 1 };
                    Some(proper(octets, &mut |asks_for_page| match asks_for_page {
                        true if is_page => wrong_file(kind),
                        true => Some(page(office)),
                        false if is_page => Some(segment().file().try_clone().unwrap()),
                        false => wrong_file(kind),
                    }))
                });
                let may_be = kind == 0 && !is_page;
                assert!(!lives(&impostor.socket(), writes) || may_be, "{test}");
            }
        }
    }
}

#[test]
fn a_daemon_that_hangs_up_or_talks_nonsense_at_any_message_makes_nobody_wait_for_ever() {
    let office = Office { role: Role::Active, epoch: 1 };
    for at in 0..5 {
        for nonsense in 0..6 {
            let impostor =
                Impostor::start(&format!("nonsense-{at}-{nonsense}"), move |n, octets| {
                    let mut file = |is_page: bool| {
                        let shown = segment();
                        shown.state().unwrap().set_epoch(1);
                        let file = shown.file().try_clone().unwrap();
                        Some(if is_page { page(office) } else { file })
                    };
                    let (said, file) = proper(octets, &mut file);
                    if n != at {
                        return Some((said, file));
                    }
                    Some(match nonsense {
                        0 => return None,
                        1 => (Vec::from(&b"x"[..]), file),
                        2 => (said[..said.len() - 1].to_vec(), file),
                        3 => (vec![0xff; REPLY_OCTETS_MAX * 2], file),
                        4 => (encoded(&Reply::Attached { index: u32::MAX, epoch: u64::MAX }), file),
                        _ => (encoded(&Reply::Registered { index: 63 }), file),
                    })
                });
            // Whether it lives or not: it comes to an end.
            let _any = lives(&impostor.socket(), true);
        }
    }
}

#[test]
fn a_flood_of_what_nobody_asked_for_does_not_stop_a_cycle() {
    let impostor = Impostor::start("flood", move |n, octets| {
        let office = Office { role: Role::Standby, epoch: 1 };
        if n >= 4 {
            let file = segment_of("flood").for_reading().unwrap();
            let index = u32::try_from(n % 3).unwrap();
            return Some((encoded(&Reply::Segment { index, epoch: 7 }), Some(file)));
        }
        Some(proper(octets, &mut |is_page| {
            let segment = segment_of("flood").file().try_clone().unwrap();
            Some(if is_page { page(office) } else { segment })
        }))
    });
    for _ in 0..10 {
        let _any = lives_as("flood", &impostor.socket(), true);
    }
    drop(impostor);
    assert_eq!(open_files_of("flood"), 0, "what came is closed again");
}

/// Descriptors of a region's segments that this process has.
fn open_files_of(region: &str) -> usize {
    let files = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = files.filter_map(|file| file.unwrap().path().read_link().ok());
    let name = format!("memfd:bumpless:{region}");
    targets.filter(|target| target.to_string_lossy().contains(&name)).count()
}
