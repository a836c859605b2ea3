//! Configuration files and the daemon's command line: what is understood, and what is refused with
//! which words.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use prp::lre::config::{DuplicateMode, LreConfig, SanUnicast, TransparentReception};
use prp::os::lan_port::TransmitPath;
use prp::types::{LanId, MacAddress};
use prp::wire::vlan::VlanTag;
use rt_core::time::Duration;
use shm_replica::book::Takeover;
use tools::args::DaemonArgs;
use tools::config::regions::Who;
use tools::config::{
    Checked, DaemonConfig, HostConfig, HostPort, LanReceive, Promiscuous, ReceiveMode, SocketGroup,
    ThreadConfig, ThreadPolicy, describe, keys,
};
use tools::exit::{ExitCode, Failure};

const MINIMAL: &str = "name = 'prp0'\nprotocol = 'prp'\nlan_a = 'eth1'\nlan_b = 'eth2'\n";

fn read(text: &str) -> Checked {
    DaemonConfig::from_toml(text).unwrap_or_else(|errors| panic!("{text}\n{errors}"))
}

/// The defects of the minimal file with more lines, one text each.
fn defects(lines: &str) -> Vec<String> {
    match DaemonConfig::from_toml(&format!("{MINIMAL}{lines}\n")) {
        Ok(checked) => panic!("{lines}: accepted as {:?}", checked.config),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

fn warnings(lines: &str) -> Vec<String> {
    read(&format!("{MINIMAL}{lines}\n")).warnings.iter().map(ToString::to_string).collect()
}

fn arguments(line: &str) -> Result<Checked, Failure> {
    let line = format!("bumplessd {line}");
    match DaemonArgs::parse_line(line.split_whitespace()) {
        Ok(arguments) => arguments.into_config(),
        Err(error) => panic!("{line}: {error}"),
    }
}

#[test]
fn what_is_not_said_has_the_standards_defaults() {
    let Checked { config, warnings } = read(MINIMAL);
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.mac, None);
    assert_eq!(config.lre, LreConfig::default());
    assert_eq!(config.lan(LanId::B), "eth2");
    assert_eq!(config.receive_mode, ReceiveMode::Block);
    assert_eq!(config.host, HostConfig { port: HostPort::Auto, mtu: 1500 });
    assert_eq!(config.node_table_size, 1024);
    let lre = ThreadConfig { policy: ThreadPolicy::Fifo { priority: 60 }, cpu: None };
    assert_eq!(config.threads.lre, lre);
    assert_eq!(config.runtime_dir, Path::new("/run/bumpless/prp0"));
    assert_eq!(config.lan_wait, Duration::ZERO);
    assert!(!config.allow_non_rt);
}

const EVERYTHING: &str = "
name = 'red.100'
protocol = 'prp'
lan_a = 'enp3s0'
lan_b = 'enp4s0'
lan_wait_s = 30
mac = '02-00-5E-10-00-01'
receive_mode = 'adaptive'
adaptive_spin_time_us = 20
host_port = 'veth'
host_mtu = 1400
lan_receive = 'xdp'
lan_transmit = 'xdp'
promiscuous = 'off'
transparent_reception = 'pass_rct'
duplicate_mode = 'accept'
san_unicast = 'its_lan'
entry_forget_time_ms = 40
node_forget_time_ms = 65_000
node_table_size = 16_384
cpu_dma_latency_us = 0
socket_group = 'operators'
allow_non_rt = true
[supervision]
interval_ms = 1_000
last_byte = 255
evaluate = false
vlan = { vid = 4094, pcp = 7, dei = true }
[threads.lre]
policy = 'fifo'
priority = 98
cpu = 3
";

/// Without a name, to be put behind other lines.
const REGIONS_ONLY: &str = "
[[application]]
name = 'plc'
[[application]]
name = 'hmi'
takeover = 'ordered'
[[region]]
name = 'plant.main'
application = 'plc'
write = ['plc', '@control', 1001]
read = [0, '@operators']
[[region]]
name = 'view'
application = 'hmi'
other_schema = 'by_name'
[regions]
role = 'standby'
cost_share_max_percent = 5
state_dir = '/srv/bumpless'
epoch = 1000
";
const REGIONS: &str = "
name = 'plc0'
[[application]]
name = 'plc'
[[region]]
name = 'plant'
application = 'plc'
";

#[test]
fn regions_are_understood_with_lans_and_without() {
    let Checked { config, warnings } = read(&format!("{MINIMAL}{REGIONS_ONLY}"));
    assert!(warnings.is_empty() && config.lans.is_some(), "{warnings:?}");
    assert_eq!(config.state_dir(), Path::new("/srv/bumpless"));
    let regions = config.regions.unwrap();
    assert!(!regions.in_charge);
    assert_eq!((regions.cost_share_max_percent, regions.epoch), (5, Some(1000)));
    let takeovers: Vec<_> = regions.applications.iter().map(|it| it.takeover).collect();
    assert_eq!(takeovers, [Takeover::OnExit, Takeover::Ordered]);
    let [plant, view] = &regions.regions[..] else { panic!("{regions:?}") };
    assert_eq!((plant.name.as_str(), plant.application.as_str()), ("plant.main", "plc"));
    let [user, group] = [Who::User("plc".to_owned()), Who::Group("control".to_owned())];
    assert_eq!(plant.write, [user, group, Who::Uid(1001)]);
    assert_eq!(plant.read, [Who::Uid(0), Who::Group("operators".to_owned())]);
    assert!(view.write.is_empty() && view.read.is_empty());
    assert_eq!((plant.by_name, view.by_name), (false, true));

    let Checked { mut config, warnings } = read(REGIONS);
    assert!(warnings.is_empty() && config.lans.is_none(), "{warnings:?}");
    let regions = config.regions.as_ref().unwrap();
    assert!(regions.in_charge);
    assert_eq!((regions.cost_share_max_percent, regions.epoch), (20, None));
    assert_eq!(config.state_dir(), Path::new("/var/lib/bumpless/plc0"));
    config.runtime_dir = "/tmp/x".into();
    assert_eq!(config.state_dir(), Path::new("/tmp/x/state"));
    let document = describe::document(&config, &[]);
    assert_eq!(document["config"]["region"][0]["name"], "plant");
    assert!(document["memory_table_octets"].is_null());

    let odd = read(&format!("host_mtu = 1400\n{REGIONS}")).warnings;
    assert!(odd[0].to_string().starts_with("host_mtu: has no effect"), "{odd:?}");
    assert_eq!(read(MINIMAL).config.regions, None);
}

/// Lines after a minimal file, and what is said about them.
const REGION_DEFECTS: &[(&str, &str)] = &[
    ("[[application]]", "application[1].name: missing; give it a name, as in plant"),
    (
        "[[application]]\nname = 'a/b'",
        "application[1].name: \"a/b\" is no name; write up to 63 letters, digits, `-`, `_` or `.`, \
         first a letter, a digit or `_`",
    ),
    (
        "[[application]]\nname = 'a'\n[[application]]\nname = 'a'",
        "application[2].name: a is there twice; choose another name",
    ),
    (
        "[[application]]\nname = 'a'\ntakeover = 'onexit'",
        "application[1].takeover: \"onexit\" is not known; did you mean on_exit? (one of on_exit, \
         ordered)",
    ),
    (
        "application = 'plc'",
        "application: \"plc\" is not a table in double brackets; write a table in double \
         brackets",
    ),
    (
        "[[region]]\nname = 'r'",
        "region[1].application: missing; add a table [[application]] with this name",
    ),
    (
        "[[application]]\nname = 'plc'\n[[region]]\nname = 'r'\napplication = 'plx'",
        "region[1].application: there is no application \"plx\"; did you mean plc?",
    ),
    (
        "[[application]]\nname = 'p'\n[[region]]\nname = 'r'\napplication = 'p'\nwrite = ['a b']",
        "region[1].write: \"a b\" is no user and no group; write \"user\", \"@group\" or a user's \
         number",
    ),
    (
        "[[application]]\nname = 'plc'\n[[region]]\nname = 'r'\napplication = 'plc'\nread = [-1]",
        "region[1].read: -1 is no user and no group; write \"user\", \"@group\" or a user's number",
    ),
    (
        "[[application]]\nname = 'plc'\n[[region]]\nname = 'r'\napplication = 'plc'\nreed = [1]",
        "region[1].reed: no such key; did you mean region.read?",
    ),
    (
        "[regions]\nrole = 'actve'",
        "regions.role: \"actve\" is not known; did you mean active? (one of active, standby)",
    ),
    (
        "[regions]\ncost_share_max_percent = 0",
        "regions.cost_share_max_percent: 0 is out of range; write 1 to 100",
    ),
    (
        "[regions]\nstate_dir = 'state'",
        "regions.state_dir: \"state\" does not begin with /; name a folder by its whole path",
    ),
    ("[regions]\nepoch = 0", "regions.epoch: 0 is out of range; write 1 to 2305843009213693951"),
];

#[test]
fn every_defect_of_regions_names_its_table_and_key() {
    for &(lines, said) in REGION_DEFECTS {
        assert_eq!(defects(lines), [said], "{lines}");
    }
    let many = |count: usize| "[[application]]\nname = 'a'\n".repeat(count);
    assert!(defects(&many(33)).contains(&"application: 33 of them; write at most 32".to_owned()));
}

#[test]
fn everything_that_is_said_is_understood() {
    let config = read(EVERYTHING).config;
    let mac = MacAddress([2, 0, 0x5e, 0x10, 0, 1]);
    assert_eq!(config.mac, Some(mac));
    assert_eq!(config.lan_wait, Duration::from_secs(30));
    assert_eq!(config.receive_mode, ReceiveMode::Adaptive { spin: Duration::from_micros(20) });
    assert_eq!(config.host, HostConfig { port: HostPort::Veth, mtu: 1400 });
    assert_eq!(config.lan_receive, LanReceive::Xdp);
    assert_eq!(config.lan_transmit, TransmitPath::Xdp);
    assert_eq!(config.promiscuous, Promiscuous::Off);
    assert_eq!(config.node_table_size, 16_384);
    assert_eq!(config.cpu_dma_latency_us, Some(0));
    assert_eq!(config.socket_group, SocketGroup::Named("operators".to_owned()));
    assert!(config.allow_non_rt);
    let lre = ThreadConfig { policy: ThreadPolicy::Fifo { priority: 98 }, cpu: Some(3) };
    assert_eq!(config.threads.lre, lre);
    let lre = config.lre;
    assert_eq!(lre.transparent_reception, TransparentReception::PassRct);
    assert_eq!(lre.duplicate_mode, DuplicateMode::Accept);
    assert_eq!(lre.san_unicast, SanUnicast::ItsLan);
    assert_eq!(lre.entry_forget_time, Duration::from_millis(40));
    assert_eq!(lre.node_forget_time, Duration::from_secs(65));
    assert!(!lre.evaluate_supervision);
    assert_eq!(lre.supervision.interval, Duration::from_secs(1));
    assert_eq!(lre.supervision.last_octet, 255);
    assert_eq!(lre.supervision.vlan, Some(VlanTag { vid: 4094, pcp: 7, dei: true }));
}

#[test]
fn what_check_prints_is_a_file_that_says_the_same() {
    for text in [MINIMAL, EVERYTHING, REGIONS, &format!("{MINIMAL}{REGIONS_ONLY}")] {
        let Checked { config, warnings } = read(text);
        let printed = describe::text(&config, &warnings);
        let again = read(&printed);
        assert_eq!(again.config, config, "{printed}");
        assert_eq!(again.warnings, warnings);
    }
}

/// Lines of a file, and what is said about them.
const DEFECTS: &[(&str, &str)] = &[
    (
        "node_forget_time_ms = 1_000\nentry_forget_time_ms = 1_000",
        "node_forget_time_ms: 1000: numbers are remembered for up to 1062 ms, a node has to be for \
         longer; raise it, or lower entry_forget_time_ms",
    ),
    ("mtu = 1500", "mtu: no such key; did you mean host_mtu?"),
    ("colour = 1", "colour: no such key; bumpless.toml(5) lists the keys"),
    (
        "supervision.intervall_ms = 2000",
        "supervision.intervall_ms: no such key; did you mean supervision.interval_ms?",
    ),
    ("host_mtu = '1500'", "host_mtu: \"1500\" is not a whole number; write a whole number"),
    ("host_mtu = 1500.0", "host_mtu: 1500.0 is not a whole number; write a whole number"),
    ("allow_non_rt = 'yes'", "allow_non_rt: \"yes\" is not true or false; write true or false"),
    ("threads = 3", "threads: 3 is not a table; write a table"),
    ("host_mtu = 9000", "host_mtu: 9000 is out of range; write 68 to 1500"),
    ("lan_wait_s = 3601", "lan_wait_s: 3601 is out of range; write 0 to 3600"),
    ("node_table_size = 0", "node_table_size: 0 is out of range; write 1 to 16384"),
    ("node_table_size = 16385", "node_table_size: 16385 is out of range; write 1 to 16384"),
    ("entry_forget_time_ms = 9", "entry_forget_time_ms: 9 is out of range; write 10 to 10000"),
    (
        "entry_forget_time_ms = 10_001",
        "entry_forget_time_ms: 10001 is out of range; write 10 to 10000",
    ),
    (
        "node_forget_time_ms = 65_001",
        "node_forget_time_ms: 65001 is out of range; write 1000 to 65000",
    ),
    (
        "supervision.interval_ms = 999",
        "supervision.interval_ms: 999 is out of range; write 1000 to 10000",
    ),
    ("supervision.last_byte = 256", "supervision.last_byte: 256 is out of range; write 0 to 255"),
    ("supervision.vlan.vid = 4095", "supervision.vlan.vid: 4095 is out of range; write 0 to 4094"),
    (
        "supervision.vlan = {vid = 1, pcp = 8}",
        "supervision.vlan.pcp: 8 is out of range; write 0 to 7",
    ),
    (
        "supervision.vlan.pcp = 4",
        "supervision.vlan.vid: missing; write 1 to 4094, 0 for a priority tag, or leave \
         supervision.vlan out",
    ),
    ("threads.lre.priority = 99", "threads.lre.priority: 99 is out of range; write 1 to 98"),
    ("threads.lre.priority = -1", "threads.lre.priority: -1 is out of range; write 1 to 98"),
    (
        "threads.lre = {policy = 'other', priority = 1}",
        "threads.lre.priority: 1: policy other has no priority; leave it out or write policy = \
         \"fifo\"",
    ),
    (
        "receive_mode = 'bussy'",
        "receive_mode: \"bussy\" is not known; did you mean busy? (one of block, adaptive, busy)",
    ),
    ("host_port = 'tun'", "host_port: \"tun\" is not known; write one of auto, tap, veth"),
    (
        "mac = '01:00:5e:00:00:01'",
        "mac: 01:00:5e:00:00:01 is a group address; give the address of one station: its first \
         octet is even",
    ),
    (
        "mac = '00:00:00:00:00:00'",
        "mac: 00:00:00:00:00:00 is no address; give a station's address, or leave it out for LAN \
         A's",
    ),
    (
        "mac = '02:00'",
        "mac: \"02:00\": not a MAC address (six octets in hexadecimal, as in 02:00:5e:10:00:01); \
         or leave it out for LAN A's",
    ),
    ("socket_group = ''", "socket_group: \"\" is no group name; name a group, as in bumpless"),
    ("interlink = 'eth3'", "interlink: \"eth3\": the RedBox is not built yet; leave it out"),
    (
        "hsr_version = 1",
        "hsr_version: 1: belongs to protocol hsr, which is not built yet; leave it out",
    ),
];

#[test]
fn every_defect_names_its_key_its_value_and_the_remedy() {
    for &(lines, said) in DEFECTS {
        assert_eq!(defects(lines), [said], "{lines}");
    }
}

#[test]
fn names_of_interfaces_are_checked_and_told_apart() {
    let file = |name: &str, a: &str, b: &str| {
        let text = format!("name={name:?}\nprotocol='prp'\nlan_a={a:?}\nlan_b={b:?}");
        DaemonConfig::from_toml(&text).map(|_| ()).map_err(|errors| errors.to_string())
    };
    assert_eq!(file("prp0", "eth1", "eth2"), Ok(()));
    for (name, a, b, said) in [
        (
            "prp0",
            "eth1",
            "eth1",
            "lan_b: same interface as lan_a (eth1); name the NIC of the other LAN",
        ),
        (
            "eth1",
            "eth1",
            "eth2",
            "name: same interface as lan_a (eth1); the daemon creates this interface: choose a \
             name that is free",
        ),
        (
            "prp0",
            "a/b",
            "eth2",
            "lan_a: \"a/b\": an interface name has no '/'; name the NIC of LAN A, as in eth1",
        ),
        (
            "..",
            "eth1",
            "eth2",
            "name: \"..\": an interface is not named . or ..; name the host interface, as in prp0",
        ),
        (
            "lo",
            "eth1",
            "eth2",
            "name: \"lo\" means something else to Linux; choose another name, as in prp0",
        ),
        (
            "prp0",
            "sixteen-octets-x",
            "eth2",
            "lan_a: \"sixteen-octets-x\": an interface name has at most 15 octets, this has 16; \
             name the NIC of LAN A, as in eth1",
        ),
    ] {
        assert_eq!(file(name, a, b), Err(said.to_owned()));
    }
}

#[test]
fn all_defects_are_told_at_once() {
    let errors = DaemonConfig::from_toml("host_mtu = 1\nreceive_mode = 'x'").unwrap_err();
    let keys: Vec<&str> = errors.0.iter().map(|error| error.key.as_str()).collect();
    assert_eq!(keys, ["protocol", "name", "lan_a", "lan_b", "receive_mode", "host_mtu"]);
    assert_eq!(defects("a1 = 1\nb1 = 2").len(), 2, "unknown keys too");
}

#[test]
fn text_that_is_no_toml_is_refused_with_its_line() {
    for (text, line) in [
        ("name = prp0", "line 1"),
        ("a = 1\n\n= 3", "line 3"),
        ("name = 'a'\nname = 'b'", "line 2"),
        ("\u{0}", "line 1"),
        ("[supervision", "line 1"),
    ] {
        let errors = DaemonConfig::from_toml(text).unwrap_err();
        assert_eq!((errors.0.len(), errors.0[0].key.as_str()), (1, line), "{text:?}: {errors}");
    }
    let deep = format!("name = {}", "[".repeat(100_000));
    assert!(DaemonConfig::from_toml(&deep).is_err());
    let wild = format!("{MINIMAL}mac = \"\\u0007{}\"", "x".repeat(10_000));
    let said = DaemonConfig::from_toml(&wild).unwrap_err().to_string();
    assert!(said.len() < 300 && !said.contains('\u{7}'), "{said:?}");
}

#[test]
fn the_default_memory_and_all_up_to_470_ms_lose_nothing_after_a_restart() {
    assert!(warnings("entry_forget_time_ms = 400").is_empty());
    assert!(warnings("entry_forget_time_ms = 470").is_empty());
    let said = warnings("entry_forget_time_ms = 471");
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("entry_forget_time_ms: 471: "), "{}", said[0]);
    let said = &warnings("entry_forget_time_ms = 10_000")[0];
    // 10 s · 17/16, and what of it is beyond the 500 ms of silence.
    assert!(said.contains("up to 10625 ms") && said.contains("up to 10125 ms after"), "{said}");
}

