//! Whoever shares a memory or a socket with a participant may mean harm: a writer of its segment, a
//! reader with its descriptor, something that poses as the daemon. It is refused, or what it does
//! has a bound; nothing crashes, hangs, or reads where it should not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use bumpless::attach::{MESSAGE_OCTETS_MAX, REPLY_OCTETS_MAX, Reply, Request};
use bumpless::image::{ImageReader, ImageWriter, Stamp};
use bumpless::os::connection::{Connection, Listener};
use bumpless::os::mapping::Mapping;
use bumpless::os::page::PageFile;
use bumpless::os::participant::{Options, ReaderOptions, RegionOptions, Setup};
use bumpless::os::segment::{Segment, boot_id};
use bumpless::page::{Office, Role};
use bumpless::segment::{HEADER_OCTETS, Header, Layout, RegionName};
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use nix::unistd::ftruncate;
use rt_core::time::Duration;

const OCTETS: usize = 64;

fn name(text: &str) -> RegionName {
    RegionName::new(text).unwrap()
}

fn soak() -> bool {
    std::env::var_os("BUMPLESS_SOAK").is_some_and(|value| value == "1")
}

fn segment() -> Segment {
    let layout = Layout::new(OCTETS, 4, 0).unwrap();
    let header =
        Header { layout, schema_hash: 0, boot_id: boot_id().unwrap(), name: name("plant") };
    Segment::create(&header, &[]).unwrap()
}

fn opened(segment: &Segment) -> Option<Segment> {
    Segment::open(segment.for_reading().unwrap(), false).ok()
}

/// Reads all that there is to read, in each way; each read ends.
fn reads_all(segment: Segment) {
    let layout = segment.header().layout;
    let mut image = vec![0; layout.image_octets()];
    let memory = segment.into_memory();
    let Some(mut reader) = ImageReader::new(memory, layout.place(), layout.image_octets(), 1)
    else {
        return;
    };
    for _ in 0..3 {
        let _any = (reader.newest(&mut image), reader.next(&mut image));
        let _any = (reader.last_whole(&mut image), reader.last_whole_to(3, &mut image));
    }
}

