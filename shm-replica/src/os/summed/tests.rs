//! Every way that this processor knows, against the definition.

use super::*;
use crate::crc::tests::as_defined;

/// Beyond several rounds of the widest way, and each rest of it.
const EACH_LENGTH_TO: usize = 1_100;
/// Beyond several rounds of the longest pieces.
const LENGTH_MAX: usize = 10_007;

/// What nobody wrote.
const UNTOUCHED: u64 = 0xa5a5_a5a5_a5a5_a5a5;

fn ways(test: &str) -> Vec<Way> {
    let known: &[(&str, Option<Way>)] = &[
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        ("instruction for CRC-32C", Instruction::new().map(Way::Instruction)),
        #[cfg(target_arch = "x86_64")]
        ("VPCLMULQDQ with AVX2", x86_64::Half::new().map(Way::Half)),
        #[cfg(target_arch = "x86_64")]
        ("VPCLMULQDQ with AVX-512", x86_64::Wide::new().map(Way::Wide)),
    ];
    let mut ways = vec![Way::Tables];
    for &(name, way) in known {
        match way {
            Some(way) => ways.push(way),
            None => println!("SKIP: {test}: hardware has no {name}"),
        }
    }
    ways
}

/// Each small one, and great ones with all that may be left of a word, a line and a piece.
fn lengths() -> impl Iterator<Item = usize> {
    let great = (EACH_LENGTH_TO..LENGTH_MAX).step_by(211);
    (0..=EACH_LENGTH_TO).chain(3_060..3_080).chain(great).chain([LENGTH_MAX])
}

fn noise(octets: usize) -> Vec<u8> {
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    (0..octets)
        .map(|_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random.to_le_bytes()[3]
        })
        .collect()
}

fn words(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(UNTOUCHED)).collect()
}

