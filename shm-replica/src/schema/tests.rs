use core::sync::atomic::AtomicU64;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rt_core::limits::IMAGE_OCTETS_MAX;

use super::*;
use crate::image::{ImageReader, ImageWriter, Stamp};
use crate::segment::Layout;

const fn block(name: &str, kind: Kind, count: u32) -> Block<'_> {
    Block { name, kind, count }
}

fn encode(blocks: &[Block<'_>]) -> Vec<u8> {
    let mut buffer = vec![0xa5; ENCODED_OCTETS_MAX];
    let mut builder = SchemaBuilder::new(&mut buffer);
    for block in blocks {
        builder.push(*block).unwrap();
    }
    builder.finish().unwrap().octets().to_vec()
}

fn parse(octets: &[u8]) -> Schema<'_> {
    Schema::parse(octets).unwrap()
}

/// What a machine might keep.
const PRESS: [Block<'static>; 5] = [
    block("PLC_PRG.force", Kind::F32, 3),
    block("PLC_PRG.fb[3].x", Kind::I16, 1),
    block("PLC_PRG.recipe", Kind::Text, 20),
    block("Std::TON.et", Kind::Time, 1),
    block("running", Kind::Bool, 1),
];

#[test]
fn numbers_of_kinds_never_change() {
    let table: Vec<_> = Kind::ALL
        .iter()
        .map(|kind| (kind.number(), kind.to_string(), kind.element_octets()))
        .collect();
    let expected = [
        (1, "octets", 1),
        (2, "u8 (USINT)", 1),
        (3, "u16 (UINT)", 2),
        (4, "u32 (UDINT)", 4),
        (5, "u64 (ULINT)", 8),
        (6, "i8 (SINT)", 1),
        (7, "i16 (INT)", 2),
        (8, "i32 (DINT)", 4),
        (9, "i64 (LINT)", 8),
        (10, "f32 (REAL)", 4),
        (11, "f64 (LREAL)", 8),
        (12, "bool (BOOL)", 1),
        (13, "text (STRING)", 1),
        (14, "time (LTIME)", 8),
        (15, "pointer", 8),
    ];
    assert_eq!(table, expected.map(|(number, name, octets)| (number, name.to_owned(), octets)));
    for number in 0..=u8::MAX {
        let kind = Kind::from_number(number);
        assert_eq!(kind.is_some(), (1..=15).contains(&number));
        assert!(kind.is_none_or(|kind| kind.number() == number));
    }
}

#[test]
fn encoding_and_hash_never_change() {
    let octets = encode(&[block("a", Kind::U16, 0x0010_2030), block("b.c", Kind::Bool, 1)]);
    let expected = b"\x01\x00\x02\x00\x03\x01\x30\x20\x10\x00a\x0c\x03\x01\x00\x00\x00b.c";
    assert_eq!(octets, expected);
    // As published for the function.
    assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    assert_eq!(parse(&octets).hash(), fnv1a(expected));
}

#[test]
fn blocks_stand_where_gathering_them_puts_them() {
    let octets = encode(&PRESS);
    let schema = parse(&octets);
    let places: Vec<_> = schema.blocks().map(|block| block.range()).collect();
    assert_eq!(places, [0..12, 16..18, 24..44, 48..56, 56..57]);
    assert_eq!((schema.image_octets(), schema.block_count()), (57, 5));

    let layout = Layout::new(schema.image_octets(), 4, octets.len()).unwrap();
    let memory: Vec<_> = (0..layout.segment_octets() / 8).map(|_| AtomicU64::new(0)).collect();
    let mut writer = ImageWriter::new(&*memory, layout.place(), 57).unwrap();
    let mut draft = writer.begin();
    for (index, block) in (1u8..).zip(schema.blocks()) {
        draft.append(&vec![index; block.octets]).unwrap();
    }
    draft.commit(Stamp { epoch: 1, ..Stamp::default() }).unwrap();
    let mut image = [0xff; 57];
    let mut reader = ImageReader::new(&*memory, layout.place(), 57, 1).unwrap();
    reader.newest(&mut image).unwrap();
    for (index, block) in (1u8..).zip(schema.blocks()) {
        assert_eq!(block.of(&image), Some(&*vec![index; block.octets]), "{block:?}");
    }
    assert_eq!(schema.find("running").unwrap().of(&image[..56]), None);
}

