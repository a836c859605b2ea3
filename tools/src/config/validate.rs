//! The one way from a configuration as written to a valid one.

use std::ops::RangeInclusive;
use std::path::Path;

use prp::lre::config::{
    DuplicateMode, LreConfig, SanUnicast, SupervisionConfig, TransparentReception,
};
use prp::os::lan_port::TransmitPath;
use prp::types::MacAddress;
use prp::wire::vlan::VlanTag;
use rt_core::limits::{
    CPU_INDEX_MAX, ENTRY_FORGET_TIME_DEFAULT, ENTRY_FORGET_TIME_MAX, ENTRY_FORGET_TIME_MIN,
    LIFE_CHECK_INTERVAL, NODE_FORGET_TIME, NODE_REBOOT_INTERVAL, NODE_TABLE_DEFAULT,
    NODE_TABLE_MAX, PRIORITY_LRE, PRIORITY_MAX, PRIORITY_MIN, entry_life_max,
};
use rt_core::time::Duration;

use super::raw::{RawConfig, RawSupervision, RawThread, shorten};
use super::{
    Checked, ConfigError, ConfigErrors, DaemonConfig, HostConfig, HostPort, InterfaceName,
    LanReceive, Origin, Promiscuous, Protocol, RUNTIME_ROOT, ReceiveMode, SocketGroup,
    ThreadConfig, ThreadPolicy, ThreadsConfig, Warning, jitter, keys, regions,
};

/// Longer than any card takes; who waits for ever learns nothing.
const LAN_WAIT_S_MAX: i64 = 3_600;

/// A bound as a number of the file.
fn index(bound: usize) -> i64 {
    i64::try_from(bound).unwrap_or(i64::MAX)
}

/// A bound in milliseconds as a number of the file.
fn millis(bound: Duration) -> i64 {
    i64::try_from(bound.as_millis()).unwrap_or(i64::MAX)
}

/// Gathers what is wrong and what is odd while the keys are looked at one after the other.
pub(super) struct Checker {
    origin: Origin,
    errors: Vec<ConfigError>,
    warnings: Vec<Warning>,
}

impl Checker {
    pub(super) fn error(&mut self, key: &str, message: String, remedy: impl Into<String>) {
        let key = self.origin.spell(key);
        self.errors.push(ConfigError { key, message, remedy: remedy.into() });
    }

    pub(super) fn warn(&mut self, key: &str, message: impl Into<String>) {
        let key = self.origin.spell(key);
        self.warnings.push(Warning { key, message: message.into() });
    }

    /// A whole number within bounds. `T` holds every value of the range: a range that it does not
    /// hold is refused like a value outside.
    pub(super) fn number<T: TryFrom<i64>>(
        &mut self,
        key: &str,
        value: Option<i64>,
        range: RangeInclusive<i64>,
    ) -> Option<T> {
        let value = value?;
        if range.contains(&value)
            && let Ok(number) = T::try_from(value)
        {
            return Some(number);
        }
        let (low, high) = (range.start(), range.end());
        self.error(key, format!("{value} is out of range"), format!("write {low} to {high}"));
        None
    }

    /// One word of a list, the first of which is the default.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &str,
        value: Option<&str>,
        words: &[(&str, T)],
    ) -> T {
        let default = words[0].1;
        let Some(value) = value else { return default };
        if let Some(&(_, meaning)) = words.iter().find(|(word, _)| *word == value) {
            return meaning;
        }
        let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let remedy = keys::nearest_word(value, list.iter().copied()).map_or_else(
            || format!("write one of {}", list.join(", ")),
            |near| format!("did you mean {near}? (one of {})", list.join(", ")),
        );
        self.error(key, format!("{:?} is not known", shorten(value)), remedy);
        default
    }

    /// A required interface name.
    fn interface(&mut self, key: &str, value: Option<&str>, what: &str) -> Option<InterfaceName> {
        let Some(value) = value else {
            self.error(key, "missing".to_owned(), format!("name {what}"));
            return None;
        };
        match value.parse() {
            Ok(name) => Some(name),
            Err(why) => {
                self.error(key, format!("{:?}: {why}", shorten(value)), format!("name {what}"));
                None
            }
        }
    }
}

