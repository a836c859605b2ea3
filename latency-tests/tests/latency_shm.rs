//! The probe `shm` with its second process: each planned image is accounted for, a reader that is
//! stopped is found as late as it was, one that is killed is an error, and what it measures is what
//! the bench of regions measures by other means.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration as StdDuration;

use latency_tests::bench::regions::course::Plan;
use latency_tests::bench::regions::round::{Contestant, Place};
use latency_tests::latency::probe::shm::{
    self, Program, READER, Shm, ShmOptions, Wait, start_with,
};
use latency_tests::latency::probe::{Asked, Probing as _, Progress};
use latency_tests::latency::report::{Counts, Measure, Series};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use rt_core::limits::CPU_INDEX_MAX;
use rt_core::os::clock::{MonotonicClock, sleep_until};
use rt_core::os::freeze::{TrapAllocator, frozen_allocations, is_installed};
use rt_core::os::memory;
use rt_core::os::thread::Policy;
use rt_core::time::Duration;
use shm_replica::os::participant::{Options, RegionOptions, Setup};
use shm_replica::segment::RegionName;
use tools::exit::{ExitCode, Failure};
use tools::netlab::Programs;

#[global_allocator]
static ALLOCATOR: TrapAllocator = TrapAllocator::system();

/// Readers that poll share no processor with another test's threads.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
const PATIENCE: Duration = Duration::from_secs(120);

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_bumpless-latency");

fn reader() -> Program {
    // One that allocates while it measures ends at once.
    let arguments = ["BUMPLESS_ALLOCATION_TRAP=abort", PROGRAM, READER];
    Program { file: "/usr/bin/env".into(), arguments: arguments.map(Into::into).to_vec() }
}

fn asked(cpus: &[usize], cycles: u64) -> Asked {
    Asked {
        cpus: cpus.to_vec(),
        policy: Policy::Other,
        interval: Duration::from_millis(1),
        distance: Duration::ZERO,
        cycles,
        allow_non_rt: false,
    }
}

fn pair() -> Option<[usize; 2]> {
    let count = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (count > 1).then(|| [count - 2, count - 1])
}

fn start(asked: &Asked, wait: Option<Wait>) -> Result<Shm, Failure> {
    start_with(&reader(), asked, &ShmOptions { wait, ..ShmOptions::default() })
}

/// Waits until it has come so far.
fn until(shm: &Shm, enough: impl Fn(&Progress) -> bool) {
    let give_up = MonotonicClock::now() + PATIENCE;
    while !enough(&shm.progress()) {
        assert!(MonotonicClock::now() < give_up, "{:?}", shm.progress());
        assert!(!shm.is_over(), "{:?}", shm.progress());
        thread::sleep(StdDuration::from_millis(1));
    }
}

fn until_over(shm: &Shm) {
    let give_up = MonotonicClock::now() + PATIENCE;
    while !shm.is_over() {
        assert!(MonotonicClock::now() < give_up, "{:?}", shm.progress());
        thread::sleep(StdDuration::from_millis(1));
    }
}

fn finish(shm: Shm) -> Result<Vec<Series>, Failure> {
    Box::new(shm).finish()
}

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
}

fn names(series: &[Series]) -> Vec<&str> {
    series.iter().map(|it| it.name.as_str()).collect()
}

/// No series counts what cannot be.
fn assert_sound(series: &[Series], cycles: &[u64]) {
    for (series, cycles) in series.iter().zip(cycles) {
        let name = &series.name;
        let Counts { skipped, early, repeated, .. } = series.counts;
        assert_eq!((skipped, early, repeated), (0, 0, 0), "{name}: {:?}", series.counts);
        assert_eq!(series.cycles(), *cycles, "{name}: {:?}", series.counts);
        assert_eq!(series.measure, Measure::Span, "{name}");
        assert_eq!(series.seen.samples + series.counts.swallowed, series.owed.samples, "{name}");
    }
}

