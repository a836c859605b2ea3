//! The one dependency rule: `rt-core ← prp`, `rt-core ← shm-replica`, all three `← tools ←
//! latency-tests`; `prp` and `shm-replica` never mention each other.

use super::at;
use super::source::{Source, words};
use crate::workspace::Package;

/// Every package with the packages of ours that it must not mention.
const RULES: &[(&str, &[&str])] = &[
    ("rt-core", &["prp", "shm-replica", "tools", "latency-tests"]),
    ("prp", &["shm-replica", "tools", "latency-tests"]),
    ("shm-replica", &["prp", "tools", "latency-tests"]),
    ("tools/xtask", &["rt-core", "prp", "shm-replica", "tools", "latency-tests"]),
    ("tools", &["latency-tests"]),
];

/// The names that `place` (a file or folder of a package) must not mention.
fn forbidden(place: &str) -> &'static [&'static str] {
    let rule = RULES.iter().find(|(package, _)| {
        place.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    rule.map_or(&[], |(_, names)| names)
}

/// Paths into packages that the package of `file` must not know.
pub(super) fn in_code(file: &str, source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (index, line) in source.code.lines().enumerate() {
        for name in forbidden(file) {
            if mentions_crate(line, &name.replace('-', "_")) {
                found.push(at(file, index, format_args!("must not know `{name}`")));
            }
        }
    }
    found
}

/// Whether a line of code has a path that starts in the crate `name`. A plain name may be a
/// variable.
fn mentions_crate(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(start, _)| {
        let before = line[..start].trim_end();
        let after = line[start + name.len()..].trim_start();
        let whole = !line[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let imports = words(before).last().is_some_and(|w| matches!(w, "use" | "crate"))
            && (after.starts_with(';') || after.starts_with("as "));
        whole && !before.ends_with("::") && (after.starts_with("::") || imports)
    })
}

/// Dependencies that a manifest must not have, and the lints that it must opt in to.
pub(super) fn in_manifest(package: &Package) -> Vec<String> {
    let file = format!("{}/Cargo.toml", package.folder);
    let mut found = Vec::new();
    let mut table = "";
    let mut has_lints = false;
    for (index, line) in package.manifest.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.starts_with('[') {
            table = line.trim_matches(['[', ']']);
        }
        has_lints |=
            (table == "lints" && line == "workspace = true") || line == "lints.workspace = true";
        if !table.contains("dependencies") {
            continue;
        }
        let entry = if line.starts_with('[') {
            table.rsplit('.').next()
        } else {
            line.split(['.', '=', ' ']).next()
        };
        for name in forbidden(&package.folder) {
            if entry.is_some_and(|entry| entry.replace('_', "-") == *name) {
                found.push(at(&file, index, format_args!("must not depend on `{name}`")));
            }
        }
    }
    // Fuzz targets are no members: cargo-fuzz wants a workspace of its own.
    if !has_lints && !package.folder.split('/').any(|part| part == "fuzz") {
        found.push(format!("{file}: no `[lints] workspace = true`"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_beside_each_other_do_not_know_each_other() {
        let check = |file, text| in_code(file, &Source::split(text)).len();
        assert_eq!(check("prp/src/lib.rs", "use shm_replica::ring;"), 1);
        assert_eq!(check("shm-replica/src/lib.rs", "let a = prp::wire::A;"), 1);
        assert_eq!(check("rt-core/src/lib.rs", "use prp as other;"), 1);
        assert_eq!(check("tools/src/lib.rs", "use prp::wire; use shm_replica::ring;"), 0);
        assert_eq!(check("shm-replica/src/lib.rs", "let prp = a::prp::b; // prp::x"), 0);
    }

    #[test]
    fn manifests_keep_the_rule() {
        let check = |folder: &str, manifest: &str| {
            let (folder, manifest) = (folder.to_owned(), manifest.to_owned());
            in_manifest(&Package { folder, manifest }).len()
        };
        let lints = "[lints]\nworkspace = true\n";
        assert_eq!(check("prp", &format!("{lints}[dependencies]\nrt-core.workspace = true")), 0);
        assert_eq!(
            check("prp", &format!("{lints}[dependencies]\nshm_replica.workspace = true")),
            1
        );
        assert_eq!(check("prp", &format!("{lints}[dev-dependencies.tools]\npath = \"x\"")), 1);
        assert_eq!(check("prp", "[dependencies]\n"), 1);
        assert_eq!(check("fuzz", "[dependencies]\n"), 0);
    }
}