#[test]
fn what_is_odd_is_a_warning() {
    for (lines, key) in [
        ("host_mtu = 1279", "host_mtu"),
        ("adaptive_spin_time_us = 10", "adaptive_spin_time_us"),
        ("duplicate_mode = 'accept'", "duplicate_mode"),
        ("receive_mode = 'busy'", "receive_mode"),
        ("supervision.last_byte = 1", "supervision.last_byte"),
        ("supervision.vlan.vid = 0", "supervision.vlan"),
        ("threads.lre.policy = 'other'", "threads.lre.policy"),
        ("node_forget_time_ms = 3_999", "node_forget_time_ms"),
    ] {
        let said = warnings(lines);
        assert_eq!(said.len(), 1, "{lines}: {said:?}");
        assert!(said[0].starts_with(&format!("{key}: ")), "{}", said[0]);
    }
    assert!(warnings("receive_mode = 'busy'\nthreads.lre.cpu = 3").is_empty());
}

#[test]
fn every_key_is_taken_by_the_file() {
    // A key of the list that the structure lacks would be refused by serde, past the list.
    for (key, key_type) in keys::KEYS {
        let value = match key_type {
            keys::KeyType::Text => "'x'",
            keys::KeyType::Number => "1",
            keys::KeyType::Switch => "true",
            keys::KeyType::List => "['x', 1]",
            keys::KeyType::Texts => "{ x = 'y' }",
            keys::KeyType::Table | keys::KeyType::Tables => continue,
        };
        let line = match key.rsplit_once('.') {
            Some((table @ ("application" | "region" | "jitter.host"), key)) => {
                format!("[[{table}]]\n{key} = {value}")
            }
            _ => format!("{key} = {value}"),
        };
        let said = DaemonConfig::from_toml(&line).unwrap_err().to_string();
        assert!(!said.contains("not TOML"), "{key}: {said}");
    }
}