#[test]
fn each_planned_image_is_accounted_for_and_no_thread_allocates_or_faults() {
    let Some(cpus) = pair() else { return println!("SKIP: accounted: hardware: two processors") };
    let _alone = alone();
    let is_root = geteuid().is_root();
    if is_root {
        memory::lock_all().unwrap();
    }
    let policy = if is_root { Policy::Fifo(80) } else { Policy::Other };
    let asked = Asked { policy, allow_non_rt: !is_root, ..asked(&cpus, 1_001) };
    let shm = start(&asked, None).unwrap();
    let first = shm.progress();
    assert_eq!(first.planned, 1_001);
    until(&shm, |progress| progress.over > first.over.max(10));
    until_over(&shm);
    let last = shm.progress();
    let series = finish(shm).unwrap();
    assert_eq!(names(&series), ["polling", "woken", "commit"]);
    for it in &series {
        println!("{}: p50 {:?} ns, p99 {:?} ns", it.name, it.seen.p50_ns, it.seen.p99_ns);
    }
    assert_sound(&series, &[501, 500, 1_001]);
    // Who polls, and who is woken by each commit, observes most images by themselves.
    for it in &series[..2] {
        assert!(2 * it.counts.swallowed < it.cycles(), "{}: {:?}", it.name, it.counts);
    }
    assert!(last.over > 10 && last.over <= 1_001, "{last:?}");
    let max_ns = series[..2].iter().filter_map(|it| it.seen.max_ns).max().unwrap();
    assert!(last.max_ns <= max_ns && last.max_ns > 0, "{last:?} of {max_ns}");
    // What the writer could not publish is lost to both.
    assert_eq!(series[0].counts.lost + series[1].counts.lost, series[2].counts.lost);
    assert!(is_installed());
    let trapped = frozen_allocations();
    assert_eq!(trapped.count, 0, "{trapped:?}");
    for (series, cpu) in series.iter().zip([cpus[1], cpus[1], cpus[0]]) {
        let thread = series.thread.as_ref().unwrap();
        assert_eq!(thread.cpus, [cpu], "{}", series.name);
        if is_root {
            let found = (thread.policy.as_str(), thread.priority, thread.page_faults);
            assert_eq!(found, ("SCHED_FIFO", 80, 0), "{}", series.name);
            assert_eq!(thread.shortfalls, [] as [&str; 0], "{}", series.name);
        }
    }
}

#[test]
fn on_one_processor_the_reader_is_woken_and_says_what_it_lacks() {
    let _alone = alone();
    let shm = start(&asked(&[0, 0], 200), None).unwrap();
    let series = finish(shm).unwrap();
    assert_eq!(names(&series), ["woken", "commit"]);
    assert_sound(&series, &[200, 200]);
    assert_eq!(series[0].thread.as_ref().unwrap().policy, "SCHED_OTHER");
    if geteuid().is_root() {
        let asked = Asked { policy: Policy::Fifo(40), ..asked(&[0], 200) };
        let series = finish(start(&asked, Some(Wait::Woken)).unwrap()).unwrap();
        assert_sound(&series, &[200, 200]);
        assert_eq!(series[0].thread.as_ref().unwrap().policy, "SCHED_FIFO");
    }
    // One that is not there is refused, or told.
    let cpu = format!("CPU {CPU_INDEX_MAX}");
    let nowhere = asked(&[0, CPU_INDEX_MAX], 50);
    let refused = start(&nowhere, Some(Wait::Woken)).unwrap_err();
    assert_eq!(refused.code, ExitCode::Missing);
    assert!(refused.message.contains(&cpu), "{refused}");
    let allowed = Asked { allow_non_rt: true, ..nowhere };
    let series = finish(start(&allowed, Some(Wait::Woken)).unwrap()).unwrap();
    let thread = series[0].thread.as_ref().unwrap();
    assert!(thread.shortfalls.iter().any(|it| it.contains(&cpu)), "{thread:?}");
    assert_sound(&series, &[50, 50]);
}

