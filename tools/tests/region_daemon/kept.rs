//! The service manager's descriptor store, with the test in the place of the service manager.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};
use serde_json::json;
use tools::netlab::Process;

use crate::bench::{Bench, DAEMON, PATIENCE, outcome, wait_until};
use crate::participant::{says, start};

/// What it was told to keep.
struct Manager {
    socket: UnixDatagram,
    kept: BTreeMap<String, File>,
    is_ready: bool,
}

impl Manager {
    fn new(bench: &Bench) -> Self {
        let socket = UnixDatagram::bind(bench.scratch.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, kept: BTreeMap::new(), is_ready: false }
    }

    /// Hears all that was said.
    fn hear(&mut self) {
        loop {
            let mut octets = [0; 4_096];
            let mut beside = nix::cmsg_space!([RawFd; 4]);
            let mut pieces = [IoSliceMut::new(&mut octets)];
            let socket = self.socket.as_raw_fd();
            let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
            let came = recvmsg::<UnixAddr>(socket, &mut pieces, Some(&mut beside), flags);
            let Ok(came) = came else { return };
            let files: Vec<RawFd> = came
                .cmsgs()
                .unwrap()
                .filter_map(|message| match message {
                    ControlMessageOwned::ScmRights(files) => Some(files),
                    _ => None,
                })
                .flatten()
                .collect();
            let length = came.bytes;
            let text = String::from_utf8(octets[..length].to_vec()).unwrap();
            let name =
                text.lines().find_map(|line| line.strip_prefix("FDNAME=")).map(str::to_owned);
            self.is_ready |= text.lines().any(|line| line == "READY=1");
            if text.lines().any(|line| line == "FDSTORE=1") {
                let [file] = files[..] else { panic!("{text}: {files:?}") };
                self.kept.insert(name.unwrap(), owned(file));
            } else if text.lines().any(|line| line == "FDSTOREREMOVE=1") {
                self.kept.remove(&name.unwrap());
            }
        }
    }

    #[track_caller]
    fn keeps(&mut self, names: &[&str]) {
        wait_until(&format!("{names:?} to be kept"), || {
            self.hear();
            self.kept.keys().eq(names.iter().copied())
        });
    }
}

/// The file behind a descriptor that came as a number.
fn owned(descriptor: RawFd) -> File {
    let path = format!("/proc/self/fd/{descriptor}");
    let file = File::options().read(true).write(true).open(path).unwrap();
    nix::unistd::close(descriptor).unwrap();
    file
}

#[test]
fn the_last_image_outlives_all_processes_in_the_descriptor_store() {
    let mut bench = Bench::new("", "");
    let mut manager = Manager::new(&bench);
    let notify = bench.scratch.path().join("notify");
    let mut command = bench.command();
    command.env("NOTIFY_SOCKET", &notify);
    bench.daemon = Some(Process::spawn_ready("bumplessd", command, PATIENCE).unwrap());
    let (first, second) = (start("first", &bench.folder()), start("second", &bench.folder()));
    wait_until("commits that are followed", || {
        let region = bench.region();
        region["in_sync"] == true && region["commits"].as_u64() > Some(10)
    });
    manager.keeps(&["region-plant-1"]);
    assert!(manager.is_ready);
    bench.json("switchover --force");
    manager.keeps(&["region-plant-2"]);
    wait_until("commits in epoch 2", || {
        let region = bench.region();
        region["epoch"] == 2 && region["commits"].as_u64() > Some(10)
    });
    first.kill().unwrap();
    second.kill().unwrap();
    // Whoever stood by may have taken over for a moment; nobody is there by now.
    wait_until("their ends", || {
        bench.application()["standbys"] == json!([]) && bench.region()["writer_pid"].is_null()
    });
    let epoch = bench.application()["epoch"].as_u64().unwrap();
    manager.hear();
    // The one in force, and where it has no commit the one before it.
    let kept = std::mem::take(&mut manager.kept);
    assert!(kept.contains_key(&format!("region-plant-{}", bench.region()["epoch"])), "{kept:?}");
    bench.kill();

    // Behind them one that is not ours.
    let mut descriptors = String::new();
    let mut names = String::new();
    for (number, (name, file)) in (3..).zip(&kept) {
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        descriptors += &format!("{number}<>{path} ");
        names += &format!("{name}:");
    }
    let count = kept.len() + 1;
    let script = format!(
        "exec {descriptors} {}</dev/null; LISTEN_PID=$$ LISTEN_FDS={count} \
         LISTEN_FDNAMES={names}stray exec \"$0\" \"$@\"",
        3 + kept.len()
    );
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(DAEMON);
    command.arg("--config").arg(bench.config()).arg("--runtime-dir").arg(bench.folder());
    command.env("NOTIFY_SOCKET", &notify);
    bench.daemon = Some(Process::spawn_ready("bumplessd", command, PATIENCE).unwrap());
    manager.kept = kept;
    let (code, out, err) = outcome(&bench.bumpless("region dump plant"));
    assert_eq!(code, Some(0), "{err} {}", bench.log());
    assert!(out.contains("cycle = "), "{out}");
    let is_told = |line: &str| line.contains("\"stray\" is none of ours");
    assert!(bench.daemon.as_ref().unwrap().wait_err(is_told, PATIENCE).is_some(), "not told");
    let region = bench.region();
    assert!(region["writer_pid"].is_null() && region["cycle"].as_u64() > Some(10), "{region}");
    // A cold standby goes on from there.
    let third = start("third", &bench.folder());
    let said = says(&third, "ACTIVE ");
    assert!(said.starts_with(&format!("ACTIVE {} from ", epoch + 1)), "{said}");
    assert!(!said.contains("Nothing"), "{said}");
    manager.keeps(&[&format!("region-plant-{}", epoch + 1)]);
}
