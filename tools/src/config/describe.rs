//! The configuration as understood: every key with its value, defaults included.
//!
//! The text is TOML again, so that what `bumpless check` prints can be compared, kept, and given
//! back to the daemon.

use std::fmt::Write;

use prp::lre::config::{DuplicateMode, SanUnicast, TransparentReception};
use prp::lre::memory_octets;
use prp::types::LanId;
use serde_json::{Map, Value, json};
use shm_replica::book::Takeover;

use super::regions::{RegionsConfig, Who};
use super::{DaemonConfig, ReceiveMode, SocketGroup, ThreadPolicy, Warning};

/// Every key that has a value, in the order of the manual page, but for those of tables of which
/// there are several.
#[must_use]
pub fn rows(config: &DaemonConfig) -> Vec<(&'static str, Value)> {
    let mut rows = vec![("name", json!(config.name.as_str()))];
    if let Some([a, b]) = &config.lans {
        rows.extend([
            ("protocol", json!(config.protocol.name())),
            ("lan_a", json!(a.as_str())),
            ("lan_b", json!(b.as_str())),
        ]);
        rows.extend(frame_rows(config));
    }
    if let SocketGroup::Named(group) = &config.socket_group {
        rows.push(("socket_group", json!(group)));
    }
    rows.push(("allow_non_rt", json!(config.allow_non_rt)));
    if config.lans.is_some() {
        rows.extend(supervision_rows(config));
        rows.extend(thread_rows(config));
    }
    if let Some(regions) = &config.regions {
        rows.extend(regions_rows(regions));
    }
    rows
}

/// Those of the frames' way.
fn frame_rows(config: &DaemonConfig) -> Vec<(&'static str, Value)> {
    let lre = &config.lre;
    let mut rows = vec![("lan_wait_s", json!(config.lan_wait.as_millis() / 1000))];
    let mut push = |key, value| rows.push((key, value));
    if let Some(mac) = config.mac {
        push("mac", json!(mac.to_string()));
    }
    push("receive_mode", json!(config.receive_mode.name()));
    if let ReceiveMode::Adaptive { spin } = config.receive_mode {
        push("adaptive_spin_time_us", json!(spin.as_micros()));
    }
    push("host_port", json!(config.host.port.name()));
    push("host_mtu", json!(config.host.mtu));
    push("lan_receive", json!(config.lan_receive.name()));
    push("lan_transmit", json!(config.lan_transmit.name()));
    push("promiscuous", json!(config.promiscuous.name()));
    push(
        "transparent_reception",
        json!(match lre.transparent_reception {
            TransparentReception::RemoveRct => "remove_rct",
            TransparentReception::PassRct => "pass_rct",
        }),
    );
    push(
        "duplicate_mode",
        json!(match lre.duplicate_mode {
            DuplicateMode::Discard => "discard",
            DuplicateMode::Accept => "accept",
        }),
    );
    push(
        "san_unicast",
        json!(match lre.san_unicast {
            SanUnicast::BothLans => "both_lans",
            SanUnicast::ItsLan => "its_lan",
        }),
    );
    push("entry_forget_time_ms", json!(lre.entry_forget_time.as_millis()));
    push("node_forget_time_ms", json!(lre.node_forget_time.as_millis()));
    push("node_table_size", json!(config.node_table_size));
    if let Some(latency) = config.cpu_dma_latency_us {
        push("cpu_dma_latency_us", json!(latency));
    }
    rows
}

/// Those of supervision.
fn supervision_rows(config: &DaemonConfig) -> Vec<(&'static str, Value)> {
    let lre = &config.lre;
    let mut rows = Vec::new();
    let mut push = |key, value| rows.push((key, value));
    push("supervision.interval_ms", json!(lre.supervision.interval.as_millis()));
    push("supervision.last_byte", json!(lre.supervision.last_octet));
    push("supervision.evaluate", json!(lre.evaluate_supervision));
    if let Some(vlan) = lre.supervision.vlan {
        push("supervision.vlan.vid", json!(vlan.vid));
        push("supervision.vlan.pcp", json!(vlan.pcp));
        push("supervision.vlan.dei", json!(vlan.dei));
    }
    rows
}

/// Those of the regions, but for the tables of which there are several.
fn regions_rows(regions: &RegionsConfig) -> Vec<(&'static str, Value)> {
    let role = if regions.in_charge { "active" } else { "standby" };
    let mut rows = vec![
        ("regions.role", json!(role)),
        ("regions.cost_share_max_percent", json!(regions.cost_share_max_percent)),
    ];
    if let Some(folder) = &regions.state_dir {
        rows.push(("regions.state_dir", json!(folder)));
    }
    if let Some(epoch) = regions.epoch {
        rows.push(("regions.epoch", json!(epoch)));
    }
    rows
}

