//! A load beside a run really loads, keeps its bounds, says what it did, and is gone after it,
//! however the program ended.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/basics.rs"]
mod basics;

use std::cell::Cell;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use basics::wait_until;
use latency_tests::latency::stress::{Done, Kind, Load, Means, worker};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, geteuid};
use rt_core::os::clock::MonotonicClock;
use rt_core::os::thread::{KernelPolicy, Policy, RtThread, RtThreadPlan, scheduling_of};
use tools::exit::ExitCode;

/// Set for a program that starts a load and is killed: which kinds.
const LOADS: &str = "BUMPLESS_TEST_LOADS";

/// No test, unless this program was started to work for a load.
#[test]
fn work() {
    let ended = worker::serve();
    assert!(ended.is_none(), "it cannot work");
}

/// No test, unless this program was started to be killed with its load.
#[test]
fn load() {
    let Ok(list) = std::env::var(LOADS) else { return };
    let (foreign, list) = list.strip_prefix('+').map_or((false, &*list), |list| (true, list));
    let kinds = latency_tests::latency::stress::kinds(list).unwrap();
    let means = if foreign { Means { stress_ng: stress_ng(), ..own() } } else { own() };
    let load = Load::start_by(&means, &kinds, &cpus()).unwrap();
    let all = load.processes();
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nloads {}", all.join(" ")).and_then(|()| out.flush()).unwrap();
    drop(out);
    loop {
        sleep(Duration::from_secs(1));
    }
}

/// Loads of our own by this program.
fn own() -> Means {
    let program = std::env::current_exe().unwrap().into_os_string();
    let arguments = ["--exact", "work", "--nocapture"].map(Into::into);
    Means { worker: [program].into_iter().chain(arguments).collect(), stress_ng: None }
}

fn stress_ng() -> Option<PathBuf> {
    Means::here().stress_ng
}

/// The processors that this process may use.
fn cpus() -> Vec<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false)).collect()
}

/// A field of `/proc/PID/stat` by its number in proc(5).
fn stat(process: u32, field: usize) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name may have blanks; what follows begins with the third field.
    let (_, rest) = text.rsplit_once(") ").unwrap();
    rest.split(' ').nth(field - 3).unwrap().parse().unwrap()
}

/// A line of a file of `/proc/PID` that begins with a key; its first number.
fn number(process: u32, file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/{file}")).unwrap();
    let line = text.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// The thread of a process that works: not the first one where the process is one of tests.
fn working(process: u32) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let mut tasks = tasks.filter_map(|task| task.unwrap().file_name().to_str()?.parse().ok());
    let works = |task: &u32| {
        let name = fs::read_to_string(format!("/proc/{process}/task/{task}/comm"));
        name.is_ok_and(|name| name.trim() == "bumpless-stress")
    };
    tasks.find(works).unwrap()
}

