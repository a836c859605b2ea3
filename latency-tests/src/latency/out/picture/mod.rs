//! A result as one picture, and the charts that the page has, too.
//!
//! | Module | Holds |
//! |---|---|
//! | `chart` | the charts of a run |
//! | `drawing` | what a picture is made of |
//! | `scale`, `units` | where a value lies, and how it is told |
//! | `ink` | colours by what they are for |
//! | `font` | the letters |
//! | `svg`, `raster` | a drawing as text and as pixels |

pub(super) mod chart;
pub(super) mod drawing;
pub(super) mod font;
pub(super) mod ink;
mod raster;
mod scale;
pub(super) mod svg;
pub(super) mod units;

use chart::Subject;
use drawing::{Anchor, Drawing};
use font::fitted;
use ink::Ink;

use super::super::report::{Gate, Report, Run, Verdict};

/// How wide the picture is, in units of a drawing and in pixels.
const WIDTH: f64 = 1_600.0;
/// Runs that a picture shows; a result has one for each probe.
const RUNS_MAX: usize = 8;
const MARGIN: f64 = 32.0;
const BETWEEN: f64 = 40.0;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// No memory for it.
    #[error("no memory for a picture of {width:.0} × {height:.0} points")]
    Pixels {
        /// How wide.
        width: f64,
        /// How high.
        height: f64,
    },
    /// It could not be written down as PNG.
    #[error("the picture cannot be written as PNG: {0}")]
    Encode(String),
}

/// The result as a PNG, 1,600 pixels wide, on light ground: what it is of and what follows, and the
/// charts of each run. Thread: any that may allocate and compute for a second; not a real-time one.
///
/// # Errors
///
/// See [`PictureError`].
pub fn png(report: &Report) -> Result<Vec<u8>, PictureError> {
    let drawing = draw(report);
    let Drawing { width, height, .. } = drawing;
    let pixels = raster::pixels(&drawing, 1.0).ok_or(PictureError::Pixels { width, height })?;
    pixels.encode_png().map_err(|error| PictureError::Encode(error.to_string()))
}

/// The whole picture.
fn draw(report: &Report) -> Drawing {
    let mut drawing = Drawing::new("latency", WIDTH, 0.0);
    let mut y = head(&mut drawing, report);
    for run in report.runs.iter().take(RUNS_MAX) {
        y = charts(&mut drawing, report, run, y);
    }
    if report.runs.is_empty() {
        drawing.text(Ink::Quiet, [MARGIN, y], Anchor::Start, "Nothing was measured.");
        y += 30.0;
    }
    drawing.height = y;
    drawing
}

/// What follows, and of what. Returns where the next thing begins.
fn head(drawing: &mut Drawing, report: &Report) -> f64 {
    let (ink, verdict) = verdict(report.verdict);
    let room = WIDTH - 2.0 * MARGIN;
    drawing.sized(ink, [MARGIN, 46.0], Anchor::Start, verdict, 26.0);
    let from = MARGIN + font::width(verdict, 26.0) + 24.0;
    let what = fitted(&about(report), 18.0, WIDTH - MARGIN - from);
    drawing.sized(Ink::Text, [from, 46.0], Anchor::Start, &what, 18.0);
    let mut y = 72.0;
    let exceeded = exceeded(report);
    let reasons = report.invalid.iter().chain(&exceeded).map(|it| (Ink::Bad, it));
    let cautions = report.cautions.iter().map(|it| (Ink::Quiet, it));
    let all = report.invalid.len() + exceeded.len() + report.cautions.len();
    for (ink, text) in reasons.chain(cautions).take(4) {
        let text = fitted(text, 14.0, room);
        drawing.sized(ink, [MARGIN, y], Anchor::Start, &text, 14.0);
        y += 20.0;
    }
    if all > 4 {
        let text = format!("and {} more", all - 4);
        drawing.sized(Ink::Quiet, [MARGIN, y], Anchor::Start, &text, 14.0);
        y += 20.0;
    }
    y + 8.0
}

