//! How often which time came: counts on a logarithmic axis, so that one sample of a million is
//! seen.

use super::super::drawing::{Anchor, Drawing};
use super::super::ink::{Ink, dash};
use super::super::scale::{Course, Scale};
use super::super::units::{short, tick};
use super::Subject;
use super::frame::{
    BELOW, LEFT, Plot, TOP, Words, heading, legend, level, named, numbers, upright, views,
};
use crate::latency::report::Distribution;

const HEIGHT: f64 = 260.0;
/// Columns of the plot.
const BINS: usize = 120;
/// Room for what the recorder did not resolve.
const BEYOND: f64 = 112.0;
/// Of it, what separates it from the plot.
const APART: f64 = 40.0;

/// Draws it.
pub(super) fn draw(subject: &Subject<'_>, width: f64) -> Drawing {
    let measure = subject.measure();
    let title = format!("Histogram of {measure}");
    let mut drawing = Drawing::new(&title, width, TOP + HEIGHT + BELOW);
    let mut plot = Plot { left: LEFT, top: TOP, right: width - 26.0, bottom: TOP + HEIGHT };
    let Some((least, greatest)) = subject.range() else {
        heading(&mut drawing, &title, "");
        let plot = Plot { bottom: TOP + 60.0, ..plot };
        plot.nothing(&mut drawing);
        drawing.height = plot.bottom + 8.0;
        return drawing;
    };
    let overflow = subject.drawn().map(|it| it.owed.overflow.max(it.seen.overflow)).max();
    let beyond = overflow.unwrap_or(0) > 0;
    if beyond {
        plot.right -= BEYOND;
    }
    let highest = subject.drawn().map(|it| it.owed.highest_ns).max().unwrap_or(u64::MAX) as f64;
    let resolved = if beyond { highest.max(least) } else { greatest };
    let to = subject.bound_near(resolved).unwrap_or(0.0).max(resolved);
    let across = plot.across(Scale::of_values(least, to));
    let views_of = || subject.drawn().flat_map(|it| [&it.seen, &it.owed]);
    let most = views_of().map(|view| bins(view, &across).into_iter().max().unwrap_or(0));
    let most = most.max().unwrap_or(1).max(overflow.unwrap_or(0)).max(9) as f64;
    // One sample stands above the base, and the greatest count below the top.
    let up = plot.upwards(Scale { low: 0.5, high: most * 1.4, ..Scale::log(1.0, 10.0) });
    heading(&mut drawing, &title, &columns(&across));
    upright(&mut drawing, &plot, &up, Words::Count, "samples (logarithmic)", 8);
    level(&mut drawing, &plot, &across, Words::Time, &named(measure, &across));
    if let Some(bound) = subject.bound_ns.filter(|ns| *ns >= across.low && *ns <= across.high) {
        let x = across.at(bound);
        drawing.curve(Ink::Bad, vec![[x, plot.top], [x, plot.bottom]], 1.2, &[5.0, 4.0]);
        let (x, anchor) =
            if x > plot.right - 80.0 { (x - 4.0, Anchor::End) } else { (x + 4.0, Anchor::Start) };
        drawing.text(Ink::Bad, [x, plot.top - 5.0], anchor, &format!("bound {}", tick(bound)));
    }
    lines(&mut drawing, subject, &plot, [&across, &up]);
    plot.box_around(&mut drawing);
    let mut remarks: Vec<String> = views(subject).into_iter().collect();
    if beyond {
        not_resolved(&mut drawing, subject, &plot, &up, highest);
    } else {
        remarks.push(format!("none above the recorder's bound of {}", tick(highest)));
    }
    legend(&mut drawing, subject, &remarks);
    drawing
}

fn columns(across: &Scale) -> String {
    let width = across.high / BINS as f64;
    match across.course {
        Course::Linear => format!("samples per column of {}", super::super::units::time(width)),
        Course::Log => {
            let part = (across.high / across.low).powf(1.0 / BINS as f64) - 1.0;
            format!("samples per column; each is {:.0} % wider than the one before", part * 100.0)
        }
    }
}

