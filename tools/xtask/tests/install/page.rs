//! `docs/c-api.md`, followed to the letter: its listings are written to files, its commands are
//! given to one shell, and what they print is compared.

use std::path::Path;
use std::process::{Command, Stdio};

/// Between the output of two commands.
const MARK: &str = "=== command ";
/// Stands for anything within a line, or for any lines where it is alone.
const ANYTHING: &str = "…";

/// A command with what it is said to print.
#[derive(Debug)]
struct Step {
    command: String,
    expected: Vec<String>,
}

/// The blocks of a page: language and lines.
fn blocks(page: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(language) => {
                inside = true;
                found.push((language, Vec::new()));
            }
            None if inside => found.last_mut().unwrap().1.push(line),
            None => {}
        }
    }
    found
}

/// The file that a listing says it is, in its first line.
fn name_of<'a>(language: &str, first: &'a str) -> &'a str {
    let name = match language {
        "c" => first.strip_prefix("/* ").and_then(|it| it.strip_suffix(" */")),
        _ => first.strip_prefix("# "),
    };
    name.unwrap_or_else(|| panic!("a listing says which file it is: {first}"))
}

fn steps(lines: &[&str]) -> Vec<Step> {
    let mut found: Vec<Step> = Vec::new();
    for line in lines {
        match line.strip_prefix("$ ") {
            Some(command) => found.push(Step { command: command.to_owned(), expected: Vec::new() }),
            None => found.last_mut().unwrap().expected.push((*line).to_owned()),
        }
    }
    found
}

/// Whether a line is what was expected.
fn is_like(line: &str, expected: &str) -> bool {
    let mut parts = expected.split(ANYTHING);
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    rest.is_empty() || last == Some("")
}

fn are_like(found: &[&str], expected: &[String]) -> bool {
    let whatever = expected.first().is_some_and(|it| it == ANYTHING);
    whatever
        || found.len() == expected.len() && {
            found.iter().zip(expected).all(|(line, expected)| is_like(line, expected))
        }
}

/// Follows a page in a folder. `installs` is the command that was carried out already.
pub(crate) fn follow(page: &str, folder: &Path, prefix: &Path, installs: &str) {
    let mut all = Vec::new();
    for (language, lines) in blocks(page) {
        if language == "console" {
            all.extend(steps(&lines));
        } else {
            let name = name_of(language, lines[0]);
            std::fs::write(folder.join(name), lines.join("\n") + "\n").unwrap();
        }
    }
    assert!(all.first().is_some_and(|step| step.command == installs), "{all:?}");
    let mut script = String::new();
    for (index, step) in all.iter().enumerate().skip(1) {
        script.push_str(&format!("echo '{MARK}{index}'\n{}\n", step.command));
    }
    // Whoever is left is ours: nobody else is a child of this shell.
    script.push_str("kill $(jobs -p) 2>/dev/null\nwait\n");
    let file = folder.join("page.sh");
    std::fs::write(&file, script).unwrap();
    let mut shell = Command::new("bash");
    shell.arg(&file).current_dir(folder).env("PREFIX", prefix).stdin(Stdio::null());
    shell.env("PYTHONDONTWRITEBYTECODE", "1");
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    for (index, step) in all.iter().enumerate().skip(1) {
        let begin = format!("{MARK}{index}\n");
        let after = said.split_once(&begin).map(|(_, after)| after);
        let after = after.unwrap_or_else(|| panic!("`{}` was not run\n{said}{why}", step.command));
        let printed = after.split(MARK).next().unwrap_or_default();
        let found: Vec<&str> = printed.lines().map(str::trim_end).collect();
        assert!(
            are_like(&found, &step.expected),
            "`{}` prints\n{printed}and not\n{}\n{why}",
            step.command,
            step.expected.join("\n")
        );
    }
    println!("{} commands", all.len());
}

#[test]
fn a_line_is_compared_but_for_what_differs() {
    assert!(is_like("took over in cycle 7 with 6 batches", "took over in cycle … with … batches"));
    assert!(is_like("-L/x/lib -lbumpless", "-L… -lbumpless"));
    assert!(is_like("it is a pointer, and more", "it is a pointer, …"));
    assert!(!is_like("it is no pointer", "it is a pointer, …"));
    assert!(!is_like("fine and more", "fine"));
    assert!(are_like(&["a", "b"], &["…".to_owned()]));
    assert!(!are_like(&["a", "b"], &["a".to_owned()]));
}
