//! A drawing as pixels.

use tiny_skia::{
    Color, FillRule, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform,
};

use super::drawing::{Anchor, Drawing, Shape};
use super::font::{self, single};
use super::ink::{Ink, Theme};

/// The drawing in the light theme, so many pixels for each of its units. None: it is empty, or
/// larger than memory may hold.
pub(super) fn pixels(drawing: &Drawing, scale: f64) -> Option<Pixmap> {
    let [width, height] = [drawing.width, drawing.height].map(|it| whole(it * scale));
    let mut pixmap = Pixmap::new(width, height)?;
    pixmap.fill(colour(Ink::Ground, 1.0));
    let transform = Transform::from_scale(single(scale), single(scale));
    for (ink, shape) in &drawing.shapes {
        fill(&mut pixmap, transform, *ink, shape);
    }
    Some(pixmap)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what an image has"
)]
fn whole(value: f64) -> u32 {
    value.ceil().clamp(0.0, 32_768.0) as u32
}

fn colour(ink: Ink, strength: f64) -> Color {
    let [_, r, g, b] = ink.colour(Theme::Light).to_be_bytes();
    let mut colour = Color::from_rgba8(r, g, b, 255);
    colour.set_alpha(single(strength));
    colour
}

fn fill(pixmap: &mut Pixmap, transform: Transform, ink: Ink, shape: &Shape) {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color(colour(ink, 1.0));
    match shape {
        Shape::Rect([x, y, width, height]) => {
            let [x, y, width, height] = [x, y, width, height].map(|it| single(*it));
            if let Some(rect) = Rect::from_xywh(x, y, width, height) {
                pixmap.fill_rect(rect, &paint, transform, None);
            }
        }
        Shape::Line { through, width, dash } => {
            let stroke = Stroke {
                width: single(*width),
                line_join: tiny_skia::LineJoin::Round,
                dash: StrokeDash::new(even(dash), 0.0),
                ..Stroke::default()
            };
            if let Some(path) = path(through, false) {
                pixmap.stroke_path(&path, &paint, &stroke, transform, None);
            }
        }
        Shape::Area { around, strength } => {
            paint.set_color(colour(ink, *strength));
            if let Some(path) = path(around, true) {
                pixmap.fill_path(&path, &paint, FillRule::Winding, transform, None);
            }
        }
        Shape::Text { at, text, size, anchor, turned } => {
            let width = font::width(text, *size);
            let back = match anchor {
                Anchor::Start => 0.0,
                Anchor::Middle => width / 2.0,
                Anchor::End => width,
            };
            let [x, y] = at.map(single);
            let mut transform = transform.pre_translate(x, y);
            if *turned {
                transform = transform.pre_concat(Transform::from_rotate(-90.0));
            }
            transform = transform.pre_translate(-single(back), 0.0);
            let size = single(*size);
            let transform = transform.pre_scale(size, size);
            if let Some(path) = font::with(|font| font?.outline(text)) {
                pixmap.fill_path(&path, &paint, FillRule::Winding, transform, None);
            }
        }
    }
}

/// An even number of lengths, or none.
fn even(dash: &[f32]) -> Vec<f32> {
    if dash.len().is_multiple_of(2) { dash.to_vec() } else { dash.repeat(2) }
}

fn path(places: &[[f64; 2]], closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for (at, place) in places.iter().enumerate() {
        let [x, y] = place.map(single);
        if at == 0 {
            builder.move_to(x, y);
        } else {
            builder.line_to(x, y);
        }
    }
    if closed {
        builder.close();
    }
    builder.finish()
}