/// Checks everything and keeps what is wrong of all of it.
pub(super) fn validate(raw: RawConfig, origin: Origin) -> Result<Checked, ConfigErrors> {
    let mut checker = Checker { origin, errors: Vec::new(), warnings: Vec::new() };
    let check = &mut checker;
    let regions = regions::validate(check, &raw);
    let has_lans = regions.is_none() || speaks_of_lans(check, &raw);
    let protocol = if has_lans { protocol(check, &raw) } else { Protocol::Prp };
    let [name, lan_a, lan_b] = if has_lans {
        interfaces(check, &raw)
    } else {
        [check.interface("name", raw.name.as_deref(), "this instance, as in plc0"), None, None]
    };
    let mac = mac(check, raw.mac.as_deref());
    let receive_mode = receive_mode(check, &raw);
    let host = host(check, &raw);
    let lan_receive = check.word(
        "lan_receive",
        raw.lan_receive.as_deref(),
        &[("auto", LanReceive::Auto), ("ring", LanReceive::Ring), ("xdp", LanReceive::Xdp)],
    );
    let lan_transmit = check.word(
        "lan_transmit",
        raw.lan_transmit.as_deref(),
        &[
            ("auto", TransmitPath::Auto),
            ("packet", TransmitPath::Packet),
            ("xdp", TransmitPath::Xdp),
        ],
    );
    let promiscuous = check.word(
        "promiscuous",
        raw.promiscuous.as_deref(),
        &[("auto", Promiscuous::Auto), ("on", Promiscuous::On), ("off", Promiscuous::Off)],
    );
    let lan_wait = check.number("lan_wait_s", raw.lan_wait_s, 0..=LAN_WAIT_S_MAX).unwrap_or(0);
    let lre = lre(check, &raw);
    let node_table_size = check
        .number("node_table_size", raw.node_table_size, 1..=index(NODE_TABLE_MAX))
        .unwrap_or(NODE_TABLE_DEFAULT);
    let threads = ThreadsConfig { lre: lre_thread(check, &raw.threads.lre, receive_mode) };
    let cpu_dma_latency_us =
        check.number("cpu_dma_latency_us", raw.cpu_dma_latency_us, 0..=1_000_000);
    let jitter = jitter::validate(check, raw.jitter.as_ref());
    let socket_group = socket_group(check, raw.socket_group);
    let allow_non_rt = raw.allow_non_rt.unwrap_or(false);

    let lans = lan_a.zip(lan_b).map(|(a, b)| [a, b]);
    // What is missing has been told.
    let (Some(name), true) = (name, checker.errors.is_empty()) else {
        return Err(ConfigErrors(checker.errors));
    };
    let runtime_dir = Path::new(RUNTIME_ROOT).join(name.as_str());
    let config = DaemonConfig {
        name,
        protocol,
        lans,
        lan_wait: Duration::from_secs(lan_wait),
        mac,
        receive_mode,
        host,
        lan_receive,
        lan_transmit,
        promiscuous,
        lre,
        node_table_size,
        threads,
        cpu_dma_latency_us,
        jitter,
        regions,
        socket_group,
        allow_non_rt,
        runtime_dir,
    };
    Ok(Checked { config, warnings: checker.warnings })
}

/// Whether a configuration with regions has LANs as well. Where it has none, what is said about
/// frames is probably a mistake.
fn speaks_of_lans(check: &mut Checker, raw: &RawConfig) -> bool {
    if raw.protocol.is_some() || raw.lan_a.is_some() || raw.lan_b.is_some() {
        return true;
    }
    let of_frames = [
        ("lan_wait_s", raw.lan_wait_s.is_some()),
        ("interlink", raw.interlink.is_some()),
        ("hsr_version", raw.hsr_version.is_some()),
        ("mac", raw.mac.is_some()),
        ("receive_mode", raw.receive_mode.is_some()),
        ("host_port", raw.host_port.is_some()),
        ("host_mtu", raw.host_mtu.is_some()),
        ("lan_receive", raw.lan_receive.is_some()),
        ("lan_transmit", raw.lan_transmit.is_some()),
        ("promiscuous", raw.promiscuous.is_some()),
        ("node_table_size", raw.node_table_size.is_some()),
        ("threads.lre.policy", raw.threads.lre.policy.is_some()),
        ("threads.lre.cpu", raw.threads.lre.cpu.is_some()),
    ];
    for (key, _) in of_frames.into_iter().filter(|(_, is_said)| *is_said) {
        check.warn(key, "has no effect: without protocol, lan_a and lan_b only regions are kept");
    }
    false
}

