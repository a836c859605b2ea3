//! The contestants of this package: the ring of images, and a cache line.
//!
//! **Ring.** What a controller does with one block: [`ImageWriter::publish`] copies the image in,
//! with its checksum, and commits; [`ImageReader::next`] copies it out and verifies it. Woken, the
//! writer calls the kernel after each commit and the reader sleeps on the ring's word.
//!
//! **Line.** The least that two CPUs can do: one line of a memory that both map, with a number and
//! the clock's reading in it, no content. Woken, the kernel is called for that line: what remains
//! of a wake-up when there is nothing else.

use rt_core::os::clock::MonotonicClock;
use rt_core::time::{Duration, Instant};
use shm_replica::crc::Crc;
use shm_replica::image::{ImageReader, ImageWriter, NoImage, Stamp};
use shm_replica::os::mapping::Mapping;
use shm_replica::os::segment::Segment;
use shm_replica::os::wake;
use shm_replica::ring::Place;
use std::sync::atomic::{AtomicU64, Ordering};
use tools::exit::Failure;

use super::course::{Look, Observe, Publish};

/// Of the one writer that each segment of the bench has.
const EPOCH: u64 = 1;
/// A line is passed no longer than this.
pub const PASSING_MAX: Duration = Duration::from_secs(1);
/// Whoever has not got the line after so long does not wait for it any more.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many looks are taken between two at the clock.
const LOOKS_PER_CLOCK: u32 = 4_096;
/// In the line when it is passed no more.
const PASSED: u64 = u64::MAX;

/// An end of the ring.
#[derive(Debug)]
pub struct RingWriter {
    ring: ImageWriter<Mapping>,
    place: Place,
    wakes: bool,
}

impl RingWriter {
    /// Of a segment mapped for writing.
    ///
    /// # Errors
    /// The segment is not for such images.
    pub fn new(segment: Segment, wakes: bool) -> Result<Self, Failure> {
        Crc::prepare();
        let (place, octets) = measures(&segment);
        let ring = ImageWriter::new(segment.into_memory(), place, octets).ok_or_else(no_ring)?;
        Ok(Self { ring, place, wakes })
    }
}

impl Publish for RingWriter {
    fn publish(&mut self, number: u64, started_ns: u64, image: &[u8]) -> Result<(), Failure> {
        let stamp =
            Stamp { epoch: EPOCH, cycle: number, committed_at_ns: started_ns, ..Stamp::default() };
        self.ring.publish(image, stamp).map_err(|wrong| Failure::failed(wrong.to_string(), ""))?;
        if self.wakes {
            wake::wake_all(self.ring.memory(), &self.place);
        }
        Ok(())
    }
}

/// The other end.
#[derive(Debug)]
pub struct RingReader {
    ring: ImageReader<Mapping>,
    place: Place,
    image: Vec<u8>,
}

impl RingReader {
    /// Of a segment.
    ///
    /// # Errors
    /// The segment is not for such images.
    pub fn new(segment: Segment) -> Result<Self, Failure> {
        Crc::prepare();
        let (place, octets) = measures(&segment);
        let ring = ImageReader::new(segment.into_memory(), place, octets, EPOCH);
        Ok(Self { ring: ring.ok_or_else(no_ring)?, place, image: vec![0; octets] })
    }
}

impl Observe for RingReader {
    #[inline]
    fn look(&mut self) -> Result<Look, Failure> {
        match self.ring.next(&mut self.image) {
            Ok(image) => Ok(Look::Image {
                number: image.stamp.cycle,
                started_ns: image.stamp.committed_at_ns,
            }),
            // Who was lapped looks again; what it skipped shows by the numbers.
            Err(NoImage::Nothing | NoImage::Lapped) => Ok(Look::Nothing),
            Err(NoImage::Corrupt(_)) => Ok(Look::Torn),
            Err(NoImage::WrongSize(wrong)) => Err(Failure::failed(wrong.to_string(), "")),
        }
    }

    fn image(&self) -> &[u8] {
        &self.image
    }

    fn wait(&mut self, until: Instant) -> Result<(), Failure> {
        let slept = wake::wait(self.ring.memory(), &self.place, self.ring.last(), until);
        slept.map(drop).map_err(cannot_wait)
    }
}

