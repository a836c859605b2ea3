//! When it was how late: a strip for each series, one above the other. Lines of several series in
//! one plot would hide each other.

use super::super::drawing::{Anchor, Drawing, SIZE, width as width_of};
use super::super::font::fitted;
use super::super::ink::Ink;
use super::super::scale::Scale;
use super::super::units::{figure, short, time};
use super::Subject;
use super::frame::{BELOW, LEFT, Plot, Words, heading, named, numbered, upright};
use crate::latency::report::{Run, Series, Slot};

/// Above each strip: its name and its maximum.
const HEAD: f64 = 22.0;
/// Below each strip: where samples were lost.
const RAIL: f64 = 12.0;
/// Columns of a strip.
const COLUMNS: usize = 300;

/// Draws it.
pub(super) fn draw(subject: &Subject<'_>, width: f64) -> Drawing {
    let measure = subject.measure();
    let title = format!("Course of {measure}");
    let strips = subject.told.len().max(1);
    let strip = if strips <= 2 {
        120.0
    } else if strips <= 4 {
        76.0
    } else {
        54.0
    };
    let top = 26.0;
    let bottom = top + (HEAD + strip + RAIL) * strips as f64;
    let mut drawing = Drawing::new(&title, width, bottom - RAIL + BELOW + 6.0);
    let place = |at: usize| {
        let top = top + (HEAD + strip + RAIL) * at as f64 + HEAD;
        Plot { left: LEFT, top, right: width - 14.0, bottom: top + strip }
    };
    let Some((least, greatest)) = range(subject) else {
        heading(&mut drawing, &title, "");
        place(0).nothing(&mut drawing);
        drawing.height = place(0).bottom + 8.0;
        return drawing;
    };
    let slot_ns = subject.told.iter().map(|it| it.slot_ns).max().unwrap_or(0) as f64;
    let remark = format!("least to greatest of each {}", time(slot_ns));
    heading(&mut drawing, &title, &remark);
    let scale = Scale::of_values(least, greatest);
    let end = end_ns(subject.run) as f64;
    for (at, series) in subject.told.iter().enumerate() {
        let plot = place(at);
        let up = plot.upwards(scale);
        let most = if strip > 100.0 { 6 } else { 4 };
        upright(&mut drawing, &plot, &up, Words::Time, "", most);
        let across = plot.across(Scale { high: end.max(1.0), ..Scale::linear(1.0) });
        lengthways(&mut drawing, &plot, &across, at + 1 == strips);
        band(&mut drawing, at, series, &across, &up);
        marks(&mut drawing, series, [&across, &up], &plot);
        plot.box_around(&mut drawing);
        head(&mut drawing, &plot, at, series, clock(end));
    }
    let middle = f64::midpoint(place(0).top, place(strips - 1).bottom);
    drawing.upwards(Ink::Quiet, [12.0, middle], &named(measure, &scale));
    explain(&mut drawing, subject);
    drawing
}

/// The least above zero and the greatest of all that is drawn.
fn range(subject: &Subject<'_>) -> Option<(f64, f64)> {
    let slots = || subject.told.iter().flat_map(|it| &it.timeline).filter(|it| it.samples > 0);
    let stalls = subject.told.iter().flat_map(|it| &it.stalls).map(|it| it.late_ns);
    let greatest = slots().map(|it| it.max_ns).chain(stalls).max()?;
    let least = slots().flat_map(|it| [it.min_ns, it.max_ns]).filter(|it| *it > 0).min();
    Some((least.unwrap_or(1) as f64, greatest.max(1) as f64))
}

/// When the run ends: as it says, but not before all slots have begun.
pub(super) fn end_ns(run: &Run) -> u64 {
    let ends = run.series.iter().flat_map(|series| {
        let beyond = series.timeline.iter().filter(|slot| slot.at_ns >= run.duration_ns);
        beyond.map(|slot| slot.at_ns.saturating_add(series.slot_ns))
    });
    ends.max().unwrap_or(0).max(run.duration_ns).max(1)
}

/// A unit for the time since the begin: its length in ns and its name.
pub(super) fn clock(end_ns: f64) -> (f64, &'static str) {
    let units = [(3.6e12, "h"), (6e10, "min"), (1e9, "s"), (1e6, "ms"), (1e3, "µs")];
    units.into_iter().find(|(ns, _)| end_ns >= 2.0 * ns).unwrap_or((1.0, "ns"))
}

