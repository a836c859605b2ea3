//! `unsafe` stands in the named corners only, and each block has its proof.

use super::source::{Source, words};
use super::{at, exempt};

/// How many lines of code may lie between a proof and its block: a call that is broken over lines.
const DISTANCE_MAX: usize = 4;

/// What is wrong with the `unsafe` code of one file.
pub(super) fn complaints(file: &str, source: &Source) -> Vec<String> {
    let code: Vec<&str> = source.code.lines().collect();
    let comments: Vec<&str> = source.comments.lines().collect();
    let mut found = Vec::new();
    for (index, line) in code.iter().enumerate() {
        if !words(line).any(|word| word == "unsafe") {
            continue;
        }
        if !exempt::covers(exempt::UNSAFE_CORNERS, file) {
            found.push(at(
                file,
                index,
                "`unsafe` outside the named corners; move it to an `os` folder",
            ));
        } else if needs_proof(line) && !has_proof(&code, &comments, index) {
            found.push(at(file, index, "no `// SAFETY:` above this `unsafe`"));
        }
    }
    found
}

/// Blocks and implementations are claims; functions and traits only hand the claim to their caller.
fn needs_proof(line: &str) -> bool {
    let squeezed: String = line.split_whitespace().collect::<Vec<_>>().join(" ");
    squeezed.contains("unsafe {") || squeezed.contains("unsafe impl")
}

fn has_proof(code: &[&str], comments: &[&str], index: usize) -> bool {
    let mut between = 0;
    for above in (0..=index).rev() {
        if comments.get(above).is_some_and(|comment| comment.contains("SAFETY:")) {
            return true;
        }
        if above < index && code.get(above).is_some_and(|line| !line.trim().is_empty()) {
            between += 1;
        }
        if between > DISTANCE_MAX {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, text: &str) -> Vec<String> {
        complaints(file, &Source::split(text))
    }

    #[test]
    fn unsafe_stays_in_its_corners() {
        let text = "// SAFETY: proven.\nunsafe { f() };";
        assert_eq!(check("prp/src/lre/mod.rs", text).len(), 1);
        assert!(check("prp/src/os/tap.rs", text).is_empty());
        assert!(check("prp/src/lre/mod.rs", "// unsafe\nlet a = \"unsafe\";").is_empty());
    }

    #[test]
    fn every_block_has_its_proof() {
        let corner = "tools/src/os/user.rs";
        assert_eq!(check(corner, "let a = unsafe { f() };").len(), 1);
        assert_eq!(check(corner, "unsafe impl Send for A {}").len(), 1);
        assert!(check(corner, "// SAFETY: so.\nlet a =\n    unsafe { f() };").is_empty());
        assert!(check(corner, "pub unsafe fn f() {}").is_empty());
        let far = format!("// SAFETY: of another block.\n{}unsafe {{ f() }};", "g();\n".repeat(6));
        assert_eq!(check(corner, &far).len(), 1);
    }
}
