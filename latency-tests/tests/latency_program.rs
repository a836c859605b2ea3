//! `bumpless-latency` as a user has it: its exit codes, its files, its words.
//!
//! A machine that others share may be taken away from a run, which is then invalid, and says so:
//! where a test needs a valid one it asks again, for as long as that is the only reason.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use latency_tests::latency::report::{Report, Verdict};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tools::netlab::Scratch;

const PROGRAM: &str = env!("CARGO_BIN_EXE_bumpless-latency");

/// Nobody, who may do nothing.
const NOBODY: u32 = 65_534;

fn is_root(test: &str) -> bool {
    let is = geteuid().is_root();
    if !is {
        println!("SKIP: {test}: root: real-time priorities");
    }
    is
}

fn latency(arguments: &[&str]) -> Output {
    // A thread that allocates while it measures is a defect, and ends the program.
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env("BUMPLESS_ALLOCATION_TRAP", "abort").stdin(Stdio::null());
    command.output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

fn words(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// The document of a run of two threads that was not disturbed, and how the program ended.
fn measured(arguments: &[&str]) -> (Report, i32) {
    const ATTEMPTS: usize = 30;
    let common = ["wakeup", "-t2", "-q", "--json"];
    let length = if arguments.iter().any(|it| it.starts_with("-l")) { &[][..] } else { &["-l300"] };
    for _ in 0..ATTEMPTS {
        let output = latency(&[&common[..], length, arguments].concat());
        let report: Report = serde_json::from_slice(&output.stdout).unwrap();
        let is_stolen = |it: &String| it.contains("the hypervisor took CPU");
        if report.invalid.is_empty() || !report.invalid.iter().all(is_stolen) {
            return (report, code(&output));
        }
        println!("asked again: {:?}", report.invalid);
    }
    panic!("the hypervisor took a processor away in each of {ATTEMPTS} runs");
}

#[test]
fn a_run_that_keeps_its_bounds_passes_and_one_that_does_not_fails() {
    if !is_root("a_run_that_keeps_its_bounds_passes_and_one_that_does_not_fails") {
        return;
    }
    let hour_us = "3600000000";
    let bounds = ["--max-us", hour_us, "--p9999-us", hour_us, "--max-lost", "0"];
    let (report, code) = measured(&bounds);
    assert_eq!((report.verdict, code), (Verdict::Pass, 0), "{:?}", report.invalid);
    let kept: Vec<_> = report.gates.iter().map(|it| (it.name.as_str(), it.exceeded)).collect();
    assert_eq!(kept, [("max_us", false), ("p9999_us", false), ("max_lost", false)]);
    for (_, series) in report.series() {
        assert_eq!(series.seen.samples + series.counts.swallowed, 300);
        assert_eq!(series.thread.as_ref().unwrap().policy, "SCHED_FIFO");
    }
    // Nothing wakes within a nanosecond.
    for bound in ["--max-us", "--p9999-us"] {
        let (report, code) = measured(&[bound, "0.001"]);
        assert_eq!((report.verdict, code), (Verdict::Exceeded, 1), "{:?}", report.invalid);
        assert!(report.gates[0].found.unwrap() > 0.001);
    }
}

#[test]
fn what_an_ordinary_thread_finds_is_invalid_whatever_it_is() {
    let output =
        latency(&["wakeup", "-t1", "-l20", "-p0", "-q", "--max-us", "0.001", "--allow-non-rt"]);
    let text = words(&output.stdout);
    assert_eq!(code(&output), 4, "{text}");
    assert!(text.contains("invalid: wakeup: SCHED_OTHER was asked for"), "{text}");
    assert!(text.contains("exceeded"), "{text}");
    assert!(text.ends_with("The run is invalid: nothing follows from its figures.\n"), "{text}");
}

#[test]
fn a_run_that_was_ended_has_kept_no_bound() {
    if !is_root("a_run_that_was_ended_has_kept_no_bound") {
        return;
    }
    let [gated, free] = [&["--max-us", "3600000000"][..], &[]];
    let all = [(gated, Signal::SIGINT, 4), (free, Signal::SIGTERM, 0), (free, Signal::SIGHUP, 0)];
    for (bounds, signal, expected) in all {
        let scratch = Scratch::new().unwrap();
        let file = scratch.path().join("result.json");
        let mut command = Command::new(PROGRAM);
        command.args(["wakeup", "-t1", "-D1h", "-q", "--json"]).arg(&file).args(bounds);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(500));
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        let report: Report = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert!(report.runs[0].ended_early && report.runs[0].duration_ns > 0);
        let told: Vec<_> = [&report.invalid, &report.cautions].into_iter().flatten().collect();
        assert!(told.iter().any(|it| it.contains("it was ended")), "{told:?}");
        let is_stolen = report.invalid.iter().any(|it| it.contains("the hypervisor took"));
        assert_eq!(code(&output), if is_stolen { 4 } else { expected }, "{told:?}");
    }
}

#[test]
fn a_run_that_is_not_to_hear_of_its_terminal_s_end_goes_on() {
    if !is_root("a_run_that_is_not_to_hear_of_its_terminal_s_end_goes_on") {
        return;
    }
    let line = format!("trap '' HUP; exec {PROGRAM} wakeup -t1 -l1500 -q --json");
    let mut command = Command::new("sh");
    command.args(["-c", &line]).stdin(Stdio::null()).stdout(Stdio::piped());
    let child = command.stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGHUP).unwrap();
    let output = child.wait_with_output().unwrap();
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!report.runs[0].ended_early);
}

