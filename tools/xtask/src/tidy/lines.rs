//! Rules about single lines: width, length of files, words that have a better one.

use super::source::{Source, words};
use super::{at, exempt};

/// The widest line, in characters; a link may be longer, for it cannot be broken.
const WIDTH_MAX: usize = 100;

/// The longest file. One that comes near it holds two ideas.
const LINES_MAX: usize = 700;

/// Marks of work that somebody meant to come back to. Spelled in two halves: this file is checked
/// too.
const UNFINISHED: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// What is wrong with the lines of one Rust file.
pub(super) fn complaints(file: &str, text: &str, source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let count = text.lines().count();
    if count > LINES_MAX {
        found.push(format!("{file}: {count} lines; split it, {LINES_MAX} are the most"));
    }
    for (index, line) in text.lines().enumerate() {
        let width = line.chars().count();
        if width > WIDTH_MAX && !line.contains("://") {
            found.push(at(file, index, format_args!("{width} columns, {WIDTH_MAX} are the most")));
        }
    }
    for (index, line) in source.comments.lines().enumerate() {
        found.extend(unfinished_in(file, index, line));
        if line.contains("```ignore") {
            found.push(at(
                file,
                index,
                "an example that is not compiled; use `text` or make it run",
            ));
        }
    }
    for (index, line) in source.code.lines().enumerate() {
        found.extend(unfinished_in(file, index, line));
        found.extend(roles_in(file, index, line));
        found.extend(ignored_test(file, index, line));
        found.extend(sleep_in(file, index, line));
    }
    found.extend(clocks(file, &source.code));
    found
}

/// Marks of unfinished work in a file that is not Rust.
pub(super) fn unfinished(file: &str, text: &str) -> Vec<String> {
    text.lines().enumerate().filter_map(|(i, line)| unfinished_in(file, i, line)).collect()
}

fn unfinished_in(file: &str, index: usize, line: &str) -> Option<String> {
    let mark = words(line).find(|word| UNFINISHED.contains(word))?;
    Some(at(file, index, format_args!("`{mark}`: finish it, or open an issue and say what is not")))
}

fn roles_in(file: &str, index: usize, line: &str) -> Option<String> {
    let word = words(line).find(|w| !exempt::FOREIGN_NAMES.contains(w) && names_a_bad_role(w))?;
    Some(at(
        file,
        index,
        format_args!("`{word}`: roles are active and standby, a bridge is a `controller`"),
    ))
}

/// Whether a part of the name, split at `_` and at capitals, is one of the two words.
fn names_a_bad_role(name: &str) -> bool {
    let bad = |part: &str| matches!(part.to_lowercase().as_str(), "master" | "slave");
    let mut part = String::new();
    for c in name.chars() {
        let splits = c == '_' || (c.is_uppercase() && part.ends_with(char::is_lowercase));
        if splits && bad(&std::mem::take(&mut part)) {
            return true;
        }
        if c != '_' {
            part.push(c);
        }
    }
    bad(part.trim_end_matches(['s', 'S']))
}

fn ignored_test(file: &str, index: usize, line: &str) -> Option<String> {
    let squeezed: String = line.split_whitespace().collect();
    let ignored = squeezed.contains("#[ignore") || squeezed.contains(",ignore)]");
    ignored.then(|| {
        at(file, index, "an ignored test tests nothing; let it print `SKIP: …` where it cannot run")
    })
}

fn sleep_in(file: &str, index: usize, line: &str) -> Option<String> {
    (exempt::is_pure(file) && line.contains("thread::sleep"))
        .then(|| at(file, index, "`thread::sleep` in a pure half; time is an argument here"))
}

/// Every use of the standard library's clocks, alone or in a list of imports.
fn clocks(file: &str, code: &str) -> Vec<String> {
    const PATH: &str = "std::time::";
    let mut found = Vec::new();
    if exempt::covers(exempt::CLOCK_READERS, file) {
        return found;
    }
    for (start, _) in code.match_indices(PATH) {
        let rest = &code[start + PATH.len()..];
        let named = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default(),
            None => rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or(""),
        };
        for clock in words(named).filter(|w| matches!(*w, "Instant" | "SystemTime")) {
            let index = code[..start].matches('\n').count();
            found.push(at(
                file,
                index,
                format_args!(
                    "`{PATH}{clock}`: use `rt_core::time`, and `rt_core::os::clock` to ask"
                ),
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, text: &str) -> Vec<String> {
        complaints(file, text, &Source::split(text))
    }

    #[test]
    fn wide_lines_and_long_files_are_refused() {
        let wide = format!("// {}", "x".repeat(98));
        assert_eq!(check("a.rs", &wide).len(), 1);
        assert!(check("a.rs", &format!("// https://{}", "x".repeat(98))).is_empty());
        assert!(check("a.rs", &"é".repeat(100)).is_empty());
        assert_eq!(check("a.rs", &"\n".repeat(701)).len(), 1);
        assert!(check("a.rs", &"\n".repeat(700)).is_empty());
    }

    #[test]
    fn marks_of_unfinished_work_are_refused() {
        for mark in UNFINISHED {
            assert_eq!(check("a.rs", &format!("// {mark}: later")).len(), 1, "{mark}");
            assert_eq!(unfinished("a.toml", &format!("# {mark} later")).len(), 1, "{mark}");
            assert!(check("a.rs", &format!("let a = \"{mark}\";")).is_empty(), "{mark}");
        }
        assert!(check("a.rs", "// A name ends in XXXXXX.").is_empty());
    }

    #[test]
    fn roles_have_better_names() {
        for bad in ["let master = 1;", "struct SlavePort;", "is_slave()", "struct PortMaster;"] {
            assert_eq!(check("a.rs", bad).len(), 1, "{bad}");
        }
        for good in ["let remastered = 1;", "libc::IFLA_MASTER", "// The MIB says master."] {
            assert!(check("a.rs", good).is_empty(), "{good}");
        }
    }

    #[test]
    fn ignored_tests_and_examples_are_refused() {
        assert_eq!(check("a.rs", "#[ignore]").len(), 1);
        assert_eq!(check("a.rs", "#[ignore = \"slow\"]").len(), 1);
        assert_eq!(check("a.rs", "#[cfg_attr(miri, ignore)]").len(), 1);
        assert_eq!(check("a.rs", "/// ```ignore").len(), 1);
    }

    #[test]
    fn nothing_pure_waits() {
        assert_eq!(check("prp/src/lre/mod.rs", "std::thread::sleep(x);").len(), 1);
        assert!(check("prp/src/os/tap.rs", "std::thread::sleep(x);").is_empty());
    }

    #[test]
    fn clocks_of_the_standard_library_are_refused() {
        for bad in [
            "use std::time::Instant;",
            "use std::time::{Duration, Instant};",
            "let t = std::time::SystemTime::now();",
            "use std::time::{\n    Duration,\n    SystemTime,\n};",
        ] {
            assert_eq!(check("tools/src/lib.rs", bad).len(), 1, "{bad}");
        }
        assert!(check("tools/src/lib.rs", "use std::time::Duration;").is_empty());
        assert!(check("tools/xtask/src/run.rs", "std::time::Instant").is_empty());
    }
}
