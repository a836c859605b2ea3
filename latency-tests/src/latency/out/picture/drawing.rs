//! What a picture is made of: a few shapes, each with an ink.
//!
//! A chart is drawn once, into this; the page writes it down as SVG, the picture fills pixels with
//! it. The rejected way, SVG that is read again to be filled, takes a reader of XML and of style
//! sheets into the program.

use super::font;
use super::ink::Ink;

/// The size of nearly all text.
pub(super) const SIZE: f64 = 12.0;

/// Which end of a text lies at its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::latency::out) enum Anchor {
    Start,
    Middle,
    End,
}

/// A shape.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::latency::out) enum Shape {
    /// Filled: left, top, width, height.
    Rect([f64; 4]),
    /// A line through places, of a width, with dashes.
    Line { through: Vec<[f64; 2]>, width: f64, dash: &'static [f32] },
    /// Filled, with the strength of a shadow.
    Area { around: Vec<[f64; 2]>, strength: f64 },
    /// Text whose base line begins, has its middle or ends there; `turned`: it runs upwards.
    Text { at: [f64; 2], text: String, size: f64, anchor: Anchor, turned: bool },
}

/// A drawing: shapes, the later above the earlier.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::latency::out) struct Drawing {
    pub(in crate::latency::out) width: f64,
    pub(in crate::latency::out) height: f64,
    /// What it shows, for those who cannot see it.
    pub(in crate::latency::out) title: String,
    pub(in crate::latency::out) shapes: Vec<(Ink, Shape)>,
}

impl Drawing {
    pub(super) fn new(title: impl Into<String>, width: f64, height: f64) -> Self {
        Self { width, height, title: title.into(), shapes: Vec::new() }
    }

    pub(super) fn rect(&mut self, ink: Ink, [x, y, width, height]: [f64; 4]) {
        if width > 0.0 && height > 0.0 {
            self.shapes.push((ink, Shape::Rect([x, y, width, height])));
        }
    }

    pub(super) fn line(&mut self, ink: Ink, from: [f64; 2], to: [f64; 2]) {
        self.curve(ink, vec![from, to], 1.0, &[]);
    }

    pub(super) fn curve(
        &mut self,
        ink: Ink,
        through: Vec<[f64; 2]>,
        width: f64,
        dash: &'static [f32],
    ) {
        if through.len() > 1 {
            self.shapes.push((ink, Shape::Line { through, width, dash }));
        }
    }

    pub(super) fn area(&mut self, ink: Ink, around: Vec<[f64; 2]>, strength: f64) {
        if around.len() > 2 {
            self.shapes.push((ink, Shape::Area { around, strength }));
        }
    }

    /// Text of the usual size.
    pub(super) fn text(&mut self, ink: Ink, at: [f64; 2], anchor: Anchor, text: &str) {
        self.sized(ink, at, anchor, text, SIZE);
    }

    pub(super) fn sized(&mut self, ink: Ink, at: [f64; 2], anchor: Anchor, text: &str, size: f64) {
        let text = text.to_owned();
        if !text.is_empty() {
            self.shapes.push((ink, Shape::Text { at, text, size, anchor, turned: false }));
        }
    }

    /// Text that runs upwards, with its middle there.
    pub(super) fn upwards(&mut self, ink: Ink, at: [f64; 2], text: &str) {
        let (text, anchor) = (text.to_owned(), Anchor::Middle);
        if !text.is_empty() {
            self.shapes.push((ink, Shape::Text { at, text, size: SIZE, anchor, turned: true }));
        }
    }

    /// Puts another drawing on this one, moved.
    pub(super) fn place(&mut self, other: &Self, dx: f64, dy: f64) {
        let moved = |places: &[[f64; 2]]| places.iter().map(|[x, y]| [x + dx, y + dy]).collect();
        for (ink, shape) in &other.shapes {
            let shape = match shape {
                Shape::Rect([x, y, width, height]) => {
                    Shape::Rect([x + dx, y + dy, *width, *height])
                }
                Shape::Line { through, width, dash } => {
                    Shape::Line { through: moved(through), width: *width, dash }
                }
                Shape::Area { around, strength } => {
                    Shape::Area { around: moved(around), strength: *strength }
                }
                Shape::Text { at: [x, y], text, size, anchor, turned } => Shape::Text {
                    at: [x + dx, y + dy],
                    text: text.clone(),
                    size: *size,
                    anchor: *anchor,
                    turned: *turned,
                },
            };
            self.shapes.push((*ink, shape));
        }
    }
}

/// How wide a text of the usual size is.
pub(super) fn width(text: &str) -> f64 {
    font::width(text, SIZE)
}
