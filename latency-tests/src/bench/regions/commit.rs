//! What a commit costs the one who commits, beside a plain copy of the image.
//!
//! In one thread, one after the other, nobody reading. The plain copy goes to memory of the same
//! size, turn by turn to as many places as the ring has slots, so that both find the same caches.
//! What differs is the checksum and some words of stamp.

use std::hint::black_box;

use rt_core::os::clock::MonotonicClock;
use rt_core::os::thread::RtThread;
use serde::{Deserialize, Serialize};
use shm_replica::crc::Crc;
use shm_replica::image::{ImageReader, ImageWriter, STAMP_WORDS, Stamp};
use shm_replica::os::mapping::Mapping;
use shm_replica::ring::Writer;
use shm_replica::word::{WORD_OCTETS, Word as _};
use std::sync::atomic::AtomicU64;
use tools::exit::{ExitCode, Failure};

use super::course::fill;
use super::round::{SLOTS, segment};
use crate::bench::cpus::Cpus;
use crate::bench::spread::Spread;

/// A segment's slots begin on a page; so does what stands for them.
const PAGE_OCTETS: usize = 4_096;
/// Blocks of an image that is gathered.
const BLOCKS: usize = 16;
/// Calls between two readings of the clock, in octets: enough for the clock not to count.
const OCTETS_PER_TURN: usize = 16 * 1024 * 1024;
/// The most calls of that.
const CALLS_MAX: usize = 100_000;

/// Commits of images of one size, in ns each, and divided by the plain copy of the same round.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Commit {
    /// Octets of an image.
    pub image_octets: usize,
    /// A plain copy of it.
    pub copy_ns: Spread,
    /// Ways to commit.
    pub ways: Vec<CommitWay>,
}

/// See [`Commit`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CommitWay {
    /// Which.
    pub way: String,
    /// One commit, in ns.
    pub ns: Spread,
    /// The same by the plain copy.
    pub ratio: Spread,
}

/// The way whose ratio has an aim.
pub const PUBLISH: &str = "publish, one block";

/// Measures on a CPU.
///
/// # Errors
/// No memory, or what was committed is not what is read.
pub fn measure(
    image_octets: usize,
    cpu: Option<usize>,
    (rounds, length): (usize, std::time::Duration),
) -> Result<Commit, Failure> {
    let plan = Cpus::plan("region-commit", cpu);
    // Five ways share a round.
    let length_ns = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX) / 5;
    let work = move || {
        let mut bench = Bench::new(image_octets)?;
        bench.round(length_ns / 10)?;
        (0..rounds).map(|_| bench.round(length_ns)).collect::<Result<Vec<_>, Failure>>()
    };
    let thread =
        RtThread::spawn(plan, work).map_err(|error| Failure::failed(error.to_string(), ""))?;
    let rounds = thread.join().map_err(|panic| Failure::failed(panic.to_string(), ""))??;
    let spread = |value: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(value).collect());
    let ways = WAYS.iter().enumerate().filter_map(|(at, way)| {
        let ns: Option<Vec<f64>> = rounds.iter().map(|round| round.ways_ns[at]).collect();
        let ratio = |round: &Round| round.ways_ns[at].unwrap_or(0.0) / round.copy_ns;
        Some(CommitWay { way: (*way).to_owned(), ns: Spread::of(ns?), ratio: spread(&ratio) })
    });
    Ok(Commit { image_octets, copy_ns: spread(&|round| round.copy_ns), ways: ways.collect() })
}

const WAYS: [&str; 4] =
    [PUBLISH, "publish without checksum", "gather of 16 blocks", "in place, a sixteenth written"];

struct Round {
    copy_ns: f64,
    /// None where the image cannot be committed so.
    ways_ns: [Option<f64>; 4],
}

struct Bench {
    image: Vec<u8>,
    plain: Plain,
    ring: ImageWriter<Mapping>,
    bare: Writer<Mapping>,
    placed: ImageWriter<Mapping>,
    reader: ImageReader<Mapping>,
    commits: u64,
}

