//! The house rules that no compiler knows.
//!
//! Each rule is a function from a text to complaints and is tested on texts that break it.
//! Everything that a rule exempts stands in [`exempt`], with its reason, and nowhere else.

mod dependencies;
mod exempt;
mod lines;
mod markdown;
mod reachability;
pub(crate) mod source;
mod unsafety;

use crate::Failure;
use crate::workspace::Workspace;
use source::Source;

/// Every breach of a rule in the tree: `FILE:LINE: what, and what to do instead`.
pub(crate) fn complaints(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let files = workspace.files()?;
    let packages = workspace.packages(&files)?;
    let mut found = Vec::new();
    for file in &files {
        if is_code(file) {
            let text = workspace.read(file)?;
            let source = Source::split(&text);
            found.extend(lines::complaints(file, &text, &source));
            found.extend(unsafety::complaints(file, &source));
            found.extend(dependencies::in_code(file, &source));
        } else if file.ends_with(".md") {
            found.extend(markdown::complaints(&workspace.root, file, &workspace.read(file)?));
        } else if has_unfinished_marks_checked(file) {
            found.extend(lines::unfinished(file, &workspace.read(file)?));
        }
    }
    for package in &packages {
        found.extend(dependencies::in_manifest(package));
    }
    found.extend(reachability::complaints(workspace, &files, &packages)?);
    found.extend(changelog(&workspace.read("CHANGELOG.md")?));
    Ok(found)
}

fn is_code(file: &str) -> bool {
    file.ends_with(".rs")
}

fn has_unfinished_marks_checked(file: &str) -> bool {
    file.ends_with(".toml") || file.ends_with(".sh") || file.starts_with(".ci/")
}

/// The change log always has a place for the next entry.
fn changelog(text: &str) -> Option<String> {
    let has = text.lines().any(|line| line.trim() == "## [Unreleased]");
    (!has).then(|| "CHANGELOG.md: no section `## [Unreleased]`".to_owned())
}

/// `FILE:LINE: WHAT`, with lines counted from 1.
fn at(file: &str, index: usize, what: impl std::fmt::Display) -> String {
    format!("{file}:{}: {what}", index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_log_without_a_place_for_changes_is_refused() {
        assert!(changelog("# Changelog\n\n## [0.1.0]\n").is_some());
        assert!(changelog("# Changelog\n\n## [Unreleased]\n").is_none());
    }
}