#[test]
fn a_block_that_cannot_be_is_refused_by_name_and_leaves_the_schema_as_it_was() {
    let mut buffer = [0; 40];
    let mut builder = SchemaBuilder::new(&mut buffer);
    assert_eq!(builder.push(block("first", Kind::U32, 2)).unwrap().octets, 8);
    let too_many = u32::try_from(IMAGE_OCTETS_MAX / 8).unwrap();
    for (wrong, fault, says) in [
        (block("", Kind::U8, 1), Fault::Name, "block ``: a block's name has"),
        (block("a\u{1b}[2J", Kind::U8, 1), Fault::Name, r"block `a\x1b[2J`: a block's"),
        (block("p", Kind::Pointer, 1), Fault::Pointer, "block `p`: it is a pointer"),
        (block("n", Kind::U8, 0), Fault::NoElements, "block `n`: it has no elements"),
        (block("first", Kind::U8, 1), Fault::Twice, "block `first`: another block"),
        (block("big", Kind::F64, too_many), Fault::ImageOctets, "block `big`: with it"),
        (block("huge", Kind::F64, u32::MAX), Fault::ImageOctets, "block `huge`: with it"),
        (block("a_name_of_20_octets_x", Kind::U8, 1), Fault::Buffer(42), "takes 42 octets"),
    ] {
        let refusal = builder.push(wrong).unwrap_err();
        assert!(refusal.name == *wrong.name && refusal.fault == fault, "{refusal}");
        assert!(refusal.to_string().contains(says), "{refusal}");
    }
    assert_eq!(builder.push(block("last", Kind::U8, 1)).unwrap().range(), 8..9);
    assert_eq!(
        builder.finish().unwrap().octets(),
        encode(&[block("first", Kind::U32, 2), block("last", Kind::U8, 1)])
    );
    assert_eq!(SchemaBuilder::new(&mut [0; 99]).finish(), Err(WrongSchema::Blocks(0)));
    let mut builder = SchemaBuilder::new(&mut []);
    let refusal = builder.push(block("x", Kind::U8, 1)).unwrap_err();
    assert_eq!(refusal.fault, Fault::Buffer(11));
}

#[test]
fn as_many_blocks_as_there_may_be_with_the_longest_names_fill_the_largest_buffer() {
    let names: Vec<_> =
        (0..=SCHEMA_BLOCKS_MAX).map(|n| format!("{n:0>BLOCK_NAME_OCTETS_MAX$}")).collect();
    let mut buffer = vec![0; ENCODED_OCTETS_MAX];
    let mut builder = SchemaBuilder::new(&mut buffer);
    for name in &names[..SCHEMA_BLOCKS_MAX] {
        builder.push(block(name, Kind::U8, 1)).unwrap();
    }
    let refusal = builder.push(block(&names[SCHEMA_BLOCKS_MAX], Kind::U8, 1)).unwrap_err();
    assert_eq!(refusal.fault, Fault::Blocks);
    let schema = builder.finish().unwrap();
    assert_eq!(schema.octets().len(), ENCODED_OCTETS_MAX);
    assert_eq!(schema.image_octets(), (SCHEMA_BLOCKS_MAX - 1) * 8 + 1);
    assert_eq!(Schema::parse(schema.octets()), Ok(schema));
    let twice: Vec<_> = [schema.octets(), &[0]].concat();
    assert_eq!(Schema::parse(&twice), Err(WrongSchema::Octets(ENCODED_OCTETS_MAX + 1)));
}