impl Bench {
    fn new(image_octets: usize) -> Result<Self, Failure> {
        Crc::prepare();
        let no_ring = || Failure::failed("the segment holds no such ring", "");
        let one = segment(image_octets)?;
        let reading =
            one.for_reading().and_then(|file| shm_replica::os::segment::Segment::open(file, false));
        let reading = reading.map_err(|error| Failure::failed(error.to_string(), ""))?;
        let place = one.header().layout.place();
        let (two, three) = (segment(image_octets)?, segment(image_octets)?);
        let mut image = vec![0; image_octets];
        fill(1, &mut image);
        let mut placed =
            ImageWriter::new(three.into_memory(), place, image_octets).ok_or_else(no_ring)?;
        for _ in 0..SLOTS {
            AtomicU64::store_octets(placed.open_in_place(), &image);
            placed.commit_in_place(&image, Stamp::default()).map_err(|e| wrong(&e))?;
        }
        Ok(Self {
            plain: Plain::new(image_octets),
            ring: ImageWriter::new(one.into_memory(), place, image_octets).ok_or_else(no_ring)?,
            bare: Writer::new(two.into_memory(), place).ok_or_else(no_ring)?,
            reader: ImageReader::new(reading.into_memory(), place, image_octets, 1)
                .ok_or_else(no_ring)?,
            placed,
            image,
            commits: 0,
        })
    }

    fn round(&mut self, length_ns: u64) -> Result<Round, Failure> {
        let calls = (OCTETS_PER_TURN / self.image.len()).clamp(1, CALLS_MAX);
        let Self { image, plain, ring, bare, placed, reader, commits } = self;
        let mut turn = 0;
        let copy_ns = timed(calls, length_ns, || {
            turn = (turn + 1) % SLOTS;
            let place = plain.place(turn);
            place.copy_from_slice(black_box(image));
            black_box(place);
            Ok(())
        })?;
        let mut stamp = || {
            *commits += 1;
            Stamp { epoch: 1, cycle: *commits, ..Stamp::default() }
        };
        let publish = timed(calls, length_ns, || {
            ring.publish(black_box(image), stamp()).map(drop).map_err(|e| wrong(&e))
        })?;
        let without = timed(calls, length_ns, || {
            bare.begin();
            AtomicU64::store_octets(&bare.body()[STAMP_WORDS..], black_box(image));
            bare.commit();
            Ok(())
        })?;
        let block = image.len() / BLOCKS;
        // A block begins at a whole word, so smaller ones would not fill the image.
        let gather = block.is_multiple_of(WORD_OCTETS).then(|| {
            timed(calls, length_ns, || {
                let mut draft = ring.begin();
                for block in black_box(&*image).chunks_exact(block.max(1)) {
                    draft.append(block).map_err(|e| wrong(&e))?;
                }
                draft.commit(stamp()).map(drop).map_err(|e| wrong(&e))
            })
        });
        let in_place = timed(calls, length_ns, || {
            let words = placed.open_in_place();
            let part = words.len() / BLOCKS;
            AtomicU64::store_octets(&words[..part], black_box(&image[..part * WORD_OCTETS]));
            placed.commit_in_place(black_box(image), stamp()).map(drop).map_err(|e| wrong(&e))
        })?;
        let mut read = vec![0; image.len()];
        let found = reader.newest(&mut read);
        if found.is_err() || read != *image {
            let why = format!("what was committed is not what is read: {found:?}");
            return Err(Failure::new(ExitCode::Failed, why, ""));
        }
        Ok(Round {
            copy_ns,
            ways_ns: [Some(publish), Some(without), gather.transpose()?, Some(in_place)],
        })
    }
}

/// As many places as the ring has slots, as far from each other, each on a cache line.
struct Plain {
    memory: Vec<u8>,
    start: usize,
    image_octets: usize,
}

impl Plain {
    fn new(image_octets: usize) -> Self {
        let memory = vec![1; SLOTS * Self::stride(image_octets) + PAGE_OCTETS];
        let start = memory.as_ptr().align_offset(PAGE_OCTETS);
        Self { memory, start, image_octets }
    }

    const fn stride(image_octets: usize) -> usize {
        (image_octets + 64).next_multiple_of(128)
    }

    fn place(&mut self, turn: usize) -> &mut [u8] {
        let start = self.start + turn * Self::stride(self.image_octets);
        &mut self.memory[start..start + self.image_octets]
    }
}

/// How long `call` takes, in ns, repeated for `length_ns`.
fn timed(
    calls: usize,
    length_ns: u64,
    mut call: impl FnMut() -> Result<(), Failure>,
) -> Result<f64, Failure> {
    let start = MonotonicClock::now();
    let mut done = 0u64;
    loop {
        for _ in 0..calls {
            call()?;
        }
        done += calls as u64;
        let took = MonotonicClock::now().since(start).as_nanos();
        if took >= length_ns {
            return Ok(took as f64 / done as f64);
        }
    }
}

fn wrong(error: &shm_replica::image::WrongSize) -> Failure {
    Failure::failed(error.to_string(), "")
}
