//! Measures what a commit and a read cost beside a plain copy of the image, all in turn in one run.
//!
//! `cargo run --release -p shm-replica --example commit_cost [OCTETS …]`, best on a CPU of its own
//! (`taskset`). A round does each of the five a few times; rounds alternate so that a busy machine
//! slows all of them. A figure is the median over rounds, a ratio the median of the rounds' ratios.
//! Copies go to as many places in turn as the ring has slots, commits in place sum as many images;
//! reads and the copies beside them go from one slot, which the reading CPU's caches hold: what a
//! transfer between CPUs costs is not in here. A tool for the people who build this, not a test.

use std::error::Error;
use std::hint::black_box;
use std::sync::atomic::AtomicU64;

use bumpless::crc::Crc;
use bumpless::image::{ImageReader, ImageWriter, Stamp};
use bumpless::segment::Layout;
use bumpless::word::WORD_OCTETS;
use rt_core::os::clock::MonotonicClock;

const SIZES: [usize; 6] = [64, 128, 1_024, 4_096, 65_536, 1 << 20];
const SLOTS: usize = 5;
const EPOCH: u64 = 1;
const PAGE: usize = 4_096;
const ROUNDS: usize = 401;
/// Octets that each of the five moves in a round, so that the clock's own cost does not show.
const ROUND_OCTETS: usize = 1 << 20;
/// What a round is made of at the least, and at the most.
const TIMES_MIN: usize = 5;
const TIMES_MAX: usize = 2_000;

/// Nanoseconds of one, per round.
#[derive(Default)]
struct Series(Vec<f64>);

impl Series {
    fn round(&mut self, times: usize, mut once: impl FnMut(usize)) {
        let start = MonotonicClock::now();
        (0..times).for_each(&mut once);
        let elapsed = MonotonicClock::now().since(start);
        self.0.push(elapsed.as_nanos() as f64 / times as f64);
    }

    fn ns(&self) -> f64 {
        median(self.0.clone())
    }

    fn over(&self, other: &Self) -> f64 {
        median(self.0.iter().zip(&other.0).map(|(own, other)| own / other).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// `count` of `values` from where a page begins, as a segment does.
fn from_page<T>(values: &[T], count: usize) -> &[T] {
    &values[values.as_ptr().align_offset(PAGE)..][..count]
}

fn measure(octets: usize) -> Result<(), Box<dyn Error>> {
    let layout = Layout::new(octets, SLOTS, 0)?;
    let place = layout.place();
    let words = layout.segment_octets() / WORD_OCTETS;
    let memory: Vec<AtomicU64> = (0..words + PAGE).map(|_| AtomicU64::new(0)).collect();
    let memory = from_page(&memory, words);
    let mut writer = ImageWriter::new(memory, place, octets).ok_or("no ring")?;
    let reader = ImageReader::new(memory, place, octets, EPOCH).ok_or("no ring")?;
    let image: Vec<u8> = (0..octets).map(|at| (at * at / 7).to_le_bytes()[0]).collect();
    let stride = place.stride * WORD_OCTETS;
    let mut places = vec![0; SLOTS * stride + PAGE];
    let first = places.as_ptr().align_offset(PAGE);
    let places = &mut places[first..][..SLOTS * stride];
    let mut into = vec![0; octets];
    let stamp = Stamp { epoch: EPOCH, ..Stamp::default() };

    let times = (ROUND_OCTETS / octets).clamp(TIMES_MIN, TIMES_MAX);
    let at = |time: usize| time % SLOTS * stride;
    let [mut copy, mut publish, mut in_place, mut copy_out, mut read]: [Series; 5] =
        Default::default();
    for _ in 0..ROUNDS {
        copy.round(times, |time| {
            black_box(&mut places[at(time)..][..octets]).copy_from_slice(black_box(&image));
        });
        publish.round(times, |_| {
            let _ = black_box(writer.publish(black_box(&image), stamp));
        });
        writer.publish(&image, stamp)?;
        copy_out.round(times, |_| {
            black_box(&mut into[..]).copy_from_slice(black_box(&places[..octets]));
        });
        read.round(times, |_| {
            // A copy of a reader that has read nothing: what it finds is new to it.
            let _ = black_box(reader.clone().newest(black_box(&mut into)));
        });
        reader.clone().newest(&mut into)?;
        in_place.round(times, |time| {
            let image = black_box(&places[at(time)..][..octets]);
            let _ = black_box(writer.commit_in_place(image, stamp));
        });
    }
    println!(
        "{octets:>8} {:>9.0} {:>9.0} {:>7.2} {:>9.0} {:>7.2} {:>9.0} {:>9.0} {:>7.2}",
        copy.ns(),
        publish.ns(),
        publish.over(&copy),
        in_place.ns(),
        in_place.over(&copy),
        copy_out.ns(),
        read.ns(),
        read.over(&copy_out),
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<usize> =
        std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    Crc::prepare();
    println!("Nanoseconds of one, and what that is beside a plain copy.");
    println!(
        "{:>8} {:>9} {:>9} {:>7} {:>9} {:>7} {:>9} {:>9} {:>7}",
        "octets", "copy in", "publish", "ratio", "in place", "ratio", "copy out", "read", "ratio"
    );
    let sizes = if given.is_empty() { &SIZES[..] } else { &given };
    sizes.iter().try_for_each(|&octets| measure(octets))
}