/// The marks of the time since the begin; told for the lowest of all strips.
pub(super) fn lengthways(drawing: &mut Drawing, plot: &Plot, across: &Scale, told: bool) {
    let (unit, name) = clock(across.high);
    let scaled = Scale { high: across.high / unit, ..*across };
    for tick in scaled.ticks(plot.marks(90.0)) {
        drawing.line(Ink::Grid, [tick.at, plot.top], [tick.at, plot.bottom]);
        if told {
            drawing.line(Ink::Frame, [tick.at, plot.bottom], [tick.at, plot.bottom + 5.0]);
            let at = [tick.at, plot.bottom + 20.0];
            drawing.text(Ink::Quiet, at, Anchor::Middle, &figure(tick.value));
        }
    }
    if told {
        let at = [f64::midpoint(plot.left, plot.right), plot.bottom + 37.0];
        let name = format!("time since the begin ({name})");
        drawing.text(Ink::Quiet, at, Anchor::Middle, &name);
    }
}

/// What of a timeline falls into a column.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Column {
    pub(super) samples: u64,
    pub(super) lost: u64,
    pub(super) min_ns: u64,
    pub(super) max_ns: u64,
}

/// The timeline in columns of equal width up to an end. A slot is in each column that it reaches
/// into.
pub(super) fn columns(series: &Series, end_ns: f64, count: usize) -> Vec<Column> {
    let mut columns = vec![Column::default(); count];
    let place = |ns: f64| to_place(ns / end_ns * count as f64);
    for slot in &series.timeline {
        let first = place(slot.at_ns as f64 + 0.5);
        let to = slot.at_ns.saturating_add(series.slot_ns.max(1)) as f64;
        let last = place(to * (1.0 - 1e-12) - 0.5).max(first);
        let reached = columns.iter_mut().take(last.saturating_add(1)).skip(first);
        reached.for_each(|column| column.add(slot));
    }
    columns
}

