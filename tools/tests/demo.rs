//! The demo itself, in its short form: as root and as a user that is nobody, to its end, broken
//! off, and where its claim cannot hold.
//!
//! The programs are copied into a folder of their own: a user that is nobody can reach them there,
//! one of them can be missing, and whatever still runs from that folder was left behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_bumpless");
const PROGRAMS: [&str; 4] = ["bumpless", "bumplessd", "bumpless-impair", "bumpless-stream"];
const NOBODY: u32 = 65_534;

/// The programs in a folder of their own.
struct Installed(PathBuf);

impl Installed {
    fn new(programs: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let built = Path::new(PROGRAM).parent().unwrap();
        build_what_is_missing(built);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("bumpless-demo-{}-{number}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        for program in programs {
            fs::copy(built.join(program), folder.join(program)).unwrap();
        }
        Self(folder)
    }

    fn demo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.0.join("bumpless"));
        command.arg("demo").args(arguments).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs to the end; again where the machine was too busy for a measurement.
    fn measure(&self, prepare: impl Fn(&mut Command), arguments: &[&str]) -> Output {
        const TRIES: u32 = 4;
        let mut output = None;
        for _ in 0..TRIES {
            let mut command = self.demo(arguments);
            prepare(&mut command);
            let before = interfaces();
            let child = command.spawn().unwrap();
            let id = child.id();
            let ended = child.wait_with_output().unwrap();
            self.nothing_is_left(id);
            assert_eq!(interfaces(), before);
            let invalid = ended.status.code() == Some(4);
            output = Some(ended);
            if !invalid {
                break;
            }
        }
        output.unwrap()
    }

    /// Every process ends at once with the demo, or was told to; it may take a moment to be gone.
    fn no_process_is_left(&self) {
        const LOOKS: u32 = 500;
        for _ in 0..LOOKS {
            if self.processes().is_empty() {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        panic!("left behind: {:?}", self.processes());
    }

    fn nothing_is_left(&self, demo: u32) {
        self.no_process_is_left();
        assert_eq!(folders_of(demo), Vec::<PathBuf>::new());
    }

    fn processes(&self) -> Vec<String> {
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let of_ours = processes.filter(|process| {
            fs::read_link(process.path().join("exe")).is_ok_and(|exe| exe.starts_with(&self.0))
        });
        of_ours.map(|p| fs::read_to_string(p.path().join("cmdline")).unwrap_or_default()).collect()
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Cargo builds this package's programs for its tests, but not those of the package of impairments.
fn build_what_is_missing(built: &Path) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if PROGRAMS.iter().all(|program| built.join(program).exists()) {
            return;
        }
        let profile = match built.file_name().and_then(|name| name.to_str()).unwrap() {
            "debug" => "dev",
            profile => profile,
        };
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--workspace", "--bins", "--profile", profile, "--target-dir"]);
        let status = cargo.arg(built.parent().unwrap()).status().unwrap();
        assert!(status.success(), "{cargo:?}");
    });
}

/// The folders that a demo makes for itself.
fn folders_of(demo: u32) -> Vec<PathBuf> {
    let places = [PathBuf::from("/dev/shm"), std::env::temp_dir()];
    let entries = places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten();
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let name = format!("bumpless-lab-{demo}-");
    paths.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(&name)).collect()
}

/// The interfaces of the namespace that the tests run in.
fn interfaces() -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/self/net/dev").unwrap();
    table.lines().skip(2).map(|line| line.split(':').next().unwrap().trim().to_owned()).collect()
}

fn texts(output: &Output) -> (String, String) {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// Says so where a test has to be skipped.
fn is_root(test: &str) -> bool {
    let is = geteuid().is_root();
    if !is {
        println!("SKIP: {test}: root is missing");
    }
    is
}

/// Whether a user who is nobody may make namespaces; says so where not.
fn users_may(test: &str) -> bool {
    let mut command = Command::new("unshare");
    command.args(["--user", "--net", "true"]).stderr(Stdio::null());
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let may = command.status().is_ok_and(|status| status.success());
    if !may {
        println!("SKIP: {test}: user namespaces are not allowed to users here");
    }
    may
}

/// The row of a pair as the table has it: what stands behind the pair's name.
fn rows<'t>(table: &'t str, pair: &str) -> Vec<Vec<&'t str>> {
    let words = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words
        .filter_map(|words| {
            let at = words.iter().position(|&word| word == pair)?;
            let figures = &words[at + 1..];
            let is_row = figures.iter().all(|word| word.starts_with(|c: char| c.is_ascii_digit()));
            (figures.len() == 7 && is_row).then(|| figures.to_vec())
        })
        .collect()
}

