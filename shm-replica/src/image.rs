//! Images: what a slot of the ring holds, its stamp and its checksum.
//!
//! | Word of the body | Holds |
//! |---|---|
//! | 0 | epoch of the writer |
//! | 1 | cycle of the application |
//! | 2 | commit time, CLOCK_MONOTONIC in ns |
//! | 3 | wall clock of the commit, CLOCK_REALTIME in ns |
//! | 4 | the application's own time, in ns: what its timers count |
//! | 5 | reserved, zero |
//! | 6 | CRC-32C over words 0 to 5, the sequence and the image's CRC-32C; upper half zero |
//! | 7 … | the image, filled up to a whole word with zeros |
//!
//! With the ring's sequence word this makes 64 octets before the image, so that the image begins on
//! a cache line.

use core::fmt;
use core::ops::{ControlFlow, Deref};
use core::sync::atomic::Ordering;

use crate::crc::Crc;
use crate::ring::{ATTEMPTS, Missed, Place, Reader, Step, Writer};
use crate::word::{WORD_OCTETS, Word, words_of};

/// Words of a stamp with its checksum.
pub const STAMP_WORDS: usize = 7;
/// Index of the application's cycle.
const CYCLE_WORD: usize = 1;
/// Index of the checksum.
const CRC_WORD: usize = 6;

/// Up to here an image is summed before the first of its words is stored, and not in one pass.
///
/// A store to a line that a reader looks at waits until the line has come from the reader's cache,
/// and all stores after it wait behind it, in a queue of the processor that is soon full. So who
/// has little to store does it in one go, when everything else is done.
const AT_ONCE_OCTETS_MAX: usize = 256;

/// What is known of an image beside its octets.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stamp {
    /// Who wrote it: epochs of a region only rise.
    pub epoch: u64,
    /// The application's cycle, which goes on across a takeover.
    pub cycle: u64,
    /// When it was committed, CLOCK_MONOTONIC in ns.
    pub committed_at_ns: u64,
    /// The same, CLOCK_REALTIME in ns.
    pub wall_clock_ns: u64,
    /// The application's own time in ns, which goes on across a takeover.
    pub application_time_ns: u64,
}

impl Stamp {
    const fn words(self) -> [u64; CRC_WORD] {
        let Self { epoch, cycle, committed_at_ns, wall_clock_ns, application_time_ns } = self;
        [epoch, cycle, committed_at_ns, wall_clock_ns, application_time_ns, 0]
    }

    /// The stamp in a slot's body as it stands there: nothing of it is verified.
    #[cfg(feature = "os")]
    pub(crate) fn peek<W: Word>(body: &[W]) -> Option<Self> {
        Self::from_words(load(body))
    }

    /// None where what is reserved is not zero.
    const fn from_words(words: [u64; CRC_WORD]) -> Option<Self> {
        let [epoch, cycle, committed_at_ns, wall_clock_ns, application_time_ns, reserved] = words;
        let stamp = Self { epoch, cycle, committed_at_ns, wall_clock_ns, application_time_ns };
        if reserved == 0 { Some(stamp) } else { None }
    }

    /// The checksum of an image with this stamp, given that of its octets. That one comes last: so
    /// neither of the two has to wait for the other.
    #[inline]
    fn seal(self, image: Crc, sequence: u64) -> u64 {
        let [epoch, cycle, committed_at, wall_clock, application_time, reserved] = self.words();
        let image = u64::from(image.value());
        let words =
            [epoch, cycle, committed_at, wall_clock, application_time, reserved, sequence, image];
        u64::from(Crc::new().extend_words(words).value())
    }
}

/// Whether a slot's body has room for an image and its stamp.
const fn fits(place: Place, image_octets: usize) -> bool {
    STAMP_WORDS + words_of(image_octets) <= place.body
}

/// Writes images into a ring.
#[derive(Debug)]
pub struct ImageWriter<M> {
    ring: Writer<M>,
    image_octets: usize,
}

/// An image that is being written; dropped, it is as if it had not been begun.
#[derive(Debug)]
pub struct Draft<'w, M> {
    writer: &'w mut ImageWriter<M>,
    /// Words of the image that are written.
    filled: usize,
    crc: Crc,
}

