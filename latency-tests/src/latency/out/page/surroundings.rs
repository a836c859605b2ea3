//! What the figures depend on: the processors meanwhile, settings, the machine, what the doctor
//! found of it.

use std::fmt::Write as _;

use super::super::super::environment::CpuEnvironment;
use super::super::super::report::{Report, Run, Series};
use super::super::picture::units::{figure, short, time};
use super::markup::{self, Row, facts, sentences, table, text};

/// What else happened, and how the run was set.
pub(super) fn run(out: &mut String, run: &Run) {
    processors(out, run);
    threads(out, run);
    out.push_str("<h3>Settings</h3>\n");
    let set = &run.settings;
    let ns = |ns: u64| time(ns as f64);
    let depth = set.cpu_dma_latency_us;
    let depth = depth.map_or_else(|| "left to the system".to_owned(), |us| format!("{us} µs"));
    let locked = if set.memory_locked { "yes" } else { "no" };
    let early = if run.ended_early { ", ended before its time" } else { "" };
    let mut all = vec![
        ("duration", format!("{} of {}{early}", ns(run.duration_ns), ns(run.planned_ns))),
        ("interval", ns(set.interval_ns)),
        ("distance", ns(set.distance_ns)),
        ("policy and priority", format!("{} {}", set.policy, set.priority)),
        ("processors", markup::processors(&set.cpus)),
        ("depth of processors' sleep", depth),
        ("memory locked", locked.to_owned()),
        ("stress", if set.stress.is_empty() { "none".to_owned() } else { set.stress.join(", ") }),
    ];
    if run.suspended_ns > 0 {
        all.push(("machine suspended for", ns(run.suspended_ns)));
    }
    let more = set.more.iter().map(|(name, value)| (name.as_str(), value.clone()));
    let all: Vec<(&str, String)> = all.into_iter().chain(more).collect();
    facts(out, all.iter().map(|(name, value)| (*name, value.as_str())));
}

fn processors(out: &mut String, run: &Run) {
    out.push_str("<h3>Processors meanwhile</h3>\n");
    let heads = [
        ("CPU", false),
        ("stolen", false),
        ("deferred work", false),
        ("SMIs", false),
        ("throttled", false),
        ("MHz before", false),
        ("after", false),
        ("interrupts", false),
        ("of these, by source", true),
    ];
    let rows: Vec<Row> = run.environment.cpus.iter().map(|it| (true, processor(it))).collect();
    let bad = |row: usize, column: usize| {
        let it = run.environment.cpus.get(row);
        it.is_some_and(|it| match column {
            1 => it.steal_ns.unwrap_or(0) > 0,
            3 => it.smi_count.unwrap_or(0) > 0,
            4 => it.throttle_count.unwrap_or(0) > 0,
            _ => false,
        })
    };
    let hottest = run.environment.temperature_millidegrees.map(|it| it as f64 / 1e3);
    let hottest = hottest.map_or_else(
        || "No sensor told a temperature.".to_owned(),
        |it| format!("The hottest sensor at the end: {it:.1} °C."),
    );
    let caption = format!("{hottest} A dash: this machine does not tell.");
    if rows.is_empty() {
        let _ = writeln!(out, "<p>{} No processor was looked at.</p>", text(&hottest));
    } else {
        table(out, &caption, &heads, &rows, bad);
    }
}

fn processor(it: &CpuEnvironment) -> Vec<String> {
    let known = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
    let mhz = |khz: u64| figure((khz as f64 / 1e3).round());
    let sources = it.interrupt_sources.iter().take(16);
    let sources: Vec<String> = sources.map(|(name, of)| format!("{name} {}", short(*of))).collect();
    vec![
        it.cpu.to_string(),
        known(it.steal_ns.map(|ns| time(ns as f64))),
        known(it.softirq_ns.map(|ns| time(ns as f64))),
        known(it.smi_count.map(short)),
        known(it.throttle_count.map(short)),
        known(it.frequency_khz.map(|(before, _)| mhz(before))),
        known(it.frequency_khz.map(|(_, after)| mhz(after))),
        short(it.interrupts),
        if sources.is_empty() { "–".to_owned() } else { sources.join(", ") },
    ]
}

