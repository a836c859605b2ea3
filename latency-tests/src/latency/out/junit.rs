//! Test cases as JUnit writes them: what builds show, and fail by.
//!
//! A suite for each run; in it a case *the run is valid*, which is an error where it is not, and a
//! case for each gate whose worst was found in that run, which is a failure where the gate was
//! exceeded. Where the document is invalid nothing follows from a gate: those cases are skipped,
//! neither passed nor failed.
//!
//! Every text is of somebody else (names, facts of the host, sentences), and XML 1.0 has no way to
//! say most control characters: they become U+FFFD.

use std::fmt::{self, Write as _};

use crate::latency::report::{Gate, PROGRAM, Report, Run};

/// The document. Thread: any; allocates.
#[must_use]
pub fn write(report: &Report) -> String {
    let suites = suites(report);
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    // Writing into a text does not fail.
    let _ = all(report, &suites, &mut out);
    out
}

/// A suite: its run, if there was one, and its gates.
struct Suite<'a> {
    run: Option<&'a Run>,
    gates: Vec<&'a Gate>,
}

/// Each gate belongs to the run in which its worst was found, or to the first one.
fn suites(report: &Report) -> Vec<Suite<'_>> {
    let mut suites: Vec<Suite<'_>> =
        report.runs.iter().map(|run| Suite { run: Some(run), gates: Vec::new() }).collect();
    if suites.is_empty() {
        suites.push(Suite { run: None, gates: Vec::new() });
    }
    for gate in &report.gates {
        let word = gate.series.split([' ', ',', ':']).next();
        let here = suites.iter().position(|it| it.run.map(|run| run.probe.name()) == word);
        if let Some(suite) = suites.get_mut(here.unwrap_or(0)) {
            suite.gates.push(gate);
        }
    }
    suites
}

fn all(report: &Report, suites: &[Suite<'_>], out: &mut String) -> fmt::Result {
    let is_invalid = !report.invalid.is_empty();
    let cases = |suite: &Suite<'_>| suite.gates.len() + 1;
    let failures = |suite: &Suite<'_>| {
        if is_invalid { 0 } else { suite.gates.iter().filter(|gate| gate.exceeded).count() }
    };
    let errors = usize::from(is_invalid);
    writeln!(
        out,
        "<testsuites name=\"{PROGRAM}\" tests=\"{}\" failures=\"{}\" errors=\"{}\">",
        suites.iter().map(cases).sum::<usize>(),
        suites.iter().map(failures).sum::<usize>(),
        errors * suites.len(),
    )?;
    for suite in suites {
        let name = suite.run.map_or("no run", |run| run.probe.name());
        let skipped = if is_invalid { suite.gates.len() } else { 0 };
        writeln!(
            out,
            "  <testsuite name=\"{PROGRAM}.{name}\" tests=\"{}\" failures=\"{}\" \
             errors=\"{errors}\" skipped=\"{skipped}\" time=\"{}\" timestamp=\"{}\">",
            cases(suite),
            failures(suite),
            seconds(suite.run),
            Text(report.began.trim_end_matches('Z')),
        )?;
        properties(report, suite.run, out)?;
        validity(report, suite.run, name, out)?;
        suite.gates.iter().try_for_each(|it| gate(it, name, is_invalid, out))?;
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    Ok(())
}

/// Facts of the host, settings of the run, and the figures that one looks for first.
fn properties(report: &Report, run: Option<&Run>, out: &mut String) -> fmt::Result {
    let mut told: Vec<(String, String)> = vec![
        ("version".to_owned(), report.version.clone()),
        ("command".to_owned(), report.command.join(" ")),
    ];
    told.extend(report.host.iter().map(|(name, value)| (format!("host.{name}"), value.clone())));
    for series in run.into_iter().flat_map(|run| &run.series) {
        let figures = [
            ("p50_ns", series.owed.p50_ns),
            ("p9999_ns", series.owed.p9999_ns),
            ("max_ns", series.owed.max_ns),
            ("samples", Some(series.owed.samples)),
            ("lost", Some(series.counts.lost)),
        ];
        for (figure, value) in figures {
            let Some(value) = value else { continue };
            told.push((format!("{}.{figure}", series.name), value.to_string()));
        }
    }
    out.push_str("    <properties>\n");
    for (name, value) in &told {
        let (name, value) = (Text(name), Text(value));
        writeln!(out, "      <property name=\"{name}\" value=\"{value}\"/>")?;
    }
    out.push_str("    </properties>\n");
    Ok(())
}

fn validity(report: &Report, run: Option<&Run>, suite: &str, out: &mut String) -> fmt::Result {
    let time = seconds(run);
    writeln!(
        out,
        "    <testcase name=\"the run is valid\" classname=\"{PROGRAM}.{suite}\" time=\"{time}\">"
    )?;
    if let Some(first) = report.invalid.first() {
        let all = report.invalid.join("\n");
        let first = Text(first);
        writeln!(out, "      <error type=\"invalid\" message=\"{first}\">{}</error>", Text(&all))?;
    }
    if !report.cautions.is_empty() {
        let cautions = report.cautions.join("\n");
        writeln!(out, "      <system-out>{}</system-out>", Text(&cautions))?;
    }
    out.push_str("    </testcase>\n");
    Ok(())
}

fn gate(gate: &Gate, suite: &str, is_invalid: bool, out: &mut String) -> fmt::Result {
    let unit = if gate.name.ends_with("_us") { " µs" } else { "" };
    let name = format!("{} is at most {}{unit}", gate.name, gate.limit);
    write!(
        out,
        "    <testcase name=\"{}\" classname=\"{PROGRAM}.{suite}\" time=\"0\"",
        Text(&name)
    )?;
    let found = gate.found.map_or_else(
        || format!("nothing was found to hold against {}{unit}", gate.limit),
        |found| format!("{found}{unit} in {}, {}{unit} allowed", gate.series, gate.limit),
    );
    let found = Text(&found);
    if is_invalid {
        out.push_str("><skipped message=\"the run is invalid: nothing follows\"/></testcase>\n");
    } else if gate.exceeded {
        let name = Text(&gate.name);
        writeln!(out, ">\n      <failure type=\"{name}\" message=\"{found}\">{found}</failure>")?;
        out.push_str("    </testcase>\n");
    } else {
        writeln!(out, "><system-out>{found}</system-out></testcase>")?;
    }
    Ok(())
}

/// How long a run took, in seconds.
fn seconds(run: Option<&Run>) -> String {
    let ns = run.map_or(0, |run| run.duration_ns);
    format!("{}.{:03}", ns / 1_000_000_000, ns / 1_000_000 % 1_000)
}

/// A text as XML 1.0 can have it, in an element or between double quotes.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|it| match it {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&apos;"),
            // As references, or a reader makes a blank of them.
            '\t' | '\n' | '\r' => write!(f, "&#{};", u32::from(it)),
            '\0'..=' ' if it != ' ' => f.write_char(char::REPLACEMENT_CHARACTER),
            '\u{fffe}' | '\u{ffff}' => f.write_char(char::REPLACEMENT_CHARACTER),
            _ => f.write_char(it),
        })
    }
}
