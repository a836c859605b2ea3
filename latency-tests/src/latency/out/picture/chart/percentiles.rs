//! What is not exceeded by which part of all samples, with each nine as wide as the one before.

use super::super::drawing::{Anchor, Drawing};
use super::super::ink::{Ink, dash};
use super::super::scale::Scale;
use super::super::units::tick;
use super::Subject;
use super::frame::{
    BELOW, LEFT, Plot, TOP, Words, heading, legend, named, numbers, upright, views,
};
use crate::latency::report::{Distribution, Series};

const HEIGHT: f64 = 240.0;

/// Draws it.
pub(super) fn draw(subject: &Subject<'_>, width: f64) -> Drawing {
    let measure = subject.measure();
    let title = format!("Percentiles of {measure}");
    let mut drawing = Drawing::new(&title, width, TOP + HEIGHT + BELOW);
    let plot = Plot { left: LEFT, top: TOP, right: width - 26.0, bottom: TOP + HEIGHT };
    let Some((least, greatest)) = subject.range() else {
        heading(&mut drawing, &title, "");
        let plot = Plot { bottom: TOP + 60.0, ..plot };
        plot.nothing(&mut drawing);
        drawing.height = plot.bottom + 8.0;
        return drawing;
    };
    heading(&mut drawing, &title, "each line ends at its last sample, the maximum");
    let to = subject.bound_near(greatest).unwrap_or(0.0).max(greatest);
    let up = plot.upwards(Scale::of_values(least, to));
    let samples = subject.drawn().map(|it| it.owed.samples.max(it.seen.samples)).max();
    let across = plot.across(Scale::log(1.0, samples.unwrap_or(1).max(10) as f64));
    upright(&mut drawing, &plot, &up, Words::Time, &named(measure, &up), 8);
    nines(&mut drawing, &plot, &across);
    if let Some(bound) = subject.bound_ns.filter(|ns| *ns >= up.low && *ns <= up.high) {
        let y = up.at(bound);
        drawing.curve(Ink::Bad, vec![[plot.left, y], [plot.right, y]], 1.2, &[5.0, 4.0]);
        let text = format!("bound {}", tick(bound));
        drawing.text(Ink::Bad, [plot.left + 6.0, y - 5.0], Anchor::Start, &text);
    }
    for series in &subject.quiet {
        drawing.curve(Ink::Frame, curve(&series.owed, &across, &up), 0.8, &[]);
    }
    let mut ends = Vec::new();
    for (place, series) in subject.told.iter().enumerate() {
        let ink = Ink::Series(place);
        if super::differs(series) {
            drawing.curve(ink, curve(&series.seen, &across, &up), 0.8, &[]);
        }
        let through = curve(&series.owed, &across, &up);
        if let Some([x, y]) = through.last().copied() {
            drawing.rect(ink, [x - 2.5, y - 2.5, 5.0, 5.0]);
            ends.push((place, [x + 3.0, y]));
        }
        drawing.curve(ink, through, 1.8, dash(place));
    }
    numbers(&mut drawing, &plot, ends);
    plot.box_around(&mut drawing);
    let mut remarks: Vec<String> = views(subject).into_iter().collect();
    let overflow = subject.drawn().find(|it| it.owed.overflow > 0);
    let remark = |it: &Series| {
        let bound = tick(it.owed.highest_ns as f64);
        format!("above the recorder's bound of {bound}: not resolved, drawn at the maximum")
    };
    remarks.extend(overflow.map(remark));
    legend(&mut drawing, subject, &remarks);
    drawing
}

/// The marks of the level axis.
fn nines(drawing: &mut Drawing, plot: &Plot, across: &Scale) {
    let decades = across.high.log10().round().max(1.0);
    let wide = (plot.right - plot.left) / decades;
    let each = (66.0 / wide).ceil().max(1.0);
    let mut mark = |value: f64, text: &str| {
        let x = across.at(value);
        drawing.line(Ink::Grid, [x, plot.top], [x, plot.bottom]);
        drawing.line(Ink::Frame, [x, plot.bottom], [x, plot.bottom + 5.0]);
        drawing.text(Ink::Quiet, [x, plot.bottom + 17.0], Anchor::Middle, text);
    };
    if wide >= 80.0 {
        mark(2.0, "50 %");
    }
    let mut decade = each;
    while decade <= decades {
        mark(10_f64.powf(decade), &percent(decade));
        decade += each;
    }
    let middle = f64::midpoint(plot.left, plot.right);
    let name = "part of all samples that is not later";
    drawing.text(Ink::Quiet, [middle, plot.bottom + 34.0], Anchor::Middle, name);
}

/// The part of all samples before so many powers of ten of the rest.
fn percent(nines: f64) -> String {
    let short = ["90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %"];
    let at = short.into_iter().zip(1_u8..).find(|(_, it)| nines <= f64::from(*it));
    at.map_or_else(|| format!("{nines:.0} nines"), |(text, _)| text.to_owned())
}

/// Steps: of one in `x` samples, none is less.
fn curve(view: &Distribution, across: &Scale, up: &Scale) -> Vec<[f64; 2]> {
    let counted = view.histogram.iter().map(|it| it.count).fold(0, u64::saturating_add);
    let samples = view.samples.max(counted);
    let Some(max_ns) = view.max_ns.filter(|_| samples > 0) else { return Vec::new() };
    let place = |below: u64| {
        let left = samples.saturating_sub(below).max(1);
        across.at(samples as f64 / left as f64)
    };
    let mut through: Vec<[f64; 2]> = Vec::new();
    let mut below = 0_u64;
    for bucket in &view.histogram {
        let value = bucket.highest_ns.min(max_ns) as f64;
        let y = up.at(value);
        let from = place(below);
        below = below.saturating_add(bucket.count);
        let near = |it: &[f64; 2]| (it[0] - from).abs() < 0.5 && (it[1] - y).abs() < 0.5;
        if !through.last().is_some_and(near) {
            through.push([from, y]);
        }
        let to = place(below);
        if to - from >= 0.5 {
            through.push([to, y]);
        }
    }
    through.push([across.at(samples as f64), up.at(max_ns as f64)]);
    through
}