#[test]
fn an_image_ends_where_images_must() {
    let all = u32::try_from(IMAGE_OCTETS_MAX).unwrap();
    assert_eq!(parse(&encode(&[block("a", Kind::Octets, all)])).image_octets(), IMAGE_OCTETS_MAX);
    let mut buffer = [0; 99];
    let mut builder = SchemaBuilder::new(&mut buffer);
    builder.push(block("a", Kind::Octets, all - 15)).unwrap();
    let refusal = builder.push(block("b", Kind::U64, 2)).unwrap_err();
    assert_eq!(refusal.fault, Fault::ImageOctets);
    builder.push(block("c", Kind::U64, 1)).unwrap();
    assert_eq!(builder.finish().unwrap().image_octets(), IMAGE_OCTETS_MAX);
}

#[test]
fn names_are_those_of_variables() {
    let longest = "x".repeat(BLOCK_NAME_OCTETS_MAX);
    for good in ["a", "_", "0", "PLC_PRG.fb[3].x", "a::b-c", "m[1][2]", &longest] {
        assert_eq!(parse(&encode(&[block(good, Kind::U8, 1)])).blocks().next().unwrap().name, good);
    }
    let long = "x".repeat(BLOCK_NAME_OCTETS_MAX + 1);
    for bad in ["", ".a", "-a", "[a]", ":a", "]", "a b", "a/b", "a\0", "\u{e4}", "a\n", &long] {
        let mut buffer = [0; 99];
        let refusal = SchemaBuilder::new(&mut buffer).push(block(bad, Kind::U8, 1)).unwrap_err();
        assert_eq!(refusal.fault, Fault::Name, "{bad:?}");
        let length = u8::try_from(bad.len()).unwrap();
        let octets = [&[1, 0, 1, 0, 2, length, 1, 0, 0, 0], bad.as_bytes()].concat();
        let is_refused = Schema::parse(&octets).is_err();
        assert!(is_refused, "{bad:?}");
    }
    let label = Label::new(long.as_bytes());
    assert_eq!(label.to_string(), format!("{longest}…"));
}

#[test]
fn octets_that_are_no_schema_are_refused_with_what_is_wrong() {
    let whole = encode(&PRESS);
    for length in 0..whole.len() {
        let refusal = Schema::parse(&whole[..length]).unwrap_err();
        let expected = matches!(refusal, WrongSchema::Octets(n) if n == length && n < 11)
            || matches!(refusal, WrongSchema::Cut { blocks: 5, .. } if length >= 11);
        assert!(expected, "{length}: {refusal}");
    }
    let with = |at: usize, octet: u8| {
        let mut octets = whole.clone();
        octets[at] = octet;
        Schema::parse(&octets).unwrap_err().to_string()
    };
    assert!(with(0, 2).contains("version 2"));
    assert!(with(2, 0).contains("0 blocks"));
    assert!(with(3, 4).contains("1029 blocks"));
    assert!(with(2, 6).contains("within its block 6 of 6"));
    assert!(with(2, 4).contains("13 octets stand behind"));
    for kind in [0, 16, 255] {
        let says = with(4, kind);
        assert!(says.contains(&format!("block `PLC_PRG.force`: {kind} is the number of no kind")));
    }
    assert!(with(4, Kind::Pointer.number()).contains("block `PLC_PRG.force`: it is a pointer"));
    assert!(with(6, 0).contains("block `PLC_PRG.force`: it has no elements"));
    assert!(with(9, 9).contains("block `PLC_PRG.force`: with it the image is larger"));
    assert!(with(11, b'\\').contains(r"block `P\\C_PRG.force`: a block's name"));
    let twice = [&whole[..], &whole[4..23]].concat();
    let refusal = Schema::parse(&[&[1, 0, 6, 0], &twice[4..]].concat()).unwrap_err();
    assert!(refusal.to_string().contains("block `PLC_PRG.force`: another block has this name"));
}