impl<M, W> ImageWriter<M>
where
    M: Deref<Target = [W]>,
    W: Word,
{
    /// A writer of images of `image_octets` octets; none where ring or image does not fit.
    #[must_use]
    pub fn new(memory: M, place: Place, image_octets: usize) -> Option<Self> {
        let ring = Writer::new(memory, place).filter(|_| fits(place, image_octets))?;
        Some(Self { ring, image_octets })
    }

    /// Begins the next image. Real-time class: one store.
    pub fn begin(&mut self) -> Draft<'_, M> {
        self.ring.begin();
        Draft { writer: self, filled: 0, crc: Crc::new() }
    }

    /// Commits an image in one piece. Real-time class: one copy, one checksum, no system call.
    ///
    /// # Errors
    /// `image` has another size than was agreed.
    pub fn publish(&mut self, image: &[u8], stamp: Stamp) -> Result<u64, WrongSize> {
        self.fits(image)?;
        if image.len() > AT_ONCE_OCTETS_MAX {
            let mut draft = self.begin();
            draft.append(image)?;
            return draft.commit(stamp);
        }
        let sum = stamp.seal(Crc::new().extend_padded(image), self.ring.next());
        self.ring.begin();
        W::store_octets(&self.ring.body()[STAMP_WORDS..], image);
        Ok(self.commit(stamp, sum))
    }

    /// Opens the next slot and gives the words of its image, for an owner that writes them in place
    /// and then calls [`Self::commit_in_place`]. They hold what the slot held before.
    pub fn open_in_place(&mut self) -> &[W] {
        self.ring.begin();
        let words = words_of(self.image_octets);
        &self.ring.body()[STAMP_WORDS..STAMP_WORDS + words]
    }

    /// Commits what stands in the open slot. `image` is the slot's image as its owner sees it.
    /// Real-time class: one checksum, no system call.
    ///
    /// # Errors
    /// `image` has another size than was agreed.
    pub fn commit_in_place(&mut self, image: &[u8], stamp: Stamp) -> Result<u64, WrongSize> {
        self.fits(image)?;
        Ok(self.seal(Crc::new().extend_padded(image), stamp))
    }

    const fn fits(&self, image: &[u8]) -> Result<(), WrongSize> {
        if image.len() == self.image_octets {
            return Ok(());
        }
        Err(WrongSize { given: image.len(), agreed: self.image_octets })
    }

    fn seal(&mut self, image: Crc, stamp: Stamp) -> u64 {
        let sum = stamp.seal(image, self.ring.next());
        self.commit(stamp, sum)
    }

    #[inline]
    fn commit(&mut self, stamp: Stamp, sum: u64) -> u64 {
        let body = self.ring.body();
        for (word, value) in body.iter().zip(stamp.words()) {
            word.store(value, Ordering::Relaxed);
        }
        body[CRC_WORD].store(sum, Ordering::Relaxed);
        self.ring.commit()
    }

    /// The last commit; zero before the first.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.ring.sequence()
    }

    /// The memory.
    pub const fn memory(&self) -> &M {
        self.ring.memory()
    }
}

impl<M, W> Draft<'_, M>
where
    M: Deref<Target = [W]>,
    W: Word,
{
    /// Writes the next block, which begins at a whole word. Real-time class: one copy and checksum.
    ///
    /// # Errors
    /// More octets than the image has; nothing is written then.
    pub fn append(&mut self, block: &[u8]) -> Result<(), WrongSize> {
        let image_octets = self.writer.image_octets;
        let at = self.filled * WORD_OCTETS;
        if block.len() > image_octets.saturating_sub(at) {
            return Err(WrongSize { given: at.saturating_add(block.len()), agreed: image_octets });
        }
        let words = &self.writer.ring.body()[STAMP_WORDS + self.filled..];
        self.crc = W::store_summed(words, block, self.crc);
        self.filled += words_of(block.len());
        Ok(())
    }

    /// Commits the image; its sequence. Real-time class: no system call.
    ///
    /// # Errors
    /// The blocks did not fill the image; it is dropped.
    pub fn commit(self, stamp: Stamp) -> Result<u64, WrongSize> {
        let agreed = self.writer.image_octets;
        if self.filled != words_of(agreed) {
            return Err(WrongSize { given: self.filled * WORD_OCTETS, agreed });
        }
        Ok(self.writer.seal(self.crc, stamp))
    }
}

/// An image is not as large as was agreed when its region was registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the image has {given} octets, not the {agreed} that its region was registered with")]
pub struct WrongSize {
    /// Octets that were given.
    pub given: usize,
    /// Octets that were agreed.
    pub agreed: usize,
}

/// Reads images from a ring, verified.
#[derive(Clone, Debug)]
pub struct ImageReader<M> {
    ring: Reader<M>,
    image_octets: usize,
    /// The writer's epoch; images of another are none.
    epoch: u64,
}

