//! What was released stays: the interface of each release is frozen in a folder of `abi`, and
//! today's has all of it.
//!
//! What is compared is what a compiler makes of the header, not the header's text: a C program says
//! the size of each structure, the place of each field and the value of each constant. (A copy of
//! each release's header was the alternative: it says nothing of what has changed until somebody
//! reads both.)

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::header;
use super::programs::{Bench, C, home, succeeds};

/// Set to the name of a folder, `0.2`, this writes today's interface there: once, at a release.
const FREEZE: &str = "BUMPLESS_ABI_FREEZE";

/// The files of a release, each with a line for each thing.
const FILES: [&str; 4] = ["symbols", "functions", "structures", "constants"];

/// What stands in the files: a name, and what is said of it.
type Facts = BTreeMap<&'static str, BTreeMap<String, String>>;

/// Constants that tell versions apart; they may rise.
const VERSIONS: [&str; 4] =
    ["BMPL_VERSION_MAJOR", "BMPL_VERSION_MINOR", "BMPL_VERSION_PATCH", "BMPL_ABI_VERSION"];

// ---- Today's ------------------------------------------------------------------------------------

fn header() -> String {
    std::fs::read_to_string(home().join("include/bumpless.h")).unwrap()
}

/// The macros of the header: those that are a number, and those that are not.
fn macros(header: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let defined = header.lines().filter_map(|line| line.trim().strip_prefix("#define "));
    let ours = defined.filter(|it| it.starts_with("BMPL_"));
    let mut numbers = BTreeSet::new();
    let mut others = BTreeSet::new();
    for text in ours {
        let name: String =
            text.chars().take_while(|it| it.is_ascii_alphanumeric() || *it == '_').collect();
        let value = text.strip_prefix(&name).unwrap();
        let is_number = value.starts_with(' ')
            && value.trim_start().starts_with(|it: char| it.is_ascii_digit() || "-(".contains(it));
        // A name that ends so is within the header alone.
        if name.ends_with('_') {
            continue;
        }
        if is_number {
            numbers.insert(name)
        } else {
            others.insert(name)
        };
    }
    (numbers, others)
}

/// The structures of the header, each with its fields and their types.
fn structures(header: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found = Vec::new();
    for text in header.split("typedef struct ").skip(1) {
        let (name, rest) = text.split_once([' ', ';']).unwrap();
        // One that is only named has no fields.
        let Some(rest) = rest.strip_prefix('{') else { continue };
        let body = rest.split_once('}').unwrap().0;
        let lines =
            body.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with("//"));
        let fields = lines.map(|line| {
            let declared = line.strip_suffix(';').unwrap_or_else(|| panic!("{name}: {line}"));
            let (kind, field) = declared.rsplit_once([' ', '*']).unwrap();
            let stars = if declared[kind.len()..].starts_with('*') { "*" } else { "" };
            let (field, extent) = field.split_at(field.find('[').unwrap_or(field.len()));
            (field.to_owned(), format!("{}{stars}{extent}", kind.trim()))
        });
        found.push((name.to_owned(), fields.collect()));
    }
    found
}

/// A C program that says what a compiler makes of the header.
fn program(header: &str) -> String {
    let mut text = "#include <bumpless.h>\n#include <stdio.h>\n\nint main(void)\n{\n".to_owned();
    for name in macros(header).0 {
        writeln!(text, "    printf(\"constants {name} %lld\\n\", (long long){name});").unwrap();
    }
    for (name, fields) in structures(header) {
        writeln!(text, "    printf(\"structures {name} size %zu\\n\", sizeof({name}));").unwrap();
        for (field, kind) in fields {
            writeln!(
                text,
                "    printf(\"structures {name}.{field} at %zu of %zu: {kind}\\n\", \
                 offsetof({name}, {field}), sizeof((({name} *)0)->{field}));"
            )
            .unwrap();
        }
    }
    text + "    return 0;\n}\n"
}

