//! A result as one page for a browser: whole in one file, without a script.
//!
//! What follows stands first, then the figures, then the charts, then everything that the figures
//! depend on. A page is kept beside the result for years: nothing in it is fetched from anywhere.
//!
//! | Module | Holds |
//! |---|---|
//! | `figures` | gates and series |
//! | `surroundings` | the machine, its processors, what the doctor found, settings |
//! | `markup` | tables and lists, with all text escaped |

mod figures;
mod markup;
mod surroundings;

use std::fmt::Write as _;

use super::super::report::{Report, Verdict};
use super::picture::chart::{self, Subject};
use super::picture::ink::{Ink, Theme};
use super::picture::svg::{element, escaped};
use super::picture::{about, exceeded, font, told, verdict};

/// How wide a chart is, in its own units; the page makes it as wide as there is room.
const CHART: f64 = 920.0;

/// The result as a page of HTML. It has no bound of its own but is some hundred kilobytes for eight
/// series; of more than sixty-four, only the sixty-four with the greatest maxima are in the charts.
/// Thread: any that may allocate; not a real-time one.
#[must_use]
pub fn html(report: &Report) -> String {
    let mut out = String::with_capacity(256 * 1_024);
    let (ink, word) = verdict(report.verdict);
    let title = escaped(&format!("{word}: {}", about(report)));
    out.push_str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    out.push_str("<meta name=\"color-scheme\" content=\"light dark\">\n");
    // Writing to a string cannot fail.
    let _ = write!(out, "<title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n", style());
    let _ = write!(
        out,
        "<header>\n<h1 class=\"{}\">{word}</h1>\n<p>{}</p>\n",
        ink.name(),
        escaped(&about(report))
    );
    reasons(&mut out, report);
    out.push_str("</header>\n");
    figures::gates(&mut out, report);
    for run in &report.runs {
        let _ = writeln!(out, "<section>\n<h2>{}</h2>", escaped(&told(run)));
        figures::series(&mut out, run);
        let subject = Subject::new(report, run);
        for (name, draw) in chart::ALL {
            let chart = element(&draw(&subject, CHART));
            let _ = writeln!(out, "<figure class=\"{name}\">\n{chart}</figure>");
        }
        surroundings::run(&mut out, run);
        out.push_str("</section>\n");
    }
    if report.runs.is_empty() {
        out.push_str("<p>Nothing was measured.</p>\n");
    }
    surroundings::report(&mut out, report);
    out.push_str("</body>\n</html>\n");
    out
}

/// Why the verdict is what it is.
fn reasons(out: &mut String, report: &Report) {
    let says = match report.verdict {
        Verdict::Pass if report.gates.is_empty() => {
            "The run is valid. No bound was given that it could have exceeded."
        }
        Verdict::Pass => "The run is valid, and each bound was kept.",
        Verdict::Exceeded => "The run is valid, and a bound was exceeded:",
        Verdict::Invalid => "Whatever was found, nothing follows from it:",
    };
    let _ = writeln!(out, "<p>{says}</p>");
    let reasons: Vec<String> = report.invalid.iter().cloned().chain(exceeded(report)).collect();
    if !reasons.is_empty() {
        markup::sentences(out, "reasons", &reasons);
    }
    if !report.cautions.is_empty() {
        out.push_str("<h3>Who reads the figures should know</h3>\n");
        markup::sentences(out, "cautions", &report.cautions);
    }
}

/// The style sheet: the font, the colours of both themes, and what does not change.
fn style() -> String {
    let mut out = format!(
        "@font-face {{ font-family: \"Roboto page\"; src: url(data:font/ttf;base64,{}) \
         format(\"truetype\"); }}\n",
        markup::base64(font::FILE)
    );
    let colours = |theme| {
        let colours = Ink::all().map(|ink| format!("--{}:#{:06x}", ink.name(), ink.colour(theme)));
        colours.collect::<Vec<_>>().join(";")
    };
    let [light, dark] = [Theme::Light, Theme::Dark].map(colours);
    let _ = writeln!(out, ":root {{ color-scheme: light dark; {light} }}");
    let _ =
        writeln!(out, "@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}");
    for ink in Ink::all() {
        let name = ink.name();
        let _ = writeln!(
            out,
            ".f-{name} {{ fill: var(--{name}) }} .l-{name} {{ fill: none; stroke: var(--{name}); \
             stroke-linejoin: round }}"
        );
    }
    out.push_str(include_str!("style.css"));
    out
}
