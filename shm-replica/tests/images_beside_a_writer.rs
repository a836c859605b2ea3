//! Images that are read while the next ones are written, at full speed and on this processor.
//!
//! The model checker sees the ring's order; it does not see how octets are copied. Here they are
//! copied as they are in use, by threads that share nothing but the words.

#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use bumpless::image::{ImageReader, ImageWriter, NoImage, Stamp};
use bumpless::segment::Layout;
use bumpless::word::WORD_OCTETS;

const EPOCH: u64 = 1;
const SLOTS: usize = 4;
/// What is published of each size, and how many images that is at the most.
const PUBLISHED_OCTETS: usize = 64 << 20;
const COMMITS_MAX: usize = 400_000;

/// Octets that tell the commit and the place they belong to.
fn fill(image: &mut [u8], cycle: u64) {
    for (at, octet) in (0u64..).zip(image) {
        *octet = (cycle.wrapping_mul(31) + at / 64).to_le_bytes()[0];
    }
}

/// Publishes, while two readers read all they can; how many images they read, and how often the
/// writer was faster.
fn read_beside_a_writer(octets: usize) -> (u64, u64) {
    let commits = (PUBLISHED_OCTETS / octets).min(COMMITS_MAX) as u64;
    let layout = Layout::new(octets, SLOTS, 0).unwrap();
    let count = layout.segment_octets() / WORD_OCTETS;
    let memory: Vec<AtomicU64> = (0..count).map(|_| AtomicU64::new(0)).collect();
    let memory = &*memory;
    let (begin, done) = (&Barrier::new(3), &AtomicBool::new(false));
    let mut writer = ImageWriter::new(memory, layout.place(), octets).unwrap();
    let read = move |in_order: bool| {
        let mut reader = ImageReader::new(memory, layout.place(), octets, EPOCH).unwrap();
        let (mut image, mut expected) = (vec![0; octets], vec![0; octets]);
        let (mut read, mut lapped) = (0, 0);
        begin.wait();
        loop {
            // Asked before the read: what comes to an end after it is still read.
            let last = done.load(Ordering::Acquire);
            let found = if in_order { reader.next(&mut image) } else { reader.newest(&mut image) };
            match found {
                Ok(found) => {
                    fill(&mut expected, found.stamp.cycle);
                    assert_eq!(found.sequence, found.stamp.cycle);
                    assert!(image == expected, "commit {} of {octets} octets", found.sequence);
                    read += 1;
                }
                Err(NoImage::Nothing) if last => break (read, lapped, reader.last()),
                Err(NoImage::Nothing) => thread::yield_now(),
                Err(NoImage::Lapped) => lapped += 1,
                Err(fault) => panic!("{fault}"),
            }
        }
    };
    thread::scope(|scope| {
        let readers = [true, false].map(|in_order| scope.spawn(move || read(in_order)));
        let mut image = vec![0; octets];
        begin.wait();
        // Not asserted before the readers know that it is over: they would wait for ever.
        let published = (1..=commits).all(|cycle| {
            fill(&mut image, cycle);
            let stamp = Stamp { epoch: EPOCH, cycle, ..Stamp::default() };
            writer.publish(&image, stamp) == Ok(cycle)
        });
        done.store(true, Ordering::Release);
        assert!(published);
        let mut sums = (0, 0);
        for reader in readers {
            let (read, lapped, last) = reader.join().unwrap();
            assert_eq!(last, commits, "the last commit is read, whatever was missed before");
            sums = (sums.0 + read, sums.1 + lapped);
        }
        sums
    })
}

#[test]
fn every_image_that_is_read_beside_a_writer_is_whole() {
    for octets in [64, 100, 1_000, 4_096, 20_001] {
        let (read, lapped) = read_beside_a_writer(octets);
        println!("{octets} octets: {read} read, {lapped} times lapped");
    }
}