fn todays(bench: &Bench) -> Facts {
    let header = header();
    let source = bench.folder().join("abi.c");
    std::fs::write(&source, program(&header)).unwrap();
    let said = succeeds(&mut Command::new(bench.build("cc", C, &source)));
    let mut facts: Facts = FILES.map(|it| (it, BTreeMap::new())).into();
    for line in said.lines() {
        let (file, rest) = line.split_once(' ').unwrap();
        let (name, what) = rest.split_once(' ').unwrap();
        facts.get_mut(file).unwrap().insert(name.to_owned(), what.to_owned());
    }
    for name in macros(&header).1 {
        facts.get_mut("constants").unwrap().insert(name, "macro".to_owned());
    }
    for function in header::functions() {
        let declared = function.declaration.split_whitespace().collect::<Vec<_>>().join(" ");
        facts.get_mut("functions").unwrap().insert(function.name, declared);
    }
    let told = succeeds(Command::new("nm").args(["-D", "--defined-only"]).arg(bench.library()));
    for name in told.lines().filter_map(|line| line.split_whitespace().nth(2)) {
        facts.get_mut("symbols").unwrap().insert(name.to_owned(), String::new());
    }
    facts
}

// ---- A release's --------------------------------------------------------------------------------

fn lines(facts: &BTreeMap<String, String>) -> String {
    facts.iter().map(|(name, what)| format!("{name} {what}").trim_end().to_owned() + "\n").collect()
}

fn frozen(folder: &Path) -> Facts {
    let read = |file: &'static str| {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let facts = text.lines().map(|line| {
            let (name, what) = line.split_once(' ').unwrap_or((line, ""));
            (name.to_owned(), what.to_owned())
        });
        (file, facts.collect())
    };
    FILES.map(read).into()
}

fn freeze(folder: &Path, facts: &Facts) {
    std::fs::create_dir(folder).expect("what was frozen once stays as it is");
    for (file, facts) in facts {
        std::fs::write(folder.join(file), lines(facts)).unwrap();
    }
}

/// What programs that were compiled with a release would miss.
fn missed(released: &Facts, now: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    for (file, facts) in released {
        for (name, was) in facts {
            match now[file].get(name) {
                None => found.push(format!("{file}: {name} is gone")),
                Some(is) if is == was || may_become(released, name, was, is) => {}
                Some(is) => found.push(format!("{file}: {name} was `{was}` and is `{is}`")),
            }
        }
    }
    // What is new stands behind all that was there.
    let known = &released["structures"];
    let added = now["structures"].iter().filter(|(name, _)| !known.contains_key(*name));
    for (name, what) in added {
        let Some(size) = name.split('.').next().and_then(|it| known.get(it)) else { continue };
        if first_number(what) < first_number(size) {
            found.push(format!("structures: {name} ({what}) is not behind what was there"));
        }
    }
    found
}

fn first_number(text: &str) -> u64 {
    text.split([' ', ':']).find_map(|it| it.parse().ok()).unwrap()
}

/// Whether something that is not what it was has grown as it may.
fn may_become(released: &Facts, name: &str, was: &str, is: &str) -> bool {
    if VERSIONS.contains(&name) {
        let upper = |text: &str| first_number(text) >> 16;
        return first_number(is) > first_number(was)
            && (name != "BMPL_ABI_VERSION" || upper(was) == upper(is));
    }
    // Structures with a size in front may grow; what stands in arrays has none, and may not.
    was.starts_with("size ")
        && released["structures"].contains_key(&format!("{name}.struct_size"))
        && first_number(is) > first_number(was)
}

/// All that were frozen.
fn releases() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(home().join("abi")).unwrap().map(|it| it.unwrap().path());
    folders.filter(|it| it.is_dir()).collect()
}

// ---- Tests --------------------------------------------------------------------------------------

