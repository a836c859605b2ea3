//! The configuration as written, before anything is known to be valid.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;

use super::error::{ConfigError, ConfigErrors};
use super::keys::{self, KeyType};
use crate::exit::Failure;

/// Far more than any real file; a wrong path may name something endless.
const FILE_OCTETS_MAX: u64 = 256 * 1024;

/// Every key, as written.
#[derive(Default, Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawConfig {
    pub(crate) name: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) lan_a: Option<String>,
    pub(crate) lan_b: Option<String>,
    pub(crate) lan_wait_s: Option<i64>,
    pub(crate) interlink: Option<String>,
    pub(crate) hsr_version: Option<i64>,
    pub(crate) mac: Option<String>,
    pub(crate) receive_mode: Option<String>,
    pub(crate) adaptive_spin_time_us: Option<i64>,
    pub(crate) host_port: Option<String>,
    pub(crate) host_mtu: Option<i64>,
    pub(crate) lan_receive: Option<String>,
    pub(crate) lan_transmit: Option<String>,
    pub(crate) promiscuous: Option<String>,
    pub(crate) transparent_reception: Option<String>,
    pub(crate) duplicate_mode: Option<String>,
    pub(crate) san_unicast: Option<String>,
    pub(crate) entry_forget_time_ms: Option<i64>,
    pub(crate) node_forget_time_ms: Option<i64>,
    pub(crate) node_table_size: Option<i64>,
    pub(crate) cpu_dma_latency_us: Option<i64>,
    pub(crate) socket_group: Option<String>,
    pub(crate) allow_non_rt: Option<bool>,
    pub(crate) supervision: RawSupervision,
    pub(crate) threads: RawThreads,
    pub(crate) jitter: Option<RawJitter>,
    pub(crate) regions: RawRegions,
    pub(crate) application: Vec<RawApplication>,
    pub(crate) region: Vec<RawRegion>,
}

#[derive(Default, Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawRegions {
    pub(crate) role: Option<String>,
    pub(crate) cost_share_max_percent: Option<i64>,
    pub(crate) state_dir: Option<String>,
    pub(crate) epoch: Option<i64>,
}

#[derive(Default, Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawApplication {
    pub(crate) name: Option<String>,
    pub(crate) takeover: Option<String>,
}

#[derive(Default, Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawRegion {
    pub(crate) name: Option<String>,
    pub(crate) application: Option<String>,
    pub(crate) other_schema: Option<String>,
    pub(crate) write: Vec<RawWho>,
    pub(crate) read: Vec<RawWho>,
}

/// Somebody who has a right.
#[derive(Deserialize, Debug)]
#[serde(untagged)]
pub(crate) enum RawWho {
    Name(String),
    Number(i64),
}

#[derive(Default, Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawSupervision {
    pub(crate) interval_ms: Option<i64>,
    pub(crate) last_byte: Option<i64>,
    pub(crate) evaluate: Option<bool>,
    pub(crate) vlan: Option<RawVlan>,
}

#[derive(Default, Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawVlan {
    pub(crate) vid: Option<i64>,
    pub(crate) pcp: Option<i64>,
    pub(crate) dei: Option<bool>,
}

#[derive(Default, Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawJitter {
    pub(crate) measured: Option<String>,
    pub(crate) program: Option<String>,
    pub(crate) jitter_ns: Option<i64>,
    pub(crate) round_trip_a_ns: Option<i64>,
    pub(crate) round_trip_b_ns: Option<i64>,
    pub(crate) host: Vec<RawJitterHost>,
}

#[derive(Default, Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawJitterHost {
    pub(crate) name: Option<String>,
    pub(crate) bound_ns: Option<i64>,
    pub(crate) method: Option<String>,
    pub(crate) horizon_s: Option<i64>,
    pub(crate) samples: Option<i64>,
    pub(crate) facts: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawThreads {
    pub(crate) lre: RawThread,
}

#[derive(Default, Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawThread {
    pub(crate) policy: Option<String>,
    pub(crate) priority: Option<i64>,
    pub(crate) cpu: Option<i64>,
}

