//! A daemon with one application and one region, in a folder of the test's own.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use rt_core::os::clock::{self, MonotonicClock};
use serde_json::Value;
use tools::netlab::{Ended, Process, Scratch};

/// Longer than anything here takes on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// A user that has no more rights than others.
pub(crate) const NOBODY: u32 = 65_534;

pub(crate) const DAEMON: &str = env!("CARGO_BIN_EXE_bumplessd");
const COMMAND: &str = env!("CARGO_BIN_EXE_bumpless");

/// The folder, and the daemon in it.
pub(crate) struct Bench {
    pub(crate) daemon: Option<Process>,
    pub(crate) scratch: Scratch,
}

impl Bench {
    /// A configuration with `region` in the region's table and `rest` behind it; no daemon yet.
    pub(crate) fn new(region: &str, rest: &str) -> Self {
        let scratch = Scratch::new().unwrap();
        let bench = Self { daemon: None, scratch };
        bench.configure(region, rest);
        bench
    }

    /// The same with a daemon.
    pub(crate) fn running() -> Self {
        let mut bench = Self::new("", "");
        bench.start();
        bench
    }

    pub(crate) fn configure(&self, region: &str, rest: &str) {
        let text = format!(
            "name = 'plc0'\n[[application]]\nname = 'plc'\n[[region]]\nname = 'plant'\n\
             application = 'plc'\n{region}\n{rest}\n"
        );
        fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.scratch.path().join("plc0.toml")
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.scratch.path().join("run")
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(DAEMON);
        command.arg("--config").arg(self.config()).arg("--runtime-dir").arg(self.folder());
        command.env_remove("NOTIFY_SOCKET");
        command
    }

    pub(crate) fn start(&mut self) {
        let daemon = Process::spawn_ready("bumplessd", self.command(), PATIENCE).unwrap();
        self.daemon = Some(daemon);
    }

    pub(crate) fn kill(&mut self) {
        self.daemon.take().unwrap().kill().unwrap();
    }

    /// Lets a daemon that should be refused run to its end.
    pub(crate) fn refused(&self) -> Ended {
        Process::spawn("a daemon to be refused", self.command()).unwrap().finish(PATIENCE).unwrap()
    }

    /// The operator's command.
    pub(crate) fn bumpless(&self, arguments: &str) -> Output {
        operator(&self.folder(), arguments).output().unwrap()
    }

    pub(crate) fn json(&self, arguments: &str) -> Value {
        let output = self.bumpless(&format!("{arguments} --json"));
        assert!(output.status.success(), "{arguments}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The application, as the daemon shows it.
    pub(crate) fn application(&self) -> Value {
        self.json("status")["applications"][0].clone()
    }

    /// The only region.
    pub(crate) fn region(&self) -> Value {
        self.json("status")["regions"][0].clone()
    }

    pub(crate) fn event_kinds(&self) -> Vec<String> {
        let events = self.json("events");
        let kinds = events["events"].as_array().unwrap().iter();
        kinds.map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
    }

    /// What a failed test prints.
    pub(crate) fn log(&self) -> String {
        self.daemon.as_ref().map(Process::err).unwrap_or_default()
    }
}

/// Checks a document against its published schema.
#[track_caller]
pub(crate) fn check_schema(name: &str, document: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema").join(name);
    let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource(name, schema).unwrap();
    let index = compiler.compile(name, &mut schemas).unwrap();
    if let Err(error) = schemas.validate(document, index) {
        panic!("{name}: {error:#}");
    }
}

/// The operator's command for a daemon.
pub(crate) fn operator(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(COMMAND);
    command.args(arguments.split_whitespace()).arg("--runtime-dir").arg(folder);
    command
}

/// Code, stdout and stderr.
pub(crate) fn outcome(output: &Output) -> (Option<i32>, String, String) {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Asks again and again until it is so, a bounded time.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = MonotonicClock::now() + rt_core::time::Duration::from_secs(PATIENCE.as_secs());
    while !is_so() {
        assert!(MonotonicClock::now() < end, "waited for {what}");
        clock::sleep_until(MonotonicClock::now() + rt_core::time::Duration::from_millis(10));
    }
}

/// Whether this process may become another user; says so when the test has to be skipped.
pub(crate) fn is_root(test: &str) -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        println!("SKIP: {test}: root, to become another user");
    }
    is_root
}

/// Lets a command run as an ordinary user.
pub(crate) fn as_nobody(command: &mut Command) -> &mut Command {
    command.uid(NOBODY).gid(NOBODY)
}
