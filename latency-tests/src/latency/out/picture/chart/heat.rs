//! When it was how late, of all series beside each other: what comes to all processors at once is a
//! column, what comes to one is a row.

use super::super::drawing::{Anchor, Drawing, SIZE};
use super::super::font::{self, fitted};
use super::super::ink::{HEATS, Ink};
use super::super::scale::Scale;
use super::super::units::time;
use super::course::{columns, cross, end_ns, lengthways, losses};
use super::frame::{BELOW, Plot, TOP, heading};
use super::{DRAWN_MAX, Subject};

const COLUMNS: usize = 110;
const NAMES: f64 = 118.0;
/// The widest box of the legend.
const BOX: f64 = 58.0;
/// Room for what stands beside the boxes.
const BESIDE: f64 = 180.0;
/// The size of the legend's figures.
const SMALL: f64 = 10.5;

/// Draws it.
pub(super) fn draw(subject: &Subject<'_>, width: f64) -> Drawing {
    let measure = subject.measure();
    let title = format!("Map of {measure}");
    let all: Vec<_> = subject.run.series.iter().collect();
    let rows: Vec<_> = match all.len() <= DRAWN_MAX {
        true => all,
        false => subject.drawn().collect(),
    };
    let count = rows.len().max(1) as f64;
    let high = (240.0 / count).clamp(13.0, 30.0);
    let bottom = TOP + high * count;
    let mut drawing = Drawing::new(&title, width, bottom + BELOW + 6.0);
    let plot = Plot { left: NAMES, top: TOP, right: width - 14.0, bottom };
    let end = end_ns(subject.run) as f64;
    let rows: Vec<_> = rows.iter().map(|it| (it, columns(it, end, COLUMNS))).collect();
    let greatest = || rows.iter().flat_map(|(_, it)| it).filter(|it| it.samples > 0);
    let least = greatest().map(|it| it.max_ns).filter(|it| *it > 0).min();
    let Some(most) = greatest().map(|it| it.max_ns).max() else {
        heading(&mut drawing, &title, "");
        let plot = Plot { bottom: TOP + 60.0, ..plot };
        plot.nothing(&mut drawing);
        drawing.height = plot.bottom + 8.0;
        return drawing;
    };
    let least = least.unwrap_or(1) as f64;
    let remark = match subject.run.series.len().saturating_sub(DRAWN_MAX) {
        0 => format!("the greatest of each {}", time(end / COLUMNS as f64)),
        more => format!("the {DRAWN_MAX} series with the greatest maxima; {more} are not drawn"),
    };
    heading(&mut drawing, &title, &remark);
    // Not to whole decades: each step is needed.
    let scale = Scale { low: least, high: (most as f64).max(least * 2.0), ..Scale::log(1.0, 10.0) };
    let wide = (plot.right - plot.left) / COLUMNS as f64;
    let gap = if high >= 16.0 { 1.5 } else { 1.2 };
    let across = plot.across(Scale { high: end, ..Scale::linear(1.0) });
    for (at, (series, columns)) in rows.iter().enumerate() {
        let y = plot.top + high * at as f64;
        let size = if high >= 15.0 { SIZE } else { 10.5 };
        let name = fitted(&series.name, size, NAMES - 10.0);
        let base = y + high / 2.0 + size * 0.35;
        drawing.sized(Ink::Text, [plot.left - 8.0, base], Anchor::End, &name, size);
        // Cells of one step that lie beside each other are one.
        let mut place = 0;
        for part in columns.chunk_by(|a, b| step(a, &scale) == step(b, &scale)) {
            let x = plot.left + place as f64 * wide;
            let ink = part.first().and_then(|it| step(it, &scale)).map_or(Ink::Blank, Ink::Heat);
            let long = part.len() as f64 * wide;
            drawing.rect(ink, [x, y, long, high - gap]);
            if ink == Ink::Blank {
                // Without a line, it would look like a very low step.
                let middle = y + (high - gap) / 2.0;
                drawing.line(Ink::Frame, [x, middle], [x + long, middle]);
            }
            place += part.len();
        }
        let arm = (high / 2.0 - 2.0).min(3.5);
        let middle = y + (high - gap) / 2.0;
        for x in losses(series, &across, 2.0 * arm + 2.0) {
            let [half, whole] = [arm + 1.0, 2.0 * arm + 2.0];
            drawing.rect(Ink::Ground, [x - half, middle - half, whole, whole]);
            cross(&mut drawing, x, middle, arm);
        }
    }
    let below = Plot { top: plot.bottom, ..plot };
    lengthways(&mut drawing, &below, &across, true);
    legend(&mut drawing, &scale, subject);
    drawing
}

/// The step of a column's greatest. None: it has no samples.
fn step(column: &super::course::Column, scale: &Scale) -> Option<usize> {
    let part = scale.part(column.max_ns as f64);
    let above = (1..HEATS).filter(|it| part * HEATS as f64 >= *it as f64).count();
    (column.samples > 0).then_some(above)
}

/// The steps with the times between them.
fn legend(drawing: &mut Drawing, scale: &Scale, subject: &Subject<'_>) {
    let y = drawing.height + 6.0;
    let wide = ((drawing.width - NAMES - BESIDE) / HEATS as f64).min(BOX);
    let place = |step: usize| NAMES + step as f64 * wide;
    for step in 0..HEATS {
        drawing.rect(Ink::Heat(step), [place(step), y, wide, 13.0]);
    }
    let [left, right] = [place(0), place(HEATS)];
    let around = vec![[left, y], [right, y], [right, y + 13.0], [left, y + 13.0], [left, y]];
    drawing.curve(Ink::Frame, around, 0.8, &[]);
    let texts: Vec<String> =
        (0..=HEATS).map(|step| time(rounded(scale.value(step as f64 / HEATS as f64)))).collect();
    let widest = texts.iter().map(|it| font::width(it, SMALL)).fold(0.0, f64::max);
    // Each of the edges, or each third, which has the first and the last.
    let each = if widest + 6.0 <= wide { 1 } else { 3 };
    for (step, text) in texts.iter().enumerate() {
        let x = place(step);
        drawing.line(Ink::Frame, [x, y + 13.0], [x, y + 17.0]);
        if step.is_multiple_of(each) {
            drawing.sized(Ink::Quiet, [x, y + 29.0], Anchor::Middle, text, SMALL);
        }
    }
    let mut x = right + 34.0;
    let frame = vec![[x, y], [x + 13.0, y], [x + 13.0, y + 13.0], [x, y + 13.0], [x, y]];
    drawing.rect(Ink::Blank, [x, y, 13.0, 13.0]);
    drawing.curve(Ink::Frame, frame, 0.8, &[]);
    drawing.line(Ink::Frame, [x, y + 6.5], [x + 13.0, y + 6.5]);
    drawing.text(Ink::Text, [x + 19.0, y + 11.0], Anchor::Start, "no samples");
    if subject.run.series.iter().any(|it| it.counts.lost > 0) {
        x += 100.0;
        cross(drawing, x, y + 6.5, 3.5);
        drawing.text(Ink::Text, [x + 10.0, y + 11.0], Anchor::Start, "lost");
    }
    drawing.height = y + 36.0;
}

/// Three digits are enough for an edge between two steps.
fn rounded(ns: f64) -> f64 {
    let power = 10_f64.powf(ns.max(1.0).log10().floor() - 2.0);
    (ns / power).round() * power
}