#[test]
fn as_root_the_claim_holds_and_the_table_says_so() {
    if !is_root("as_root_the_claim_holds") {
        return;
    }
    let installed = Installed::new(&PROGRAMS);
    let output = installed.measure(|_| {}, &["--quick"]);
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{out}\n{err}");
    assert!(out.contains("Running as root"), "{out}");
    assert!(out.contains("The claim held"), "{out}");
    assert!(!out.contains('\x1b'), "no control characters where there is no terminal");
    assert!(out.lines().all(|line| line.chars().count() <= 100), "{out}");
    let (prp, single) = (rows(&out, "PRP"), rows(&out, "single"));
    assert_eq!((prp.len(), single.len()), (10, 10), "{out}");
    assert!(prp.iter().all(|row| row[1] == "0" && row[2] == "0"), "{out}");
    assert!(single.iter().filter(|row| row[1] != "0").count() >= 5, "{out}");
    assert!(single.iter().any(|row| row[2] != "0"), "{out}");
    is_as_readme_shows(&out);
}

/// What README.md shows is printed, line for line, but for the figures behind the faults' names.
fn is_as_readme_shows(out: &str) {
    const NAME_COLUMNS: usize = 20;
    let without_figures = |line: &str| {
        let name: String = line.chars().take(NAME_COLUMNS).collect();
        let behind: String = line.chars().skip(NAME_COLUMNS).collect();
        let words = behind.split_whitespace().map(|word| match word {
            _ if word.starts_with(|c: char| c.is_ascii_digit()) => "#",
            "KiB" | "MiB" | "GiB" => "octets",
            _ => word,
        });
        let words: Vec<_> = words.collect();
        format!("{} {}", name.trim_end(), words.join(" "))
    };
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("README.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, block) = page.split_once("```text\n").unwrap();
    let (shown, _) = block.split_once("```").unwrap();
    let mut printed = out.lines().map(without_figures);
    let mut lines = 0;
    for line in shown.lines().filter(|line| !line.is_empty()) {
        let wanted = without_figures(line);
        assert!(printed.any(|line| line == wanted), "not printed: {line}\n{out}");
        lines += 1;
    }
    assert_eq!(lines, 26);
}

#[test]
fn without_root_the_claim_holds_too() {
    if !users_may("without_root_the_claim_holds_too") {
        return;
    }
    let installed = Installed::new(&PROGRAMS);
    let as_nobody = |command: &mut Command| {
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY).env("HOME", "/nonexistent");
        }
    };
    let output = installed.measure(as_nobody, &["--quick", "--json"]);
    let (out, err) = texts(&output);
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{out}");
    let document: Value = serde_json::from_str(&out).unwrap();
    check_schema(&document);
    assert_eq!(document["verdict"], "held");
    assert_eq!(document["user_namespace"], true);
    assert_eq!(document["bulk"]["prp"]["intact"], true);
    for row in document["faults"].as_array().unwrap() {
        assert_eq!((&row["prp"]["lost"], &row["prp"]["twice"]), (&0.into(), &0.into()), "{row}");
        assert!(row["prp"]["sent"].as_u64().unwrap() > 0, "{row}");
    }
    assert_eq!(document["faults"].as_array().unwrap().len(), 10);
}

#[test]
fn a_claim_that_does_not_hold_ends_with_1_and_names_the_row() {
    if !is_root("a_claim_that_does_not_hold") {
        return;
    }
    let installed = Installed::new(&PROGRAMS);
    let output = installed.measure(|_| {}, &["--quick", "--cut-both", "--json"]);
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{out}\n{err}");
    assert!(err.contains("did NOT hold: both LANs cut"), "{err}");
    let document: Value = serde_json::from_str(&out).unwrap();
    check_schema(&document);
    assert_eq!(document["verdict"], "failed");
    let rows = document["faults"].as_array().unwrap();
    let failed: Vec<_> = rows.iter().filter(|row| row["verdict"] == "failed").collect();
    assert_eq!(failed.len(), 1, "{document}");
    assert_eq!(failed[0]["fault"], "both_lans_cut");
    assert!(failed[0]["prp"]["lost"].as_u64().unwrap() > 0);
}

