//! The header: what it says of each function, and that it and the library have the same ones.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::programs::{Bench, C, CPP, home, succeeds};

/// The four lines that each function has.
const LINES: [&str; 4] = ["Phase:", "RT:", "Thread:", "Errors:"];

/// A function of the header.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) declaration: String,
    comment: Vec<String>,
}

impl Function {
    pub(crate) fn takes_a_handle(&self) -> bool {
        self.declaration.contains("bmpl_t *handle")
    }
}

/// The functions of the committed header.
pub(crate) fn functions() -> Vec<Function> {
    found_in(&std::fs::read_to_string(home().join("include/bumpless.h")).unwrap())
}

fn found_in(header: &str) -> Vec<Function> {
    let mut found = Vec::new();
    let mut comment = Vec::new();
    let mut lines = header.lines();
    while let Some(line) = lines.next() {
        if let Some(text) = line.strip_prefix("//") {
            comment.push(text.trim().to_owned());
            continue;
        }
        if line.starts_with("BMPL_API") {
            let mut declaration = line.to_owned();
            while !declaration.contains(';') {
                declaration.push(' ');
                declaration.push_str(lines.next().unwrap().trim());
            }
            let before = declaration.split('(').next().unwrap();
            let name = before.rsplit([' ', '*']).next().unwrap().to_owned();
            found.push(Function { name, declaration, comment: std::mem::take(&mut comment) });
        }
        comment.clear();
    }
    found
}

/// What is missing in what is said of the functions.
fn complaints(functions: &[Function]) -> Vec<String> {
    let mut found = Vec::new();
    for function in functions {
        let starts = |line: &&str| function.comment.iter().any(|it| it.starts_with(*line));
        let missing: Vec<_> = LINES.iter().filter(|line| !starts(line)).collect();
        if !missing.is_empty() {
            found.push(format!("{}: no {missing:?}", function.name));
        }
        if function.comment.first().is_none_or(|first| LINES.iter().any(|it| first.starts_with(it)))
        {
            found.push(format!("{}: not a word on what it does", function.name));
        }
    }
    found
}

#[test]
fn each_function_is_said_to_be_of_a_phase_a_class_a_thread_and_with_its_errors() {
    let functions = functions();
    assert!(functions.len() > 20, "the header was read");
    assert_eq!(complaints(&functions), Vec::<String>::new());
    let without =
        "// Does it.\n//\n// Phase: any\n// RT: yes\n// Thread: any\nBMPL_API int f(void);";
    assert_eq!(complaints(&found_in(without)).len(), 1, "and one without is noticed");
}

fn listed() -> BTreeSet<String> {
    let list = std::fs::read_to_string(home().join("bumpless.symbols")).unwrap();
    list.lines().map(str::to_owned).collect()
}

#[test]
fn the_library_has_the_functions_of_the_header_and_nothing_else() {
    let bench = Bench::new("c-symbols");
    let told = succeeds(Command::new("nm").args(["-D", "--defined-only"]).arg(bench.library()));
    let exported: BTreeSet<String> =
        told.lines().filter_map(|line| line.split_whitespace().nth(2)).map(str::to_owned).collect();
    assert_eq!(exported, listed(), "bumpless.symbols: what is there stays, what is new is added");
    let declared: BTreeSet<String> = functions().into_iter().map(|it| it.name).collect();
    assert_eq!(declared, exported, "cargo xtask header");
}

#[test]
fn the_library_says_by_which_name_it_is_loaded_and_needs_nothing_but_libc() {
    let bench = Bench::new("c-soname");
    let told = succeeds(Command::new("readelf").arg("-d").arg(bench.library()));
    assert!(told.contains("Library soname: [libbumpless.so.0]"), "{told}");
    assert!(told.contains("NODELETE"), "{told}");
    for line in told.lines().filter(|line| line.contains("(NEEDED)")) {
        let usual = ["libc.so", "libgcc_s.so", "ld-linux", "libm.so", "libpthread.so"];
        assert!(usual.iter().any(|name| line.contains(name)), "{line}");
    }
}

#[test]
fn the_header_is_c99_and_cpp17_and_can_be_included_twice_and_in_both_ways() {
    let bench = Bench::new("c-header");
    let text = "#include <bumpless.h>\n#include <bumpless.h>\n\
                int main(void) {\n    bmpl_options_t a = BMPL_OPTIONS_INIT;\n    \
                bmpl_cycle_t b = BMPL_CYCLE_INIT;\n    \
                return a.struct_size == sizeof a && b.struct_size == sizeof b && a.flags == 0 &&\n\
                BMPL_VERSION_CHECK(0, 1) && bmpl_abi_version() == BMPL_ABI_VERSION ? 0 : 1;\n}\n";
    let within = format!("extern \"C\" {{\n{}\n}}\n", text.lines().next().unwrap());
    let sources = [
        ("plain.c", "cc", C, text.to_owned()),
        ("plain.cc", "c++", CPP, text.to_owned()),
        ("within.cc", "c++", CPP, within + text),
    ];
    for (name, compiler, flags, text) in sources {
        let source = bench.folder().join(name);
        std::fs::write(&source, text).unwrap();
        let program = bench.build(compiler, flags, Path::new(&source));
        succeeds(&mut Command::new(program));
    }
}