#[test]
fn a_run_that_is_stopped_accounts_for_what_it_came_to() {
    let _alone = alone();
    let planned = 3_600_000;
    let shm = start(&asked(&[0, 1], planned), Some(Wait::Woken)).unwrap();
    until(&shm, |progress| progress.over >= 50);
    shm.stop();
    let over = shm.progress().over;
    let series = finish(shm).unwrap();
    let cycles = series[0].cycles();
    assert!(cycles >= over && cycles < planned, "{cycles} of {over}");
    assert_sound(&series, &[cycles, cycles]);
}

#[test]
fn a_reader_that_is_stopped_is_found_as_late_as_it_was() {
    const STOPPED: Duration = Duration::from_millis(100);
    let _alone = alone();
    let planned = asked(&[0, 1], 600);
    let shm = start(&planned, Some(Wait::Woken)).unwrap();
    until(&shm, |progress| progress.over >= 100);
    signal(shm.reader(), Signal::SIGSTOP);
    let stopped_at = MonotonicClock::now();
    sleep_until(stopped_at + STOPPED);
    let stopped = MonotonicClock::now().since(stopped_at).as_nanos();
    signal(shm.reader(), Signal::SIGCONT);
    let series = finish(shm).unwrap();
    assert_sound(&series, &[600, 600]);
    let (woken, period) = (&series[0], planned.interval.as_nanos());
    let stall = woken.stalls[0];
    // It may have stopped a little after it was told to; the ring holds three periods of these.
    assert!(stall.late_ns >= stopped / 2, "{stall:?} of {stopped}");
    assert_eq!(woken.seen.max_ns, Some(stall.late_ns));
    // Each image of that time, but those that a writer did not publish that had no rest itself.
    let passed = stall.late_ns / period;
    let missed = woken.counts.lost;
    assert!(stall.swallowed <= passed && stall.swallowed + missed + 1 >= passed, "{stall:?}");
    assert!(woken.counts.swallowed >= stall.swallowed, "{:?}", woken.counts);
    let half = stall.late_ns / 2;
    let late = woken.owed.histogram.iter().filter(|it| it.lowest_ns >= half);
    let late: u64 = late.map(|it| it.count).sum();
    assert!(late + 1 >= half / period, "{late} of {half} ns");
}

#[test]
fn a_reader_that_is_killed_is_an_error_that_names_it() {
    let _alone = alone();
    let shm = start(&asked(&[0, 1], 3_600_000), Some(Wait::Woken)).unwrap();
    until(&shm, |progress| progress.over >= 20);
    let pid = shm.reader();
    signal(pid, Signal::SIGKILL);
    until_over(&shm);
    let failure = finish(shm).unwrap_err();
    assert_eq!(failure.code, ExitCode::Invalid);
    let wanted = format!("the reading process {pid} was ended by SIGKILL");
    assert!(failure.message.contains(&wanted), "{failure}");
}

#[test]
fn the_second_process_does_not_outlive_who_started_it() {
    let _alone = alone();
    let begin = || start(&asked(&[0, 1], 3_600_000), Some(Wait::Woken)).unwrap();
    let shm = thread::spawn(begin).join().unwrap();
    until_over(&shm);
    let failure = finish(shm).unwrap_err();
    assert!(failure.message.contains("SIGKILL"), "{failure}");
    // The same where the measurement is given up.
    let shm = begin();
    let folder = format!("/proc/{}", shm.reader());
    assert!(Path::new(&folder).exists());
    shm.stop();
    drop(shm);
    assert!(!Path::new(&folder).exists());
}

#[test]
fn a_program_that_is_no_reader_is_an_error() {
    let _alone = alone();
    let run = |file: &str, arguments: &[&str]| {
        let arguments = arguments.iter().map(Into::into).collect();
        let program = Program { file: file.into(), arguments };
        let failed = start_with(&program, &asked(&[0, 1], 10), &ShmOptions::default());
        failed.unwrap_err().to_string()
    };
    assert!(run("/bin/false", &[]).contains("ended with code 1 before it told"));
    assert!(run("/bin/echo", &[]).contains("what is no answer"));
    assert!(run("/nonexistent", &[]).contains("/nonexistent, for the reading process"));
    let without_orders = run(PROGRAM, &[READER, "{}"]);
    assert!(without_orders.contains("these are no orders"), "{without_orders}");
}

