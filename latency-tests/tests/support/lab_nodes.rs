//! Three machines of the lab as PRP nodes: two with `bumplessd`, one with the kernel's driver.
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::fs;

use latency_tests::lab::{Background, Lab};
use serde_json::Value;
use tools::netlab::Programs;

/// The number of the node with the kernel's driver.
pub(crate) const KERNELS: usize = 3;

/// Where a program of the project's lies.
pub(crate) fn program(name: &'static str) -> String {
    let programs = Programs::find(&[name]).unwrap();
    programs.path(name).unwrap().to_str().unwrap().to_owned()
}

/// Of a node on its `prp0`.
pub(crate) fn address(node: usize) -> String {
    format!("10.70.0.{node}")
}

/// Starts `bumplessd` on a node, with `more` in its configuration, and settles it.
pub(crate) fn start(lab: &Lab, n: usize, more: &str) -> Background {
    let config = "name = 'prp0'\nprotocol = 'prp'\nlan_a = 'lan_a'\nlan_b = 'lan_b'\n";
    fs::write(lab.node(n).results().join("prp0.toml"), format!("{config}{more}")).unwrap();
    let options = "--config /run/out/prp0.toml --runtime-dir /run/bumpless";
    let daemon = program("bumplessd");
    let mut command = vec![daemon.as_str()];
    command.extend(options.split_whitespace());
    // No --allow-non-rt: a PREEMPT_RT kernel and root have all that it wants.
    let daemon = lab.node(n).start_ready(&command).unwrap();
    settle(lab, n);
    daemon
}

/// Makes `prp0` of the kernel's driver, and settles it.
pub(crate) fn start_kernels(lab: &Lab) {
    let script = "
        for lan in lan_a lan_b; do
            ip link set dev $lan address $(cat /sys/class/net/lan_a/address) up
        done
        ip link add name prp0 type hsr slave1 lan_a slave2 lan_b supervision 0 proto 1
        ip link set dev prp0 up";
    lab.node(KERNELS).shell(script).unwrap();
    settle(lab, KERNELS);
}

/// An address, and those of the others, so that nobody has to ask.
fn settle(lab: &Lab, n: usize) {
    let mut script = format!("ip addr add {}/24 dev prp0\n", address(n));
    for other in (1..=3).filter(|other| *other != n) {
        let (ip, mac) = (address(other), lab.node(other).mac("lan_a").unwrap());
        script += &format!("ip neigh replace {ip} lladdr {mac} dev prp0 nud permanent\n");
    }
    lab.node(n).shell(&script).unwrap();
}

/// What the operator's command says on a node.
pub(crate) fn ask(lab: &Lab, n: usize, what: &str) -> Value {
    let bumpless = program("bumpless");
    let command = [bumpless.as_str(), what, "--json", "--runtime-dir", "/run/bumpless"];
    let ended = lab.node(n).run(&command).unwrap();
    assert!(ended.status.success(), "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}