#[test]
fn the_command_line_says_the_same_as_a_file() {
    let from_line = arguments(
        "--name prp0 --protocol prp --lan-a eth1 --lan-b eth2 --mac 02:00:5e:10:00:01 \
         --receive-mode adaptive --supervision-last-byte 7 --allow-non-rt",
    )
    .unwrap();
    let from_file = read(&format!(
        "{MINIMAL}mac='02:00:5e:10:00:01'\nreceive_mode='adaptive'\nallow_non_rt=true\n\
         supervision.last_byte=7"
    ));
    assert_eq!(from_line.config, from_file.config);
}

#[test]
fn the_command_line_is_refused_in_its_own_words() {
    let base = "--name prp0 --protocol prp --lan-a eth1";
    for (line, said) in [
        (
            format!("{base} --lan-b eth1"),
            "--lan-b: same interface as --lan-a (eth1); name the NIC of the other LAN",
        ),
        (
            format!("{base} --lan-b eth2 --supervision-last-byte -1"),
            "--supervision-last-byte: -1 is out of range; write 0 to 255",
        ),
        (
            format!("{base} --lan-b eth2 --receive-mode never"),
            "--receive-mode: \"never\" is not known; write one of block, adaptive, busy",
        ),
        (
            format!("{base} --lan-b eth2 --interlink eth3"),
            "--interlink: \"eth3\": the RedBox is not built yet; leave it out",
        ),
        (
            format!("{base} --lan-b eth2 --hsr-version 1"),
            "--hsr-version: 1: belongs to protocol hsr, which is not built yet; leave it out",
        ),
        (
            "--name h --protocol hsr --lan-a a --lan-b b".to_owned(),
            "--protocol: \"hsr\": HSR is not built yet; this version speaks prp only",
        ),
    ] {
        let failure = arguments(&line).unwrap_err();
        assert_eq!((failure.code, failure.to_string().as_str()), (ExitCode::Usage, said), "{line}");
    }
}