/// Where the application of a live region is to find its daemon; set for its process.
const SOCKET: &str = "BUMPLESS_TEST_SHM_SOCKET";
/// The application's period.
const CYCLE: Duration = Duration::from_millis(2);

/// No test, unless this program was started to be an application: then it is one until it is ended.
#[test]
fn be_an_application() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    let name = |text| RegionName::new(text).unwrap();
    let mut setup = Setup::new(Options::new(name("plc"), socket.into()));
    setup.register(RegionOptions::new(name("plant"), 256)).unwrap();
    let (participant, mut cyclic) = setup.activate().unwrap();
    let give_up = MonotonicClock::now() + PATIENCE;
    let mut next = MonotonicClock::now();
    while next < give_up {
        next += CYCLE;
        sleep_until(next);
        cyclic.begin();
        if participant.may_act() {
            cyclic.commit(|_| [&[7; 256][..]]).unwrap();
        }
    }
}

/// A process of the test; ended in every case.
struct Beside(Child);

impl Beside {
    /// Starts a program. The kernel ends it with this thread, by a word to the program that is
    /// executed first: one between fork and exec would make this process fork, and share its pages,
    /// and its real-time threads fault.
    fn start(program: &Path, complete: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program);
        complete(&mut command);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A daemon with a region and an application that writes it, in a folder of their own.
struct LiveRegion {
    folder: PathBuf,
    application: Beside,
    _daemon: Beside,
}

impl LiveRegion {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("bumpless-shm-live-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let config = "name = 'shm'\n[[application]]\nname = 'plc'\n\
            [[region]]\nname = 'plant'\napplication = 'plc'\n\
            [[region]]\nname = 'idle'\napplication = 'plc'\n";
        fs::write(folder.join("bumpless.toml"), config).unwrap();
        let programs = Programs::find(&["bumplessd"]).unwrap();
        let daemon = Beside::start(programs.path("bumplessd").unwrap(), |command| {
            command.arg("--config").arg(folder.join("bumpless.toml"));
            command.arg("--runtime-dir").arg(folder.join("run")).arg("--allow-non-rt");
            command.stderr(Stdio::null());
        });
        let socket = folder.join("run/regions.sock");
        let give_up = MonotonicClock::now() + PATIENCE;
        while !socket.exists() {
            assert!(MonotonicClock::now() < give_up, "no daemon");
            thread::sleep(StdDuration::from_millis(5));
        }
        let application = Beside::start(&std::env::current_exe().unwrap(), |command| {
            command.args(["--exact", "be_an_application"]).env(SOCKET, &socket);
        });
        Self { application, folder, _daemon: daemon }
    }

    fn options(&self, region: &str, wait: Option<Wait>) -> ShmOptions {
        let socket = Some(self.folder.join("run/regions.sock"));
        ShmOptions { wait, region: Some(region.to_owned()), socket, ..ShmOptions::default() }
    }
}

impl Drop for LiveRegion {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_live_region_is_observed_as_it_is_published_and_nobody_is_charged_for_a_pause() {
    if !geteuid().is_root() {
        return println!("SKIP: live region: root: the daemon is started with its capabilities");
    }
    let _alone = alone();
    memory::lock_all().unwrap();
    let live = LiveRegion::start();
    let cpus = pair().unwrap_or([0, 0]);
    // Four hundred images: of each way half.
    let asked = Asked { policy: Policy::Fifo(40), ..asked(&cpus, 800) };
    let probe = shm::start(&asked, &live.options("plant", Some(Wait::Both))).unwrap();
    let planned = probe.progress().planned;
    let series = probe.finish().unwrap();
    assert_eq!(names(&series), ["polling", "woken"]);
    for series in &series {
        println!(
            "{}: p50 {:?} ns, period {} ns",
            series.name, series.seen.p50_ns, series.period_ns
        );
        // The application's, and not ours.
        let cycle = CYCLE.as_nanos();
        assert!((cycle / 2..cycle * 2).contains(&series.period_ns), "{}", series.period_ns);
        let Counts { lost, skipped, early, repeated, .. } = series.counts;
        assert_eq!((lost, skipped, early, repeated), (0, 0, 0, 0), "{:?}", series.counts);
        let thread = series.thread.as_ref().unwrap();
        assert_eq!((thread.cpus.as_slice(), thread.page_faults), (&cpus[..1], 0));
    }
    let cycles: u64 = series.iter().map(Series::cycles).sum();
    // A disturbed application may not have come to all of them in the time there was.
    assert!(cycles <= planned && cycles > planned / 2, "{cycles} of {planned}");
    assert_eq!(frozen_allocations().count, 0, "{:?}", frozen_allocations());