/// That a schema which parsed is the one way to say what it says, and lies within its bounds.
fn assert_canonical(schema: &Schema<'_>) {
    let blocks: Vec<_> = schema.blocks().map(|view| view.block()).collect();
    assert_eq!(encode(&blocks), schema.octets());
    assert_eq!(blocks.len(), schema.block_count());
    let names: BTreeSet<_> = blocks.iter().map(|block| block.name).collect();
    assert_eq!(names.len(), blocks.len());
    let end = schema.blocks().fold(0, |end, view| {
        assert!(view.offset_octets >= end && view.offset_octets < end + 8);
        assert!(view.offset_octets.is_multiple_of(8) && view.octets > 0);
        view.range().end
    });
    assert!(end == schema.image_octets() && end <= IMAGE_OCTETS_MAX);
    assert_ne!(schema.hash(), 0);
}

#[test]
fn a_schema_with_any_octet_changed_is_refused_or_is_another_one() {
    let whole = encode(&PRESS);
    let ours = parse(&whole);
    let (mut refused, mut others) = (0, 0);
    for at in 0..whole.len() {
        for flip in 1..=u8::MAX {
            let mut octets = whole.clone();
            octets[at] ^= flip;
            let Ok(theirs) = Schema::parse(&octets) else {
                refused += 1;
                continue;
            };
            assert_canonical(&theirs);
            let mismatch = compare(&ours, &theirs).unwrap_err();
            assert_ne!(mismatch.ours, mismatch.theirs);
            others += 1;
        }
    }
    // Names and numbers may be other ones; so there are some of both.
    assert!(refused > 1_000 && others > 1_000, "{refused} refused, {others} others");
}

#[test]
fn a_mismatch_names_both_hashes_the_first_difference_and_the_remedy() {
    let ours = encode(&PRESS);
    let ours = parse(&ours);
    assert_eq!(compare(&ours, &ours), Ok(()));
    let says = |change: fn(&mut Vec<Block<'_>>)| {
        let mut blocks = PRESS.to_vec();
        change(&mut blocks);
        let theirs = encode(&blocks);
        let theirs = parse(&theirs);
        let mismatch = compare(&ours, &theirs).unwrap_err();
        assert_eq!((mismatch.ours, mismatch.theirs), (ours.hash(), theirs.hash()));
        let text = mismatch.to_string();
        assert!(text.contains(&format!(
            "{:#018x} here, {:#018x} there",
            ours.hash(),
            theirs.hash()
        )));
        assert!(text.contains("Load the same program on both sides, or allow"));
        // The other side meets the same difference, seen from there.
        assert!(compare(&theirs, &ours).is_err());
        mismatch.first.to_string()
    };
    assert_eq!(
        says(|blocks| blocks[1].kind = Kind::I32),
        "block `PLC_PRG.fb[3].x` is i16 (INT) here and i32 (DINT) there"
    );
    assert_eq!(
        says(|blocks| blocks[0].count = 4),
        "block `PLC_PRG.force` has 3 elements of f32 (REAL) here and 4 there"
    );
    assert_eq!(says(|blocks| _ = blocks.pop()), "block `running` is here and not there");
    assert_eq!(
        says(|blocks| _ = blocks.remove(1)),
        "block `PLC_PRG.fb[3].x` is here and not there"
    );
    assert_eq!(
        says(|blocks| blocks.insert(2, block("new", Kind::U8, 1))),
        "block `new` is there and not here"
    );
    assert_eq!(
        says(|blocks| blocks.push(block("new", Kind::U8, 1))),
        "block `new` is there and not here"
    );
    assert_eq!(
        says(|blocks| blocks.swap(1, 4)),
        "block `PLC_PRG.fb[3].x` is number 2 here and number 5 there"
    );
}

