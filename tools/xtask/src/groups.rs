//! The groups that the tests run in.
//!
//! A group is one call of `cargo test`. Unit tests of all packages are one, documentation tests are
//! one, and every integration test (`PACKAGE/tests/NAME.rs` or `PACKAGE/tests/NAME/main.rs`) is one
//! of its own: these start daemons, pin threads and load the machine, so they run one after the
//! other. They are found on disk; a new test file needs no entry anywhere. The tables below hold
//! only what differs from the rule.

use std::time::Duration;

use crate::Failure;
use crate::tidy::source::{Source, words};
use crate::workspace::{PROFILE, Workspace};

/// How long a group may take in `cargo xtask test`. Twice what the slowest should need on two
/// cores: what hangs is ended, what is slow is seen in the table.
pub(crate) const LIMIT: Duration = Duration::from_secs(20 * 60);

/// Groups whose tests may run beside each other, with the number of threads. Every other
/// integration test runs with one.
const THREADS: &[(&str, usize)] = &[];

/// Debian packages that groups need beyond a Rust toolchain and its linker.
pub(crate) const PACKAGES: &[Need] = &[
    Need { group: "prp/lan_claim", packages: &["iproute2"] },
    Need { group: "prp/port_conformance", packages: &["iproute2"] },
    Need { group: "shm-replica/c_abi", packages: &["gcc", "g++", "libc6-dev", "binutils"] },
    Need { group: "shm-replica/c_abi", packages: &["python3", "python3-numpy"] },
    Need { group: "tools/c_examples", packages: &["gcc", "libc6-dev"] },
    Need { group: "tools/pages", packages: &["iproute2", "jq"] },
    Need { group: "tools/xtask/install", packages: &["gcc", "libc6-dev", "pkg-config", "python3"] },
    Need { group: "latency-tests/daemon_faults", packages: &["iproute2"] },
    Need { group: "latency-tests/daemon_xdp", packages: &["iproute2"] },
    Need { group: "latency-tests/bench_smoke", packages: &["iproute2"] },
    Need { group: "latency-tests/hot_plug", packages: &["iproute2"] },
    Need { group: "latency-tests/interface_life", packages: &["iproute2"] },
    Need { group: "latency-tests/latency_agreement", packages: &["rt-tests"] },
    Need { group: "latency-tests/latency_heartbeat", packages: &["iproute2"] },
    Need { group: "latency-tests/latency_outputs", packages: &["python3", "python3-venv"] },
    Need { group: "latency-tests/latency_agreement", packages: LAB },
    Need { group: "latency-tests/latency_stall", packages: &["rt-tests"] },
    Need { group: "latency-tests/latency_stall", packages: LAB },
    Need { group: "latency-tests/latency_stress", packages: &["stress-ng"] },
    Need { group: "latency-tests/latency_page", packages: &["chromium"] },
    Need { group: "latency-tests/lab", packages: LAB },
    Need { group: "latency-tests/lab_network", packages: LAB },
    Need { group: "latency-tests/instruction_cost", packages: LAB },
    Need { group: "latency-tests/card_models", packages: LAB },
    Need { group: "latency-tests/card_models", packages: &["ethtool"] },
    Need { group: "latency-tests/machines", packages: LAB },
    Need { group: "latency-tests/rt_machine", packages: LAB },
    Need { group: "latency-tests/rt_machine", packages: &["rt-tests", "util-linux"] },
    Need { group: "latency-tests/suspend", packages: LAB },
    Need { group: "latency-tests/ebpf_kernels", packages: LAB },
    Need { group: "tools/xtask/bpf_objects", packages: &["clang-14", "llvm-14"] },
    Need { group: "latency-tests/interop", packages: LAB },
];

/// What lab machines are made of, and what is run in them.
const LAB: &[&str] =
    &["qemu-system-x86", "busybox-static", "kmod", "xz-utils", "iproute2", "iputils-ping"];

/// Debian packages that a group needs.
#[derive(Debug)]
pub(crate) struct Need {
    /// The group's name.
    pub(crate) group: &'static str,
    /// The packages' names.
    pub(crate) packages: &'static [&'static str],
}

/// What a group runs.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    Unit,
    Documentation,
    Integration(String),
}

/// One call of `cargo test`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Group {
    /// `unit`, `doc`, or `PACKAGE/TEST`.
    pub(crate) name: String,
    kind: Kind,
    /// Whether its sources speak of `soak`: then it has a long form.
    pub(crate) soakable: bool,
}

