//! A folder with the library, the examples and a daemon of its own; whoever was started is ended.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// What every example is built with.
pub(crate) const FLAGS: &[&str] = &["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2"];

/// Every application of the examples with its region.
const APPLICATIONS: [(&str, &str); 4] =
    [("hello", "counter"), ("pid", "loop"), ("axis", "drive"), ("openplc", "retain")];

/// How long a program may take for what takes it milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);

/// The package of the library.
pub(crate) fn library_home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shm-replica")
}

/// The folder of the examples.
pub(crate) fn examples() -> PathBuf {
    library_home().join("examples/c")
}

pub(crate) struct Bench {
    folder: PathBuf,
}

impl Bench {
    pub(crate) fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("bumpless-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        // Cargo builds it for this test, into the folder that the test itself is in.
        let own = std::env::current_exe().unwrap();
        let built = own.parent().unwrap().join("libbumpless.so");
        assert!(built.exists(), "no {}: it is built with the package", built.display());
        for name in ["libbumpless.so", "libbumpless.so.0"] {
            std::os::unix::fs::symlink(&built, folder.join(name)).unwrap();
        }
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Builds an example; its path.
    pub(crate) fn build(&self, source: &str, more: &[&str]) -> PathBuf {
        let source = examples().join(source);
        let program = self.path(source.file_stem().unwrap().to_str().unwrap());
        let mut command = Command::new("cc");
        command.args(FLAGS).args(more).arg("-I").arg(library_home().join("include"));
        command.arg(&source).arg("-o").arg(&program).arg("-L").arg(&self.folder);
        command.args(["-lbumpless", "-lpthread"]);
        command.arg(format!("-Wl,-rpath,{}", self.folder.display()));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}\n{said}");
        program
    }

    /// Starts a daemon that serves all examples, with nothing kept from one before.
    pub(crate) fn daemon(&self) -> Daemon {
        let mut text = format!("name = \"c0\"\n[regions]\nstate_dir = {:?}\n", self.path("state"));
        for (application, region) in APPLICATIONS {
            text.push_str(&format!("[[application]]\nname = \"{application}\"\n"));
            text.push_str(&format!(
                "[[region]]\nname = \"{region}\"\napplication = \"{application}\"\n"
            ));
        }
        std::fs::write(self.path("regions.toml"), text).unwrap();
        for kept in ["state", "run"] {
            let _ = std::fs::remove_dir_all(self.path(kept));
        }
        self.daemon_again()
    }

    /// Starts the daemon as it was configured, with what the one before it left.
    pub(crate) fn daemon_again(&self) -> Daemon {
        let config = self.path("regions.toml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_bumplessd"));
        command.arg("--config").arg(config).arg("--runtime-dir").arg(self.path("run"));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Daemon { process: Started { child }, runtime_dir: self.path("run") }
    }

    /// Starts a program; what it prints goes to the files `name.out` and `name.err`.
    pub(crate) fn start(&self, name: &str, program: &Path, arguments: &[&str]) -> Started {
        let file = |kind| std::fs::File::create(self.path(&format!("{name}.{kind}"))).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).stdout(file("out")).stderr(file("err"));
        Started { child: command.spawn().unwrap() }
    }

    /// What a program has printed so far.
    pub(crate) fn said(&self, name: &str, kind: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.{kind}"))).unwrap()
    }

    /// Waits until a program has printed what `is_there` looks for.
    pub(crate) fn await_said(&self, name: &str, kind: &str, is_there: impl Fn(&str) -> bool) {
        let there = || is_there(&self.said(name, kind));
        assert!(comes(there), "{name}: {}{}", self.said(name, "out"), self.said(name, "err"));
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Whether something comes to be.
fn comes(is: impl Fn() -> bool) -> bool {
    let looks = PATIENCE.as_millis() / LOOK.as_millis();
    (0..looks).any(|_| {
        let is = is();
        if !is {
            std::thread::sleep(LOOK);
        }
        is
    })
}

/// A process that ends with this.
pub(crate) struct Started {
    child: Child,
}

impl Started {
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ends(&mut self) -> ExitStatus {
        for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(LOOK);
        }
        panic!("process {} does not end", self.child.id());
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Daemon {
    process: Started,
    runtime_dir: PathBuf,
}

impl Daemon {
    /// Waits until a process of an application is the active one: the first that the daemon hears
    /// of, and of two that are started at once that may be either.
    pub(crate) fn await_active(&self, application: &str, process: &Started) {
        let pid = u64::from(process.child.id());
        let is_active = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_bumpless"));
            command.args(["status", "--json", "--runtime-dir", self.runtime_dir()]);
            let said: serde_json::Value =
                serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
            let all = said["applications"].as_array().unwrap().iter();
            let mut ours = all.filter(|it| it["name"] == application);
            ours.any(|it| it["active"]["pid"] == pid)
        };
        assert!(comes(is_active), "process {pid} is not active for {application}");
    }

    pub(crate) fn runtime_dir(&self) -> &str {
        self.runtime_dir.to_str().unwrap()
    }

    pub(crate) fn kill(mut self) {
        self.process.kill();
    }
}
