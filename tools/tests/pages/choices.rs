//! What is done with each command and each listing of the pages. Who adds one to a page decides
//! here.

/// A command or the first line of a listing, with its page.
pub(crate) type Named = (&'static str, &'static str);

const README: &str = "README.md";
const LAB: &str = "docs/lab.md";
const OPERATOR: &str = "docs/man/bumpless.1";
const FILE: &str = "docs/man/bumpless.toml.5";
const DAEMON: &str = "docs/man/bumplessd.8";
const MEASURES: &str = "docs/man/bumpless-latency.1";
const EBPF: &str = "docs/design/ebpf.md";

/// Starts a daemon: run here until it says `ready`, and ended by SIGTERM with 0.
pub(crate) const DAEMONS: [Named; 3] = [
    (README, "sudo target/release/bumplessd --name prp0 --protocol prp --lan-a eth1 --lan-b eth2"),
    (DAEMON, "bumplessd --name prp0 --protocol prp --lan-a eth1 --lan-b eth2"),
    (DAEMON, "bumplessd --config /etc/bumpless/bumpless.toml"),
];

/// Run here beside the first of these daemons, and with another node on LAN A.
pub(crate) const ADDRESS: Named = (README, "sudo ip address add 192.0.2.1/24 dev prp0");
pub(crate) const STATUS: Named = (README, "target/release/bumpless status");
pub(crate) const NODES: Named = (README, "target/release/bumpless nodes");
pub(crate) const NOT_ON_B: Named =
    (OPERATOR, "bumpless nodes --json | jq -r '.[] | select(.last_seen_b_ns == null) | .mac'");
pub(crate) const PROBLEMS: Named = (
    OPERATOR,
    "bumpless doctor --json | jq -r '.findings[] | select(.level == \"problem\") | .id'",
);

/// Run here beside an application with a standby, whose daemon has the configuration [`PLC`].
pub(crate) const REGIONS: Named = (README, "bumpless regions");
pub(crate) const WATCH: Named = (README, "bumpless region watch NAME");
pub(crate) const SWITCHOVER: Named = (README, "bumpless switchover --force");

/// Configurations: checked here by `bumpless check`.
pub(crate) const PRP: Named = (FILE, "name = \"prp0\"");
pub(crate) const PLC: Named = (FILE, "name = \"plc0\"");

/// All of the above.
pub(crate) fn of_this_test() -> Vec<Named> {
    let mut all = DAEMONS.to_vec();
    all.extend([ADDRESS, STATUS, NODES, NOT_ON_B, PROBLEMS, REGIONS, WATCH, SWITCHOVER, PRP, PLC]);
    all
}

/// What is not run by this test: who does it instead, with words that stand there, and why not.
/// (A file of its own page says that there is nothing to run.)
#[derive(Debug)]
pub(crate) struct Elsewhere {
    pub(crate) named: Named,
    pub(crate) file: &'static str,
    pub(crate) words: &'static str,
    pub(crate) why: &'static str,
}

const fn elsewhere(
    named: Named,
    (file, words): (&'static str, &'static str),
    why: &'static str,
) -> Elsewhere {
    Elsewhere { named, file, words, why }
}

/// Pages that another test follows from their first block to their last, and where it says so.
pub(crate) const FOLLOWED: &[(&str, &str)] = &[
    ("docs/c-api.md", "tools/xtask/tests/install/main.rs"),
    ("docs/latency.md", LATENCY_TEST),
    ("docs/takeover-timers.md", "tools/tests/takeover_timers.rs"),
    ("docs/takeover.md", "rt-core/tests/role_table/flows.rs"),
];

const DEMO_TEST: &str = "tools/tests/demo.rs";
const LAB_TEST: &str = "latency-tests/tests/lab.rs";
const LATENCY_TEST: &str = "latency-tests/tests/latency_manual.rs";
/// Where commands are run that this test cannot build, in runs of a second.
const MEASURED: (&str, &str) = (LATENCY_TEST, "what_readme_and_the_manual_show_is_run");
const MEASURES_THERE: &str = "the program is in a package that this one cannot build";