#[test]
fn a_mapping_takes_over_what_has_the_same_name_and_kind() {
    let from = encode(&PRESS);
    let to = encode(&[
        block("new", Kind::U8, 2),
        block("running", Kind::Bool, 1),
        block("PLC_PRG.force", Kind::F32, 2),
        block("PLC_PRG.fb[3].x", Kind::I32, 1),
        block("PLC_PRG.recipe", Kind::Text, 30),
    ]);
    let (from, to) = (parse(&from), parse(&to));
    let old: Vec<u8> = (1..=57).collect();
    let mapped = |policy| {
        let mapping = map_by_name(from, to, policy);
        let mut image = vec![0xee; to.image_octets()];
        mapping.apply(&old, &mut image).unwrap();
        let fates: Vec<_> = mapping.fates().map(|(_, fate)| fate).collect();
        assert_eq!(fates[0], Fate::Left(Why::NoSuchName));
        assert_eq!(fates[3], Fate::Left(Why::OtherKind(Kind::I16)));
        assert_eq!(mapping.apply(&old[1..], &mut image).unwrap_err().agreed, 57);
        assert_eq!(mapping.apply(&old, &mut image[1..]).unwrap_err().agreed, 62);
        (mapping.tally(), image)
    };
    let (tally, image) = mapped(MapPolicy::SameCount);
    assert_eq!(tally, Tally { taken: 1, partly: 0, left: 4, unknown: 1 });
    assert_eq!((image[8], image.iter().filter(|&&octet| octet != 0xee).count()), (57, 1));

    let (tally, image) = mapped(MapPolicy::AnyCount);
    assert_eq!(tally, Tally { taken: 1, partly: 2, left: 2, unknown: 1 });
    assert_eq!(image[16..24], old[..8]);
    assert_eq!(image[32..52], old[24..44]);
    assert_eq!(image.iter().filter(|&&octet| octet != 0xee).count(), 1 + 8 + 20);
}

#[test]
fn opaque_octets_of_another_length_are_never_cut() {
    let (from, to) =
        (encode(&[block("a", Kind::Octets, 16)]), encode(&[block("a", Kind::Octets, 24)]));
    let mapping = map_by_name(parse(&from), parse(&to), MapPolicy::AnyCount);
    assert_eq!(mapping.fates().next().unwrap().1, Fate::Left(Why::OtherCount(16)));
    assert_eq!(mapping.copies().count(), 0);
}

#[test]
fn a_copy_beyond_an_image_is_none() {
    let copy = BlockCopy { from_offset: 4, to_offset: usize::MAX, octets: 4 };
    let mut to = [0; 8];
    assert!(!copy.apply(&[1; 8], &mut to));
    assert!(!BlockCopy { to_offset: 5, ..copy }.apply(&[1; 8], &mut to));
    assert!(!BlockCopy { to_offset: 0, ..copy }.apply(&[1; 7], &mut to));
    assert_eq!(to, [0; 8]);
    assert!(BlockCopy { to_offset: 4, ..copy }.apply(&[1; 8], &mut to));
    assert_eq!(to, [0, 0, 0, 0, 1, 1, 1, 1]);
}

#[test]
fn lint_finds_pointers_what_may_hide_them_and_names_that_look_the_same() {
    let mut buffer = [0; 999];
    let mut builder = SchemaBuilder::for_lint(&mut buffer);
    for block in [
        block("next", Kind::Pointer, 2),
        block("node", Kind::Octets, 48),
        block("mac", Kind::Octets, 6),
        block("Level", Kind::F32, 1),
        block("LEVEL", Kind::F32, 1),
        block("level", Kind::Octets, 8),
    ] {
        builder.push(block).unwrap();
    }
    let schema = builder.finish().unwrap();
    let refusal = Schema::parse(schema.octets()).unwrap_err();
    assert!(refusal.to_string().contains("block `next`: it is a pointer"), "{refusal}");
    let found: Vec<_> =
        lint(&schema).map(|finding| (finding.severity(), finding.to_string())).collect();
    for ((severity, text), (expected, says)) in found.iter().zip([
        (Severity::Refused, "block `next`: it is a pointer"),
        (Severity::Note, "block `node`: what its 48 opaque octets are"),
        (Severity::Warning, "blocks `Level` and `LEVEL` differ in"),
        (Severity::Note, "block `level`: what its 8 opaque"),
        (Severity::Warning, "blocks `Level` and `level` differ in"),
    ]) {
        assert!(*severity == expected && text.starts_with(says), "{text}");
    }
    assert_eq!(found.len(), 5, "{found:?}");
    assert_eq!(lint(&parse(&encode(&PRESS))).count(), 0);
}

