//! Documents have one title, and their links lead somewhere.

use std::path::{Component, Path, PathBuf};

use super::at;

/// What is wrong with the document `file` below `root`.
pub(super) fn complaints(root: &Path, file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut titles = 0;
    let folder = Path::new(file).parent().unwrap_or_else(|| Path::new(""));
    for (index, line) in prose(text) {
        titles += usize::from(line.starts_with("# "));
        for target in links(line) {
            if leads_outside(target) {
                continue;
            }
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !exists_below(root, &folder.join(path)) {
                found.push(at(file, index, format_args!("the link `{target}` leads nowhere")));
            }
        }
    }
    if titles != 1 {
        found.push(format!("{file}: {titles} lines start with `# `; a document has one title"));
    }
    found
}

/// The lines outside fenced code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The targets of `[text](target)` and `[label]: target`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let reference = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
        .and_then(|(_, target)| target.split_whitespace().next());
    inline.chain(reference)
}

fn leads_outside(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

/// Whether `path` names something in the tree; a way out of the tree counts as nothing.
fn exists_below(root: &Path, path: &Path) -> bool {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir if clean.pop() => {}
            Component::CurDir => {}
            _ => return false,
        }
    }
    root.join(clean).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> usize {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        complaints(root, "src/notes.md", text).len()
    }

    #[test]
    fn a_document_has_one_title() {
        assert_eq!(check("# A\n\n```\n# not a title\n```\n\n## B\n"), 0);
        assert_eq!(check("## B\n"), 1);
        assert_eq!(check("# A\n# B\n"), 1);
    }

    #[test]
    fn links_lead_somewhere() {
        assert_eq!(check("# A\n[x](main.rs) [y](../Cargo.toml#lints) [z](#a)\n"), 0);
        assert_eq!(check("# A\n[x](https://example.org/none) [y](mailto:a@b)\n"), 0);
        assert_eq!(check("# A\n[x](none.md)\n[x]: none.md\n"), 2);
        assert_eq!(check("# A\n[x](../../../../../etc)\n"), 1);
    }
}
