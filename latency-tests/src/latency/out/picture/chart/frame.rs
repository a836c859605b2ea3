//! Axes, legends and labels, the same in each chart.

use super::super::drawing::{Anchor, Drawing, SIZE, width};
use super::super::font::fitted;
use super::super::ink::{Ink, SERIES, dash};
use super::super::scale::{Course, Scale};
use super::super::units::{Unit, figure, tick};
use super::Subject;

/// Room for an axis' marks at the left.
pub(super) const LEFT: f64 = 74.0;
/// Room for a heading at the top.
pub(super) const TOP: f64 = 34.0;
/// Room for an axis' marks and name below.
pub(super) const BELOW: f64 = 40.0;
/// A line of a legend.
const ROW: f64 = 19.0;
/// How high the number of a line is.
const NUMBER: f64 = 12.5;
/// The widest entry of a legend.
const ENTRY_MAX: f64 = 220.0;

/// Where the data are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plot {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Plot {
    pub(super) const fn across(&self, scale: Scale) -> Scale {
        scale.between(self.left, self.right)
    }

    pub(super) const fn upwards(&self, scale: Scale) -> Scale {
        scale.between(self.bottom, self.top)
    }

    /// How many marks fit beside each other, each so wide.
    pub(super) fn marks(&self, wide: f64) -> usize {
        let room = self.right - self.left;
        (2..=12_usize).rev().find(|it| *it as f64 * wide <= room).unwrap_or(2)
    }

    pub(super) fn box_around(&self, drawing: &mut Drawing) {
        let Self { left, top, right, bottom } = *self;
        drawing.line(Ink::Frame, [left, bottom], [right, bottom]);
        drawing.line(Ink::Frame, [left, top], [left, bottom]);
    }

    /// What stands where nothing can be drawn.
    pub(super) fn nothing(&self, drawing: &mut Drawing) {
        let middle = [(self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0];
        self.box_around(drawing);
        drawing.text(Ink::Quiet, middle, Anchor::Middle, "No samples.");
    }
}

/// How the marks of an axis are told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Words {
    /// Nanoseconds as times.
    Time,
    /// Samples.
    Count,
}

impl Words {
    fn of(self, value: f64, scale: &Scale) -> String {
        match (self, scale.course) {
            (Self::Time, Course::Log) => tick(value),
            (Self::Time, Course::Linear) => figure(value / Unit::of(scale.high).ns()),
            (Self::Count, _) => thousands(value),
        }
    }
}

