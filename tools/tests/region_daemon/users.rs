//! Who may do what, and a daemon of an ordinary user.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use tools::netlab::Process;

use crate::bench::{Bench, DAEMON, NOBODY, PATIENCE, as_nobody, is_root, operator, outcome};
use crate::participant::{self, says};

/// Copies of programs that every user may run.
pub(crate) fn for_all(bench: &Bench, program: &str) -> PathBuf {
    let folder = bench.scratch.path();
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    let name = std::path::Path::new(program).file_name().unwrap();
    let copy = folder.join(name);
    if !copy.exists() {
        // By another process: a file that this one has open for writing a child of another test
        // would have open too, and it could not be run.
        let copied = Command::new("cp").arg(program).arg(&copy).status().unwrap();
        assert!(copied.success());
        fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
    }
    copy
}

fn participant_of_nobody(bench: &Bench) -> Process {
    let own = std::env::current_exe().unwrap();
    let mut command = participant::command(&for_all(bench, own.to_str().unwrap()), &bench.folder());
    as_nobody(&mut command);
    Process::spawn("nobody's", command).unwrap()
}

#[test]
fn who_has_no_right_is_refused_and_who_may_read_does_not_write() {
    if !is_root("who_has_no_right_is_refused_and_who_may_read_does_not_write") {
        return;
    }
    let dump = |bench: &Bench| {
        let program = for_all(bench, env!("CARGO_BIN_EXE_bumpless"));
        let mut command = Command::new(program);
        command.args(operator(&bench.folder(), "region dump plant").get_args());
        outcome(&as_nobody(&mut command).output().unwrap())
    };
    let mut bench = Bench::running();
    let owner = participant::start("root's", &bench.folder());
    says(&owner, "ACTIVE 1");
    let refused = says(&participant_of_nobody(&bench), "refused: ");
    assert!(refused.contains("neither write nor read"), "{refused}");
    let (code, _, err) = dump(&bench);
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("read = [...]"), "{err}");

    for (rights, may_write) in [
        (format!("read = [{NOBODY}]"), false),
        ("read = ['@nogroup']".to_owned(), false),
        ("write = ['nobody']".to_owned(), true),
    ] {
        bench.kill();
        bench.configure(&rights, "");
        bench.start();
        crate::bench::wait_until("the owner", || bench.region()["commits"].as_u64() > Some(0));
        let other = participant_of_nobody(&bench);
        if may_write {
            says(&other, "STANDBY 1");
        } else {
            let (code, out, err) = dump(&bench);
            assert_eq!(code, Some(0), "{rights}: {err}");
            assert!(out.contains("cycle = "), "{out}");
            let refused = says(&other, "refused: ");
            assert!(refused.contains("plant") && refused.contains("may not"), "{refused}");
            assert!(bench.event_kinds().iter().any(|kind| kind == "participant_refused"));
        }
    }
}

#[test]
fn who_may_ask_may_not_order() {
    if !is_root("who_may_ask_may_not_order") {
        return;
    }
    let bench = Bench::new("", "");
    let group = nix::unistd::Group::from_name("nogroup").unwrap();
    let Some(group) = group.filter(|group| group.gid.as_raw() == NOBODY) else {
        println!("SKIP: who_may_ask_may_not_order: a group nogroup of the number {NOBODY}");
        return;
    };
    let text = fs::read_to_string(bench.config()).unwrap();
    fs::write(bench.config(), format!("socket_group = '{}'\n{text}", group.name)).unwrap();
    let mut bench = bench;
    bench.start();
    let program = for_all(&bench, env!("CARGO_BIN_EXE_bumpless"));
    let as_operator = |arguments: &str| {
        let mut command = Command::new(&program);
        command.args(operator(&bench.folder(), arguments).get_args());
        outcome(&as_nobody(&mut command).output().unwrap())
    };
    assert_eq!(as_operator("status").0, Some(0));
    let (code, _, err) = as_operator("switchover --force");
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("only root") && err.contains("run as root"), "{err}");
}

#[test]
fn an_ordinary_user_runs_it_without_any_privilege() {
    if !is_root("an_ordinary_user_runs_it_without_any_privilege") {
        return;
    }
    let bench = Bench::new("", "");
    let program = for_all(&bench, DAEMON);
    let home = bench.scratch.path().join("home");
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    let folder = home.join("run");
    let daemon = || {
        let mut command = Command::new(&program);
        command.arg("--config").arg(bench.config()).arg("--runtime-dir").arg(&folder);
        as_nobody(&mut command);
        Process::spawn_ready("nobody's bumplessd", command, PATIENCE).unwrap()
    };
    let first = daemon();
    let own = std::env::current_exe().unwrap();
    let mut command = participant::command(&for_all(&bench, own.to_str().unwrap()), &folder);
    let controller = Process::spawn("nobody's", {
        as_nobody(&mut command);
        command
    })
    .unwrap();
    says(&controller, "ACTIVE 1");
    first.kill().unwrap();
    // What it left is replaced, and what it knew is known.
    let second = daemon();
    let status = operator(&folder, "status --json").output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["applications"][0]["epoch"], 1);
    assert_eq!(status["degraded"], serde_json::json!([]));
    assert!(status["protocol"].is_null());
    let third = {
        let mut command = Command::new(&program);
        command.arg("--config").arg(bench.config()).arg("--runtime-dir").arg(&folder);
        as_nobody(&mut command);
        Process::spawn("a second one", command).unwrap().finish(PATIENCE).unwrap()
    };
    assert_eq!(third.status.code(), Some(1), "{third:?}");
    drop(controller);
    let ended = second.stop().unwrap();
    assert_eq!((ended.status.code(), ended.out.as_str()), (Some(0), "ready\n"), "{ended:?}");
    let mut left: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["owners", "state"]);
}
