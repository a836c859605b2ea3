//! No dead files: every Rust file is reached from a target of its package.

use std::collections::BTreeSet;

use super::source::{Source, words};
use crate::Failure;
use crate::workspace::{Package, Workspace};

/// Every Rust file that no target reaches.
pub(super) fn complaints(
    workspace: &Workspace,
    files: &[String],
    packages: &[Package],
) -> Result<Vec<String>, Failure> {
    let all: BTreeSet<&str> =
        files.iter().map(String::as_str).filter(|f| f.ends_with(".rs")).collect();
    let mut waiting: Vec<(String, bool)> =
        packages.iter().flat_map(|p| roots(p, &all)).map(|file| (file, true)).collect();
    let mut reached = BTreeSet::new();
    while let Some((file, is_root)) = waiting.pop() {
        if all.contains(file.as_str()) && reached.insert(file.clone()) {
            let text = workspace.read(&file)?;
            waiting.extend(children(&file, is_root, &text).into_iter().map(|f| (f, false)));
        }
    }
    Ok(all
        .into_iter()
        .filter(|file| !reached.contains(*file))
        .map(|file| format!("{file}: no target reaches this file; delete it, or say `mod`"))
        .collect())
}

/// The files that cargo starts from in a package.
fn roots(package: &Package, all: &BTreeSet<&str>) -> Vec<String> {
    let own = |file: &str| {
        let below = file.strip_prefix(&package.folder)?.strip_prefix('/')?;
        is_root(below, &package.manifest).then(|| file.to_owned())
    };
    all.iter().filter_map(|file| own(file)).collect()
}

fn is_root(below: &str, manifest: &str) -> bool {
    if matches!(below, "src/lib.rs" | "src/main.rs" | "build.rs")
        || manifest.contains(&format!("path = \"{below}\""))
    {
        return true;
    }
    ["src/bin/", "tests/", "examples/", "benches/"].iter().any(|folder| {
        below.strip_prefix(folder).is_some_and(|name| match name.split_once('/') {
            None => true,
            Some((_, rest)) => rest == "main.rs",
        })
    })
}

/// The files that `file` names by `mod`, `#[path]` or `include!`, whether they exist or not.
fn children(file: &str, is_root: bool, text: &str) -> Vec<String> {
    let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
    let stem = name.trim_end_matches(".rs");
    let below =
        if is_root || stem == "mod" { folder.to_owned() } else { format!("{folder}/{stem}") };
    let mut found = Vec::new();
    let mut path = None;
    for (line, code) in text.lines().zip(Source::split(text).code.lines()) {
        if code.contains("#[path") {
            path = quoted(line);
        }
        if code.contains("include!(") {
            found.extend(quoted(line).map(|p| resolve(folder, &p)));
        }
        let Some(module) = declared_module(code) else { continue };
        match path.take() {
            Some(path) => found.push(resolve(folder, &path)),
            None => {
                found.push(format!("{below}/{module}.rs"));
                found.push(format!("{below}/{module}/mod.rs"));
            }
        }
    }
    found
}

/// The name in `mod NAME;`.
fn declared_module(code: &str) -> Option<&str> {
    let (declaration, _) = code.split_once(';')?;
    let mut last = words(declaration).collect::<Vec<_>>().into_iter().rev();
    let name = last.next()?;
    (last.next()? == "mod" && declaration.trim_end().ends_with(name)).then_some(name)
}

fn quoted(line: &str) -> Option<String> {
    line.split('"').nth(1).map(str::to_owned)
}

/// `path` as seen from `folder`, without `..`.
fn resolve(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|p| !p.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_found_by_their_place() {
        for root in ["src/lib.rs", "src/bin/x.rs", "src/bin/x/main.rs", "tests/x.rs", "build.rs"] {
            assert!(is_root(root, ""), "{root}");
        }
        for other in ["src/x.rs", "src/bin/x/y.rs", "tests/common/mod.rs", "x.rs"] {
            assert!(!is_root(other, ""), "{other}");
        }
        assert!(is_root("x.rs", "[[bin]]\npath = \"x.rs\"\n"));
    }

    #[test]
    fn modules_are_followed() {
        let text = "pub(crate) mod a;\n// mod b;\nmod c {}\n#[path = \"../d.rs\"]\nmod e;";
        assert_eq!(
            children("p/src/lib.rs", true, text),
            ["p/src/a.rs", "p/src/a/mod.rs", "p/d.rs"]
        );
        assert_eq!(children("p/src/x.rs", false, "mod a;")[0], "p/src/x/a.rs");
        assert_eq!(children("p/src/x/mod.rs", false, "mod a;")[0], "p/src/x/a.rs");
        assert_eq!(children("p/tests/x.rs", true, "include!(\"y/z.rs\");"), ["p/tests/y/z.rs"]);
    }
}