fn protocol(check: &mut Checker, raw: &RawConfig) -> Protocol {
    match raw.protocol.as_deref() {
        Some("prp") => {}
        Some("hsr") => check.error(
            "protocol",
            "\"hsr\": HSR is not built yet".to_owned(),
            "this version speaks prp only",
        ),
        Some(other) => {
            check.error("protocol", format!("{:?} is not known", shorten(other)), "write prp");
        }
        None => check.error("protocol", "missing".to_owned(), "write prp"),
    }
    if let Some(interlink) = raw.interlink.as_deref() {
        check.error(
            "interlink",
            format!("{:?}: the RedBox is not built yet", shorten(interlink)),
            "leave it out",
        );
    }
    if let Some(version) = raw.hsr_version {
        check.error(
            "hsr_version",
            format!("{version}: belongs to protocol hsr, which is not built yet"),
            "leave it out",
        );
    }
    Protocol::Prp
}

/// The host interface's name and those of the LANs, all different.
fn interfaces(check: &mut Checker, raw: &RawConfig) -> [Option<InterfaceName>; 3] {
    let name = check.interface("name", raw.name.as_deref(), "the host interface, as in prp0");
    let lan_a = check.interface("lan_a", raw.lan_a.as_deref(), "the NIC of LAN A, as in eth1");
    let lan_b = check.interface("lan_b", raw.lan_b.as_deref(), "the NIC of LAN B, as in eth2");
    if let (Some(a), Some(b)) = (&lan_a, &lan_b)
        && a == b
    {
        let other = check.origin.spell("lan_a");
        check.error(
            "lan_b",
            format!("same interface as {other} ({a})"),
            "name the NIC of the other LAN",
        );
    }
    for (key, lan) in [("lan_a", &lan_a), ("lan_b", &lan_b)] {
        if lan.is_some() && *lan == name {
            let nic = check.origin.spell(key);
            check.error(
                "name",
                format!("same interface as {nic} ({})", raw.name.as_deref().unwrap_or_default()),
                "the daemon creates this interface: choose a name that is free",
            );
        }
    }
    if name.as_ref().is_some_and(|name| matches!(name.as_str(), "lo" | "all" | "default")) {
        check.error(
            "name",
            format!("{:?} means something else to Linux", raw.name.as_deref().unwrap_or_default()),
            "choose another name, as in prp0",
        );
    }
    [name, lan_a, lan_b]
}

fn mac(check: &mut Checker, value: Option<&str>) -> Option<MacAddress> {
    let value = value?;
    let shown = shorten(value);
    match value.parse::<MacAddress>() {
        Err(why) => check.error("mac", format!("{shown:?}: {why}"), "or leave it out for LAN A's"),
        Ok(mac) if mac.is_group() => check.error(
            "mac",
            format!("{mac} is a group address"),
            "give the address of one station: its first octet is even",
        ),
        Ok(mac) if !mac.is_station() => check.error(
            "mac",
            format!("{mac} is no address"),
            "give a station's address, or leave it out for LAN A's",
        ),
        Ok(mac) => return Some(mac),
    }
    None
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Block,
    Adaptive,
    Busy,
}