pub(crate) const ELSEWHERE: &[Elsewhere] = &[
    elsewhere(
        (README, "cargo xtask demo"),
        (DEMO_TEST, "as_root_the_claim_holds_and_the_table_says_so"),
        "the program that it builds and starts is run there, in its short form",
    ),
    elsewhere(
        (README, "longest          round trip in µs"),
        (DEMO_TEST, "README.md"),
        "what the demo prints is compared there, but for its figures",
    ),
    elsewhere(
        (README, "sudo target/release/bumpless latency wakeup -D 40 --stress cpu,mem --max-us 200"),
        MEASURED,
        MEASURES_THERE,
    ),
    elsewhere(
        (
            MEASURES,
            "bumpless-latency wakeup -a 2,3 -D 24h --stress cpu,mem,net,disk --max-us 100 \
             --json day.json --junit day.xml",
        ),
        MEASURED,
        MEASURES_THERE,
    ),
    elsewhere(
        (
            MEASURES,
            "bumpless-latency heartbeat --lan-a eth1 --lan-b eth2 -i 1000 -D 1h \
             --json host-a.json",
        ),
        MEASURED,
        MEASURES_THERE,
    ),
    elsewhere(
        (MEASURES, "bumpless-latency derive host-a.json host-b.json --write jitter.toml"),
        MEASURED,
        MEASURES_THERE,
    ),
    elsewhere(
        (
            README,
            "wakeup · 40.0 s · every 1000.0 µs · SCHED_FIFO 80 · under load: cpu: stress-ng …",
        ),
        (README, "Here on a"),
        "shortened, and of one machine; latency_program.rs and latency_outputs.rs read such words",
    ),
    elsewhere(
        (README, "cargo xtask test"),
        (".ci/run", "cargo xtask test"),
        "it is what runs this test",
    ),
    elsewhere(
        (README, "cargo build --release"),
        ("tools/xtask/src/launch.rs", "\"--release\""),
        "minutes; cargo has built the same programs for this test, and for release `demo` does",
    ),
    elsewhere(
        (LAB, "cargo build -p latency-tests --bin bumpless-lab"),
        ("tools/tests/pages/lab.rs", "\"-p\", \"latency-tests\", \"--bin\""),
        "built there with the profile of the tests, where it is not there already",
    ),
    elsewhere(
        (LAB, RUN_MACHINE),
        (LAB_TEST, "run_script("),
        "boots a machine, which is done there; its words are looked at by this test",
    ),
    elsewhere(
        (LAB, BUILD_IMAGE),
        (LAB_TEST, "enter(test, &Machine"),
        "downloads a kernel, which is done there; its words are looked at by this test",
    ),
    elsewhere(
        (LAB, "use latency_tests::lab::{Machine, enter};"),
        (LAB_TEST, "assert!(inside.kernel_version().unwrap().contains(\"PREEMPT_RT\"));"),
        "a test, and the first one of that file",
    ),
    elsewhere(
        (LAB, "use latency_tests::lab::{Lab, LabError, Machine};"),
        ("latency-tests/src/lab/mod.rs", "docs/lab.md"),
        "compiled as a documentation test; latency-tests/lab_network drives such machines",
    ),
    elsewhere(
        (EBPF, "cargo xtask bpf                          build the objects (clang 14.0.6)"),
        ("tools/xtask/tests/bpf_objects.rs", "[\"bpf\", \"--check\"]"),
        "a table of commands: groups of `cargo xtask test`, and what the first of them compares",
    ),
    elsewhere(
        ("CONTRIBUTING.md", "prp/duplicate: accept when the residence time is over"),
        ("CONTRIBUTING.md", "## Commits"),
        "the words of a commit",
    ),
    elsewhere(
        (README, "out   application ─► prp0 ─► lre thread: sequence number, RCT ─┬─► LAN A"),
        (README, "## How frames flow"),
        "a drawing",
    ),
    elsewhere(
        ("docs/architecture.md", "┌──────────────┐"),
        ("docs/architecture.md", "## Crates"),
        "a drawing",
    ),
];

/// What `bumpless-lab` is asked to understand.
pub(crate) const RUN_MACHINE: &str = "target/debug/bumpless-lab run job.sh --cpus 4";
pub(crate) const BUILD_IMAGE: &str = "target/debug/bumpless-lab build";