/// An image that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Image {
    /// Its commit's number in this segment, from 1.
    pub sequence: u64,
    /// Commits between the image read before and this one.
    pub skipped: u64,
    /// What is known of it.
    pub stamp: Stamp,
}

/// Why there is no image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoImage {
    /// Nothing that was not read before.
    Nothing,
    /// The writer was faster than each of the attempts.
    Lapped,
    /// A commit whose checksum does not fit: something wrote where only the writer writes.
    Corrupt(u64),
    /// The buffer is not as large as the image.
    WrongSize(WrongSize),
}

impl fmt::Display for NoImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Missed::Nothing.fmt(f),
            Self::Lapped => Missed::Lapped.fmt(f),
            Self::Corrupt(sequence) => {
                write!(f, "commit {sequence} has been changed: its checksum does not fit")
            }
            Self::WrongSize(wrong) => wrong.fmt(f),
        }
    }
}

impl core::error::Error for NoImage {}

impl From<Missed> for NoImage {
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::Nothing => Self::Nothing,
            Missed::Lapped => Self::Lapped,
        }
    }
}

/// What a copy yields before it is known to be whole.
#[derive(Clone, Copy)]
struct Copied {
    stamp: [u64; CRC_WORD],
    /// Of the image that was copied.
    image: Crc,
    /// The checksum that stands there.
    sum: u64,
}

impl<M, W> ImageReader<M>
where
    M: Deref<Target = [W]>,
    W: Word,
{
    /// A reader of images of `image_octets` octets by the writer of `epoch`; none where ring or
    /// image does not fit.
    #[must_use]
    pub fn new(memory: M, place: Place, image_octets: usize, epoch: u64) -> Option<Self> {
        let ring = Reader::new(memory, place).filter(|_| fits(place, image_octets))?;
        Some(Self { ring, image_octets, epoch })
    }

    /// Reads the newest image, if it was not read before. After an error `into` holds anything.
    /// Real-time class: at most [`ATTEMPTS`] copies and a checksum, no system call.
    ///
    /// # Errors
    /// See [`NoImage`].
    pub fn newest(&mut self, into: &mut [u8]) -> Result<Image, NoImage> {
        self.fits(into)?;
        if self.ring.is_next_missing() {
            return Err(NoImage::Nothing);
        }
        let step = self.ring.newest(|body| copy(body, into))?;
        self.verified(step)
    }

    /// Reads the image after the one read last, or the oldest that is left. Otherwise as
    /// [`Self::newest`].
    ///
    /// # Errors
    /// See [`NoImage`].
    #[inline]
    pub fn next(&mut self, into: &mut [u8]) -> Result<Image, NoImage> {
        self.fits(into)?;
        if self.ring.is_next_missing() {
            return Err(NoImage::Nothing);
        }
        self.found_next(into)
    }

    #[inline(never)]
    fn found_next(&mut self, into: &mut [u8]) -> Result<Image, NoImage> {
        let Some((sequence, copied)) = self.ring.following(|body| copy(body, into)) else {
            return self.found_another(into);
        };
        self.verified(Step { sequence, skipped: 0, copied })
    }

    #[cold]
    fn found_another(&mut self, into: &mut [u8]) -> Result<Image, NoImage> {
        let step = self.ring.next(|body| copy(body, into))?;
        self.verified(step)
    }

    /// Reads the newest image that is whole, whether it was read before or not, going back over
    /// those that are not: what a successor starts from. Not for a cycle: as many copies as there
    /// are slots, times [`ATTEMPTS`].
    ///
    /// # Errors
    /// [`NoImage::Nothing`] where there has been no commit; otherwise the first fault that was met,
    /// and no image is whole.
    pub fn last_whole(&self, into: &mut [u8]) -> Result<Image, NoImage> {
        self.last_whole_to(u64::MAX, into)
    }

    /// As [`Self::last_whole`], of those whose cycle is not after `cycle_max`: what several regions
    /// have in common, where their writer died between two of them.
    ///
    /// # Errors
    /// As there.
    pub fn last_whole_to(&self, cycle_max: u64, into: &mut [u8]) -> Result<Image, NoImage> {
        self.fits(into)?;
        let mut first_fault = None;
        for _ in 0..ATTEMPTS {
            let walk = self.ring.back_from_newest(|sequence, ring| {
                // A look before the copy; the copy is verified, and so is its cycle.
                let cycle = ring.read(sequence, |body| body[CYCLE_WORD].load(Ordering::Relaxed));
                if cycle.is_ok_and(|cycle| cycle > cycle_max) {
                    return ControlFlow::Continue(());
                }
                let read = ring.read(sequence, |body| copy(body, into)).map_err(NoImage::from);
                let step = |copied| Step { sequence, skipped: 0, copied };
                match read.and_then(|copied| self.verified(step(copied))) {
                    Ok(image) if image.stamp.cycle > cycle_max => ControlFlow::Continue(()),
                    Ok(image) => ControlFlow::Break(image),
                    Err(NoImage::Nothing) => ControlFlow::Continue(()),
                    Err(fault) => {
                        first_fault.get_or_insert(fault);
                        ControlFlow::Continue(())
                    }
                }
            });
            if let ControlFlow::Break(image) = walk {
                return Ok(image);
            }
        }
        Err(first_fault.unwrap_or(NoImage::Nothing))
    }

    /// The commit that was read last; zero before the first.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.ring.last()
    }

    /// The newest commit, be it read or not; zero before the first. Real-time class: two loads.
    #[must_use]
    pub fn newest_sequence(&self) -> u64 {
        self.ring.newest_sequence()
    }

    /// The memory.
    pub const fn memory(&self) -> &M {
        self.ring.memory()
    }

    const fn fits(&self, into: &[u8]) -> Result<(), NoImage> {
        if into.len() == self.image_octets {
            return Ok(());
        }
        Err(NoImage::WrongSize(WrongSize { given: into.len(), agreed: self.image_octets }))
    }

    #[inline]
    fn verified(&self, step: Step<Copied>) -> Result<Image, NoImage> {
        let Step { sequence, skipped, copied } = step;
        match Stamp::from_words(copied.stamp) {
            Some(stamp)
                if copied.sum == stamp.seal(copied.image, sequence)
                    && stamp.epoch == self.epoch =>
            {
                Ok(Image { sequence, skipped, stamp })
            }
            _ => Err(NoImage::Corrupt(sequence)),
        }
    }
}