/// Whether there is such a process. (One that has ended and waits for its parent is gone.)
fn lives(process: u32) -> bool {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    text.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// These and all that they started.
fn with_descendants(processes: &[u32]) -> Vec<u32> {
    let mut all = processes.to_vec();
    let numbers = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
    let parents: Vec<(u32, u32)> = numbers
        .filter_map(|process| {
            let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
            let parent = text.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
            Some((process, parent))
        })
        .collect();
    let mut at = 0;
    while at < all.len() {
        let its = all[at];
        let children = parents.iter().filter(|(_, parent)| *parent == its);
        all.extend(children.map(|(process, _)| *process));
        at += 1;
    }
    all
}

fn start(kind: Kind) -> Load {
    Load::start_by(&own(), &[kind], &cpus()).unwrap()
}

/// Waits until a figure of each process, as the kernel has it, has grown by so much, and the load
/// itself counts so much, and ends it.
fn until_grown(
    load: Load,
    by: u64,
    figure: impl Fn(u32) -> u64,
    counts: impl Fn(&Done) -> bool,
) -> Done {
    let processes = load.processes();
    let before: Vec<u64> = processes.iter().map(|process| figure(*process)).collect();
    for (process, before) in processes.iter().zip(before) {
        wait_until("a load to load", || (figure(*process) >= before + by).then_some(()));
    }
    wait_until("a load to say so", || counts(&load.done()[0]).then_some(()));
    let account = load.finish();
    assert_eq!(account.cautions, [""; 0]);
    assert!(processes.iter().all(|process| !lives(*process)));
    let [done] = <[Done; 1]>::try_from(account.done).unwrap();
    assert_eq!((done.by.as_str(), done.processes), ("own", processes.len()));
    done
}

#[test]
fn computing_takes_time_on_each_processor() {
    let load = start(Kind::Cpu);
    let lines = load.settings();
    assert_eq!(lines, [format!("cpu: own, {} processes", cpus().len())]);
    for (process, cpu) in load.processes().iter().zip(cpus()) {
        let process = i32::try_from(working(*process)).unwrap();
        let may = sched_getaffinity(Pid::from_raw(process)).unwrap();
        let may: Vec<usize> =
            (0..CpuSet::count()).filter(|cpu| may.is_set(*cpu).unwrap_or(false)).collect();
        assert_eq!(may, [cpu]);
    }
    // The 14th field, in ticks of 10 ms.
    let done = until_grown(load, 20, |process| stat(process, 14), |done| done.rounds > 20);
    assert_eq!(done.octets, None);
}

#[test]
fn copying_maps_and_touches_memory_within_its_bound() {
    let load = start(Kind::Mem);
    let processes = load.processes();
    // Each fault of a mapped page is a page that was touched.
    let touched = processes.len() as u64 * 9_000 * 4_096;
    let faults = |process| {
        // A process of this program has some MiB besides.
        assert!(number(process, "status", "VmHWM:") < (64 + 32) << 10);
        // Those without a disk.
        stat(process, 10)
    };
    until_grown(load, 10_000, faults, |done| done.octets > Some(touched));
}

#[test]
fn datagrams_pass_the_loopback_of_a_namespace_of_its_own() {
    let load = start(Kind::Net);
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).unwrap();
    for process in load.processes() {
        assert_ne!(namespace(&working(process).to_string()), namespace("self"));
    }
    // Of the kernel's account of `lo`: octets, then packets.
    let packets = |process: u32| {
        let text = fs::read_to_string(format!("/proc/{}/net/dev", working(process))).unwrap();
        let line = text.lines().find_map(|line| line.trim().strip_prefix("lo:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let wanted = load.processes().len() as u64 * 5_000;
    let done = until_grown(load, 5_000, packets, |done| done.rounds >= wanted);
    assert!(done.octets.unwrap() >= done.rounds * 64, "{done}");
}

#[test]
fn files_reach_the_disk_and_have_no_name() {
    let begun = MonotonicClock::now();
    let load = match Load::start_by(&own(), &[Kind::Disk], &cpus()) {
        Ok(load) => load,
        // In a machine of the lab everything lies in memory.
        Err(failure) if failure.to_string().contains("lies on a disk") => {
            println!("SKIP: files_reach_the_disk_and_have_no_name: disk: {failure}");
            return;
        }
        Err(failure) => panic!("{failure}"),
    };
    let [process] = load.processes()[..] else { panic!("more than one process") };
    let files = || {
        let folder = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
        folder.filter_map(|it| fs::read_link(it.unwrap().path()).ok())
    };
    let seen = Cell::new(0);
    let written = |process| {
        let nameless = |path: &PathBuf| {
            let path = path.to_string_lossy();
            path.contains("(deleted)") && !path.contains("memfd:")
        };
        seen.set(seen.get() + files().filter(nameless).count());
        number(process, "io", "write_bytes:")
    };
    let done = until_grown(load, 4 << 20, written, |done| done.octets >= Some(4 << 20));
    let taken_ns = u128::from(MonotonicClock::now().since(begun).as_nanos());
    assert!(seen.get() > 0, "the file was never open, or had a name");
    let octets = done.octets.unwrap();
    assert!(octets / done.rounds <= 16 << 20, "{done}");
    // Its rate is bounded, but for the file that is on its way.
    assert!(u128::from(octets) <= (64 << 20) * taken_ns / 1_000_000_000 + (16 << 20), "{done}");
}

#[test]
fn the_load_is_ordinary_whoever_starts_it() {
    if !geteuid().is_root() {
        println!("SKIP: the_load_is_ordinary_whoever_starts_it: root: real-time priorities");
        return;
    }
    let body = || {
        let load = Load::start_by(&own(), &[Kind::Net], &cpus()[..1]).unwrap();
        let processes = load.processes();
        for process in &processes {
            let number = i32::try_from(working(*process)).unwrap();
            let found = scheduling_of(number).unwrap();
            assert_eq!((found.policy, found.priority), (KernelPolicy::Other, 0));
            // Nice is the 19th field; 0 for this one.
            assert_eq!(stat(*process, 19), 0);
        }
        // Not finished: dropped, as after a failure.
        drop(load);
        assert!(processes.iter().all(|process| !lives(*process)));
    };
    RtThread::spawn(RtThreadPlan::new("starter", Policy::Fifo(10)), body).unwrap().join().unwrap();
}

#[test]
fn a_load_that_ends_early_or_does_nothing_is_told() {
    let load = Load::start_by(&own(), &[Kind::Cpu], &cpus()).unwrap();
    let victim = load.processes()[0];
    let number = Pid::from_raw(i32::try_from(victim).unwrap());
    kill(number, Signal::SIGKILL).unwrap();
    // Until it can be waited for; that is the load's to do.
    waitid(Id::Pid(number), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
    let account = load.finish();
    let [caution] = &account.cautions[..] else { panic!("{:?}", account.cautions) };
    assert!(caution.starts_with("the load `cpu`: 1 of "), "{caution}");
    assert!(caution.contains("SIGKILL") || caution.contains("signal: 9"), "{caution}");

    let idle = Means { worker: vec!["true".into()], stress_ng: None };
    let failure = Load::start_by(&idle, &[Kind::Cpu], &cpus()).unwrap_err();
    assert_eq!(failure.code, ExitCode::Failed);
    assert!(failure.to_string().contains("ended at once"), "{failure}");
}

#[test]
fn a_processor_that_is_not_there_is_told() {
    let failure = Load::start_by(&own(), &[Kind::Cpu], &[1_000]).unwrap_err();
    assert!(failure.to_string().contains("--stress cpu: CPU 1000"), "{failure}");
}

/// Starts a program with these loads, kills it, and waits until all is gone.
fn kill_with(loads: &str) {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "load", "--nocapture"]).env(LOADS, loads);
    let mut program = program.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.starts_with("loads ")).unwrap();
    let started: Vec<u32> = line.split(' ').skip(1).map(|number| number.parse().unwrap()).collect();
    assert!(!started.is_empty());
    // Those of `stress-ng` start theirs.
    let all = if loads.starts_with('+') {
        wait_until("the processes of stress-ng", || {
            let all = with_descendants(&started);
            (all.len() > started.len()).then_some(all)
        })
    } else {
        started
    };
    assert!(all.iter().all(|process| lives(*process)));
    program.kill().unwrap();
    program.wait().unwrap();
    wait_until("the load's end", || (!all.iter().any(|process| lives(*process))).then_some(()));
}

#[test]
fn nothing_is_left_when_the_program_is_killed() {
    kill_with("cpu,mem,net");
    match Load::start_by(&own(), &[Kind::Disk], &cpus()) {
        Ok(load) => {
            drop(load);
            kill_with("disk");
        }
        Err(failure) => println!("no disk here: {failure}"),
    }
}

#[test]
fn stress_ng_makes_the_load_where_it_is_there() {
    let Some(program) = stress_ng() else {
        println!(
            "SKIP: stress_ng_makes_the_load_where_it_is_there: the program stress-ng (package \
             stress-ng)"
        );
        return;
    };
    let kinds = [Kind::Cpu, Kind::Mem, Kind::Net];
    let means = Means { stress_ng: Some(program), ..own() };
    let load = Load::start_by(&means, &kinds, &cpus()).unwrap();
    assert!(load.settings().iter().all(|line| line.contains(": stress-ng ")));
    let children = wait_until("its processes", || {
        let all = with_descendants(&load.processes());
        (all.len() >= load.processes().len() + cpus().len()).then_some(all)
    });
    // Until the processor has worked for each kind: 2 s of it at least.
    wait_until("work", || {
        let ticks = |process: &u32| if lives(*process) { stat(*process, 14) } else { 0 };
        (children.iter().map(ticks).sum::<u64>() > 200).then_some(())
    });
    let account = load.finish();
    println!("{:?}", account.done);
    assert_eq!(account.cautions, [""; 0]);
    assert_eq!(account.done.iter().map(|done| done.kind).collect::<Vec<_>>(), kinds);
    assert!(account.done.iter().all(|done| done.rounds > 0));
    wait_until("its end", || (!children.iter().any(|process| lives(*process))).then_some(()));
    kill_with("+cpu,mem,net");
}
