//! The findings for people: the worst first, what to do beneath each, what to change at the end.

use rt_core::os::host::{Finding, Level, Remedy, boot_parameters};
use rt_core::os::thread::Policy;

use super::place::Place;
use super::subject::Subject;
use super::verdict;
use crate::cli::text::{Style, count};
use crate::report::doctor::LevelCounts;

/// Columns of a line.
const WIDTH: usize = 100;
/// Where the text of a finding begins.
const INDENT: usize = 9;
/// Changes of one finding that are shown; `--fix` lists all.
const CHANGES_SHOWN: usize = 2;

/// What is judged, in a line or two.
pub(super) fn heading(subject: &Subject) -> String {
    let name = subject.name.as_deref().unwrap_or_default();
    let mut text = match (subject.source, subject.process) {
        ("instance", Some(pid)) => format!("Judged for {name}, which runs (process {pid}): "),
        ("config", _) => format!("Judged for {name} as configured: "),
        _ => "Judged for a daemon with its defaults (none runs, no --config): ".to_owned(),
    };
    let threads = subject.threads.iter().map(|thread| {
        let policy = match thread.policy {
            Policy::Fifo(priority) => format!("SCHED_FIFO {priority}"),
            Policy::Other => "SCHED_OTHER".to_owned(),
        };
        let cpu = thread.cpu.map_or_else(|| "on any CPU".to_owned(), |cpu| format!("on CPU {cpu}"));
        format!("thread {} {policy} {cpu}", thread.name)
    });
    text += &threads.collect::<Vec<_>>().join(", ");
    text += &format!(", receive mode {}", subject.receive_mode);
    let lans = subject.lans.iter().map(|(lan, name)| format!("; LAN {lan} {name}"));
    text += &lans.collect::<String>();
    if let Place::Of(pid) = subject.place {
        text += &format!(" (in the network namespace of process {pid})");
    }
    if subject.lans.is_empty() {
        text += "; no LAN interfaces (name them with --lan-a and --lan-b)";
    }
    wrap(&text, "", "")
}

/// The findings; those that are fine by name only, unless `all` is wanted.
pub(super) fn findings(findings: &[Finding], all: bool, style: Style) -> String {
    let mut text = String::new();
    for finding in findings.iter().filter(|finding| all || finding.level > Level::Fine) {
        text += &one(finding, style);
    }
    let mut fine: Vec<&str> = Vec::new();
    for finding in findings.iter().filter(|finding| finding.level == Level::Fine) {
        if !fine.contains(&finding.id) {
            fine.push(finding.id);
        }
    }
    if !all && !fine.is_empty() {
        text += &wrap(&fine.join(", "), "fine     ", &" ".repeat(INDENT));
    }
    text
}

fn one(finding: &Finding, style: Style) -> String {
    let head = format!("{:<INDENT$}", finding.level.name());
    let head = match finding.level {
        Level::Problem => style.bad(&head.to_uppercase()),
        Level::Warning => style.odd(&head.to_uppercase()),
        Level::Fine => style.good(&head),
        Level::Note | Level::Unknown => head,
    };
    let indent = " ".repeat(INDENT);
    let line = format!("{}: {} [{}]", finding.subject, finding.seen, finding.id);
    // The head's colour has no width.
    let mut text = format!("{head}{}", &wrap(&line, &indent, &indent)[INDENT..]);
    if !finding.consequence.is_empty() {
        text += &wrap(&finding.consequence, &indent, &indent);
    }
    let arrow = format!("{indent}→ ");
    let beneath = format!("{indent}  ");
    let changes = finding.changes().count();
    for (place, change) in finding.changes().enumerate() {
        if place < CHANGES_SHOWN || changes == CHANGES_SHOWN + 1 {
            text += &format!("{arrow}{}\n", change.command);
        } else if place == CHANGES_SHOWN {
            text += &format!("{arrow}and {} more, see --fix\n", changes - place);
        }
    }
    let boot = boot_parameters(std::slice::from_ref(finding));
    if !boot.is_empty() {
        text += &format!("{arrow}boot with `{}`\n", boot.join(" "));
    }
    for remedy in &finding.remedies {
        text += &match remedy {
            Remedy::Change(_) => continue,
            // Not broken over lines: they are pasted.
            Remedy::Command(command) => format!("{arrow}{command}\n"),
            Remedy::Boot { .. } => continue,
            Remedy::Unit(_) => format!("{arrow}{remedy}\n"),
            Remedy::Advice(words) => wrap(words, &arrow, &beneath),
        };
    }
    text
}

/// What belongs on the kernel's command line and into the unit, ready to paste.
pub(super) fn lasting(boot: &[String], unit: &[String]) -> String {
    let mut text = String::new();
    if !boot.is_empty() {
        text += "\nKernel command line (GRUB: GRUB_CMDLINE_LINUX in /etc/default/grub, then \
                 update-grub, reboot);\nreplace what is there of the same name:\n";
        text += &format!("    {}\n", boot.join(" "));
    }
    if !unit.is_empty() {
        text += "\nService (systemctl edit bumplessd@.service):\n    [Service]\n";
        for line in unit {
            text += &format!("    {line}\n");
        }
    }
    text
}

/// The last line: how many of what, and what it means.
pub(super) fn summary(counts: &LevelCounts, style: Style) -> String {
    let parts = [
        count(counts.problem, "problem"),
        count(counts.warning, "warning"),
        count(counts.note, "note"),
        format!("{} unknown", counts.unknown),
        format!("{} fine", counts.fine),
    ];
    let words = match verdict(counts) {
        "unfit" => style.bad("not fit: with such a problem it does not work"),
        "usable" => style.odd("usable: it works, with delays that are longer or less certain"),
        "unknown" => style.odd("it cannot be told: most of the host was not to be seen"),
        _ => style.good("fit for real time"),
    };
    format!("\n{}\n{words}\n", parts.join(", "))
}

/// Breaks a text into lines at its spaces.
fn wrap(text: &str, first: &str, rest: &str) -> String {
    let mut lines = String::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let width = line.chars().count() + 1 + word.chars().count();
        if !is_empty && width > WIDTH {
            lines.push_str(line.trim_end());
            lines.push('\n');
            rest.clone_into(&mut line);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push_str(line.trim_end());
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_and_fit() {
        let text = "word ".repeat(60);
        let wrapped = wrap(&text, "  → ", "    ");
        assert!(wrapped.lines().all(|line| line.chars().count() <= WIDTH));
        assert!(wrapped.lines().skip(1).all(|line| line.starts_with("    word")));
        assert_eq!(wrapped.matches("word").count(), 60);
        assert_eq!(wrap("", "> ", ""), ">\n");
    }

    #[test]
    fn a_finding_is_shown_with_what_to_do() {
        let finding = Finding::new("swap", "memory", Level::Note, "swap is on", "pages leave")
            .command("swapoff -a")
            .advice("and take it out of /etc/fstab");
        let expected = "note     memory: swap is on [swap]\n         pages leave\n         \
                        → swapoff -a\n         → and take it out of /etc/fstab\n";
        assert_eq!(findings(&[finding], false, Style::PLAIN), expected);
    }

    #[test]
    fn what_is_fine_is_named_once_and_shown_on_request() {
        let fine = [Finding::fine("a", "x", "good"), Finding::fine("a", "y", "good, too")];
        assert_eq!(findings(&fine, false, Style::PLAIN), "fine     a\n");
        assert!(findings(&fine, true, Style::PLAIN).contains("fine     y: good, too [a]\n"));
    }
}