/// Reads TOML. Unknown keys and values of a wrong type come back as errors, with the remedy for
/// each, beside what remains without them; what serde would say stays as the net beneath.
pub(super) fn from_toml(text: &str) -> Result<(RawConfig, Vec<ConfigError>), ConfigErrors> {
    let mut table: toml::Table = text.parse().map_err(|error| syntax(text, &error))?;
    let mut errors = Vec::new();
    check_table(&mut table, "", "", &mut errors);
    let raw = RawConfig::deserialize(table).map_err(|error| syntax(text, &error))?;
    Ok((raw, errors))
}

/// Takes what is wrong out of the table. `path` is that of its key; `shown` the same, with the
/// number of each table of which there may be several.
fn check_table(table: &mut toml::Table, path: &str, shown: &str, errors: &mut Vec<ConfigError>) {
    table.retain(|word, value| {
        let below = |path: &str| {
            if path.is_empty() { word.to_owned() } else { format!("{path}.{word}") }
        };
        let (path, key) = (below(path), below(shown));
        let Some(key_type) = keys::type_of(&path) else {
            let remedy = keys::nearest(&path).map_or_else(
                || "bumpless.toml(5) lists the keys".to_owned(),
                |near| format!("did you mean {near}?"),
            );
            errors.push(ConfigError { key, message: "no such key".to_owned(), remedy });
            return false;
        };
        if !key_type.fits(value) {
            errors.push(ConfigError {
                key,
                message: format!("{} is not {}", shorten(&value.to_string()), key_type.words()),
                remedy: format!("write {}", key_type.words()),
            });
            return false;
        }
        match value {
            toml::Value::Table(_) if key_type == KeyType::Texts => {}
            toml::Value::Table(inner) => check_table(inner, &path, &key, errors),
            toml::Value::Array(list) => {
                for (index, item) in list.iter_mut().enumerate() {
                    if let toml::Value::Table(inner) = item {
                        check_table(inner, &path, &numbered(&key, index), errors);
                    }
                }
            }
            _ => {}
        }
        true
    });
}

/// One of several tables of the same name, as people count them.
pub(super) fn numbered(key: &str, index: usize) -> String {
    format!("{key}[{}]", index + 1)
}

/// A value short enough for a message, on one line, without control characters.
pub(super) fn shorten(value: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = value.chars().take(CHARACTERS_MAX).map(clean).collect();
    if value.chars().nth(CHARACTERS_MAX).is_some() {
        short.push('…');
    }
    short
}

fn syntax(text: &str, error: &toml::de::Error) -> ConfigErrors {
    let line = error.span().map_or(1, |span| {
        text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1)
    });
    ConfigErrors(vec![ConfigError {
        key: format!("line {line}"),
        message: format!("not TOML: {}", error.message().lines().collect::<Vec<_>>().join(", ")),
        remedy: "write key = value, texts in quotes".to_owned(),
    }])
}

/// Reads the file whole, bounded.
pub(crate) fn read_file(path: &Path) -> Result<String, Failure> {
    let name = path.display();
    let fault = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Failure::usage(
            format!("{name}: no such file"),
            "name the configuration file, as in /etc/bumpless/bumpless.toml",
        ),
        io::ErrorKind::PermissionDenied => Failure::missing(
            format!("{name}: no permission to read it"),
            "run as root or let this user read the file",
        ),
        io::ErrorKind::InvalidData => {
            Failure::usage(format!("{name}: not UTF-8 text"), "name a TOML file")
        }
        _ => Failure::usage(format!("{name}: {error}"), "name a readable file"),
    };
    let mut text = String::new();
    let file = File::open(path).map_err(fault)?;
    file.take(FILE_OCTETS_MAX + 1).read_to_string(&mut text).map_err(fault)?;
    if text.len() as u64 > FILE_OCTETS_MAX {
        return Err(Failure::usage(
            format!("{name}: longer than {FILE_OCTETS_MAX} octets"),
            "name a configuration file",
        ));
    }
    Ok(text)
}
