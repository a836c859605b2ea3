//! Processes that use regions are killed at every instruction of a commit, of becoming attached and
//! of a takeover, and nothing is torn, lost, stuck or left behind.
//!
//! `BUMPLESS_SOAK=1` makes it a hundred thousand kills, and writes down what was found.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use latency_tests::bench::host::Host;
use latency_tests::torture::census::shared_memory_octets;
use latency_tests::torture::report::Report;
use tools::netlab::Programs;
use tools::os::parent::end_with_parent;

/// Kills of the sample and of the long form.
const KILLS: u64 = 300;
const KILLS_SOAK: u64 = 100_000;
/// After which lanes end, however many kills there were: a busy machine is no defect.
const SECONDS: u64 = 45;
const SECONDS_SOAK: u64 = 6 * 3_600;
/// What a machine that is as busy as that does still.
const KILLS_LEAST: u64 = 40;

fn soak() -> bool {
    std::env::var_os("BUMPLESS_SOAK").is_some_and(|value| value == "1")
}

/// A variable that says a number.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

struct Lane(Child);

impl Lane {
    fn start(folder: &Path, kills: u64, seconds: u64, seed: u64) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_region-actor"));
        let programs = Programs::find(&["bumplessd"]).unwrap();
        command
            .arg("--daemon")
            .arg(programs.path("bumplessd").unwrap())
            .arg("--folder")
            .arg(folder);
        command.args(["--kills", &kills.to_string(), "--seconds", &seconds.to_string()]);
        command.args(["--seed", &seed.to_string()]);
        // One of four has large images.
        if seed % 4 == 2 {
            command.arg("--large");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        end_with_parent(&mut command);
        Self(command.spawn().unwrap())
    }

    fn end(mut self) -> Report {
        let mut text = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        self.0.wait().unwrap();
        serde_json::from_str(&text).unwrap_or_else(|why| panic!("{why}: {text:?}"))
    }
}

#[test]
fn nothing_is_torn_lost_stuck_or_left_behind_wherever_somebody_is_killed() {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIP: region_torture: root: processes are traced and the daemon is not theirs");
        return;
    }
    let long = soak();
    let kills = number("BUMPLESS_TORTURE_KILLS").unwrap_or(if long { KILLS_SOAK } else { KILLS });
    let seconds =
        number("BUMPLESS_TORTURE_SECONDS").unwrap_or(if long { SECONDS_SOAK } else { SECONDS });
    let processors = std::thread::available_parallelism().map_or(2, usize::from) as u64;
    let lanes = if long { processors.max(2) } else { 2 };
    // A disk that others keep busy says nothing of what is tried here.
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = base.join(format!("bumpless-torture-{}", std::process::id()));
    let shared_before = shared_memory_octets();
    let seed = u64::from(std::process::id());
    let running: Vec<_> = (1..=lanes)
        .map(|lane| Lane::start(&folder, kills.div_ceil(lanes), seconds, 4 * seed + lane))
        .collect();
    let mut all = Report::default();
    running.into_iter().for_each(|lane| all.merge(&lane.end()));
    let _left = fs::remove_dir_all(&folder);
    let shared_after = shared_memory_octets();
    println!("{}", all.page());
    println!("shared memory of the machine: {shared_before} octets before, {shared_after} after");
    if long {
        store(&all);
    }
    assert_eq!(all.broken, Vec::<String>::new());
    assert_eq!(all.leaked, 0);
    assert!(all.takeovers > 0 && all.images > 0 && all.commits > 0);
    let least = if long { kills } else { kills.min(KILLS_LEAST) };
    assert!(all.total() >= least, "{} kills", all.total());
    // At least half of them where something is being written or handed over; of few kills it may
    // be some less.
    let slack = if long { 0 } else { 20 };
    assert!(2 * all.in_publish_or_attach() + slack >= all.total());
    if kills >= KILLS_SOAK {
        let (boundaries, hit) = all.offsets["publish"].coverage();
        assert!(100 * hit >= 95 * boundaries, "{hit} of {boundaries} boundaries of a commit");
    }
}

/// Results stand beside those of the bench, by date.
fn store(report: &Report) {
    let host = Host::read();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join(format!("results/{}-region-torture", host.date));
    fs::create_dir_all(&folder).unwrap();
    let page = format!(
        "# Kill torture of regions, {}\n\nKernel {}, {} ({} processors), load average {} at the \
         end, commit {}. `cargo xtask soak`, {:.0} s of lanes together.\n\n{}",
        host.date,
        host.kernel,
        host.cpu,
        host.cpus,
        host.load_average,
        host.commit,
        report.seconds,
        report.page()
    );
    fs::write(folder.join("report.md"), page).unwrap();
    fs::write(folder.join("results.json"), serde_json::to_vec(report).unwrap()).unwrap();
}