fn values(kind: Kind, count: u32, octets: &[u8]) -> String {
    let mut text = String::new();
    let octets_of_all = kind.element_octets() * usize::try_from(count).unwrap();
    let view = BlockView { name: "x", kind, count, offset_octets: 0, octets: octets_of_all };
    write_values(&view, octets, &mut text).unwrap();
    text
}

#[test]
fn values_read_as_their_kind_says() {
    assert_eq!(values(Kind::U8, 1, &[200]), "200");
    assert_eq!(values(Kind::I8, 1, &[200]), "-56");
    assert_eq!(values(Kind::U16, 2, &[1, 2].map(u16::to_ne_bytes).concat()), "[1, 2]");
    assert_eq!(values(Kind::I16, 1, &i16::MIN.to_ne_bytes()), "-32768");
    assert_eq!(values(Kind::U32, 1, &u32::MAX.to_ne_bytes()), "4294967295");
    assert_eq!(values(Kind::I32, 1, &i32::MIN.to_ne_bytes()), "-2147483648");
    assert_eq!(values(Kind::U64, 1, &u64::MAX.to_ne_bytes()), "18446744073709551615");
    assert_eq!(values(Kind::I64, 1, &i64::MIN.to_ne_bytes()), "-9223372036854775808");
    let floats = [0.1f32, -0.0, f32::NAN, f32::INFINITY, f32::MAX, 2.0];
    assert_eq!(
        values(Kind::F32, 6, &floats.map(f32::to_ne_bytes).concat()),
        "[0.1, -0.0, NaN, inf, 3.4028235e38, 2.0]"
    );
    assert_eq!(values(Kind::F64, 1, &1e-300f64.to_ne_bytes()), "1e-300");
    assert_eq!(values(Kind::Bool, 3, &[0, 1, 0x7f]), "[false, true, 0x7f]");
    assert_eq!(values(Kind::Pointer, 1, &0xbeef_u64.to_ne_bytes()), "0x000000000000beef");
    assert_eq!(values(Kind::Octets, 9, &[0, 1, 2, 3, 4, 5, 6, 255, 16]), "00010203040506ff 10");
    for (ns, text) in [
        (0, "LTIME#0s"),
        (1_500_000_000, "LTIME#1s500ms"),
        (-90_061_002_003_004, "LTIME#-1d1h1m1s2ms3us4ns"),
        (i64::MIN, "LTIME#-106751d23h47m16s854ms775us808ns"),
    ] {
        assert_eq!(values(Kind::Time, 1, &ns.to_ne_bytes()), text);
    }
}