/// Resolved samples by column.
pub(super) fn bins(view: &Distribution, across: &Scale) -> Vec<u64> {
    let mut bins = vec![0_u64; BINS];
    for (at, bucket) in view.histogram.iter().enumerate() {
        // The last bucket holds what is above the bound, too, which has a place of its own here.
        let is_last = at + 1 == view.histogram.len();
        let overflow = if is_last { view.overflow } else { 0 };
        let resolved = bucket.count.saturating_sub(overflow);
        let highest_ns = if overflow > 0 { bucket.lowest_ns } else { bucket.highest_ns };
        let middle = f64::midpoint(bucket.lowest_ns as f64, highest_ns as f64);
        let part = across.part(middle);
        // The first column whose end is not before it.
        let place = (0..BINS - 1).find(|it| part * (BINS as f64) < *it as f64 + 1.0);
        if let Some(bin) = bins.get_mut(place.unwrap_or(BINS - 1)) {
            *bin = bin.saturating_add(resolved);
        }
    }
    bins
}

/// Steps over the columns from the first sample to the last one.
fn steps(bins: &[u64], plot: &Plot, up: &Scale) -> Vec<[f64; 2]> {
    let wide = (plot.right - plot.left) / BINS as f64;
    let first = bins.iter().position(|it| *it > 0);
    let last = bins.iter().rposition(|it| *it > 0);
    let (Some(first), Some(last)) = (first, last) else { return Vec::new() };
    let mut through = vec![[plot.left + first as f64 * wide, plot.bottom]];
    for (place, bin) in bins.iter().enumerate().take(last + 1).skip(first) {
        let y = if *bin == 0 { plot.bottom } else { up.at(*bin as f64) };
        let x = plot.left + place as f64 * wide;
        through.extend([[x, y], [x + wide, y]]);
    }
    through.push([plot.left + (last + 1) as f64 * wide, plot.bottom]);
    through.dedup();
    through
}

fn lines(drawing: &mut Drawing, subject: &Subject<'_>, plot: &Plot, [across, up]: [&Scale; 2]) {
    for series in &subject.quiet {
        let through = steps(&bins(&series.owed, across), plot, up);
        drawing.curve(Ink::Frame, through, 0.8, &[]);
    }
    let few = subject.told.len() <= 2;
    let mut ends = Vec::new();
    for (place, series) in subject.told.iter().enumerate() {
        let ink = Ink::Series(place);
        if super::differs(series) {
            drawing.curve(ink, steps(&bins(&series.seen, across), plot, up), 0.8, &[]);
        }
        let through = steps(&bins(&series.owed, across), plot, up);
        let end = through.iter().rev().nth(1).copied();
        ends.extend(end.map(|end| (place, end)));
        if few {
            drawing.area(ink, through.clone(), 0.1);
        }
        drawing.curve(ink, through, 1.8, dash(place));
    }
    numbers(drawing, plot, ends);
}

/// What was counted and not resolved, at the right of all.
fn not_resolved(
    drawing: &mut Drawing,
    subject: &Subject<'_>,
    plot: &Plot,
    up: &Scale,
    highest: f64,
) {
    let [left, right] = [plot.right + APART, plot.right + BEYOND];
    drawing.area(
        Ink::Frame,
        vec![[left, plot.top], [right, plot.top], [right, plot.bottom], [left, plot.bottom]],
        0.14,
    );
    drawing.line(Ink::Frame, [left, plot.bottom], [right, plot.bottom]);
    let middle = f64::midpoint(left, right);
    let text = format!("> {}", tick(highest));
    drawing.text(Ink::Quiet, [middle, plot.bottom + 17.0], Anchor::Middle, &text);
    drawing.text(Ink::Quiet, [middle, plot.bottom + 34.0], Anchor::Middle, "overflow");
    let lanes = subject.told.len().max(1) as f64;
    let wide = (right - left - 8.0) / lanes;
    let total = subject.drawn().map(|it| it.owed.overflow).fold(0, u64::saturating_add);
    for (place, series) in subject.told.iter().enumerate() {
        let x = left + 4.0 + place as f64 * wide;
        let y = up.at(series.owed.overflow as f64);
        if series.owed.overflow > 0 {
            let bar = [x + wide * 0.1, y, wide * 0.8, plot.bottom - y];
            drawing.rect(Ink::Series(place), bar);
        }
    }
    drawing.text(Ink::Bad, [middle, plot.top - 4.0], Anchor::Middle, &short(total));
}