/// A run's charts, two beside each other.
fn charts(drawing: &mut Drawing, report: &Report, run: &Run, from: f64) -> f64 {
    let subject = Subject::new(report, run);
    let room = WIDTH - 2.0 * MARGIN;
    drawing.line(Ink::Grid, [MARGIN, from], [WIDTH - MARGIN, from]);
    let title = fitted(&told(run), 16.0, room);
    drawing.sized(Ink::Text, [MARGIN, from + 28.0], Anchor::Start, &title, 16.0);
    let wide = (room - BETWEEN) / 2.0;
    let mut y = from + 52.0;
    for pair in chart::ALL.chunks(2) {
        let mut high: f64 = 0.0;
        for (at, (_, draw)) in pair.iter().enumerate() {
            let chart = draw(&subject, wide);
            drawing.place(&chart, MARGIN + at as f64 * (wide + BETWEEN), y);
            high = high.max(chart.height);
        }
        y += high + 26.0;
    }
    y
}

/// What follows, in a word.
pub(super) const fn verdict(of: Verdict) -> (Ink, &'static str) {
    match of {
        Verdict::Pass => (Ink::Good, "Pass"),
        Verdict::Exceeded => (Ink::Bad, "Exceeded"),
        Verdict::Invalid => (Ink::Bad, "Invalid"),
    }
}

/// Each bound that was exceeded, as a sentence.
pub(super) fn exceeded(report: &Report) -> Vec<String> {
    let sentence = |gate: &Gate| {
        let (what, unit) = bound(&gate.name);
        let limit = units::figure(gate.limit);
        match gate.found {
            Some(found) => {
                let found = units::figure(found);
                format!("{what}: {found}{unit} ({}), at most {limit}{unit}", gate.series)
            }
            None => format!("{what}: nothing was found to hold against {limit}{unit}"),
        }
    };
    report.gates.iter().filter(|gate| gate.exceeded).take(64).map(sentence).collect()
}

/// What a bound is of, and its unit.
pub(super) fn bound(name: &str) -> (&str, &'static str) {
    match name {
        "max_us" => ("greatest", " µs"),
        "p9999_us" => ("99.99 %", " µs"),
        "max_lost" => ("cycles lost", ""),
        other => (other, ""),
    }
}

/// Of what, where and when.
pub(super) fn about(report: &Report) -> String {
    let probes: Vec<&str> = report.runs.iter().map(|run| run.probe.name()).collect();
    let fact = |names: &[&str]| {
        let found = names.iter().find_map(|it| report.host.get(*it));
        found.map(|it| it.chars().take(60).collect::<String>())
    };
    let kernel = [fact(&["kernel"]), fact(&["preemption"])];
    let kernel: Vec<String> = kernel.into_iter().flatten().collect();
    let mut parts = vec![probes.join(", ")];
    parts.extend(fact(&["hostname", "cpu_model", "product"]));
    parts.extend([kernel.join(", "), report.began.clone()]);
    parts.retain(|it| !it.is_empty());
    parts.join(" · ")
}

/// A run in a line: the probe, how long, how it was set.
pub(super) fn told(run: &Run) -> String {
    let mut parts = vec![run.probe.name().to_owned()];
    parts.push(format!("{} measured", units::time(run.duration_ns as f64)));
    let series = run.series.len();
    parts.push(format!("{series} series"));
    if run.settings.interval_ns > 0 {
        parts.push(format!("every {}", units::tick(run.settings.interval_ns as f64)));
    }
    let policy = &run.settings.policy;
    if !policy.is_empty() {
        parts.push(format!("{policy} {}", run.settings.priority));
    }
    if !run.settings.stress.is_empty() {
        parts.push(format!("stress {}", run.settings.stress.join(", ")));
    }
    parts.join(" · ")
}
