//! A host for the commands of a page: namespaces of its own for the network and for folders, with
//! LAN interfaces `eth1` and `eth2`, and `/etc`, `/run` and `/var/lib` that nobody else has.
//!
//! A page speaks to somebody who is at home in a clone of the repository and is an ordinary user:
//! `target/release` leads to the programs that the tests are run with, and `sudo` starts what it is
//! given, because the test is root already.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tools::netlab::{Ended, Process, Scratch};
use tools::os::parent::end_with_parent;

/// Longer than anything here takes on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const PROGRAMS: [&str; 2] = ["bumpless", "bumplessd"];

/// Makes the folders and the interfaces; the first argument is the scratch folder.
const SETTLE: &str = r#"
set -e
mount -t sysfs sysfs /sys
mount --bind "$1/etc" /etc
mount -t tmpfs -o mode=0755 tmpfs /var/lib
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir /run/bumpless
ip link set lo up
for n in 1 2; do
    ip link add eth$n type veth peer name far$n
    ip link set eth$n up
    # What is at the far end is to be silent until a daemon takes it.
    ipv6=/proc/sys/net/ipv6/conf/far$n/disable_ipv6
    if [ -e $ipv6 ]; then echo 1 > $ipv6; fi
    ip link set far$n up
done
echo ready
exec sleep 600
"#;

pub(crate) struct Host {
    // Ends first: the namespaces go with it.
    holder: Process,
    scratch: Scratch,
}

/// Whether this process may make namespaces; says so where a test has to be skipped.
pub(crate) fn is_root(test: &str) -> bool {
    let is = nix::unistd::geteuid().is_root();
    if !is {
        println!("SKIP: {test}: root: daemons with namespaces and folders of their own");
    }
    is
}

impl Host {
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path();
        for folder in ["etc/bumpless", "bin", "work/target"] {
            fs::create_dir_all(path.join(folder)).unwrap();
        }
        for file in ["passwd", "group", "nsswitch.conf", "ld.so.cache"] {
            // What is not there is not missed by the programs of this machine.
            let _ = fs::copy(Path::new("/etc").join(file), path.join("etc").join(file));
        }
        let built = Path::new(env!("CARGO_BIN_EXE_bumpless")).parent().unwrap();
        symlink(built, path.join("work/target/release")).unwrap();
        for program in PROGRAMS {
            symlink(built.join(program), path.join("bin").join(program)).unwrap();
        }
        let sudo = path.join("bin/sudo");
        fs::write(&sudo, "#!/bin/sh\nexec \"$@\"\n").unwrap();
        fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new("unshare");
        command.args([
            "--net",
            "--mount",
            "--propagation",
            "private",
            "bash",
            "-c",
            SETTLE,
            "bash",
        ]);
        command.arg(path);
        end_with_parent(&mut command);
        let holder = Process::spawn_ready("a host of its own", command, PATIENCE).unwrap();
        Self { holder, scratch }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// A file in there, as seen from outside.
    pub(crate) fn inside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.holder.id()))
    }

    /// Adds lines to a file of its `/etc`, or makes it.
    pub(crate) fn add_to(&self, name: &str, lines: &str) {
        let path = self.path("etc").join(name);
        let before = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, before + lines).unwrap();
    }

    /// A program in there.
    pub(crate) fn program(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--mount", "--target", &self.holder.id().to_string()]);
        command.arg(format!("--wd={}", self.path("work").display()));
        command.arg("--").arg(program).args(arguments);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.path("bin").display()));
        command.env_remove("NOTIFY_SOCKET");
        end_with_parent(&mut command);
        command
    }

    /// Starts a command that goes on until it is ended.
    pub(crate) fn start(&self, command: &str) -> Process {
        Process::spawn(command, self.program("bash", &["-c", command])).unwrap()
    }

    /// Starts a command that is a daemon, and waits until it says `ready`.
    pub(crate) fn start_ready(&self, command: &str) -> Process {
        let program = self.program("bash", &["-c", command]);
        Process::spawn_ready(command, program, PATIENCE).unwrap()
    }

    /// Runs a command of a page, or one that sets the scene for it: it ends well and complains of
    /// nothing. What it printed. (Of a pipe that is the status of the last program, as for a
    /// reader: `doctor` ends with 1 where it has findings.)
    #[track_caller]
    pub(crate) fn run(&self, command: &str) -> String {
        let Ended { status, out, err } = self.start(command).finish(PATIENCE).unwrap();
        assert!(status.success() && err.is_empty(), "{command}: {status}\n{out}{err}");
        out
    }

    /// What a command comes to print that is run again and again.
    #[track_caller]
    pub(crate) fn await_run(&self, command: &str, is_it: impl Fn(&str) -> bool) -> String {
        const LOOKS: u32 = 600;
        let mut said = String::new();
        for _ in 0..LOOKS {
            said = self.run(command);
            if is_it(&said) {
                return said;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{command}: {said}");
    }
}

/// Ends a daemon as its manual says: by SIGTERM, with 0.
#[track_caller]
pub(crate) fn stop(daemon: Process) {
    let name = daemon.name().to_owned();
    let ended = daemon.stop().unwrap();
    assert!(ended.status.success(), "{name}: {}\n{}", ended.status, ended.err);
}

/// Ends a command as Ctrl-C does.
#[track_caller]
pub(crate) fn interrupt(mut process: Process) -> Ended {
    process.signal(Signal::SIGINT).unwrap();
    process.finish(PATIENCE).unwrap()
}