fn threads(out: &mut String, run: &Run) {
    let with = run.series.iter().filter_map(|it| Some((it, it.thread.as_ref()?)));
    let row = |(series, it): (&Series, &super::super::super::report::ThreadFacts)| -> Row {
        let shortfalls = it.shortfalls.join("; ");
        let cells = vec![
            series.name.clone(),
            it.name.clone(),
            format!("{} {}", it.policy, it.priority),
            markup::processors(&it.cpus),
            short(it.preemptions),
            short(it.page_faults),
            if shortfalls.is_empty() { "–".to_owned() } else { shortfalls },
        ];
        (true, cells)
    };
    let rows: Vec<Row> = with.map(row).collect();
    if rows.is_empty() {
        return;
    }
    out.push_str("<h3>Threads as the kernel ran them</h3>\n");
    let heads = [
        ("series", true),
        ("thread", true),
        ("policy", true),
        ("CPUs", true),
        ("preempted", false),
        ("page faults", false),
        ("asked for and not granted", true),
    ];
    let bad = |at: usize, column: usize| {
        let cell = rows.get(at).and_then(|(_, cells)| cells.get(column));
        cell.is_some_and(|it| (column == 5 && it != "0") || (column == 6 && it != "–"))
    };
    table(out, "", &heads, &rows, bad);
}

/// The machine, what the doctor found, and how the program was called.
pub(super) fn report(out: &mut String, report: &Report) {
    out.push_str("<section>\n<h2>Where and how</h2>\n<h3>Host</h3>\n");
    facts(out, report.host.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    out.push_str("<h3>What the doctor found before</h3>\n");
    if report.findings.is_empty() {
        out.push_str("<p>Nothing that would disturb.</p>\n");
    } else {
        findings(out, report);
    }
    let _ = writeln!(out, "<h3>Call</h3>\n<p class=\"command\"><code>{}</code></p>", {
        let words = std::iter::once(&report.program).chain(&report.command);
        text(&words.map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
    });
    let schema = report.schema.to_string();
    let rest = [
        ("begun", report.began.as_str()),
        ("program", report.program.as_str()),
        ("version", report.version.as_str()),
        ("version of the result's shape", schema.as_str()),
    ];
    facts(out, rest.into_iter());
    out.push_str("</section>\n");
}

/// A word as a shell would take it.
fn quoted(word: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_=.,:/%+@".contains(it);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

fn findings(out: &mut String, report: &Report) {
    let heads = [
        ("level", true),
        ("about", true),
        ("seen", true),
        ("what follows", true),
        ("remedy", true),
    ];
    let rows = report.findings.iter().map(|it| -> Row {
        let remedies: Vec<&str> = it.remedies.iter().map(|remedy| remedy.text.as_str()).collect();
        let cells = vec![
            it.level.clone(),
            if it.subject.is_empty() {
                it.id.clone()
            } else {
                format!("{} ({})", it.subject, it.id)
            },
            it.seen.clone(),
            it.consequence.clone(),
            if remedies.is_empty() { "–".to_owned() } else { remedies.join("; ") },
        ];
        (true, cells)
    });
    let rows: Vec<Row> = rows.collect();
    let bad = |row: usize, column: usize| {
        column == 0 && report.findings.get(row).is_some_and(|it| it.level == "problem")
    };
    table(out, "", &heads, &rows, bad);
    if report.findings.iter().any(|it| it.fixable_now) {
        let hint = "Some of it can be set while the host runs: bumpless doctor --fix.".to_owned();
        sentences(out, "quiet", &[hint]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_call_can_be_copied_to_a_shell() {
        assert_eq!(quoted("--max-us=50"), "--max-us=50");
        assert_eq!(quoted("it's <b>"), "'it'\\''s <b>'");
        assert_eq!(quoted(""), "''");
    }
}