#[test]
fn texts_are_shown_to_their_last_octet_and_cannot_write_on_the_terminal() {
    assert_eq!(values(Kind::Text, 8, b"motor\0\0\0"), r#""motor""#);
    assert_eq!(values(Kind::Text, 8, b"eightful"), r#""eightful""#);
    assert_eq!(values(Kind::Text, 8, b"a\0b\0\0\0\0\0"), r#""a\0b""#);
    assert_eq!(values(Kind::Text, 8, &[0; 8]), r#""""#);
    assert_eq!(values(Kind::Text, 8, "Öl \"1\"\n".as_bytes()), r#""Öl \"1\"\n""#);
    assert_eq!(values(Kind::Text, 8, b"\x1b[2J\xd6l\\"), r#""\u{1b}[2J\xd6l\\""#);
    assert_eq!(values(Kind::Text, 8, "\u{202e}\u{9b}".as_bytes()), r#""\u{202e}\u{9b}""#);
}

#[test]
fn parts_of_a_block_are_shown_as_far_as_they_go() {
    assert_eq!(values(Kind::U32, 1, &[]), "");
    assert_eq!(values(Kind::U32, 2, &[]), "[]");
    assert_eq!(values(Kind::U32, 1, &[1, 2, 3]), "…010203");
    assert_eq!(values(Kind::U16, 4, &[0, 0, 9]), "[0, …09]");
}

fn kinds() -> impl Strategy<Value = Kind> {
    (1..=14u8).prop_map(|number| Kind::from_number(number).unwrap())
}

/// Blocks with few names and counts, so that two schemas have much in common.
fn schemas() -> impl Strategy<Value = Vec<u8>> {
    let blocks = prop::collection::vec(("[a-dA-B]{1,2}(\\[[0-2]\\])?", kinds(), 1..6u32), 1..24);
    blocks.prop_map(|blocks| {
        let mut names = BTreeSet::new();
        let unique: Vec<_> = blocks
            .iter()
            .filter(|(name, ..)| names.insert(name))
            .map(|(name, kind, count)| block(name, *kind, *count))
            .collect();
        encode(&unique)
    })
}

proptest! {
    #[test]
    fn what_was_encoded_is_what_is_read(octets in schemas()) {
        let schema = parse(&octets);
        assert_canonical(&schema);
        prop_assert_eq!(compare(&schema, &schema), Ok(()));
        for view in schema.blocks() {
            prop_assert_eq!(schema.find(view.name), Some(view));
        }
    }

    #[test]
    fn octets_from_anywhere_are_refused_or_are_canonical(
        whole in schemas(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        behind in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let mut octets = whole;
        for (at, octet) in changes {
            let at = at.index(octets.len());
            octets[at] = octet;
        }
        for octets in [&octets[..cut.index(octets.len() + 1)], &[&octets[..], &behind].concat()] {
            if let Ok(schema) = Schema::parse(octets) {
                assert_canonical(&schema);
                let _ = lint(&schema).count();
            }
        }
    }

    #[test]
    fn two_schemas_are_the_same_where_their_octets_are(ours in schemas(), theirs in schemas()) {
        let verdict = compare(&parse(&ours), &parse(&theirs));
        prop_assert_eq!(verdict.is_ok(), ours == theirs);
        if let Err(Mismatch { ours, theirs, .. }) = verdict {
            prop_assert_ne!(ours, theirs);
        }
    }

    /// Against maps from names to values.
    #[test]
    fn a_mapping_does_what_a_map_of_names_does(
        from in schemas(),
        to in schemas(),
        any_count in any::<bool>(),
    ) {
        let (from, to) = (parse(&from), parse(&to));
        let policy = if any_count { MapPolicy::AnyCount } else { MapPolicy::SameCount };
        let old: Vec<u8> = (1..=u8::MAX).cycle().take(from.image_octets()).collect();
        let mut image = vec![0; to.image_octets()];
        let mapping = map_by_name(from, to, policy);
        mapping.apply(&old, &mut image).unwrap();

        let known: BTreeMap<_, _> = from.blocks().map(|view| (view.name, view)).collect();
        let mut expected = Tally { unknown: known.len(), ..Tally::default() };
        for view in to.blocks() {
            let source = known.get(view.name);
            expected.unknown -= usize::from(source.is_some());
            let mut wanted = vec![0; view.octets];
            match source.filter(|source| source.kind == view.kind) {
                Some(source) if source.count == view.count => {
                    expected.taken += 1;
                    wanted.copy_from_slice(source.of(&old).unwrap());
                }
                Some(source) if any_count && view.kind != Kind::Octets => {
                    expected.partly += 1;
                    for (wanted, had) in wanted.iter_mut().zip(source.of(&old).unwrap()) {
                        *wanted = *had;
                    }
                }
                _ => expected.left += 1,
            }
            prop_assert_eq!(view.of(&image).unwrap(), &wanted);
        }
        prop_assert_eq!(mapping.tally(), expected);
    }

    #[test]
    fn values_of_any_octets_are_one_printable_line(
        number in 1..=15u8,
        count in 1..100u32,
        octets in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let text = values(Kind::from_number(number).unwrap(), count, &octets);
        prop_assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}
