//! Regions beside the frames: the daemon of a node keeps both.

use std::fs;
use std::process::Command;

use prp::os::netns::NetNs;
use serde_json::json;
use tools::netlab::{Net, Plan, PortPlan, Process, Programs};

use crate::bench::{Bench, DAEMON, PATIENCE, wait_until};
use crate::participant::{says, start};

#[test]
fn a_node_on_two_lans_keeps_regions_too() {
    if let Err(error) = NetNs::create() {
        println!("SKIP: a_node_on_two_lans_keeps_regions_too: {error}");
        return;
    }
    let ports = [PortPlan::new("lan_a", "a"), PortPlan::new("lan_b", "b")];
    let plan = Plan::with_lans(["a", "b"]).host("n1", ports);
    let net = Net::build(&plan, &Programs::find(&[]).unwrap(), 1).unwrap();
    let mut bench = Bench::new("", "");
    let text = fs::read_to_string(bench.config()).unwrap();
    let lans = "protocol = 'prp'\nlan_a = 'lan_a'\nlan_b = 'lan_b'\n";
    fs::write(bench.config(), format!("{lans}{text}")).unwrap();
    let run = || {
        let mut command: Command = net.host("n1").unwrap().command(DAEMON).unwrap();
        command.arg("--config").arg(bench.config()).arg("--runtime-dir").arg(bench.folder());
        command.arg("--allow-non-rt").env("BUMPLESS_ALLOCATION_TRAP", "abort");
        Process::spawn_ready("bumplessd", command, PATIENCE).unwrap()
    };
    let daemon = run();
    let (first, second) = (start("first", &bench.folder()), start("second", &bench.folder()));
    wait_until("a pair", || bench.region()["in_sync"] == true);
    let status = bench.json("status");
    assert_eq!((&status["protocol"], &status["ports"]["a"]["link"]), (&json!("prp"), &json!("up")));
    assert_eq!(status["rt_allocations"], 0);
    // Which of both was the first is theirs.
    let active = |bench: &Bench| bench.application()["active"]["pid"].clone();
    let (owner, other) =
        if active(&bench) == first.id() { (first, second) } else { (second, first) };
    daemon.kill().unwrap();
    let daemon = run();
    wait_until("the owner", || active(&bench) == owner.id());
    assert_eq!(bench.application()["epoch"], 1);
    assert_eq!(bench.json("switchover --force")["pid"], other.id());
    says(&other, "ACTIVE 2 from ");
    other.kill().unwrap();
    says(&owner, "ACTIVE 3 from ");
    assert!(bench.json("nodes").as_array().unwrap().is_empty());
    let ended = daemon.stop().unwrap();
    assert_eq!((ended.status.code(), ended.out.as_str()), (Some(0), "ready\n"), "{ended:?}");
    bench.daemon = None;
}