fn octets_of(words: &[AtomicU64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect()
}

fn filled_up(octets: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    octets.resize(octets.len().next_multiple_of(WORD_OCTETS), 0);
    octets
}

#[test]
fn the_sum_is_the_defined_one_at_each_length_and_place() {
    let noise = noise(LENGTH_MAX + 8);
    let ways = ways("the_sum_is_the_defined_one_at_each_length_and_place");
    for length in lengths() {
        let at = length % 8;
        let octets = &noise[at..at + length];
        let defined = as_defined(octets);
        for way in &ways {
            let sum = way.extend(Crc::new(), octets);
            assert_eq!(sum.value(), defined, "{way:?}, {length} octets");
        }
        assert_eq!(extend(Crc::new(), octets).value(), defined);
    }
}

#[test]
fn pieces_are_summed_as_the_whole_wherever_it_is_divided() {
    let ways = ways("pieces_are_summed_as_the_whole_wherever_it_is_divided");
    for length in [63, 300, 777, EACH_LENGTH_TO, 4_000] {
        let octets = noise(length);
        let defined = as_defined(&octets);
        for at in 0..=length {
            let (first, second) = octets.split_at(at);
            for (index, way) in ways.iter().enumerate() {
                // The second piece another way: what stands between them is the same to all.
                let other = ways[(index + at) % ways.len()];
                let sum = other.extend(way.extend(Crc::new(), first), second);
                assert_eq!(sum.value(), defined, "{way:?}, {other:?}, {length} at {at}");
            }
        }
    }
}

#[test]
fn what_is_stored_is_what_is_summed_and_nothing_around_it_is_touched() {
    let noise = noise(LENGTH_MAX + 8);
    let before = Crc::new().extend(b"before");
    for way in ways("what_is_stored_is_what_is_summed_and_nothing_around_it_is_touched") {
        for length in lengths() {
            // Registers and lines begin at every word in turn, octets at every octet.
            let (from, to) = (length / 3 % 8, length % 8);
            let octets = &noise[from..from + length];
            let whole = filled_up(octets);
            let memory = words(to + whole.len() / WORD_OCTETS + 9);
            let sum = way.store(&memory[to..], octets, before);
            assert_eq!(sum, before.extend(&whole), "{way:?}, {length} octets");
            let found = octets_of(&memory);
            let (start, end) = (to * WORD_OCTETS, to * WORD_OCTETS + whole.len());
            assert_eq!(found[start..end], whole, "{way:?}, {length} octets");
            let around = found[..start].iter().chain(&found[end..]);
            assert!(around.copied().all(|octet| octet == 0xa5), "{way:?}, {length} octets");
        }
    }
}

#[test]
fn what_is_loaded_is_what_is_summed_and_nothing_around_it_is_touched() {
    let noise = noise(LENGTH_MAX + 64);
    let before = Crc::new().extend(b"before");
    let memory = words(noise.len() / WORD_OCTETS);
    Way::Tables.store(&memory, &noise, Crc::new());
    for way in ways("what_is_loaded_is_what_is_summed_and_nothing_around_it_is_touched") {
        for length in lengths() {
            let (from, to) = (length % 7, length / 3 % 8);
            let mut into = vec![0xa5; to + length + 9];
            let sum = way.load(&memory[from..], &mut into[to..to + length], before);
            let octets = &noise[from * WORD_OCTETS..][..length];
            assert_eq!(sum, before.extend(&filled_up(octets)), "{way:?}, {length} octets");
            assert_eq!(&into[to..to + length], octets, "{way:?}, {length} octets");
            let around = into[..to].iter().chain(&into[to + length..]);
            assert!(around.copied().all(|octet| octet == 0xa5), "{way:?}, {length} octets");
        }
    }
}

#[test]
fn whatever_is_chosen_for_a_length_does_the_same() {
    let noise = noise(LENGTH_MAX);
    let before = Crc::new().extend(b"before");
    for length in lengths() {
        let octets = &noise[..length];
        let sum = before.extend(&filled_up(octets));
        let memory = words(length.div_ceil(WORD_OCTETS) + 1);
        assert_eq!(store(&memory, octets, before), sum, "{length} octets");
        assert_eq!(octets_of(&memory)[length.next_multiple_of(8)..], [0xa5; 8]);
        // What fills up the last word is nobody's.
        if let Some(last) = memory.get(length / WORD_OCTETS).filter(|_| length % 8 != 0) {
            last.fetch_or(!0 << (8 * (length % 8)), Ordering::Relaxed);
        }
        let mut into = vec![0; length];
        assert_eq!(load(&memory, &mut into, before), sum, "{length} octets");
        assert_eq!(into, octets);
        assert_eq!(before.extend_padded(octets), sum, "{length} octets");
        assert!(extend_few(before, octets).is_none_or(|few| few == sum), "{length} octets");
    }
    let words = [1, u64::MAX, 0x0123_4567_89ab_cdef];
    let octets = words.map(u64::to_le_bytes);
    assert_eq!(extend_words(before, words), before.extend(octets.as_flattened()));
    assert_eq!(without_instruction(before, &words), before.extend(octets.as_flattened()));
}

#[test]
fn what_does_not_fit_is_neither_moved_nor_summed() {
    let noise = noise(LENGTH_MAX);
    for way in ways("what_does_not_fit_is_neither_moved_nor_summed") {
        for count in [0, 1, 8, 40, 100] {
            let fits = &noise[..count * WORD_OCTETS];
            let memory = words(count);
            let stored = way.store(&memory, &noise, Crc::new());
            assert_eq!(stored.value(), as_defined(fits), "{way:?}, {count} words");
            assert_eq!(octets_of(&memory), fits);
            let mut into = vec![0xa5; LENGTH_MAX];
            let loaded = way.load(&memory, &mut into, Crc::new());
            assert_eq!(loaded.value(), as_defined(fits), "{way:?}, {count} words");
            assert_eq!(&into[..fits.len()], fits);
            assert!(into[fits.len()..].iter().all(|&octet| octet == 0xa5));
        }
    }
}