#[test]
fn whatever_bit_of_a_header_is_another_it_is_refused_or_changes_nothing_that_matters() {
    let segment = segment();
    let layout = segment.header().layout;
    let file = segment.file().try_clone().unwrap();
    let memory = Segment::open(file, true).unwrap().into_memory();
    let mut writer = ImageWriter::new(memory, layout.place(), OCTETS).unwrap();
    for cycle in 1..=5 {
        writer.publish(&[7; OCTETS], Stamp { epoch: 1, cycle, ..Stamp::default() }).unwrap();
    }
    let mut refused = 0;
    for word in 0..HEADER_OCTETS / 8 {
        for bit in 0..64 {
            // A reader that opened it before goes by what it checked then.
            let before = opened(&segment).unwrap();
            let word = &writer.memory()[word];
            word.fetch_xor(1 << bit, Ordering::Relaxed);
            reads_all(before);
            match opened(&segment) {
                None => refused += 1,
                Some(after) => {
                    assert!(after.header().layout.segment_octets() <= layout.segment_octets());
                    reads_all(after);
                }
            }
            word.fetch_xor(1 << bit, Ordering::Relaxed);
        }
    }
    // Magic, version, sizes, boot and name are several hundred bits.
    assert!(refused > 300, "{refused}");
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

#[test]
fn a_reader_has_no_way_to_a_memory_that_it_could_write_to_or_shorten() {
    let segment = segment();
    let file = segment.for_reading().unwrap();
    assert!(Mapping::new(&file, HEADER_OCTETS, true).is_err());
    assert!(ftruncate(&file, 0).is_err() && ftruncate(segment.file(), 0).is_err());
    assert!(ftruncate(segment.file(), 1 << 30).is_err());
    let more = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_FUTURE_WRITE;
    assert!(fcntl(&file, FcntlArg::F_ADD_SEALS(more)).is_err());
    assert!(fcntl(segment.file(), FcntlArg::F_ADD_SEALS(more)).is_err(), "its seals are sealed");
    assert!(nix::unistd::write(&file, b"x").is_err());
}

/// Poses as a daemon: `answer` says what to answer to which request, in which order.
struct Impostor {
    folder: PathBuf,
    stops: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

type Answer = (Vec<u8>, Option<OwnedFd>);

impl Impostor {
    fn start(
        test: &str,
        mut answer: impl FnMut(usize, &[u8]) -> Option<Answer> + Send + 'static,
    ) -> Self {
        let folder = std::env::temp_dir().join(format!("bumpless-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let listener = Listener::bind(&folder.join("regions.sock")).unwrap();
        let stops = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stops);
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; MESSAGE_OCTETS_MAX];
            let mut client: Option<(Connection, usize)> = None;
            while !stop.load(Ordering::Acquire) {
                if let Ok(new) = listener.accept() {
                    client = Some((new, 0));
                }
                let Some((connection, count)) = &mut client else {
                    std::thread::sleep(std::time::Duration::from_micros(100));
                    continue;
                };
                match connection.receive(&mut buffer) {
                    Ok(Some(came)) => {
                        let answered = answer(*count, came.octets);
                        *count += 1;
                        let sent = answered.is_some_and(|(octets, file)| {
                            connection.send(&octets, file.as_ref().map(AsFd::as_fd)).is_ok()
                        });
                        if !sent {
                            client = None;
                        }
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        std::thread::sleep(std::time::Duration::from_micros(100));
                    }
                    _ => client = None,
                }
            }
        });
        Self { folder, stops, thread: Some(thread) }
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("regions.sock")
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::Release);
        self.thread.take().unwrap().join().unwrap();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Becomes attached, or not, and lives for some cycles.
fn lives(socket: &Path, writes: bool) -> bool {
    let mut options = Options::new(name("plc"), socket.to_owned());
    options.patience = Duration::from_millis(200);
    let mut setup = Setup::new(options);
    if writes {
        setup.register(RegionOptions::new(name("plant"), OCTETS)).unwrap();
    } else {
        setup.attach(ReaderOptions::new(name("plant"))).unwrap();
    }
    let Ok((participant, mut cyclic)) = setup.activate() else { return false };
    for _ in 0..20 {
        let cycle = cyclic.begin();
        if cycle.role == Role::Active {
            let _any = cyclic.commit(|_| [&[1; OCTETS][..]]);
        }
        let _any = cyclic.read(0, false);
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
    participant.deactivate();
    true
}

fn encoded(reply: &Reply<'_>) -> Vec<u8> {
    let mut into = [0; REPLY_OCTETS_MAX];
    reply.encode(&mut into).unwrap().to_vec()
}

/// What a daemon would answer, of which all that it hands over is `file`'s.
fn proper(octets: &[u8], file: &mut dyn FnMut(bool) -> Option<OwnedFd>) -> Answer {
    match Request::decode(octets).unwrap() {
        Request::Hello { .. } => {
            (encoded(&Reply::Welcome { instance: 1, daemon: "x" }), file(true))
        }
        Request::Register(_) => (encoded(&Reply::Registered { index: 0 }), file(false)),
        Request::Attach { .. } => (encoded(&Reply::Attached { index: 0, epoch: 1 }), file(false)),
        _ => (encoded(&Reply::Done), None),
    }
}

fn page(office: Office) -> OwnedFd {
    let page = PageFile::create(1).unwrap();
    page.change(|it| it.set_office(office));
    page.for_reading().unwrap()
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
            let file = segment().for_reading().unwrap();
            let index = u32::try_from(n % 3).unwrap();
            return Some((encoded(&Reply::Segment { index, epoch: 7 }), Some(file)));
        }
        Some(proper(octets, &mut |is_page| {
            Some(if is_page { page(office) } else { segment().file().try_clone().unwrap() })
        }))
    });
    let before = open_files();
    for _ in 0..10 {
        let _any = lives(&impostor.socket(), true);
    }
    assert!(open_files() <= before + 8, "what came is closed again");
}

fn open_files() -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", std::process::id())).unwrap().count()
        - usize::from(std::io::stdin().as_raw_fd() > 2)
}