#[test]
fn what_the_probes_before_found_is_kept_where_one_cannot_be_run() {
    if !is_root("what_the_probes_before_found_is_kept_where_one_cannot_be_run") {
        return;
    }
    let scratch = Scratch::new().unwrap();
    let file = scratch.path().join("all.json");
    // A writer and a reader that polls need two processors.
    let output = latency(&["all", "-t1", "-l50", "-q", "--json", file.to_str().unwrap()]);
    assert_eq!(code(&output), 4, "{}", words(&output.stderr));
    let report: Report = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let probes: Vec<_> = report.runs.iter().map(|it| it.probe.name()).collect();
    assert!(probes.starts_with(&["wakeup", "heartbeat"]), "{probes:?}");
    let said = |it: &String| it.starts_with("shm: ") && it.contains("need a processor each");
    assert!(report.invalid.iter().any(said), "{:?}", report.invalid);
}

#[test]
fn arguments_that_cannot_be_meant_are_named_with_what_to_say_instead() {
    let refused = [
        (&["wakeup", "-p", "99"][..], "--priority"),
        (&["wakeup", "--policy", "fifo", "-p", "0"], "from 1 to 98"),
        (&["wakeup", "--policy", "rr"], "say fifo"),
        (&["wakeup", "-a", "0,x"], "--affinity: \"0,x\" is no list of processors; as in 0-2,5"),
        (&["wakeup", "-a", "800"], "--affinity: CPU 800 is not online"),
        (&["wakeup", "-t", "0"], "--threads: 0 is none of 1 to 1024"),
        (&["wakeup", "-D", "0"], "a run has an end"),
        (&["wakeup", "-D", "5y"], "or with m, h, d"),
        (&["wakeup", "-i", "0"], "--interval"),
        (&["wakeup", "-l", "99999999999999"], "more than a year"),
        (&["wakeup", "-h", "0"], "--histogram"),
        (&["wakeup", "--max-us", "nan"], "say a number above 0"),
        (&["wakeup", "--histfile", "x"], "--histogram"),
        (&["wakeup", "-l1", "-h9", "--json"], "--json and --histfile both go to standard output"),
        (&["wakeup", "--json", "/proc/none/x"], "--json: /proc/none/x: "),
        (&["wakeup", "--json", "/"], "--json: /: it is a folder"),
        (&["wakeup", "--mainaffinity", "800"], "--mainaffinity: "),
        (
            &["heartbeat", "-l1", "--allow-non-rt", "--lan-a", "lo", "--lan-b", "lo"],
            "is LAN A already",
        ),
        (&["respond", "--allow-non-rt", "--lan-a", "lo", "--lan-b", "lo"], "is LAN A already"),
        (&["wakeup", "--stress", "cpu,ram"], "there is no load `ram`"),
        (&["wakeup", "-b", "0"], "--breaktrace"),
        (&["wakeup", "-b", "9", "--on-threshold", "bell"], "`bell` is no action"),
        (&["wakeup", "--on-threshold", "trace"], "--breaktrace"),
        (&["shm", "-b", "9"], "say it with wakeup"),
        (&["shm", "-a", "0", "--wait", "both"], "name two"),
        (&["report", "/proc/none"], "/proc/none: "),
        (&["report", "/proc/version"], "name a file that --json FILE wrote"),
        (&["compare", "/proc/version", "/proc/version"], "name a file that --json FILE wrote"),
        (&["derive"], "<FILE>..."),
        (&["derive", "/proc/version"], "name a file that --json FILE wrote"),
        (&["nothing"], "nothing"),
    ];
    for (arguments, named) in refused {
        let output = latency(arguments);
        let text = words(&output.stderr);
        assert_eq!(code(&output), 2, "{arguments:?}: {text}");
        assert!(text.contains(named), "{arguments:?}: {text}");
        assert_eq!(words(&output.stdout), "");
    }
}