fn thousands(value: f64) -> String {
    let steps = [(1e12, ""), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    match steps.into_iter().find(|(least, _)| value >= *least) {
        Some((_, "")) => figure(value),
        Some((unit, name)) => format!("{}{name}", figure(value / unit)),
        None => figure(value),
    }
}

/// The name of an axis of times: with its unit where the marks have none.
pub(super) fn named(name: &str, scale: &Scale) -> String {
    match scale.course {
        Course::Log => format!("{name} (logarithmic)"),
        Course::Linear => format!("{name} ({})", Unit::of(scale.high).name()),
    }
}

/// What a chart shows, and how.
pub(super) fn heading(drawing: &mut Drawing, title: &str, remark: &str) {
    drawing.sized(Ink::Text, [0.0, 15.0], Anchor::Start, title, 15.0);
    let from = super::super::font::width(title, 15.0) + 14.0;
    let remark = fitted(remark, SIZE, drawing.width - from);
    drawing.text(Ink::Quiet, [from, 15.0], Anchor::Start, &remark);
}

/// The marks of the upright axis, with lines through the plot.
pub(super) fn upright(
    drawing: &mut Drawing,
    plot: &Plot,
    scale: &Scale,
    words: Words,
    name: &str,
    most: usize,
) {
    for tick in scale.ticks(most) {
        if tick.told {
            drawing.line(Ink::Grid, [plot.left, tick.at], [plot.right, tick.at]);
            let text = words.of(tick.value, scale);
            drawing.text(Ink::Quiet, [plot.left - 8.0, tick.at + 4.0], Anchor::End, &text);
        }
        let length = if tick.told { 5.0 } else { 2.5 };
        drawing.line(Ink::Frame, [plot.left - length, tick.at], [plot.left, tick.at]);
    }
    drawing.upwards(Ink::Quiet, [12.0, (plot.top + plot.bottom) / 2.0], name);
}

/// The marks of the level axis, with lines through the plot, and its name.
pub(super) fn level(drawing: &mut Drawing, plot: &Plot, scale: &Scale, words: Words, name: &str) {
    for tick in scale.ticks(plot.marks(64.0)) {
        if tick.told {
            drawing.line(Ink::Grid, [tick.at, plot.top], [tick.at, plot.bottom]);
            let text = words.of(tick.value, scale);
            drawing.text(Ink::Quiet, [tick.at, plot.bottom + 17.0], Anchor::Middle, &text);
        }
        let length = if tick.told { 5.0 } else { 2.5 };
        drawing.line(Ink::Frame, [tick.at, plot.bottom], [tick.at, plot.bottom + length]);
    }
    let middle = (plot.left + plot.right) / 2.0;
    drawing.text(Ink::Quiet, [middle, plot.bottom + 34.0], Anchor::Middle, name);
}

/// The name of a series told apart: its number, and what it is called.
pub(super) fn numbered(place: usize, name: &str) -> String {
    format!("{}  {name}", place + 1)
}

/// Draws what each line stands for, and grows the drawing by it.
pub(super) fn legend(drawing: &mut Drawing, subject: &Subject<'_>, remarks: &[String]) {
    let mut x = LEFT;
    let mut y = drawing.height + 8.0;
    let right = drawing.width;
    let mut advance = |wide: f64| {
        if x > LEFT && x + wide > right {
            x = LEFT;
            y += ROW;
        }
        let at = [x, y];
        x += wide + 18.0;
        at
    };
    for (place, series) in subject.told.iter().enumerate() {
        let text = fitted(&numbered(place, &series.name), SIZE, ENTRY_MAX - 36.0);
        let [x, y] = advance(36.0 + width(&text));
        let line = vec![[x, y], [x + 30.0, y]];
        drawing.curve(Ink::Series(place), line, 1.8, dash(place));
        drawing.text(Ink::Text, [x + 36.0, y + 4.0], Anchor::Start, &text);
    }
    if !subject.quiet.is_empty() {
        let text = format!("{} more, each with a lesser maximum", subject.quiet.len());
        let [x, y] = advance(36.0 + width(&text));
        drawing.curve(Ink::Frame, vec![[x, y], [x + 30.0, y]], 1.0, &[]);
        drawing.text(Ink::Text, [x + 36.0, y + 4.0], Anchor::Start, &text);
    }
    for remark in remarks {
        let text = fitted(remark, SIZE, right - LEFT);
        let [x, y] = advance(width(&text));
        drawing.text(Ink::Quiet, [x, y + 4.0], Anchor::Start, &text);
    }
    drawing.height = y + 12.0;
}

/// What the two kinds of line mean, where both are drawn.
pub(super) fn views(subject: &Subject<'_>) -> Option<String> {
    let both = subject.drawn().any(super::differs);
    both.then(|| "strong: with each swallowed cycle (owed); thin: as cyclictest counts".to_owned())
}

/// Numbers at places of lines, moved towards the middle until none lies on another one.
pub(super) fn numbers(drawing: &mut Drawing, plot: &Plot, places: Vec<(usize, [f64; 2])>) {
    if places.len() < 2 {
        return;
    }
    let middle = f64::midpoint(plot.top, plot.bottom);
    let (mut above, mut below): (Vec<_>, Vec<_>) =
        places.into_iter().partition(|(_, [_, y])| *y < middle);
    above.sort_by(|(_, [_, a]), (_, [_, b])| a.total_cmp(b));
    below.sort_by(|(_, [_, a]), (_, [_, b])| b.total_cmp(a));
    let above = above.into_iter().map(|it| (it, NUMBER));
    let mut taken: Vec<[f64; 2]> = Vec::new();
    for ((place, [x, y]), step) in above.chain(below.into_iter().map(|it| (it, -NUMBER))) {
        let x = (x + 4.0).min(plot.right + 6.0);
        let mut y = y + 4.0;
        for _ in 0..2 * SERIES {
            let meets = |it: &&[f64; 2]| (it[0] - x).abs() < 11.0 && (it[1] - y).abs() < NUMBER;
            match taken.iter().find(meets) {
                Some(it) => y = it[1] + step,
                None => break,
            }
        }
        taken.push([x, y]);
        let [left, top] = [x - 1.0, y - 10.0];
        let around = vec![[left, top], [left + 9.0, top], [left + 9.0, y + 1.0], [left, y + 1.0]];
        drawing.area(Ink::Ground, around, 0.8);
        drawing.text(Ink::Text, [x, y], Anchor::Start, &(place + 1).to_string());
    }
}