impl Column {
    fn add(&mut self, slot: &Slot) {
        self.lost = self.lost.saturating_add(slot.lost);
        if slot.samples > 0 {
            let none = self.samples == 0;
            self.min_ns = if none { slot.min_ns } else { self.min_ns.min(slot.min_ns) };
            self.max_ns = self.max_ns.max(slot.max_ns);
            self.samples = self.samples.saturating_add(slot.samples);
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what a place may be"
)]
const fn to_place(value: f64) -> usize {
    value.clamp(0.0, 1e6) as usize
}

/// From the least to the greatest, with a line along the greatest.
fn band(drawing: &mut Drawing, at: usize, series: &Series, across: &Scale, up: &Scale) {
    let columns = columns(series, across.high, COLUMNS);
    let wide = (across.to - across.from) / COLUMNS as f64;
    let mut begin = 0;
    // Where nothing was sampled, nothing is drawn.
    for part in columns.chunk_by(|a, b| (a.samples > 0) == (b.samples > 0)) {
        if part.first().is_some_and(|it| it.samples > 0) {
            let step = |of: fn(&Column) -> u64| -> Vec<[f64; 2]> {
                let step = part.iter().enumerate().flat_map(|(place, column)| {
                    let x = across.from + (begin + place) as f64 * wide;
                    let y = up.at(of(column) as f64);
                    [[x, y], [x + wide, y]]
                });
                step.collect()
            };
            let greatest = step(|it| it.max_ns);
            let least = step(|it| it.min_ns);
            let around = greatest.iter().chain(least.iter().rev()).copied().collect();
            drawing.area(Ink::Series(at), around, 0.22);
            drawing.curve(Ink::Series(at), greatest, 1.2, &[]);
        }
        begin += part.len();
    }
}

/// Stalls that swallowed cycles, and lost cycles.
fn marks(drawing: &mut Drawing, series: &Series, [across, up]: [&Scale; 2], plot: &Plot) {
    for stall in series.stalls.iter().filter(|it| it.swallowed > 0) {
        let [x, y] = [across.at(stall.at_ns as f64), up.at(stall.late_ns as f64)];
        triangle(drawing, x, y);
    }
    for x in losses(series, across, 7.0) {
        cross(drawing, x, plot.bottom + 5.5, 3.0);
    }
}

/// Where cycles were lost: one place of those that lie nearer to each other than `apart`.
pub(super) fn losses(series: &Series, across: &Scale, apart: f64) -> Vec<f64> {
    let mut places: Vec<f64> = Vec::new();
    for slot in series.timeline.iter().filter(|slot| slot.lost > 0) {
        let x = across.at(slot.at_ns as f64 + series.slot_ns as f64 / 2.0);
        if places.last().is_none_or(|last| (x - last).abs() >= apart) {
            places.push(x);
        }
    }
    places
}

fn triangle(drawing: &mut Drawing, x: f64, y: f64) {
    drawing.area(Ink::Bad, vec![[x, y], [x - 4.0, y - 7.5], [x + 4.0, y - 7.5]], 1.0);
}

pub(super) fn cross(drawing: &mut Drawing, x: f64, y: f64, arm: f64) {
    drawing.curve(Ink::Bad, vec![[x - arm, y - arm], [x + arm, y + arm]], 1.5, &[]);
    drawing.curve(Ink::Bad, vec![[x - arm, y + arm], [x + arm, y - arm]], 1.5, &[]);
}

/// The name at the left, the figures at the right.
fn head(drawing: &mut Drawing, plot: &Plot, at: usize, series: &Series, (unit, name): (f64, &str)) {
    let mut figures = match (series.seen.max_ns, series.seen.max_at_ns) {
        (Some(max_ns), Some(at_ns)) => {
            let at = figure((at_ns as f64 / unit * 1e3).round() / 1e3);
            format!("max {} at {at} {name}", time(max_ns as f64))
        }
        _ => "no samples".to_owned(),
    };
    for (number, what) in [(series.counts.swallowed, "swallowed"), (series.counts.lost, "lost")] {
        if number > 0 {
            figures.push_str(&format!(" · {} {what}", short(number)));
        }
    }
    let y = plot.top - 9.0;
    let figures = fitted(&figures, SIZE, plot.right - plot.left - 120.0);
    let room = plot.right - plot.left - width_of(&figures) - 20.0;
    let name = fitted(&numbered(at, &series.name), SIZE, room);
    drawing.text(Ink::Text, [plot.left, y], Anchor::Start, &name);
    drawing.text(Ink::Quiet, [plot.right, y], Anchor::End, &figures);
}

/// What the marks mean, where there are any.
fn explain(drawing: &mut Drawing, subject: &Subject<'_>) {
    let stalls = subject.told.iter().flat_map(|it| &it.stalls).any(|it| it.swallowed > 0);
    let lost = subject.told.iter().any(|it| it.counts.lost > 0);
    let y = drawing.height + 6.0;
    let mut x = LEFT;
    let mut say = |drawing: &mut Drawing, mark: fn(&mut Drawing, f64, f64), text: &str| {
        mark(drawing, x + 5.0, y);
        drawing.text(Ink::Text, [x + 16.0, y + 4.0], Anchor::Start, text);
        x += 16.0 + width_of(text) + 22.0;
    };
    if stalls {
        say(drawing, |d, x, y| triangle(d, x, y + 4.0), "stall that swallowed cycles");
    }
    if lost {
        say(drawing, |d, x, y| cross(d, x, y, 3.0), "cycles lost");
    }
    let more = subject.run.series.len().saturating_sub(subject.told.len());
    if more > 0 {
        let text = format!("{more} more series have a lesser maximum: see the map");
        drawing.text(Ink::Quiet, [x, y + 4.0], Anchor::Start, &text);
        x += 1.0;
    }
    if x > LEFT {
        drawing.height = y + 12.0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::super::report::{Counts, Distribution, Exceedances, Measure};
    use super::*;

    fn series(slots: &[(u64, u64)], slot_ns: u64) -> Series {
        let empty = Distribution {
            samples: 0,
            overflow: 0,
            highest_ns: 1,
            min_ns: None,
            mean_ns: None,
            p50_ns: None,
            p90_ns: None,
            p99_ns: None,
            p999_ns: None,
            p9999_ns: None,
            p99999_ns: None,
            max_ns: None,
            max_at_ns: None,
            histogram: Vec::new(),
        };
        let slot =
            |&(at_ns, max_ns): &(u64, u64)| Slot { at_ns, samples: 1, lost: 0, min_ns: 1, max_ns };
        Series {
            name: String::new(),
            measure: Measure::Lateness,
            cpu: None,
            thread: None,
            period_ns: 1,
            counts: Counts::default(),
            seen: empty.clone(),
            owed: empty,
            stalls: Vec::new(),
            slot_ns,
            timeline: slots.iter().map(slot).collect(),
            exceedances: Exceedances::default(),
            run_lengths: Vec::new(),
        }
    }

    #[test]
    fn each_slot_is_in_the_columns_that_it_reaches_into_and_no_other() {
        let series = series(&[(0, 5), (100, 9), (200, 7)], 100);
        let greatest = |count| -> Vec<u64> {
            columns(&series, 300.0, count).iter().map(|it| it.max_ns).collect()
        };
        assert_eq!(greatest(3), [5, 9, 7]);
        assert_eq!(greatest(6), [5, 5, 9, 9, 7, 7]);
        assert_eq!(greatest(1), [9]);
    }

    #[test]
    fn slots_beyond_all_bounds_are_in_the_last_column() {
        let series = series(&[(u64::MAX, 5)], u64::MAX);
        let columns = columns(&series, 300.0, 3);
        assert!(columns.len() == 3);
    }

    #[test]
    fn the_clock_of_a_run_has_few_digits() {
        assert_eq!(clock(60e9).1, "s");
        assert_eq!(clock(86_400e9).1, "h");
        assert_eq!(clock(0.0).1, "ns");
    }
}