/// Both ends of the line.
#[derive(Debug)]
pub struct Line {
    memory: Mapping,
    place: Place,
    wakes: bool,
    seen: u64,
}

impl Line {
    /// The line of a segment's word `newest`, which shares it with nothing; what comes after it in
    /// the line is unused there. Mapped for writing in whoever writes.
    ///
    /// # Errors
    /// The segment has no such line.
    pub fn new(segment: Segment, wakes: bool) -> Result<Self, Failure> {
        let (place, _) = measures(&segment);
        let memory = segment.into_memory();
        if memory.len() <= place.newest + 1 {
            return Err(no_ring());
        }
        Ok(Self { memory, place, wakes, seen: 0 })
    }

    /// Passes the line to another process and takes it back, `passes` times or for
    /// [`PASSING_MAX`]; how long one way takes in ns, without any clock in between. The first of
    /// the two says when it is over.
    ///
    /// # Errors
    /// The other does not pass it back.
    pub fn pass(&self, passes: u64, is_first: bool, gives_way: bool) -> Result<f64, Failure> {
        let word = &self.memory[self.place.newest];
        let start = MonotonicClock::now();
        let mut passed = 0;
        // Odd numbers go there, even ones come back.
        if is_first {
            while passed < passes && !(passed % 64 == 0 && is_over(start, PASSING_MAX)) {
                word.store(2 * passed + 1, Ordering::Release);
                await_line(word, gives_way, |value| value == 2 * passed + 2)?;
                passed += 1;
            }
        } else {
            let is_next = |passed| move |value| value == 2 * passed + 1 || value == PASSED;
            while await_line(word, gives_way, is_next(passed))? != PASSED {
                word.store(2 * passed + 2, Ordering::Release);
                passed += 1;
            }
        }
        let took = MonotonicClock::now().since(start);
        if is_first {
            word.store(PASSED, Ordering::Release);
        }
        Ok(took.as_nanos() as f64 / passed.max(1) as f64 / 2.0)
    }
}

/// Looks at a line until it holds what is `wanted`.
fn await_line(
    word: &AtomicU64,
    gives_way: bool,
    wanted: impl Fn(u64) -> bool,
) -> Result<u64, Failure> {
    // The clock is read for the first time when the wait has become a long one.
    let mut start = None;
    let mut looks = 0u32;
    loop {
        let value = word.load(Ordering::Acquire);
        if wanted(value) {
            return Ok(value);
        }
        if gives_way {
            std::thread::yield_now();
        }
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(LOOKS_PER_CLOCK)
            && is_over(*start.get_or_insert_with(MonotonicClock::now), PATIENCE)
        {
            return Err(Failure::failed("the line did not come back", ""));
        }
    }
}

fn is_over(start: Instant, length: Duration) -> bool {
    MonotonicClock::now().since(start) > length
}

impl Publish for Line {
    fn publish(&mut self, number: u64, started_ns: u64, _: &[u8]) -> Result<(), Failure> {
        self.memory[self.place.newest + 1].store(started_ns, Ordering::Relaxed);
        self.memory[self.place.newest].store(number, Ordering::Release);
        if self.wakes {
            wake::wake_all(&self.memory, &self.place);
        }
        Ok(())
    }
}

impl Observe for Line {
    #[inline]
    fn look(&mut self) -> Result<Look, Failure> {
        let number = self.memory[self.place.newest].load(Ordering::Acquire);
        if number == self.seen {
            return Ok(Look::Nothing);
        }
        self.seen = number;
        let started_ns = self.memory[self.place.newest + 1].load(Ordering::Relaxed);
        Ok(Look::Image { number, started_ns })
    }

    fn image(&self) -> &[u8] {
        &[]
    }

    fn wait(&mut self, until: Instant) -> Result<(), Failure> {
        let slept = wake::wait(&self.memory, &self.place, self.seen, until);
        slept.map(drop).map_err(cannot_wait)
    }
}

fn measures(segment: &Segment) -> (Place, usize) {
    let layout = segment.header().layout;
    (layout.place(), layout.image_octets())
}

fn no_ring() -> Failure {
    Failure::failed("the segment holds no such ring", "")
}

fn cannot_wait(why: std::io::Error) -> Failure {
    Failure::failed(format!("waiting for a commit: {why}"), "")
}
