//! Segments that somebody else wrote, and goes on writing to while they are read.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use bumpless::crc::Crc;
use bumpless::image::{ImageReader, ImageWriter, NoImage, Stamp};
use bumpless::ring::{ATTEMPTS, Place, Reader};
use bumpless::schema::Schema;
use bumpless::segment::{Header, Layout, RegionName};
use bumpless::word::Word;

use super::fuzz_bodies::Choices;

/// The words of a header that its checksum covers; it stands behind them.
const CHECKED: std::ops::Range<usize> = 2..20;
/// The most decisions that one input makes.
const STEPS_MAX: usize = 200;

/// The first octet says whether the others are a segment as it is, decisions by which a whole one
/// is changed, or a ring without a segment.
pub(crate) fn segment(octets: &[u8]) {
    let mut choices = Choices(octets);
    match choices.octet() & 3 {
        0 => {
            let memory = words(choices.0);
            attach(&memory, &mut Choices(&octets[..octets.len().min(64)]));
        }
        1 => ring(&mut choices),
        _ => changed(&mut choices),
    }
}

fn words(octets: &[u8]) -> Vec<AtomicU64> {
    let (words, _) = octets.as_chunks();
    words.iter().map(|&word| AtomicU64::new(u64::from_le_bytes(word))).collect()
}

/// Changes a whole segment's header, mends the checksum or not, and attaches.
fn changed(choices: &mut Choices<'_>) {
    let header = Header {
        layout: Layout::new(1 + choices.below(300), 4 + choices.below(3), choices.below(64))
            .expect("sizes within the limits"),
        schema_hash: choices.word(),
        boot_id: [1, 2],
        name: RegionName::new("plant").expect("a name"),
    };
    let memory: Vec<_> =
        (0..header.layout.segment_octets() / 8).map(|_| AtomicU64::new(0)).collect();
    header.write(&memory).expect("room for a header");
    let mend = || {
        let sum = memory[CHECKED]
            .iter()
            .fold(Crc::new(), |crc, word| crc.extend_words([word.load(Ordering::Relaxed)]));
        memory[CHECKED.end].swap(u64::from(sum.value()), Ordering::Relaxed)
    };
    let before = memory[CHECKED.end].load(Ordering::Relaxed);
    assert_eq!(mend(), before, "this is how a header's checksum is made");
    for _ in 0..choices.below(4) {
        let at = choices.below(CHECKED.end + 2);
        memory[at].store(choices.word(), Ordering::Relaxed);
    }
    if choices.octet() & 3 != 0 {
        mend();
    }
    // As it was made, or with words missing at its end.
    let missing = choices.below(8).saturating_sub(6) * choices.below(memory.len());
    attach(&memory[..memory.len() - missing], choices);
}

/// Does what a successor and a reader do with a segment, while its words change.
fn attach(memory: &[AtomicU64], choices: &mut Choices<'_>) {
    let Ok(header) = Header::read(memory, memory.len() as u64 * 8) else { return };
    let layout = header.layout;
    assert!(layout.segment_octets() <= memory.len() * 8);
    let place = layout.place();
    assert!(place.fits(memory.len()), "a header that was taken has a ring that fits");
    let mut schema = vec![0; layout.schema().len()];
    AtomicU64::load_octets(&memory[layout.schema().start / 8..], &mut schema);
    let _ = Schema::parse(&schema);

    let octets = layout.image_octets();
    let mut image = vec![0; octets];
    let mut reader = ImageReader::new(memory, place, octets, 1).expect("it fits");
    for _ in 0..STEPS_MAX {
        if choices.is_done() {
            break;
        }
        let last = reader.last();
        let read = match choices.octet() % 6 {
            0 => reader.newest(&mut image),
            1 => reader.next(&mut image),
            2 => reader.last_whole(&mut image),
            3 => {
                let mut writer = ImageWriter::new(memory, place, octets).expect("it fits");
                let stamp = Stamp { epoch: u64::from(choices.octet() & 1), ..Stamp::default() };
                writer.publish(&image, stamp).expect("the size that was agreed");
                Err(NoImage::Nothing)
            }
            4 => {
                // One of the words that all of them look at first.
                let slot = place.slots + choices.below(place.count) * place.stride;
                let at = if choices.octet() & 1 == 0 { place.newest } else { slot };
                memory[at].store(choices.word(), Ordering::Relaxed);
                Err(NoImage::Nothing)
            }
            _ => {
                let at = choices.below(memory.len().min(1 << 16));
                memory[at].store(choices.word(), Ordering::Relaxed);
                Err(NoImage::Nothing)
            }
        };
        assert!(reader.last() >= last, "a reader never goes back");
        if let Ok(image) = read {
            assert_eq!(image.stamp.epoch, 1, "only images of the epoch that was asked for");
            assert!(image.skipped <= image.sequence);
        }
    }
}

/// Reads a ring at any place in any words. The copying function changes words, as a writer does
/// that is at the same slot.
fn ring(choices: &mut Choices<'_>) {
    let place = Place {
        newest: choices.below(40),
        slots: choices.below(40),
        stride: choices.below(12),
        count: choices.below(9),
        body: choices.below(12),
    };
    let memory: Vec<_> = (0..choices.below(120)).map(|_| AtomicU64::new(choices.word())).collect();
    let Some(mut reader) = Reader::new(&*memory, place) else {
        assert!(!place.fits(memory.len()));
        return;
    };
    for _ in 0..STEPS_MAX {
        if choices.is_done() {
            break;
        }
        let (how, last) = (choices.octet(), reader.last());
        let mut copies = 0;
        let mut copy = |body: &[AtomicU64]| {
            assert_eq!(body.len(), place.body);
            copies += 1;
            if how & 4 != 0 {
                memory[choices.below(memory.len())].store(choices.word(), Ordering::Relaxed);
            }
        };
        let read = match how & 3 {
            0 => reader.newest(&mut copy).ok(),
            1 => reader.next(&mut copy).ok(),
            2 => {
                let _ = reader.read(u64::from(how), &mut copy);
                None
            }
            _ => {
                let mut looks = 0;
                let _ = reader.back_from_newest(|sequence, ring| -> ControlFlow<()> {
                    looks += 1;
                    let _ = ring.read(sequence, |_| ());
                    ControlFlow::Continue(())
                });
                assert!(looks <= place.count);
                None
            }
        };
        assert!(copies <= ATTEMPTS, "{copies} copies");
        if let Some(step) = read {
            assert!(step.sequence > last && step.sequence == reader.last());
            assert!(step.skipped < step.sequence);
        }
    }
}