    // It pauses: nothing is published, nothing is late for that. Its next images are.
    let probe = shm::start(&asked, &live.options("plant", None)).unwrap();
    let give_up = MonotonicClock::now() + PATIENCE;
    while probe.progress().over < 20 {
        assert!(MonotonicClock::now() < give_up && !probe.is_over());
        thread::sleep(StdDuration::from_millis(1));
    }
    let pid = live.application.0.id();
    signal(pid, Signal::SIGSTOP);
    thread::sleep(StdDuration::from_millis(200));
    let before = probe.progress();
    thread::sleep(StdDuration::from_millis(50));
    assert_eq!(probe.progress(), before, "what was not published was observed");
    signal(pid, Signal::SIGCONT);
    while probe.progress().over <= before.over {
        assert!(MonotonicClock::now() < give_up && !probe.is_over());
        thread::sleep(StdDuration::from_millis(1));
    }
    probe.stop();
    let series = probe.finish().unwrap();
    assert_eq!(names(&series), ["woken"]);
    assert!(series[0].cycles() > before.over && series[0].cycles() < planned);
    assert_eq!(series[0].counts.lost, 0);

    // What is not there, and what nobody writes.
    let refused = |region: &str| match shm::start(&asked, &live.options(region, None)) {
        Ok(_) => panic!("{region} is measured"),
        Err(failure) => failure,
    };
    let unknown = refused("nowhere");
    assert!(unknown.code == ExitCode::Missing && unknown.message.contains("nowhere"), "{unknown}");
    let idle = refused("idle");
    assert!(idle.code == ExitCode::Invalid && idle.message.contains("0 images"), "{idle}");
}

/// The bench has another reader (each image in turn, from a bare loop), another writer (which polls
/// the clock, and so keeps its caches) and another account. It has the same ring, so its middle is
/// of the same magnitude: a probe that took a wake-up, a copy more or a wrong instant for the
/// publication would be an order away.
#[test]
fn what_a_polling_reader_finds_is_what_the_bench_finds() {
    const FACTOR: f64 = 5.0;
    let Some(cpus) = pair().filter(|_| geteuid().is_root()) else {
        return println!("SKIP: bench: root and two processors");
    };
    let _alone = alone();
    let bench = env!("CARGO_BIN_EXE_bumpless-bench").into();
    let place = Place { own: bench, iceoryx2: None, cpus: cpus.map(Some) };
    let plan = Plan {
        image_octets: 1_024,
        images: 1_000,
        warm_up: 100,
        period: Duration::from_micros(200),
        woken: false,
    };
    let asked =
        Asked { policy: Policy::Fifo(40), interval: plan.period, ..asked(&cpus, plan.images) };
    // Others disturb, and only upwards: the best of some rounds of each.
    let (mut own, mut theirs) = (f64::MAX, f64::MAX);
    for _ in 0..3 {
        let series = finish(start(&asked, Some(Wait::Polling)).unwrap()).unwrap();
        own = own.min(series[0].seen.p50_ns.unwrap() as f64);
        let (_, observed) = place.run(Contestant::Ring, &plan).unwrap();
        theirs = theirs.min(observed.times.median_ns());
    }
    println!("probe {own} ns, bench {theirs} ns: {:.2}", own / theirs);
    assert!((1.0 / FACTOR..FACTOR).contains(&(own / theirs)), "{own} ns and {theirs} ns");
}
