//! Schemas from anywhere: parsed, compared, mapped, looked through, and their values shown.

use std::fmt;

use bumpless::schema::{
    Block, ENCODED_OCTETS_MAX, Kind, MapPolicy, Schema, SchemaBuilder, compare, lint, map_by_name,
    write_values,
};

use super::fuzz_bodies::Choices;

/// The first octet says whether the others are one schema, two schemas, or decisions by which two
/// are built.
pub(crate) fn schema(octets: &[u8]) {
    let Some((&mode, rest)) = octets.split_first() else { return };
    let (mut one, mut other) = (vec![0; ENCODED_OCTETS_MAX], vec![0; ENCODED_OCTETS_MAX]);
    let (one, other) = match mode & 3 {
        0 => (Schema::parse(rest).ok(), None),
        1 => {
            let (one, other) = rest.split_at(usize::from(mode >> 2).min(rest.len()));
            (Schema::parse(one).ok(), Schema::parse(other).ok())
        }
        _ => {
            let mut choices = Choices(rest);
            let half = usize::from(mode >> 2) % 8;
            (built(&mut choices, &mut one, half), built(&mut choices, &mut other, 8))
        }
    };
    for schema in one.iter().chain(&other) {
        assert_holds_together(schema, rest);
        assert_pair(schema, schema);
    }
    if let (Some(one), Some(other)) = (one, other) {
        assert_pair(&one, &other);
        assert_pair(&other, &one);
    }
}

/// A schema of few names, so that two of them have some in common.
fn built<'b>(choices: &mut Choices<'_>, buffer: &'b mut [u8], blocks: usize) -> Option<Schema<'b>> {
    const NAMES: [&str; 12] =
        ["a", "A", "b", "c", "d", "fb[0].x", "fb[1].x", "PLC::y", "", ".", "a b", "\u{e4}"];
    let mut builder = SchemaBuilder::new(buffer);
    for _ in 0..blocks {
        let name = NAMES[choices.below(NAMES.len())];
        let kind = Kind::ALL[choices.below(Kind::ALL.len())];
        let count = choices.word() as u32;
        let _ = builder.push(Block { name, kind, count });
    }
    let schema = builder.finish().ok()?;
    assert_eq!(Schema::parse(schema.octets()), Ok(schema), "what is built can be read");
    Some(schema)
}

fn assert_holds_together(schema: &Schema<'_>, octets: &[u8]) {
    let mut buffer = vec![0; ENCODED_OCTETS_MAX];
    let mut builder = SchemaBuilder::new(&mut buffer);
    let mut end = 0;
    for view in schema.blocks() {
        assert_eq!(builder.push(view.block()), Ok(view), "what was read can be built");
        assert!(view.offset_octets >= end && view.offset_octets.is_multiple_of(8));
        end = view.range().end;
        let mut line = Line(0);
        write_values(&view, octets, &mut line).expect("a line takes all");
        assert!(line.0 <= 40 * (octets.len() + 2), "{} characters", line.0);
    }
    assert_eq!(builder.finish(), Ok(*schema), "there is one way to say it");
    assert_eq!(end, schema.image_octets());
    assert_ne!(schema.hash(), 0);
    assert!(lint(schema).count() <= 2 * schema.block_count());
}

fn assert_pair(ours: &Schema<'_>, theirs: &Schema<'_>) {
    match compare(ours, theirs) {
        Ok(()) => assert_eq!(ours.octets(), theirs.octets()),
        Err(mismatch) => {
            assert_ne!(ours.octets(), theirs.octets());
            assert!(mismatch.to_string().contains("Load the same program"));
        }
    }
    for policy in [MapPolicy::SameCount, MapPolicy::AnyCount] {
        let mapping = map_by_name(*theirs, *ours, policy);
        let mut end = 0;
        for copy in mapping.copies() {
            assert!(copy.octets > 0 && copy.to_offset >= end);
            end = copy.to_offset + copy.octets;
            assert!(end <= ours.image_octets());
            assert!(copy.from_offset + copy.octets <= theirs.image_octets());
        }
        let tally = mapping.tally();
        assert_eq!(tally.taken + tally.partly + tally.left, ours.block_count());
        assert!(tally.unknown <= theirs.block_count());
    }
}

/// Counts characters and takes none that a terminal obeys.
struct Line(usize);

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        assert!(!text.chars().any(char::is_control), "{text:?}");
        self.0 += text.len();
        Ok(())
    }
}