impl Group {
    /// Whether a user who typed `name` means this group.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name || matches!(&self.kind, Kind::Integration(test) if test == name)
    }

    /// Whether a run without a single test is a defect.
    pub(crate) fn must_hold_tests(&self) -> bool {
        self.kind != Kind::Documentation
    }

    /// The arguments for cargo. Always the whole workspace, so that the features of shared
    /// dependencies are those of the one build before and nothing is built twice.
    pub(crate) fn cargo_arguments(&self) -> Vec<String> {
        let mut arguments = vec!["test", "--workspace", "--profile", PROFILE, "--no-fail-fast"];
        let threads;
        match &self.kind {
            Kind::Unit => arguments.extend(["--lib", "--bins", "--", "--show-output"]),
            Kind::Documentation => arguments.extend(["--doc", "--", "--show-output"]),
            // Not captured: what a test printed before it hung or was killed is what one needs.
            Kind::Integration(test) => {
                threads = threads_of(&self.name).to_string();
                arguments.extend(["--test", test, "--", "--nocapture", "--test-threads", &threads]);
            }
        }
        arguments.into_iter().map(str::to_owned).collect()
    }
}

fn threads_of(group: &str) -> usize {
    THREADS.iter().find(|(name, _)| *name == group).map_or(1, |&(_, threads)| threads)
}

/// Every group of the workspace, in the order in which they run.
pub(crate) fn discover(workspace: &Workspace) -> Result<Vec<Group>, Failure> {
    let files = workspace.files()?;
    let members = workspace.members()?;
    let mut groups = vec![
        Group { name: "unit".into(), kind: Kind::Unit, soakable: false },
        Group { name: "doc".into(), kind: Kind::Documentation, soakable: false },
    ];
    for file in &files {
        let Some((member, test)) = integration_test(file, &members) else { continue };
        if groups.iter().any(|g| g.is_called(test)) {
            return Err(Failure::Cannot(format!(
                "{file}: another integration test is called `{test}` too; cargo cannot run one of \
                 them alone"
            )));
        }
        let folder = format!("{member}/tests/{test}");
        let mut soakable = false;
        for part in files.iter().filter(|f| *f == file || f.starts_with(&format!("{folder}/"))) {
            soakable |= part.ends_with(".rs") && speaks_of_soak(&workspace.read(part)?);
        }
        groups.push(Group {
            name: format!("{member}/{test}"),
            kind: Kind::Integration(test.to_owned()),
            soakable,
        });
    }
    if let Some(unit) = groups.first_mut() {
        for file in &files {
            let member = members.iter().any(|m| file.starts_with(&format!("{m}/src/")));
            if member && file.ends_with(".rs") && !file.starts_with("tools/xtask/") {
                unit.soakable |= speaks_of_soak(&workspace.read(file)?);
            }
        }
    }
    Ok(groups)
}

/// The member and the name of the integration test whose root is `file`.
fn integration_test<'a>(file: &'a str, members: &'a [String]) -> Option<(&'a str, &'a str)> {
    let (member, below) = file.split_once("/tests/")?;
    let member = members.iter().find(|m| *m == member)?;
    let stem = below.strip_suffix(".rs")?;
    let test = stem.strip_suffix("/main").unwrap_or(stem);
    (!test.contains('/')).then_some((member, test))
}

/// Whether the code itself (not its comments) reads `BUMPLESS_SOAK` or calls something named so.
fn speaks_of_soak(text: &str) -> bool {
    text.contains("\"BUMPLESS_SOAK\"")
        || words(&Source::split(text).code).any(|w| w.to_ascii_lowercase().contains("soak"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integration_tests_are_found_by_their_place() {
        let members = ["prp".to_owned(), "tools".to_owned(), "tools/xtask".to_owned()];
        let found = |file| integration_test(file, &members);
        assert_eq!(found("prp/tests/discard.rs"), Some(("prp", "discard")));
        assert_eq!(found("tools/tests/matrix/main.rs"), Some(("tools", "matrix")));
        assert_eq!(found("prp/tests/common/mod.rs"), None);
        assert_eq!(found("prp/src/tests/discard.rs"), None);
        assert_eq!(found("elsewhere/tests/discard.rs"), None);
    }

    #[test]
    fn a_long_form_announces_itself() {
        assert!(speaks_of_soak("let long = env::var_os(\"BUMPLESS_SOAK\").is_some();"));
        assert!(speaks_of_soak("let n = soak::frames(1_000);"));
        assert!(!speaks_of_soak("// No soak here.\nlet n = 1_000;"));
    }

    #[test]
    fn the_tables_name_groups_that_exist() {
        let groups = discover(&Workspace::find().unwrap()).unwrap();
        let named = THREADS.iter().map(|(g, _)| *g).chain(PACKAGES.iter().map(|need| need.group));
        for name in named {
            assert!(groups.iter().any(|g| g.name == name), "{name}");
        }
    }
}