fn receive_mode(check: &mut Checker, raw: &RawConfig) -> ReceiveMode {
    let mode = check.word(
        "receive_mode",
        raw.receive_mode.as_deref(),
        &[("block", Mode::Block), ("adaptive", Mode::Adaptive), ("busy", Mode::Busy)],
    );
    let spin_us: Option<u64> =
        check.number("adaptive_spin_time_us", raw.adaptive_spin_time_us, 1..=10_000);
    if spin_us.is_some() && mode != Mode::Adaptive {
        check.warn("adaptive_spin_time_us", "has no effect unless receive_mode is adaptive");
    }
    match mode {
        Mode::Block => ReceiveMode::Block,
        Mode::Adaptive => {
            ReceiveMode::Adaptive { spin: Duration::from_micros(spin_us.unwrap_or(50)) }
        }
        Mode::Busy => ReceiveMode::Busy,
    }
}

fn host(check: &mut Checker, raw: &RawConfig) -> HostConfig {
    let port = check.word(
        "host_port",
        raw.host_port.as_deref(),
        &[("auto", HostPort::Auto), ("tap", HostPort::Tap), ("veth", HostPort::Veth)],
    );
    let mtu = check.number("host_mtu", raw.host_mtu, 68..=1_500).unwrap_or(1_500);
    if mtu < 1_280 {
        check.warn("host_mtu", format!("{mtu}: IPv6 needs 1280 and will not run on it"));
    }
    HostConfig { port, mtu }
}

fn lre(check: &mut Checker, raw: &RawConfig) -> LreConfig {
    let supervision = supervision(check, &raw.supervision);
    let transparent_reception = check.word(
        "transparent_reception",
        raw.transparent_reception.as_deref(),
        &[
            ("remove_rct", TransparentReception::RemoveRct),
            ("pass_rct", TransparentReception::PassRct),
        ],
    );
    let duplicate_mode = check.word(
        "duplicate_mode",
        raw.duplicate_mode.as_deref(),
        &[("discard", DuplicateMode::Discard), ("accept", DuplicateMode::Accept)],
    );
    if duplicate_mode == DuplicateMode::Accept {
        check.warn("duplicate_mode", "accept: every frame reaches the host twice; for tests only");
    }
    let san_unicast = check.word(
        "san_unicast",
        raw.san_unicast.as_deref(),
        &[("both_lans", SanUnicast::BothLans), ("its_lan", SanUnicast::ItsLan)],
    );
    let entry_forget_range = millis(ENTRY_FORGET_TIME_MIN)..=millis(ENTRY_FORGET_TIME_MAX);
    let entry_forget_time = check
        .number("entry_forget_time_ms", raw.entry_forget_time_ms, entry_forget_range)
        .map_or(ENTRY_FORGET_TIME_DEFAULT, Duration::from_millis);
    warn_of_long_memory(check, entry_forget_time);
    let node_forget_time = check
        .number("node_forget_time_ms", raw.node_forget_time_ms, 1_000..=65_000)
        .map_or(NODE_FORGET_TIME, Duration::from_millis);
    let memory = entry_life_max(entry_forget_time);
    if node_forget_time <= memory {
        // A node that is forgotten takes its numbers with it, and second copies would be delivered.
        check.error(
            "node_forget_time_ms",
            format!(
                "{}: numbers are remembered for up to {} ms, a node has to be for longer",
                node_forget_time.as_millis(),
                memory.as_millis()
            ),
            "raise it, or lower entry_forget_time_ms",
        );
    }
    if node_forget_time < supervision.interval.saturating_mul(2) {
        check.warn(
            "node_forget_time_ms",
            format!(
                "{}: less than two supervision intervals ({} ms each); a quiet node leaves the \
                 table between its supervision frames",
                node_forget_time.as_millis(),
                supervision.interval.as_millis()
            ),
        );
    }
    LreConfig {
        supervision,
        evaluate_supervision: raw.supervision.evaluate.unwrap_or(true),
        transparent_reception,
        duplicate_mode,
        san_unicast,
        entry_forget_time,
        node_forget_time,
    }
}

