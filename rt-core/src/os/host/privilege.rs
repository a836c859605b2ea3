//! What the process may do, and what the kernel offers it.

use super::view::View;
use super::{Check, Finding, Level, PROCESS, Remedy};
use crate::os::procfs::{field, has_capability, is_first_user_namespace};

const PROTOCOLS: &str = "/proc/net/protocols";
const UNIT: &str = "/etc/systemd/system/bumplessd@.service";
const STATUS: &str = "/proc/self/status";
const LIMITS: &str = "/proc/self/limits";

pub(super) const CHECKS: &[Check] = &[
    Check { id: "rtprio", reads: &[STATUS, LIMITS], judge: rtprio },
    Check { id: "memlock", reads: &[STATUS, LIMITS], judge: memlock },
    Check { id: "capabilities", reads: &[STATUS], judge: capabilities },
    Check { id: "service_unit", reads: &[UNIT], judge: service_unit },
    Check { id: "tap", reads: &[], judge: tap },
    Check { id: "packet_sockets", reads: &[PROTOCOLS], judge: packet_sockets },
    Check { id: "af_xdp", reads: &[PROTOCOLS], judge: af_xdp },
];

/// Memory that a daemon with its tables locks, at least: what it takes with the smallest.
const MEMLOCK_MIN_OCTETS: u64 = 64 << 20;

const NET_ADMIN: (u32, &str) = (12, "CAP_NET_ADMIN");
const NET_RAW: (u32, &str) = (13, "CAP_NET_RAW");
const IPC_LOCK: (u32, &str) = (14, "CAP_IPC_LOCK");
const SYS_NICE: (u32, &str) = (23, "CAP_SYS_NICE");

/// Whether the process holds a capability where it counts.
fn holds(view: &View<'_>, (bit, _): (u32, &str)) -> Option<bool> {
    let status = view.get(STATUS)?;
    field(status, "CapEff")?;
    let first = view.get(&format!("{PROCESS}/uid_map")).is_none_or(is_first_user_namespace);
    Some(has_capability(status, bit) && first)
}

/// A soft limit: `u64::MAX` where there is none.
fn limit(view: &View<'_>, name: &str) -> Option<u64> {
    let line = view.get(LIMITS)?.lines().find_map(|line| line.strip_prefix(name))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Who is judged, in words, and how bad a lack is: what lacks in a shell does not matter to a
/// service that has a unit of its own.
fn judged(view: &View<'_>) -> (&'static str, Level) {
    if view.needs.process_runs {
        ("the daemon", Level::Problem)
    } else if unit(view).is_some() {
        ("this shell", Level::Note)
    } else {
        ("this shell", Level::Warning)
    }
}

fn rtprio(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "rtprio";
    let needed = u64::from(view.priority_max());
    let (Some(held), Some(limit)) = (holds(view, SYS_NICE), limit(view, "Max realtime priority"))
    else {
        return;
    };
    let (subject, level) = judged(view);
    out.push(if held || limit >= needed {
        let by = if held { SYS_NICE.1 } else { "the limit for real-time priorities" };
        Finding::fine(ID, subject, format!("{by} allows SCHED_FIFO {needed}"))
    } else {
        Finding::new(
            ID,
            subject,
            level,
            format!("{} is missing and the limit for real-time priorities is {limit}", SYS_NICE.1),
            format!("SCHED_FIFO {needed} is refused: a daemon started here ends with code 3"),
        )
        .remedies(in_unit(view, "LimitRTPRIO=98"))
        .command("echo '@bumpless - rtprio 98' >> /etc/security/limits.d/bumpless.conf")
        .advice(login_hint(view, "rtprio"))
    });
}

fn memlock(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "memlock";
    let (Some(held), Some(limit)) = (holds(view, IPC_LOCK), limit(view, "Max locked memory"))
    else {
        return;
    };
    let (subject, level) = judged(view);
    out.push(if held || limit >= MEMLOCK_MIN_OCTETS {
        let by = if held { IPC_LOCK.1 } else { "the limit for locked memory" };
        Finding::fine(ID, subject, format!("{by} allows locked memory"))
    } else {
        Finding::new(
            ID,
            subject,
            level,
            format!("{} is missing and the limit for locked memory is {limit} octets", IPC_LOCK.1),
            "memory cannot be locked: a daemon started here ends with code 3, or waits for page \
             faults where that is allowed",
        )
        .remedies(in_unit(view, "LimitMEMLOCK=infinity"))
        .command("echo '@bumpless - memlock unlimited' >> /etc/security/limits.d/bumpless.conf")
        .advice(login_hint(view, "memlock"))
    });
}

/// A line for the unit, where a unit may have started it.
fn in_unit(view: &View<'_>, line: &str) -> Option<Remedy> {
    view.needs.process_runs.then(|| Remedy::Unit(line.to_owned()))
}

/// Limits for logins that are set already count from the next login on.
fn login_hint(view: &View<'_>, item: &str) -> &'static str {
    let sets = |text: &str| {
        text.lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'))
            .any(|line| line.split_whitespace().nth(2) == Some(item))
    };
    let main = view.get("/etc/security/limits.conf").is_some_and(sets);
    if main || view.texts.matching("/etc/security/limits.d/*.conf").any(|(_, text)| sets(text)) {
        "limits.conf sets it for some already: log in anew as one of them"
    } else {
        "for a login; members of group bumpless log in anew"
    }
}

fn capabilities(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "capabilities";
    let Some(status) = view.get(STATUS).filter(|status| field(status, "CapEff").is_some()) else {
        return;
    };
    // These count in any user namespace that owns the network namespace.
    let missing: Vec<&str> = [NET_ADMIN, NET_RAW]
        .into_iter()
        .filter(|(bit, _)| !has_capability(status, *bit))
        .map(|(_, name)| name)
        .collect();
    let (subject, level) = judged(view);
    out.push(if missing.is_empty() {
        Finding::fine(ID, subject, "it may have the LAN interfaces")
    } else {
        Finding::new(
            ID,
            subject,
            level,
            format!("{} missing", missing.join(" and ")),
            "LAN interfaces cannot be claimed: a daemon started here ends with code 3",
        )
        .advice("start it as root or by systemd (packaging/systemd/bumplessd@.service)")
    });
}

/// The texts of the installed unit with its drop-ins, in the order in which they count.
fn unit(view: &View<'_>) -> Option<String> {
    let places = ["/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"];
    let main = places
        .iter()
        .find_map(|place| view.get(&format!("{place}/systemd/system/bumplessd@.service")))?;
    let drop_ins = view.texts.matching("/etc/systemd/system/bumplessd@.service.d/*.conf");
    Some(drop_ins.fold(main.to_owned(), |all, (_, text)| all + "\n" + text))
}

/// The last value of a key of a unit.
fn unit_value<'a>(unit: &'a str, key: &str) -> Option<&'a str> {
    unit.lines().filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix('=')).next_back()
}