/// The tables of which there are several: name and keys of each.
fn tables(regions: &RegionsConfig) -> Vec<(&'static str, Vec<(&'static str, Value)>)> {
    let takeover = |takeover| match takeover {
        Takeover::OnExit => "on_exit",
        Takeover::Ordered => "ordered",
    };
    let somebody = |who: &Who| match who {
        Who::Uid(uid) => json!(uid),
        named => json!(named.to_string()),
    };
    let mut tables = Vec::new();
    for application in &regions.applications {
        let rows = vec![
            ("name", json!(application.name.as_str())),
            ("takeover", json!(takeover(application.takeover))),
        ];
        tables.push(("application", rows));
    }
    for region in &regions.regions {
        let rows = vec![
            ("name", json!(region.name.as_str())),
            ("application", json!(region.application.as_str())),
            ("other_schema", json!(if region.by_name { "by_name" } else { "refuse" })),
            ("write", region.write.iter().map(somebody).collect()),
            ("read", region.read.iter().map(somebody).collect()),
        ];
        tables.push(("region", rows));
    }
    tables
}

/// Those of the threads.
fn thread_rows(config: &DaemonConfig) -> Vec<(&'static str, Value)> {
    let mut rows = Vec::new();
    let mut push = |key, value| rows.push((key, value));
    match config.threads.lre.policy {
        ThreadPolicy::Fifo { priority } => {
            push("threads.lre.policy", json!("fifo"));
            push("threads.lre.priority", json!(priority));
        }
        ThreadPolicy::Other => push("threads.lre.policy", json!("other")),
    }
    if let Some(cpu) = config.threads.lre.cpu {
        push("threads.lre.cpu", json!(cpu));
    }
    rows
}

/// What has no value, and what that means.
fn left_open(config: &DaemonConfig) -> Vec<(&'static str, String)> {
    let mut open = Vec::new();
    let has_lans = config.lans.is_some();
    if has_lans && config.mac.is_none() {
        open.push(("mac", format!("that of LAN A ({})", config.lan(LanId::A))));
    }
    if has_lans && config.threads.lre.cpu.is_none() {
        open.push((
            "threads.lre.cpu",
            "the last isolated CPU (isolcpus=), else any that the process may use".to_owned(),
        ));
    }
    if has_lans && config.cpu_dma_latency_us.is_none() {
        open.push(("cpu_dma_latency_us", "CPU idle states are left alone".to_owned()));
    }
    if config.regions.as_ref().is_some_and(|regions| regions.state_dir.is_none()) {
        open.push(("regions.state_dir", config.state_dir().display().to_string()));
    }
    if config.socket_group == SocketGroup::Default {
        let meaning = "bumpless where that group exists, else the daemon's own";
        open.push(("socket_group", meaning.to_owned()));
    }
    open
}

/// As text: TOML, with what is not a key in comments.
#[must_use]
pub fn text(config: &DaemonConfig, warnings: &[Warning]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for (key, value) in rows(config) {
        let _ = writeln!(text, "{key} = {value}");
    }
    for (name, rows) in config.regions.iter().flat_map(tables) {
        let _ = writeln!(text, "\n[[{name}]]");
        for (key, value) in rows {
            let _ = writeln!(text, "{key} = {value}");
        }
    }
    if let Some(jitter) = &config.jitter {
        let _ = write!(text, "\n{}", jitter.to_toml());
    }
    let _ = writeln!(text);
    for (key, meaning) in left_open(config) {
        let _ = writeln!(text, "# {key} is not set: {meaning}");
    }
    if config.lans.is_some() {
        let octets = memory_octets(config.node_table_size);
        let _ = writeln!(
            text,
            "# memory for {} nodes: {} KiB, locked at start",
            config.node_table_size,
            octets.div_ceil(1024)
        );
    } else {
        let _ = writeln!(text, "# no LANs: this daemon keeps regions only");
    }
    for warning in warnings {
        let _ = writeln!(text, "# WARNING {warning}");
    }
    text
}

/// As a document.
#[must_use]
pub fn document(config: &DaemonConfig, warnings: &[Warning]) -> Value {
    let mut tree = Map::new();
    for (key, value) in rows(config) {
        let mut table = &mut tree;
        let mut words = key.split('.').peekable();
        while let Some(word) = words.next() {
            if words.peek().is_none() {
                table.insert(word.to_owned(), value);
                break;
            }
            let inner = table.entry(word).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(inner) = inner else { break };
            table = inner;
        }
    }
    for (name, rows) in config.regions.iter().flat_map(tables) {
        let list = tree.entry(name).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(rows.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
        }
    }
    if let Some(jitter) = &config.jitter {
        tree.insert("jitter".to_owned(), super::jitter::document(jitter));
    }
    let octets = config.lans.as_ref().map(|_| memory_octets(config.node_table_size));
    json!({
        "schema": crate::report::SCHEMA,
        "valid": true,
        "config": tree,
        "memory_table_octets": octets,
        "warnings": warnings,
        "errors": [],
    })
}

/// What is wrong with a file, as a document.
#[must_use]
pub fn refusal_document(errors: &[super::ConfigError]) -> Value {
    let errors: Vec<Value> = errors
        .iter()
        .map(|error| json!({ "key": error.key, "message": error.message, "remedy": error.remedy }))
        .collect();
    json!({
        "schema": crate::report::SCHEMA,
        "valid": false,
        "config": null,
        "memory_table_octets": null,
        "warnings": [],
        "errors": errors,
    })
}
