//! The number by which a program calls a function of the running kernel.
//!
//! The kernel describes its types and functions in one file (BTF): a header, then records of
//! varying length that are numbered from 1 in their order, then the names.

use std::fs;
use std::sync::OnceLock;

const FILE: &str = "/sys/kernel/btf/vmlinux";
/// More than any kernel's: a bound for what is read.
const FILE_OCTETS_MAX: u64 = 64 << 20;
const MAGIC: u16 = 0xeb9f;
const RECORD_OCTETS: usize = 12;
const KIND_FUNCTION: u32 = 12;

/// The function that tells an XDP program of a VLAN tag beside the frame (Linux 6.8).
const RECEIVED_VLAN_TAG: &str = "bpf_xdp_metadata_rx_vlan_tag";

/// The number of the function that tells of a VLAN tag beside a frame; `None` in a kernel without
/// it or without BTF. Looked up once. Not for a real-time thread.
pub(super) fn received_vlan_tag() -> Option<i32> {
    static NUMBER: OnceLock<Option<i32>> = OnceLock::new();
    *NUMBER.get_or_init(|| {
        let length = fs::metadata(FILE).ok()?.len();
        let text = (length <= FILE_OCTETS_MAX).then(|| fs::read(FILE).ok())??;
        function(&text, RECEIVED_VLAN_TAG)
    })
}

fn read_u32(text: &[u8], at: usize) -> Option<u32> {
    text.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn read_size(text: &[u8], at: usize) -> Option<usize> {
    usize::try_from(read_u32(text, at)?).ok()
}

/// The number of the function of that name.
fn function(text: &[u8], name: &str) -> Option<i32> {
    if text.first_chunk().copied().map(u16::from_ne_bytes) != Some(MAGIC) {
        return None;
    }
    let (header, at) = (read_size(text, 4)?, |word| read_size(text, word));
    let (types_at, types_octets) = (header.checked_add(at(8)?)?, at(12)?);
    let (names_at, names_octets) = (header.checked_add(at(16)?)?, at(20)?);
    let mut types = text.get(types_at..types_at.checked_add(types_octets)?)?;
    let names = text.get(names_at..names_at.checked_add(names_octets)?)?;
    let mut number = 1i32;
    while !types.is_empty() {
        let (name_at, information) = (read_size(types, 0)?, read_u32(types, 4)?);
        let kind = (information >> 24) & 31;
        let wanted = || names.get(name_at..)?.strip_prefix(name.as_bytes())?.first().copied();
        if kind == KIND_FUNCTION && wanted() == Some(0) {
            return Some(number);
        }
        let members = usize::try_from(information & 0xffff).ok()?;
        types = types.get(RECORD_OCTETS + behind(kind, members)?..)?;
        number = number.checked_add(1)?;
    }
    None
}

/// Octets that stand behind a record of this kind.
const fn behind(kind: u32, members: usize) -> Option<usize> {
    match kind {
        // Pointer, forward, typedef, volatile, const, restrict, function, float, type tag.
        2 | 7..=12 | 16 | 18 => Some(0),
        // Integer, variable, declaration tag.
        1 | 14 | 17 => Some(4),
        // Array.
        3 => Some(12),
        // Structure, union, section, enumeration of 64 bits.
        4 | 5 | 15 | 19 => Some(12 * members),
        // Enumeration, prototype.
        6 | 13 => Some(8 * members),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with these records (kind, members, name) and names.
    fn file(records: &[(u32, u32, u32)], names: &[u8]) -> Vec<u8> {
        let mut types = Vec::new();
        for (kind, members, name_at) in records {
            for word in [*name_at, kind << 24 | members, 0] {
                types.extend_from_slice(&word.to_ne_bytes());
            }
            types.resize(types.len() + behind(*kind, *members as usize).unwrap_or(0), 0xff);
        }
        let octets = |length: usize| u32::try_from(length).unwrap();
        let words = [24, 0, octets(types.len()), octets(types.len()), octets(names.len())];
        let header = [&MAGIC.to_ne_bytes()[..], &[1, 0]].concat();
        let words = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        [header, words, types, names.to_vec()].concat()
    }

    #[test]
    fn a_function_is_found_behind_records_of_every_length() {
        let names = b"\0wanted_not\0wanted\0";
        let records =
            [(4, 3, 12), (1, 0, 1), (12, 0, 1), (6, 2, 0), (13, 1, 0), (3, 0, 0), (12, 0, 12)];
        assert_eq!(function(&file(&records, names), "wanted"), Some(7));
        assert_eq!(function(&file(&records[..6], names), "wanted"), None);
        assert_eq!(function(&file(&[(31, 0, 0), (12, 0, 12)], names), "wanted"), None);
    }

    #[test]
    fn nonsense_is_survived() {
        let whole = file(&[(4, 3, 12), (12, 0, 99), (12, 0, 12)], b"\0wanted_not\0wanted\0");
        for length in 0..whole.len() {
            let _ = function(&whole[..length], "wanted");
        }
        for at in 0..whole.len() {
            let mut wrong = whole.clone();
            wrong[at] = 0xff;
            let _ = function(&wrong, "wanted");
        }
    }
}
