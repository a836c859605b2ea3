//! Test networks carry what they should and vanish without a trace.
//!
//! All of it runs a second time as an ordinary user could run it, inside a user namespace.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use prp::os::netns::{NetNs, NetNsError, command_in_user_namespace};
use prp::types::MacAddress;
use tools::netlab::{Net, NetLabError, Plan, PortPlan, Process, Programs};

const IN_USER_NAMESPACE: &str = "BUMPLESS_TEST_IN_USER_NAMESPACE";

/// Whether this process may make namespaces; says so when the test named `test` has to be skipped.
fn can_run(test: &str) -> bool {
    match NetNs::create() {
        Ok(_) => true,
        Err(NetNsError::NotPermitted { .. }) => {
            println!("SKIP: {test}: needs CAP_SYS_ADMIN for network namespaces");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 9, 0, last).into()
}

fn mac(last: u8) -> MacAddress {
    MacAddress([2, 0, 0, 9, 0, last])
}

fn two_hosts() -> Net {
    let port = |last| PortPlan::new("eth0", "a").mac(mac(last)).ip(ip(last), 24);
    let spare = |last| PortPlan::new("eth1", "b").ip(Ipv4Addr::new(10, 10, 0, last).into(), 24);
    let plan = Plan::with_lans(["a", "b"])
        .host("left", [port(1), spare(1)])
        .host("right", [port(2), spare(2)]);
    Net::build(&plan, &Programs::find(&[]).unwrap(), 1).unwrap()
}

/// Whether a datagram gets from left to right at the address ending in `net`.1 and `net`.2.
fn passes(net: &Net, number: u8) -> bool {
    let [from, to] = [1, 2].map(|last| Ipv4Addr::new(10, number, 0, last));
    let bind = |host: &str, ip: Ipv4Addr| {
        net.host(host).unwrap().run(|| UdpSocket::bind((ip, 7000)).unwrap()).unwrap()
    };
    let (left, right) = (bind("left", from), bind("right", to));
    right.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    (0..50).any(|_| {
        // Refused while the link is down.
        let _ = left.send_to(b"x", (to, 7000));
        right.recv(&mut [0; 8]).is_ok()
    })
}

#[test]
fn hosts_reach_each_other_over_a_switch() {
    if !can_run("hosts_reach_each_other_over_a_switch") {
        return;
    }
    let net = two_hosts();
    assert!(passes(&net, 9));
    assert!(passes(&net, 10));
    let link = net.host("left").unwrap().link("eth0").unwrap();
    assert_eq!((link.mac, link.mtu, link.running), (mac(1), 1500, true));
    assert!(matches!(net.host("middle"), Err(NetLabError::Plan(_))));
    assert!(matches!(net.impairment("left", "eth0"), Err(NetLabError::Plan(_))));
}

#[test]
fn cables_and_cards_come_and_go() {
    if !can_run("cables_and_cards_come_and_go") {
        return;
    }
    let net = two_hosts();
    let left = net.host("left").unwrap();
    net.set_link("left", "eth0", false).unwrap();
    assert!(!left.link("eth0").unwrap().running);
    net.set_link("left", "eth0", true).unwrap();
    assert!(left.link("eth0").unwrap().running && passes(&net, 9));

    let before = left.link("eth0").unwrap().index;
    net.remove_card("left", "eth0").unwrap();
    assert!(left.link("eth0").is_err());
    net.insert_card("left", "eth0").unwrap();
    let link = left.link("eth0").unwrap();
    assert!(link.mac == mac(1) && link.index != before && !link.up, "{link:?}");
    left.links().unwrap().set_up(link.index, true).unwrap();
    left.add_address("eth0", ip(1), 24).unwrap();
    assert!(passes(&net, 9));

    // In the wrong switch nobody answers, and in the right one again everybody does.
    net.plug_into("left", "eth0", "b").unwrap();
    assert!(!passes(&net, 9));
    net.plug_into("left", "eth0", "a").unwrap();
    assert!(passes(&net, 9));
}

#[test]
fn programs_run_inside_their_host_and_nothing_stays_behind() {
    if !can_run("programs_run_inside_their_host_and_nothing_stays_behind") {
        return;
    }
    let net = two_hosts();
    let folder = net.folder().to_owned();
    let host = net.host("left").unwrap();
    let mut command = host.command("cat").unwrap();
    command.arg("/proc/self/net/dev");
    let ended = Process::spawn("cat", command).unwrap().finish(Duration::from_secs(30)).unwrap();
    assert!(ended.out.contains("eth0:") && ended.out.contains("eth1:"), "{ended:?}");
    assert!(folder.is_dir());
    drop(net);
    assert!(!folder.exists());
}

#[test]
fn everything_works_without_privilege_in_a_user_namespace() {
    let test = "everything_works_without_privilege_in_a_user_namespace";
    if std::env::var_os(IN_USER_NAMESPACE).is_some() {
        return;
    }
    let mut probe = Command::new("true");
    if command_in_user_namespace(&mut probe).status().is_err() {
        println!("SKIP: {test}: user namespaces are not allowed here");
        return;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.arg("--nocapture").env(IN_USER_NAMESPACE, "1");
    let output = command_in_user_namespace(&mut again).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("4 passed") && !text.contains("SKIP"), "{text}");
}