/// The words of a slot's stamp.
#[inline]
fn load<W: Word>(body: &[W]) -> [u64; CRC_WORD] {
    let mut stamp = [0; CRC_WORD];
    for (value, word) in stamp.iter_mut().zip(body) {
        *value = word.load(Ordering::Relaxed);
    }
    stamp
}

/// Copies stamp and image out of a slot, each word once: what is summed is what is copied.
#[inline]
fn copy<W: Word>(body: &[W], into: &mut [u8]) -> Copied {
    let stamp = load(body);
    let image = W::load_summed(&body[STAMP_WORDS..], into, Crc::new());
    Copied { stamp, image, sum: body[CRC_WORD].load(Ordering::Relaxed) }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;
    use crate::segment::Layout;

    const OCTETS: usize = 100;
    const EPOCH: u64 = 3;

    fn place() -> Place {
        Layout::new(OCTETS, 4, 0).unwrap().place()
    }

    fn memory() -> Vec<AtomicU64> {
        let octets = Layout::new(OCTETS, 4, 0).unwrap().segment_octets();
        (0..octets / WORD_OCTETS).map(|_| AtomicU64::new(0)).collect()
    }

    fn stamp(cycle: u64) -> Stamp {
        Stamp {
            epoch: EPOCH,
            cycle,
            committed_at_ns: cycle * 1_000,
            wall_clock_ns: cycle * 1_000 + 7,
            application_time_ns: cycle * 999,
        }
    }

    fn writer(memory: &[AtomicU64]) -> ImageWriter<&[AtomicU64]> {
        ImageWriter::new(memory, place(), OCTETS).unwrap()
    }

    fn reader(memory: &[AtomicU64]) -> ImageReader<&[AtomicU64]> {
        ImageReader::new(memory, place(), OCTETS, EPOCH).unwrap()
    }

    #[test]
    fn an_image_comes_back_with_its_stamp() {
        let memory = memory();
        let (mut writer, mut reader) = (writer(&memory), reader(&memory));
        let mut into = [0; OCTETS];
        assert_eq!(reader.newest(&mut into), Err(NoImage::Nothing));
        assert_eq!(reader.last_whole(&mut into), Err(NoImage::Nothing));
        for cycle in 1..=9u8 {
            let sequence = writer.publish(&[cycle; OCTETS], stamp(cycle.into())).unwrap();
            let image = reader.newest(&mut into).unwrap();
            assert_eq!(image, Image { sequence, skipped: 0, stamp: stamp(cycle.into()) });
            assert_eq!(into, [cycle; OCTETS]);
        }
        assert_eq!(reader.next(&mut into), Err(NoImage::Nothing));
        assert_eq!(reader.last_whole(&mut into).unwrap().sequence, 9);
    }

    #[test]
    fn blocks_and_places_make_the_image_that_one_piece_makes() {
        let image: Vec<u8> = (0..100).collect();
        let (whole, blocks, in_place) = (memory(), memory(), memory());
        writer(&whole).publish(&image, stamp(1)).unwrap();
        let mut gathered = writer(&blocks);
        let mut draft = gathered.begin();
        for block in [&image[..16], &image[16..24], &image[24..]] {
            draft.append(block).unwrap();
        }
        draft.commit(stamp(1)).unwrap();
        let mut placed = writer(&in_place);
        AtomicU64::store_octets(placed.open_in_place(), &image);
        placed.commit_in_place(&image, stamp(1)).unwrap();
        let mut into = [0; OCTETS];
        for memory in [&whole, &blocks, &in_place] {
            assert_eq!(reader(memory).newest(&mut into).unwrap().stamp, stamp(1));
            assert_eq!(into[..], image);
        }
    }

    #[test]
    fn a_wrong_size_is_refused_and_leaves_the_last_image() {
        let memory = memory();
        let mut writer = writer(&memory);
        writer.publish(&[1; OCTETS], stamp(1)).unwrap();
        assert!(writer.publish(&[2; OCTETS - 8], stamp(2)).is_err());
        assert!(writer.publish(&[2; OCTETS + 1], stamp(2)).is_err());
        let mut draft = writer.begin();
        draft.append(&[2; OCTETS - 1]).unwrap();
        assert!(draft.append(&[2; 9]).is_err());
        assert!(writer.begin().commit(stamp(2)).is_err());
        assert!(writer.commit_in_place(&[2; 3], stamp(2)).is_err());
        let mut into = [0; OCTETS];
        assert!(matches!(reader(&memory).newest(&mut [0; 3]), Err(NoImage::WrongSize(_))));
        assert_eq!(reader(&memory).newest(&mut into).unwrap().sequence, 1);
        assert_eq!(writer.publish(&[3; OCTETS], stamp(3)), Ok(2));
    }

    #[test]
    fn a_change_of_any_bit_of_a_commit_is_noticed() {
        let memory = memory();
        let mut writer = writer(&memory);
        writer.publish(&[0x5a; OCTETS], stamp(1)).unwrap();
        let body = place().slots + place().stride + 1;
        // The octets behind the image's last one are nobody's.
        let bits = (STAMP_WORDS * WORD_OCTETS + OCTETS) * 8;
        let mut into = [0; OCTETS];
        for bit in 0..bits {
            let word = &memory[body + bit / 64];
            word.fetch_xor(1 << (bit % 64), Ordering::Relaxed);
            assert_eq!(reader(&memory).newest(&mut into), Err(NoImage::Corrupt(1)), "bit {bit}");
            word.fetch_xor(1 << (bit % 64), Ordering::Relaxed);
        }
        assert_eq!(reader(&memory).newest(&mut into).map(|image| image.sequence), Ok(1));
    }

    #[test]
    fn a_successor_starts_from_the_newest_that_is_whole() {
        let memory = memory();
        let mut writer = writer(&memory);
        for cycle in 1..=6u8 {
            writer.publish(&[cycle; OCTETS], stamp(cycle.into())).unwrap();
        }
        // A writer that died within commit 7, and something that changed 6 and 5.
        let _ = writer.begin();
        for sequence in [6, 5] {
            let at = place().slots + (sequence % 4) * place().stride + 1 + STAMP_WORDS;
            memory[at].store(0, Ordering::Relaxed);
        }
        let mut into = [0; OCTETS];
        let image = reader(&memory).last_whole(&mut into).unwrap();
        assert_eq!((image.sequence, into), (4, [4; OCTETS]));
        let at = place().slots + 1 + STAMP_WORDS;
        memory[at].store(0, Ordering::Relaxed);
        assert_eq!(reader(&memory).last_whole(&mut into), Err(NoImage::Corrupt(6)));
    }

    #[test]
    fn an_image_of_another_epoch_is_none() {
        let memory = memory();
        let stale = Stamp { epoch: EPOCH - 1, ..stamp(1) };
        writer(&memory).publish(&[1; OCTETS], stale).unwrap();
        assert_eq!(reader(&memory).newest(&mut [0; OCTETS]), Err(NoImage::Corrupt(1)));
    }

    #[test]
    fn an_image_larger_than_its_slot_is_refused_at_once() {
        let memory = memory();
        let octets = (place().body - STAMP_WORDS) * WORD_OCTETS + 1;
        assert!(ImageWriter::new(&*memory, place(), octets).is_none());
        assert!(ImageReader::new(&*memory, place(), octets, EPOCH).is_none());
    }
}