#[test]
fn what_was_released_is_still_there_and_as_it_was() {
    let bench = Bench::new("c-abi");
    let now = todays(&bench);
    if let Ok(version) = std::env::var(FREEZE) {
        freeze(&home().join("abi").join(version), &now);
    }
    let releases = releases();
    assert!(!releases.is_empty());
    for folder in releases {
        let released = frozen(&folder);
        assert!(released["symbols"].len() > 20 && released["structures"].len() > 60, "{folder:?}");
        assert!(released["constants"].len() > 70, "{folder:?}");
        assert_eq!(missed(&released, &now), Vec::<String>::new(), "{}", folder.display());
    }
}

#[test]
fn today_has_a_folder_of_its_own_version() {
    // Otherwise a release would be compared with the ones before it alone.
    let version = env!("CARGO_PKG_VERSION").rsplit_once('.').unwrap().0;
    assert!(home().join("abi").join(version).is_dir(), "abi/{version}: see abi/README.md");
}

#[test]
fn what_is_added_is_let_through_and_what_is_changed_or_taken_away_is_not() {
    let released = frozen(&home().join("abi/0.1"));
    let after = |file: &str, change: &dyn Fn(&mut BTreeMap<String, String>)| {
        let mut now = released.clone();
        change(now.get_mut(file).unwrap());
        missed(&released, &now).len()
    };
    let set = |name: &'static str, what: &'static str| {
        move |facts: &mut BTreeMap<String, String>| {
            facts.insert(name.to_owned(), what.to_owned());
        }
    };
    assert_eq!(missed(&released, &released), Vec::<String>::new());
    // Each thing, taken away.
    for (file, facts) in &released {
        for name in facts.keys() {
            assert_eq!(after(file, &|it| drop(it.remove(name))), 1, "{name}");
        }
    }
    // Added.
    assert_eq!(after("symbols", &set("bmpl_more", "")), 0);
    assert_eq!(after("functions", &set("bmpl_more", "BMPL_API int bmpl_more(void);")), 0);
    assert_eq!(after("constants", &set("BMPL_E_MORE", "-1024")), 0);
    assert_eq!(after("structures", &set("bmpl_more_t", "size 8")), 0);
    assert_eq!(after("structures", &set("bmpl_more_t.field", "at 0 of 8: uint64_t")), 0);
    // Grown at the end, and elsewhere.
    let grown = |size: &'static str, at: &'static str| {
        after("structures", &|it| {
            set("bmpl_cycle_t", size)(it);
            set("bmpl_cycle_t.more", at)(it);
        })
    };
    assert_eq!(released["structures"]["bmpl_cycle_t"], "size 80");
    assert_eq!(grown("size 88", "at 80 of 8: uint64_t"), 0);
    assert_eq!(grown("size 88", "at 72 of 8: uint64_t"), 1, "over what was reserved");
    assert_eq!(after("structures", &set("bmpl_cycle_t", "size 72")), 1);
    assert_eq!(after("structures", &set("bmpl_block_t", "size 32")), 1, "it stands in arrays");
    // Changed.
    assert_eq!(after("structures", &set("bmpl_cycle_t.epoch", "at 16 of 8: uint64_t")), 1);
    assert_eq!(after("structures", &set("bmpl_cycle_t.epoch", "at 24 of 8: int64_t")), 1);
    assert_eq!(after("constants", &set("BMPL_E_COST", "-1")), 1);
    assert_eq!(after("constants", &set("BMPL_CYCLE_INIT", "0")), 1);
    assert_eq!(after("functions", &set("bmpl_destroy", "BMPL_API void bmpl_destroy(void);")), 1);
    // Versions rise; another SONAME's is another interface.
    assert_eq!(after("constants", &set("BMPL_ABI_VERSION", "2")), 0);
    assert_eq!(after("constants", &set("BMPL_ABI_VERSION", "0")), 1);
    assert_eq!(after("constants", &set("BMPL_ABI_VERSION", "65536")), 1);
    assert_eq!(after("constants", &set("BMPL_VERSION_PATCH", "1")), 0);
}