#[test]
fn bad_usage_ends_with_2_and_help_with_0() {
    for (line, code) in [
        ("", 2),
        ("--name prp0", 2),
        ("--name prp0 --protocol prp --lan-a eth1", 2),
        ("--lan-a eth1 --lan-b eth2 --protocol prp", 2),
        ("--config a.toml --name prp0", 2),
        ("--config a.toml --receive-mode busy", 2),
        ("--config a.toml --frobnicate", 2),
        ("--config a.toml extra", 2),
        ("--name p --protocol prp --lan-a a --lan-b b --supervision-last-byte x", 2),
        ("--help", 0),
        ("--version", 0),
    ] {
        let line = format!("bumplessd {line}");
        let error = DaemonArgs::parse_line(line.split_whitespace()).unwrap_err();
        assert_eq!(error.exit_code(), code, "{line}: {error}");
    }
}

#[test]
fn a_file_can_be_run_elsewhere_and_degraded() {
    let folder = std::env::temp_dir().join(format!("bumpless-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("test.toml");
    std::fs::write(&file, MINIMAL).unwrap();
    let line = format!("--config {} --allow-non-rt --runtime-dir some/where", file.display());
    let config = arguments(&line).unwrap().config;
    assert!(config.allow_non_rt);
    assert_eq!(config.runtime_dir, std::env::current_dir().unwrap().join("some/where"));

    std::fs::write(&file, "host_mtu = 1").unwrap();
    let failure = arguments(&format!("--config {}", file.display())).unwrap_err();
    assert_eq!(failure.code, ExitCode::Usage);
    for line in failure.to_string().lines() {
        assert!(line.starts_with(&format!("{}: ", file.display())), "{line}");
    }
    for (path, said) in [
        (folder.join("absent.toml"), "no such file"),
        (folder.clone(), "directory"),
        (PathBuf::from("/dev/zero"), "longer than"),
        (PathBuf::from("/dev/null"), "missing"),
    ] {
        let failure = DaemonConfig::from_file(&path).unwrap_err();
        assert_eq!(failure.code, ExitCode::Usage, "{failure}");
        assert!(failure.to_string().contains(said), "{}: {failure}", path.display());
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn shipped_configurations_are_valid_without_warning() {
    let mut count = 0;
    for entry in std::fs::read_dir(repository().join("packaging/configs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let checked = DaemonConfig::from_file(&path).unwrap();
            assert!(checked.warnings.is_empty(), "{}: {:?}", path.display(), checked.warnings);
            count += 1;
        }
    }
    assert!(count > 0);
}

fn manual(name: &str) -> String {
    std::fs::read_to_string(repository().join("docs/man").join(name)).unwrap()
}

/// The words that follow a macro at the beginning of a line.
fn marked<'a>(page: &'a str, mark: &'a str) -> Vec<&'a str> {
    page.lines().filter_map(|line| line.strip_prefix(mark)).map(|rest| rest.trim()).collect()
}

#[test]
fn the_manual_describes_every_option_and_none_besides() {
    let page = manual("bumplessd.8");
    let mut described: Vec<String> = marked(&page, ".It Fl Fl ")
        .iter()
        .map(|rest| rest.split_whitespace().next().unwrap().to_owned())
        .collect();
    let mut options: Vec<String> = DaemonArgs::command()
        .get_arguments()
        .filter_map(|argument| argument.get_long().map(str::to_owned))
        .collect();
    options.extend(["help".to_owned(), "version".to_owned()]);
    described.sort();
    options.sort();
    assert_eq!(described, options);
}

#[test]
fn the_manual_describes_every_key_and_none_besides() {
    let page = manual("bumpless.toml.5");
    let mut described: Vec<&str> = marked(&page, ".It Ic ")
        .iter()
        .map(|rest| rest.split_whitespace().next().unwrap())
        .collect();
    let mut known: Vec<&str> = keys::KEYS
        .iter()
        .filter(|(_, key_type)| !matches!(key_type, keys::KeyType::Table | keys::KeyType::Tables))
        .map(|&(key, _)| key)
        .collect();
    described.sort_unstable();
    known.sort_unstable();
    assert_eq!(described, known);
}

#[test]
fn the_example_in_the_manual_is_valid() {
    let page = manual("bumpless.toml.5");
    let example = page.split(".Bd -literal").nth(1).unwrap();
    let example = example.split_once('\n').unwrap().1.split(".Ed").next().unwrap();
    let checked = read(example);
    assert!(checked.warnings.is_empty(), "{:?}", checked.warnings);
}
