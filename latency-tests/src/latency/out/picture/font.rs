//! The letters: how wide a text is, and the outlines it is made of.
//!
//! A machine that measures has no fonts, so the program carries one. The page carries the same, and
//! text that was measured to fit does fit.

use tiny_skia::{Path, PathBuilder};
use ttf_parser::{Face, OutlineBuilder};

/// The font, as a file of TrueType.
pub(in crate::latency::out) const FILE: &[u8] = include_bytes!("font/roboto-regular-subset.ttf");

/// The outlines of letters, and how wide they are.
pub(in crate::latency::out) struct Font {
    face: Face<'static>,
    units: f64,
}

impl Font {
    /// None: the file is broken, which tests exclude.
    pub(in crate::latency::out) fn new() -> Option<Self> {
        let face = Face::parse(FILE, 0).ok()?;
        let units = f64::from(face.units_per_em());
        Some(Self { face, units })
    }

    fn glyph(&self, letter: char) -> (ttf_parser::GlyphId, f64) {
        let glyph = self.face.glyph_index(letter).or_else(|| self.face.glyph_index('\u{fffd}'));
        let glyph = glyph.unwrap_or_default();
        let advance = self.face.glyph_hor_advance(glyph).unwrap_or_default();
        (glyph, f64::from(advance) / self.units)
    }

    /// The outline of a text that begins at the origin, one unit high.
    pub(super) fn outline(&self, text: &str) -> Option<Path> {
        let mut pen = Pen { builder: PathBuilder::new(), x: 0.0, scale: single(1.0 / self.units) };
        let mut x = 0.0;
        for letter in text.chars() {
            let (glyph, advance) = self.glyph(letter);
            pen.x = single(x);
            let _ = self.face.outline_glyph(glyph, &mut pen);
            x += advance;
        }
        pen.builder.finish()
    }
}

thread_local! {
    static FONT: Option<Font> = Font::new();
}

/// Does something with the font, which is read once for each thread.
pub(super) fn with<T>(what: impl FnOnce(Option<&Font>) -> T) -> T {
    FONT.with(|font| what(font.as_ref()))
}

/// How wide a text is, in the unit of its size.
pub(super) fn width(text: &str, size: f64) -> f64 {
    let letters = text.chars();
    with(|font| match font {
        Some(font) => letters.map(|it| font.glyph(it).1).sum::<f64>() * size,
        None => 0.6 * size * letters.count() as f64,
    })
}

/// The text, cut and with an ellipsis where it is wider than allowed.
pub(super) fn fitted(text: &str, size: f64, most: f64) -> String {
    // What a letter takes at least is a tenth of its size: a long text is not measured whole.
    let few: String = text.chars().take(500).collect();
    if few.len() == text.len() && width(text, size) <= most {
        return few;
    }
    let room = most - width("…", size);
    let mut cut = String::new();
    let mut x = 0.0;
    for letter in few.chars() {
        x += width(letter.encode_utf8(&mut [0; 4]), size);
        if x > room {
            break;
        }
        cut.push(letter);
    }
    cut.truncate(cut.trim_end().len());
    cut.push('…');
    cut
}

#[allow(clippy::cast_possible_truncation, reason = "places of a drawing are below ten thousand")]
pub(super) const fn single(value: f64) -> f32 {
    value as f32
}

struct Pen {
    builder: PathBuilder,
    x: f32,
    scale: f32,
}

impl Pen {
    fn place(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.scale, -y * self.scale)
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.builder.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.builder.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.place(x1, y1), self.place(x, y));
        self.builder.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2)) = (self.place(x1, y1), self.place(x2, y2));
        let (x, y) = self.place(x, y);
        self.builder.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.builder.close();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_font_has_each_letter_that_pictures_use() {
        let font = Font::new().unwrap();
        for letter in (' '..='~').chain("µ×·–—…±°≥≤≈".chars()) {
            assert!(font.face.glyph_index(letter).is_some(), "{letter}");
        }
    }

    #[test]
    fn text_without_a_letter_in_the_font_has_an_outline() {
        assert!(Font::new().unwrap().outline("中文\u{1f600}").is_some());
        assert!(width("中文", 10.0) > 1.0);
    }

    #[test]
    fn what_does_not_fit_is_cut_and_says_so() {
        let name = "cpu 3 and a very long name after it";
        let cut = fitted(name, 12.0, 60.0);
        assert!(cut.ends_with('…') && name.starts_with(cut.trim_end_matches('…')), "{cut}");
        assert!(width(&cut, 12.0) <= 60.0);
        assert_eq!(fitted("cpu 3", 12.0, 60.0), "cpu 3");
        assert!(width(&fitted(&"x".repeat(1_000_000), 12.0, 60.0), 12.0) <= 60.0);
    }
}