/// Starts a demo and waits until it has printed a line with `wanted`.
fn started(mut command: Command, wanted: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.lines().any(|line| line.contains(wanted)) {
        assert!(out.read_line(&mut said).unwrap() > 0, "ended without {wanted:?}: {said}");
    }
    (child, out)
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

#[test]
fn broken_off_in_the_middle_it_leaves_nothing_behind() {
    if !is_root("broken_off_in_the_middle") {
        return;
    }
    let installed = Installed::new(&PROGRAMS);
    let before = interfaces();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let (mut child, _out) = started(installed.demo(&["--quick"]), " 1/10 ");
        assert!(installed.processes().len() > 8, "{:?}", installed.processes());
        send(&child, signal);
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1), "{err}");
        assert!(err.contains(signal.as_str()), "{err}");
        installed.nothing_is_left(child.id());
    }
    assert_eq!(interfaces(), before);
}

#[test]
fn killed_it_takes_its_programs_along() {
    if !is_root("killed_it_takes_its_programs_along") {
        return;
    }
    let installed = Installed::new(&PROGRAMS);
    let (mut child, _out) = started(installed.demo(&["--quick"]), " 1/10 ");
    send(&child, Signal::SIGKILL);
    child.wait().unwrap();
    installed.no_process_is_left();
    // Files are all that a killed program cannot remove.
    for folder in folders_of(child.id()) {
        fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn a_kept_demo_can_be_looked_into_and_ends_on_enter() {
    if !is_root("a_kept_demo_can_be_looked_into") {
        return;
    }
    let installed = Installed::new(&PROGRAMS);
    let mut command = installed.demo(&["--quick", "--keep"]);
    command.stdin(Stdio::piped());
    let (mut child, mut out) = started(command, "bumpless status --runtime-dir");
    let folder = folders_of(child.id()).pop().unwrap().join("host1");
    let status = Command::new(installed.0.join("bumpless"))
        .args(["status", "--json", "--runtime-dir"])
        .arg(folder)
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(document["name"], "prp0");
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("docs/architecture.md"), "{rest}");
    // Whether the figures were valid is not the matter here.
    assert!(matches!(child.wait().unwrap().code(), Some(0 | 4)));
    installed.nothing_is_left(child.id());
}

#[test]
fn a_missing_program_is_named_with_the_command_that_builds_it() {
    let installed = Installed::new(&["bumpless", "bumplessd", "bumpless-stream"]);
    let output = installed.demo(&[]).output().unwrap();
    let (out, err) = texts(&output);
    assert_eq!((output.status.code(), out.as_str()), (Some(3), ""), "{err}");
    assert!(err.contains("bumpless-impair"), "{err}");
    assert!(!err.contains("bumplessd"), "{err}");
    assert!(err.contains("cargo build"), "{err}");
}

#[test]
fn where_namespaces_are_forbidden_it_ends_with_3_and_names_the_setting() {
    if !users_may("where_namespaces_are_forbidden") {
        return;
    }
    let installed = Installed::new(&PROGRAMS);
    // In a user namespace of its own the limits can be set without touching anybody else's.
    let forbid = "echo 0 > /proc/sys/user/max_user_namespaces && \
                  echo 0 > /proc/sys/user/max_net_namespaces && exec \"$0\" demo";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", forbid]);
    let output = command.arg(installed.0.join("bumpless")).output().unwrap();
    let (out, err) = texts(&output);
    assert_eq!((output.status.code(), out.as_str()), (Some(3), ""), "{err}");
    assert!(err.contains("user.max_user_namespaces is 0"), "{err}");
    assert!(err.contains("sysctl user.max_user_namespaces="), "{err}");
}

/// Checks a document against its schema, and that the schema describes every key that is there.
fn check_schema(document: &Value) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs");
    let text = fs::read_to_string(docs.join("schema/demo.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("demo.json", schema.clone()).unwrap();
    let index = compiler.compile("demo.json", &mut schemas).unwrap();
    if let Err(error) = schemas.validate(document, index) {
        panic!("{error:#}");
    }
    described("demo", document, &schema, &schema);
}

fn described(path: &str, value: &Value, schema: &Value, root: &Value) {
    let name = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/"));
    let schema = name.map_or(schema, |name| &root["$defs"][name]);
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                let known = schema["properties"].get(key);
                let known = known.unwrap_or_else(|| panic!("{path}.{key}: not in the schema"));
                described(&format!("{path}.{key}"), inner, known, root);
            }
        }
        Value::Array(list) => {
            for inner in list {
                described(path, inner, &schema["items"], root);
            }
        }
        _ => {}
    }
}
