//! An image as people read it. Everything in it is its writer's, and may be anything.

use shm_replica::image::Stamp;
use shm_replica::schema::{BlockView, Schema, write_values};

/// What is shown of an image without schema, and of a block, unless all is asked for.
const HEX_OCTETS: usize = 4_096;
const ELEMENTS: usize = 32;
/// Octets in a line of hex.
const LINE_OCTETS: usize = 16;

/// An image that was read whole.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) sequence: u64,
    pub(super) stamp: Stamp,
    pub(super) age_ns: u64,
    pub(super) image: Vec<u8>,
    /// Empty where the writer gave none.
    pub(super) schema: Vec<u8>,
}

/// What is said of a block.
pub(super) struct Described {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) count: u32,
    pub(super) offset: usize,
}

impl Shown {
    pub(super) fn is_same_commit(&self, other: &Self) -> bool {
        (self.stamp.epoch, self.sequence) == (other.stamp.epoch, other.sequence)
    }

    fn parsed(&self) -> Option<Schema<'_>> {
        let schema = Schema::parse(&self.schema).ok()?;
        (schema.image_octets() <= self.image.len()).then_some(schema)
    }

    pub(super) fn has_schema(&self) -> bool {
        self.parsed().is_some()
    }

    /// Name and value of each block.
    pub(super) fn values(&self, all: bool) -> impl Iterator<Item = (String, String)> {
        self.blocks().map(move |(block, value)| (block.name, value(all)))
    }

    /// Each block, and its value as text, whole or its beginning.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (Described, impl Fn(bool) -> String)> {
        let blocks = self.parsed().map(|schema| schema.blocks());
        blocks.into_iter().flatten().map(move |block| {
            let described = Described {
                name: block.name.to_owned(),
                kind: format!("{:?}", block.kind).to_lowercase(),
                count: block.count,
                offset: block.range().start,
            };
            (described, move |all| self.value(&block, all))
        })
    }

    fn value(&self, block: &BlockView<'_>, all: bool) -> String {
        let octets = self.image.get(block.range()).unwrap_or_default();
        let element = (octets.len() / usize::try_from(block.count.max(1)).unwrap_or(1)).max(1);
        let most = if all { octets.len() } else { octets.len().min(ELEMENTS * element) };
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write_values(block, &octets[..most], &mut text);
        if most < octets.len() {
            text += &format!(" … of {}", block.count);
        }
        text
    }
}

/// Lines of hex with the offset of each, and how many octets were left out.
pub(super) fn hex_lines(image: &[u8], all: bool) -> (Vec<(usize, String)>, u64) {
    let most = if all { image.len() } else { image.len().min(HEX_OCTETS) };
    let line = |(index, octets): (usize, &[u8])| {
        let digits: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        let text: String =
            octets
                .iter()
                .map(|&octet| {
                    if octet.is_ascii_graphic() || octet == b' ' { char::from(octet) } else { '.' }
                })
                .collect();
        (index * LINE_OCTETS, format!("{:<47}  |{text}|", digits.join(" ")))
    };
    let lines = image[..most].chunks(LINE_OCTETS).enumerate().map(line).collect();
    (lines, (image.len() - most) as u64)
}

/// The digits of such a line alone.
pub(super) fn digits(line: &str) -> String {
    line.chars().take(3 * LINE_OCTETS - 1).filter(char::is_ascii_hexdigit).collect()
}

#[cfg(test)]
mod tests {
    use shm_replica::schema::{Block, Kind, SchemaBuilder};

    use super::*;

    fn shown(image: Vec<u8>, schema: Vec<u8>) -> Shown {
        Shown { sequence: 1, stamp: Stamp::default(), age_ns: 0, image, schema }
    }

    #[test]
    fn hex_is_shown_with_its_place_and_bounded() {
        let image: Vec<u8> = (0..=255).cycle().take(5_000).collect();
        let (lines, left_out) = hex_lines(&image, false);
        assert_eq!((lines.len(), left_out), (256, 904));
        assert_eq!(lines[4].0, 64);
        assert!(lines[4].1.starts_with("40 41 42"), "{}", lines[4].1);
        assert!(lines[4].1.ends_with("|@ABCDEFGHIJKLMNO|"), "{}", lines[4].1);
        assert_eq!(digits(&lines[4].1), "404142434445464748494a4b4c4d4e4f");
        let (lines, left_out) = hex_lines(&image, true);
        assert_eq!((lines.len(), left_out), (313, 0));
        assert_eq!(digits(&lines[312].1), "8081828384858687");
    }

    #[test]
    fn values_are_named_and_a_long_block_is_cut() {
        let mut buffer = vec![0; 1_000];
        let mut builder = SchemaBuilder::new(&mut buffer);
        builder.push(Block { name: "speed", kind: Kind::F64, count: 1 }).unwrap();
        builder.push(Block { name: "trend", kind: Kind::U16, count: 100 }).unwrap();
        let schema = builder.finish().unwrap();
        let mut image = vec![0; schema.image_octets()];
        image[..8].copy_from_slice(&1.5f64.to_ne_bytes());
        let shown = shown(image, schema.octets().to_vec());
        let values: Vec<_> = shown.values(false).collect();
        assert_eq!(values[0], ("speed".to_owned(), "1.5".to_owned()));
        assert!(values[1].1.ends_with("] … of 100") && values[1].1.len() < 120, "{values:?}");
        assert!(shown.values(true).nth(1).unwrap().1.ends_with("0]"));
    }

    #[test]
    fn a_schema_that_does_not_fit_its_image_is_none() {
        let mut buffer = vec![0; 100];
        let mut builder = SchemaBuilder::new(&mut buffer);
        builder.push(Block { name: "speed", kind: Kind::F64, count: 2 }).unwrap();
        let schema = builder.finish().unwrap().octets().to_vec();
        assert!(shown(vec![0; 16], schema.clone()).has_schema());
        assert!(!shown(vec![0; 8], schema).has_schema());
        assert!(!shown(vec![0; 8], vec![7; 30]).has_schema());
        assert_eq!(shown(vec![0; 8], Vec::new()).values(true).count(), 0);
    }
}
