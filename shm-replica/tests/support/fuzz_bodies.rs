//! The fuzz targets, and how their octets become decisions. The same bodies run on stable Rust with
//! seeded random octets and the committed corpus (`tests/hostile_octets.rs`), and under libFuzzer
//! (`fuzz/`).

pub(crate) use super::fuzz_attach::attach;
pub(crate) use super::fuzz_schema::schema;
pub(crate) use super::fuzz_segment::segment;

/// A fuzz target: its name and its body.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// Every target.
pub(crate) const TARGETS: [Target; 3] =
    [("attach", attach), ("schema", schema), ("segment", segment)];

/// Reads decisions from octets; zeros when they are used up.
pub(super) struct Choices<'a>(pub(super) &'a [u8]);

impl<'a> Choices<'a> {
    pub(super) fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn octet(&mut self) -> u8 {
        let [octet] = self.array();
        octet
    }

    /// Below `n`, which is at most 65,536.
    pub(super) fn below(&mut self, n: usize) -> usize {
        usize::from(u16::from_le_bytes(self.array())) % n
    }

    /// A word: small, the same as a sequence word's, near the end of the numbers, or any.
    pub(super) fn word(&mut self) -> u64 {
        let how = self.octet();
        match how & 3 {
            0 => u64::from(how >> 2),
            1 => u64::from(how >> 2) << 1,
            2 => u64::MAX - u64::from(how >> 2),
            _ => u64::from_le_bytes(self.array()),
        }
    }

    pub(super) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.take(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }
}