#[test]
fn who_may_not_run_real_time_threads_is_told_what_is_missing() {
    const TEST: &str = "who_may_not_run_real_time_threads_is_told_what_is_missing";
    if !is_root(TEST) {
        return;
    }
    let scratch = Scratch::new().unwrap();
    let copy = scratch.path().join("bumpless-latency");
    std::fs::copy(PROGRAM, &copy).unwrap();
    let open = |path: &Path| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).unwrap();
    };
    open(scratch.path());
    let as_nobody = |arguments: &[&str]| {
        let mut command = Command::new(&copy);
        command.args(["wakeup", "-t1", "-l20", "-p80"]).args(arguments).uid(NOBODY).gid(NOBODY);
        command.current_dir("/").stdin(Stdio::null()).output().unwrap()
    };
    let output = as_nobody(&[]);
    let text = words(&output.stderr);
    assert_eq!(code(&output), 3, "{text}");
    let named = ["CAP_SYS_NICE", "CAP_IPC_LOCK"].iter().any(|it| text.contains(it));
    assert!(named && text.contains("or say --allow-non-rt"), "{text}");
    let output = as_nobody(&["--allow-non-rt"]);
    let text = words(&output.stdout);
    assert_eq!(code(&output), 4, "{text} {}", words(&output.stderr));
    assert!(text.contains("invalid: wakeup: memory was not locked"), "{text}");
    assert!(text.contains("invalid: wakeup: cpu") && text.contains("SCHED_FIFO 80"), "{text}");
}

#[test]
fn each_option_of_cyclictest_s_usual_calls_is_understood() {
    let usual =
        ["-m -Sp90 -i200 -h400 -q -l50", "-t1 -p 80 -i 1000 -l 50 -a 0", "-S -m -p98 -l5 -d0"];
    for call in usual {
        let output = latency(
            &[&["wakeup", "--allow-non-rt"], &call.split(' ').collect::<Vec<_>>()[..]].concat(),
        );
        let text = words(&output.stderr);
        assert!([0, 4].contains(&code(&output)), "{call}: {text}");
    }
}

#[test]
fn a_file_is_there_when_it_is_whole_and_nothing_else_is() {
    let scratch = Scratch::new().unwrap();
    let file = scratch.path().join("result.json");
    std::fs::write(&file, "of another day").unwrap();
    let path = file.to_str().unwrap();
    let common = ["wakeup", "-t1", "-l20", "--allow-non-rt", "--json", path];
    let output = latency(&[&common[..], &["-a", "800"]].concat());
    assert_eq!(
        (code(&output), std::fs::read_to_string(&file).unwrap()),
        (2, "of another day".into())
    );
    let output = latency(&common);
    assert!([0, 4].contains(&code(&output)), "{output:?}");
    assert!(words(&output.stdout).contains(&format!("Written: {path}\n")));
    let report: Report = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(report.runs[0].series[0].cycles(), 20);
    let left: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().map(|it| it.unwrap()).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    // A device is written to, not replaced.
    let output = latency(&["wakeup", "-t1", "-l5", "--allow-non-rt", "--json", "/dev/null"]);
    assert!([0, 4].contains(&code(&output)), "{output:?}");
    let null = std::fs::metadata("/dev/null").unwrap();
    assert!(std::os::unix::fs::FileTypeExt::is_char_device(&null.file_type()));
}

