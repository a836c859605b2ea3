//! The service manager's descriptor store, with the test in the place of the service manager.

use std::fs::File;
use std::path::Path;

use serde_json::json;
use tools::netlab::Process;
use tools::os::store::DescriptorStore;

use crate::bench::{Bench, DAEMON, PATIENCE, outcome, wait_until};
use crate::participant::{says, start};

#[track_caller]
fn keeps(manager: &mut DescriptorStore, name: &str) {
    wait_until(&format!("{name} to be kept, and nothing else"), || {
        manager.hear().unwrap();
        manager.names().eq([name])
    });
}

fn start_under(manager: &DescriptorStore, bench: &mut Bench) {
    let mut command = manager.command(Path::new(DAEMON));
    command.arg("--config").arg(bench.config()).arg("--runtime-dir").arg(bench.folder());
    bench.daemon = Some(Process::spawn_ready("bumplessd", command, PATIENCE).unwrap());
}

#[test]
fn the_last_image_outlives_all_processes_in_the_descriptor_store() {
    let mut bench = Bench::new("", "");
    let mut manager = DescriptorStore::bind(&bench.scratch.path().join("notify")).unwrap();
    start_under(&manager, &mut bench);
    let (first, second) = (start("first", &bench.folder()), start("second", &bench.folder()));
    wait_until("commits that are followed", || {
        let region = bench.region();
        region["in_sync"] == true && region["commits"].as_u64() > Some(10)
    });
    keeps(&mut manager, "regions-plc-1");
    assert!(manager.is_ready());
    bench.json("switchover --force");
    keeps(&mut manager, "regions-plc-2");
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
    manager.hear().unwrap();
    // The one in force, and where it has no commit the one before it.
    let newest = format!("regions-plc-{}", bench.region()["epoch"]);
    assert!(manager.names().any(|name| name == newest), "{manager:?}");
    bench.kill();

    // Among them one that is not ours.
    manager.keep("stray", File::open("/dev/null").unwrap().into()).unwrap();
    start_under(&manager, &mut bench);
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
    let newest = format!("regions-plc-{}", epoch + 1);
    wait_until("the new owner's segment to be kept", || {
        manager.hear().unwrap();
        manager.names().eq(["stray", &newest])
    });
}