fn service_unit(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "service_unit";
    const NAME: &str = "bumplessd@.service";
    let Some(unit) = unit(view) else { return };
    let needed = view.priority_max();
    let is_root = unit_value(&unit, "User").is_none_or(|user| user == "root");
    // Root's capabilities do without limits, as far as the unit leaves them.
    let keeps = |name: &str| {
        is_root
            && unit_value(&unit, "CapabilityBoundingSet").is_none_or(|set| {
                !set.starts_with('~') && set.split_whitespace().any(|c| c == name)
            })
            || unit_value(&unit, "AmbientCapabilities")
                .is_some_and(|set| set.split_whitespace().any(|c| c == name))
    };
    let mut lacks = Vec::new();
    let rtprio = unit_value(&unit, "LimitRTPRIO")
        .is_some_and(|n| n == "infinity" || n.parse::<u8>().is_ok_and(|n| n >= needed));
    if !rtprio && !keeps(SYS_NICE.1) {
        lacks.push(("LimitRTPRIO", "98"));
    }
    if unit_value(&unit, "LimitMEMLOCK") != Some("infinity") && !keeps(IPC_LOCK.1) {
        lacks.push(("LimitMEMLOCK", "infinity"));
    }
    if unit_value(&unit, "RestrictRealtime")
        .is_some_and(|v| ["yes", "true", "1", "on"].contains(&v))
    {
        lacks.push(("RestrictRealtime", "no"));
    }
    out.push(if lacks.is_empty() {
        Finding::fine(ID, NAME, "it allows real-time threads and locked memory")
    } else {
        let keys: Vec<&str> = lacks.iter().map(|(key, _)| *key).collect();
        Finding::new(
            ID,
            NAME,
            Level::Problem,
            format!("{} does not allow what the daemon needs", keys.join(", ")),
            "the service ends with code 3 at start",
        )
        .remedies(lacks.iter().map(|(key, value)| Remedy::Unit(format!("{key}={value}"))))
    });
}

/// Whether a module can be loaded when it is asked for.
fn has_module(view: &View<'_>, file: &str) -> bool {
    view.texts.matching("/lib/modules/*/modules.dep").any(|(_, text)| text.contains(file))
}

fn tap(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "tap";
    out.push(if view.get("/sys/class/misc/tun/dev").is_some() {
        Finding::fine(ID, "kernel", "/dev/net/tun is there")
    } else if has_module(view, "/tun.ko") {
        Finding::fine(ID, "kernel", "the module tun is loaded when it is asked for")
    } else if view.texts.lacks("sys") {
        let harm = "whether the host interface can be one is not known";
        Finding::new(ID, "kernel", Level::Unknown, "TAP: /sys is not to be seen", harm)
            .advice(view.texts.how_to_see())
    } else {
        Finding::new(
            ID,
            "kernel",
            Level::Note,
            "no TAP was found (module tun)",
            "the host interface is a pair of veth then, unless host_port says tap",
        )
        .command("modprobe tun")
    });
}

fn packet_sockets(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "packet_sockets";
    let Some(there) = protocol(view, "PACKET") else { return };
    out.push(if there || has_module(view, "/af_packet.ko") {
        Finding::fine(ID, "kernel", "frames can be received with packet sockets")
    } else {
        Finding::new(
            ID,
            "kernel",
            Level::Problem,
            "no packet sockets (CONFIG_PACKET)",
            "frames of the LANs cannot be received: the daemon does not start",
        )
        .advice("use a kernel that has them; every distribution's does")
    });
}

fn af_xdp(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "af_xdp";
    let Some(there) = protocol(view, "XDP") else { return };
    out.push(if there {
        Finding::fine(ID, "kernel", "frames can be sent with AF_XDP")
    } else {
        Finding::new(
            ID,
            "kernel",
            Level::Note,
            "no AF_XDP (CONFIG_XDP_SOCKETS)",
            "frames are sent with packet sockets, which costs more CPU time for each",
        )
        .advice("use a kernel that has it")
    });
}

/// Whether the kernel knows a protocol; none where the table is not as expected.
fn protocol(view: &View<'_>, name: &str) -> Option<bool> {
    let table = view.get(PROTOCOLS).filter(|table| table.starts_with("protocol"))?;
    Some(table.lines().any(|line| line.split_whitespace().next() == Some(name)))
}