#[test]
fn names_of_standard_output_and_links_are_what_they_stand_for() {
    let scratch = Scratch::new().unwrap();
    let name = |file: &str| scratch.path().join(file).to_str().unwrap().to_owned();
    let run = |arguments: &[&str]| {
        latency(&[&["wakeup", "-t1", "-l5", "-q", "--allow-non-rt"], arguments].concat())
    };
    // Where it is a file it must not be replaced: as root that would be a file in /dev.
    let before = std::fs::read_link("/dev/stdout").unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["wakeup", "-t1", "-l5", "-q", "--allow-non-rt", "--json", "/dev/stdout"]);
    let whole = std::fs::File::create(name("whole.json")).unwrap();
    command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(whole).status().unwrap();
    assert_eq!(std::fs::read_link("/dev/stdout").unwrap(), before);
    let octets = std::fs::read(name("whole.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Report>(&octets).unwrap().runs.len(), 1);
    std::fs::write(name("latest.json"), "old").unwrap();
    std::os::unix::fs::symlink(name("latest.json"), name("link.json")).unwrap();
    run(&["--json", &name("link.json")]);
    assert!(std::fs::symlink_metadata(name("link.json")).unwrap().is_symlink());
    assert!(std::fs::read(name("latest.json")).unwrap().starts_with(b"{"));
    let both = run(&["--json", &name("one"), "--html", &name("one")]);
    assert_eq!(code(&both), 2);
    assert!(words(&both.stderr).contains("--json and --html both go to"), "{both:?}");
}

#[test]
fn all_that_is_made_of_a_result_can_be_made_of_its_file_later() {
    let scratch = Scratch::new().unwrap();
    let name = |file: &str| scratch.path().join(file).to_str().unwrap().to_owned();
    let forms = ["--html", "--png", "--hdr", "--junit", "--histfile"];
    let into = |folder: &str| -> Vec<String> {
        std::fs::create_dir(scratch.path().join(folder)).unwrap();
        let files =
            forms.iter().map(|form| [(*form).to_owned(), name(&format!("{folder}/{form}"))]);
        files.flatten().chain(["-h50".to_owned()]).collect()
    };
    let mut command = Command::new(PROGRAM);
    command.args(["all", "-D1", "-a0,1", "--allow-non-rt", "--json", &name("result.json")]);
    let first = command.args(into("now")).stdin(Stdio::null()).output().unwrap();
    assert!([0, 4].contains(&code(&first)), "{first:?}");
    let mut command = Command::new(PROGRAM);
    command.args(["report", &name("result.json")]).args(into("later"));
    let second = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(code(&second), code(&first), "{second:?}");
    for form in forms {
        let [now, later] =
            ["now", "later"].map(|it| std::fs::read(name(&format!("{it}/{form}"))).unwrap());
        assert!(!now.is_empty() && now == later, "{form}");
    }
    // What is told is the same but for the names of the files.
    let told = |it: &Output| words(&it.stdout).split("Written: ").next().unwrap().to_owned();
    assert_eq!(told(&first), told(&second));
    assert!(told(&first).contains("\npolling ") && told(&first).contains("\ncpu 1 "));
}

#[test]
fn a_run_ends_at_a_sample_that_is_too_late_and_does_what_it_was_told() {
    if !is_root("a_run_ends_at_a_sample_that_is_too_late_and_does_what_it_was_told") {
        return;
    }
    let scratch = Scratch::new().unwrap();
    let said = scratch.path().join("said");
    let action = format!("shell:echo $BUMPLESS_LATENCY_LATE_NS > {}", said.display());
    let (report, code) = measured(&["-l100000", "-b1", "--on-threshold", &action]);
    let gate = &report.gates[0];
    assert_eq!((report.verdict, code, &*gate.name), (Verdict::Exceeded, 1, "breaktrace"));
    let late_ns: f64 = std::fs::read_to_string(&said).unwrap().trim().parse().unwrap();
    assert_eq!(gate.found, Some(late_ns / 1e3));
    let run = &report.runs[0];
    assert!(run.series.iter().all(|it| it.cycles() < 100_000) && !run.ended_early);
    assert!(run.series.iter().any(|it| it.seen.max_ns.unwrap() as f64 >= late_ns));
}

#[test]
fn two_results_are_told_beside_each_other() {
    let scratch = Scratch::new().unwrap();
    let name = |file: &str| scratch.path().join(file).to_str().unwrap().to_owned();
    for file in ["a", "b"] {
        let output = latency(&["wakeup", "-t1", "-l200", "--allow-non-rt", "--json", &name(file)]);
        assert!([0, 4].contains(&code(&output)), "{output:?}");
    }
    let output = latency(&["compare", &name("a"), &name("b")]);
    let text = words(&output.stdout);
    assert!([0, 4].contains(&code(&output)), "{text}");
    assert!(text.contains("cpu ") && text.contains("p99.99"), "{text}");
    let document: serde_json::Value =
        serde_json::from_slice(&latency(&["compare", "--json", &name("a"), &name("b")]).stdout)
            .unwrap();
    assert!(!document["pairs"].as_array().unwrap().is_empty());
}