/// While no number is remembered for longer than NodeRebootInterval, a node that keeps the
/// standard's silence at a restart meets an empty memory, whatever number it starts with.
fn warn_of_long_memory(check: &mut Checker, entry_forget_time: Duration) {
    let memory = entry_life_max(entry_forget_time);
    if memory <= NODE_REBOOT_INTERVAL {
        return;
    }
    check.warn(
        "entry_forget_time_ms",
        format!(
            "{}: numbers are remembered for up to {} ms, longer than the {} ms of silence that a \
             restarting node keeps; a node that restarts faster than that and sends numbers it \
             used just before loses these frames, for up to {} ms after its silence (470 or less \
             loses none)",
            entry_forget_time.as_millis(),
            memory.as_millis(),
            NODE_REBOOT_INTERVAL.as_millis(),
            memory.saturating_sub(NODE_REBOOT_INTERVAL).as_millis(),
        ),
    );
}

fn supervision(check: &mut Checker, raw: &RawSupervision) -> SupervisionConfig {
    let interval = check
        .number("supervision.interval_ms", raw.interval_ms, 1_000..=10_000)
        .map_or(LIFE_CHECK_INTERVAL, Duration::from_millis);
    let last_octet = check.number("supervision.last_byte", raw.last_byte, 0..=255).unwrap_or(0);
    let vlan = raw.vlan.as_ref().and_then(|vlan| {
        if vlan.vid.is_none() {
            check.error(
                "supervision.vlan.vid",
                "missing".to_owned(),
                "write 1 to 4094, 0 for a priority tag, or leave supervision.vlan out",
            );
        }
        let vid = check.number("supervision.vlan.vid", vlan.vid, 0..=4_094)?;
        let pcp = check.number("supervision.vlan.pcp", vlan.pcp, 0..=7).unwrap_or(0);
        Some(VlanTag { vid, pcp, dei: vlan.dei.unwrap_or(false) })
    });
    if vlan.is_some() {
        check.warn(
            "supervision.vlan",
            "nodes that run the Linux kernel's own driver do not recognise tagged supervision",
        );
    }
    if last_octet != 0 {
        check.warn(
            "supervision.last_byte",
            format!(
                "{last_octet}: nodes that compare the whole address (the Linux kernel's driver) \
                 recognise us only with the same value"
            ),
        );
    }
    SupervisionConfig { interval, last_octet, vlan }
}

fn lre_thread(check: &mut Checker, raw: &RawThread, mode: ReceiveMode) -> ThreadConfig {
    let fifo = check.word(
        "threads.lre.policy",
        raw.policy.as_deref(),
        &[("fifo", true), ("other", false)],
    );
    let priority = check.number(
        "threads.lre.priority",
        raw.priority,
        i64::from(PRIORITY_MIN)..=i64::from(PRIORITY_MAX),
    );
    let cpu = check.number("threads.lre.cpu", raw.cpu, 0..=index(CPU_INDEX_MAX));
    let policy = if fifo {
        ThreadPolicy::Fifo { priority: priority.unwrap_or(PRIORITY_LRE) }
    } else {
        check.warn(
            "threads.lre.policy",
            "other: any process on its CPU delays the frames; for demonstrations and tests",
        );
        ThreadPolicy::Other
    };
    if let (false, Some(priority)) = (fifo, raw.priority) {
        check.error(
            "threads.lre.priority",
            format!("{priority}: policy other has no priority"),
            "leave it out or write policy = \"fifo\"",
        );
    }
    if mode == ReceiveMode::Busy && cpu.is_none() {
        check.warn(
            "receive_mode",
            "busy: takes a whole CPU and nothing says which; isolate one (isolcpus=) and name it \
             in threads.lre.cpu",
        );
    }
    ThreadConfig { policy, cpu }
}

fn socket_group(check: &mut Checker, value: Option<String>) -> SocketGroup {
    let Some(name) = value else { return SocketGroup::Default };
    let good = |c: char| c.is_ascii_graphic() && !matches!(c, ':' | ',' | '/');
    if name.is_empty() || name.len() > 32 || !name.chars().all(good) {
        check.error(
            "socket_group",
            format!("{:?} is no group name", shorten(&name)),
            "name a group, as in bumpless",
        );
        return SocketGroup::Default;
    }
    SocketGroup::Named(name)
}
