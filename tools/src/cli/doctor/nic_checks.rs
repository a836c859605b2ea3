//! Are the LAN interfaces fit? Judged from what was read, without asking anybody.

use prp::os::ethtool::{Offload, Setting};
use prp::types::LanId;
use rt_core::os::host::{Change, Finding, HostTexts, Level, Remedy, Target, shell_word};

use super::nic::{Nic, NicLink, setting_name, value_text};

/// What the judging needs to know beside the interface.
#[derive(Clone, Copy, Debug)]
pub struct NicNeeds<'a> {
    /// The host's files.
    pub texts: &'a HostTexts,
    /// Octets of payload that the LAN interface has to carry.
    pub mtu_min: u32,
    /// CPUs that real-time threads are pinned to.
    pub pinned: &'a [usize],
    /// Whether the daemon has the interface now, and so has set it up.
    pub claimed: bool,
    /// Whether the interface is in the namespace of the host itself; none where that is not known.
    pub host_namespace: Option<bool>,
}

/// A received frame that waits longer than this for its interrupt is late by more than our own
/// work on it takes.
const COALESCING_MAX_US: u32 = 20;
/// Frames that a receive ring should hold: half a millisecond of the shortest at 1 Gbit/s.
const RX_RING_MIN: u32 = 512;

type NicCheck = fn(&Nic, &NicLink, &NicNeeds<'_>) -> Option<Finding>;

/// The checks of one interface, by name.
pub const CHECKS: &[(&str, NicCheck)] = &[
    ("lan_ethernet", ethernet),
    ("lan_link", link_state),
    ("lan_enslaved", enslaved),
    ("lan_mtu", mtu),
    ("lan_addresses", addresses),
    ("lan_offloads", offloads),
    ("lan_coalescing", coalescing),
    ("lan_rings", rings),
    ("lan_queues", queues),
    ("lan_eee", eee),
    ("lan_pause", pause),
    ("lan_driver", driver),
    ("lan_power", power),
    ("lan_packet_steering", packet_steering),
    ("lan_threaded_napi", threaded_napi),
    ("lan_spanning_tree", spanning_tree),
    ("lan_namespace", namespace),
];

/// The checks that concern the LANs together, or need more than one interface.
pub const COMMON_CHECKS: [&str; 3] = ["lan_interface", "lan_independence", "bridge_netfilter"];

/// Judges one interface.
#[must_use]
pub fn judge(nic: &Nic, needs: &NicNeeds<'_>) -> Vec<Finding> {
    let link = match &nic.link {
        Ok(link) => link,
        Err(why) => {
            let harm = format!("there is no LAN {} until it appears", nic.lan);
            let finding = Finding::new("lan_interface", subject(nic), Level::Problem, why, harm);
            return vec![finding.advice("`ip link` lists what there is; correct the name")];
        }
    };
    let mut all = vec![Finding::fine("lan_interface", subject(nic), "it is there")];
    all.extend(CHECKS.iter().filter_map(|(_, check)| check(nic, link, needs)));
    if let Some(why) = &nic.driver_hidden {
        all.push(
            Finding::new(
                "lan_driver",
                subject(nic),
                Level::Unknown,
                why,
                "its settings are unseen",
            )
            .advice(needs.texts.how_to_see()),
        );
    }
    all
}

fn subject(nic: &Nic) -> String {
    format!("LAN {} ({})", nic.lan, nic.name)
}

fn setting(nic: &Nic, which: Setting) -> Option<prp::os::ethtool::SettingValue> {
    nic.settings.iter().find(|(known, _)| *known == which).map(|(_, value)| *value)
}

fn file<'a>(nic: &Nic, needs: &NicNeeds<'a>, name: &str) -> Option<&'a str> {
    needs.texts.get(&format!("/sys/class/net/{}/{name}", nic.name)).map(str::trim)
}

/// A change of a setting of the driver's.
fn set(nic: &Nic, which: Setting, old: u32, new: u32) -> Remedy {
    let (option, word) = which.words();
    device_change(nic, option, word, &value_text(which, old), &value_text(which, new))
}

fn device_change(nic: &Nic, option: &str, word: &str, old: &str, new: &str) -> Remedy {
    let command =
        |value: &str| format!("ethtool {option} {} {word} {value}", shell_word(&nic.name));
    Remedy::Change(Change {
        target: Target::Device { device: nic.name.clone(), setting: setting_name((option, word)) },
        old: old.to_owned(),
        new: new.to_owned(),
        command: command(new),
        undo: command(old),
        caution: match option {
            "-G" | "--set-eee" => "many drivers take the link down for some seconds".to_owned(),
            _ => String::new(),
        },
    })
}

fn ethernet(nic: &Nic, link: &NicLink, _: &NicNeeds<'_>) -> Option<Finding> {
    const ID: &str = "lan_ethernet";
    Some(if link.ethernet {
        Finding::fine(ID, subject(nic), "it carries Ethernet frames")
    } else {
        let seen = "it carries no Ethernet frames, or is the loopback";
        Finding::new(ID, subject(nic), Level::Problem, seen, "the daemon refuses it")
            .advice("name an Ethernet interface")
    })
}

fn link_state(nic: &Nic, link: &NicLink, needs: &NicNeeds<'_>) -> Option<Finding> {
    const ID: &str = "lan_link";
    if !link.up {
        let seen = "it is down; the daemon sets it up";
        return Some(Finding::fine(ID, subject(nic), seen));
    }
    if !link.running {
        return Some(
            Finding::new(
                ID,
                subject(nic),
                Level::Warning,
                "no carrier",
                "there is no redundancy: the other LAN carries everything",
            )
            .advice("look at cable and switch"),
        );
    }
    let speed = file(nic, needs, "speed").and_then(|text| text.parse::<i64>().ok());
    let half = file(nic, needs, "duplex") == Some("half");
    let speed = speed.filter(|&mbit_s| mbit_s > 0);
    Some(if half || speed.is_some_and(|mbit_s| mbit_s < 100) {
        Finding::new(
            ID,
            subject(nic),
            Level::Warning,
            format!(
                "{} Mbit/s{}",
                speed.map_or_else(|| "unknown".to_owned(), |mbit_s| mbit_s.to_string()),
                if half { ", half duplex" } else { "" }
            ),
            "frames wait for each other, and with half duplex collide",
        )
        .advice("let both ends negotiate, or replace cable or switch port")
    } else {
        let seen = speed.map_or_else(|| "up".to_owned(), |mbit_s| format!("up, {mbit_s} Mbit/s"));
        Finding::fine(ID, subject(nic), seen)
    })
}

fn enslaved(nic: &Nic, link: &NicLink, _: &NicNeeds<'_>) -> Option<Finding> {
    const ID: &str = "lan_enslaved";
    let Some(controller) = &link.controller else {
        return Some(Finding::fine(ID, subject(nic), "it belongs to no bridge or bond"));
    };
    Some(
        Finding::new(
            ID,
            subject(nic),
            Level::Problem,
            format!("it is enslaved to {controller}"),
            "the daemon refuses it: frames would go both ways, and a bridge over both LANs is a \
             loop",
        )
        .command(format!("ip link set dev {} nomaster", shell_word(&nic.name)))
        .advice("and take it out of the configuration that put it there"),
    )
}

fn mtu(nic: &Nic, link: &NicLink, needs: &NicNeeds<'_>) -> Option<Finding> {
    const ID: &str = "lan_mtu";
    let (mtu, min) = (link.mtu, needs.mtu_min);
    if mtu >= min {
        return Some(Finding::fine(ID, subject(nic), format!("MTU {mtu}, {min} are needed")));
    }
    let seen = format!("MTU {mtu}, and {min} are needed");
    if link.mtu_max.is_some_and(|max| max < min) {
        let harm = format!(
            "the host interface gets an MTU of {} only, and so do its peers, or packets are lost",
            mtu.saturating_sub(6)
        );
        return Some(
            Finding::new(ID, subject(nic), Level::Warning, seen, harm)
                .advice("use a network card that carries 6 octets more")
                .advice(format!("or set `host_mtu = {}` on all nodes", mtu.saturating_sub(6))),
        );
    }
    if needs.claimed {
        let harm = "somebody lowered it after the daemon had raised it: full frames do not leave";
        let command = format!("ip link set dev {} mtu {min}", shell_word(&nic.name));
        let finding = Finding::new(ID, subject(nic), Level::Warning, seen, harm);
        return Some(finding.command(command));
    }
    Some(Finding::fine(ID, subject(nic), format!("{seen}; the daemon raises it")))
}

fn addresses(nic: &Nic, link: &NicLink, _: &NicNeeds<'_>) -> Option<Finding> {
    const ID: &str = "lan_addresses";
    if link.addresses.is_empty() {
        return Some(Finding::fine(ID, subject(nic), "no IP address"));
    }
    let list = link.addresses.iter().take(4).map(String::as_str).collect::<Vec<_>>().join(", ");
    Some(
        Finding::new(
            ID,
            subject(nic),
            Level::Warning,
            format!("it has IP addresses: {list}"),
            "they are dead while the daemon runs; programs that use them hang",
        )
        .command(format!("ip address flush dev {}", shell_word(&nic.name)))
        .advice("give them to the host interface, and take the LAN from NetworkManager or DHCP"),
    )
}

fn offloads(nic: &Nic, _: &NicLink, needs: &NicNeeds<'_>) -> Option<Finding> {
    const ID: &str = "lan_offloads";
    if nic.offloads.is_empty() {
        return None;
    }
    let on = |merging: bool| {
        let of = nic
            .offloads
            .iter()
            .filter(move |(which, on)| *on && Offload::MERGING.contains(which) == merging);
        of.map(|(which, _)| *which).collect::<Vec<_>>()
    };
    let names = |list: &[Offload]| list.iter().map(|o| o.name()).collect::<Vec<_>>().join(", ");
    let (merging, others) = (on(true), on(false));
    if merging.is_empty() {
        let harmless = match others.is_empty() {
            true => String::new(),
            false => format!(" (on, and harmless: {})", names(&others)),
        };
        let seen = format!("received frames are not merged{harmless}");
        return Some(Finding::fine(ID, subject(nic), seen));
    }
    let seen = format!("received frames are merged: {}", names(&merging));
    if !needs.claimed {
        let seen = format!("{seen}; the daemon switches that off");
        return Some(Finding::fine(ID, subject(nic), seen));
    }
    let harm = "merged frames have lost their trailers: they are dropped and counted";
    let changes = merging.iter().map(|o| device_change(nic, "-K", o.name(), "on", "off"));
    Some(Finding::new(ID, subject(nic), Level::Problem, seen, harm).remedies(changes))
}

fn coalescing(nic: &Nic, _: &NicLink, _: &NicNeeds<'_>) -> Option<Finding> {
    const ID: &str = "lan_coalescing";
    let time = setting(nic, Setting::RxCoalescingTime)?;
    let adaptive = setting(nic, Setting::RxCoalescingAdaptive).is_some_and(|on| on.now != 0);
    if !adaptive && time.now <= COALESCING_MAX_US {
        let seen = format!("received frames wait at most {} µs for an interrupt", time.now);
        return Some(Finding::fine(ID, subject(nic), seen));
    }
    let seen = match adaptive {
        true => "the driver chooses how long received frames wait for an interrupt".to_owned(),
        false => format!("received frames wait up to {} µs for an interrupt", time.now),
    };
    let harm = "each frame of this LAN is late by as much, and by more under load";
    let mut finding = Finding::new(ID, subject(nic), Level::Warning, seen, harm);
    if adaptive {
        finding = finding.remedy(set(nic, Setting::RxCoalescingAdaptive, 1, 0));
    }
    if time.now > 0 {
        finding = finding.remedy(set(nic, Setting::RxCoalescingTime, time.now, 0));
    }
    Some(finding)
}

fn rings(nic: &Nic, _: &NicLink, _: &NicNeeds<'_>) -> Option<Finding> {
    const ID: &str = "lan_rings";
    let rx = setting(nic, Setting::RxRing)?;
    let possible = rx.greatest.unwrap_or(rx.now).min(RX_RING_MIN);
    if rx.now >= possible {
        let seen = format!("{} frames fit into each receive ring", rx.now);
        return Some(Finding::fine(ID, subject(nic), seen));
    }
    let harm = "a burst that comes while the interrupt is late is lost on this LAN";
    let seen = format!("{} frames fit into each receive ring, {possible} could", rx.now);
    Some(Finding::new(ID, subject(nic), Level::Note, seen, harm).remedy(set(
        nic,
        Setting::RxRing,
        rx.now,
        possible,
    )))
}

fn queues(nic: &Nic, _: &NicLink, _: &NicNeeds<'_>) -> Option<Finding> {
    const ID: &str = "lan_queues";
    let queues = setting(nic, Setting::CombinedQueues)?.now;
    if queues <= 1 {
        return Some(Finding::fine(ID, subject(nic), "one queue"));
    }
    Some(
        Finding::new(
            ID,
            subject(nic),
            Level::Note,
            format!("frames come through {queues} queues"),
            "each has an interrupt of its own, on a CPU of its own; frames of different senders \
             overtake each other",
        )
        .command(format!("ethtool -L {} combined 1", shell_word(&nic.name)))
        .advice("the link goes down for a moment; where one CPU cannot take all, leave it"),
    )
}

fn eee(nic: &Nic, _: &NicLink, _: &NicNeeds<'_>) -> Option<Finding> {
    const ID: &str = "lan_eee";
    let value = setting(nic, Setting::Eee)?;
    Some(if value.now == 0 {
        Finding::fine(ID, subject(nic), "the link does not sleep (EEE is off)")
    } else {
        Finding::new(
            ID,
            subject(nic),
            Level::Warning,
            "the link sleeps when idle (EEE)",
            "the first frame after a pause waits some 20 µs for it, and some pairs of devices lose \
             the link",
        )
        .remedy(set(nic, Setting::Eee, value.now, 0))
    })
}

fn pause(nic: &Nic, _: &NicLink, _: &NicNeeds<'_>) -> Option<Finding> {
    const ID: &str = "lan_pause";
    let is_on = |which| setting(nic, which).is_some_and(|value| value.now != 0);
    setting(nic, Setting::RxPause)?;
    if !is_on(Setting::RxPause) && !is_on(Setting::TxPause) {
        return Some(Finding::fine(ID, subject(nic), "no flow control"));
    }
    Some(
        Finding::new(
            ID,
            subject(nic),
            Level::Note,
            "flow control is on (pause frames)",
            "a congested or broken device may stop everything that this host sends on this LAN",
        )
        .command(format!("ethtool -A {} autoneg off rx off tx off", shell_word(&nic.name)))
        .advice("the link goes down for a moment"),
    )
}

fn driver(nic: &Nic, link: &NicLink, _: &NicNeeds<'_>) -> Option<Finding> {
    const ID: &str = "lan_driver";
    let name = nic.driver.as_deref().or(link.kind.as_deref())?;
    let is_virtual = link.kind.is_some() || ["virtio_net", "vmxnet3", "hv_netvsc"].contains(&name);
    Some(if is_virtual {
        Finding::new(
            ID,
            subject(nic),
            Level::Note,
            format!("a virtual interface ({name})"),
            "somebody else's threads carry its frames: delays are theirs, too",
        )
        .advice("for a plant, give the guest a network card of its own (pass it through)")
    } else {
        Finding::fine(ID, subject(nic), format!("driver {name}"))
    })
}

fn power(nic: &Nic, _: &NicLink, needs: &NicNeeds<'_>) -> Option<Finding> {
    const ID: &str = "lan_power";
    let control = file(nic, needs, "device/power/control")?;
    Some(if control == "auto" {
        let path = format!("/sys/class/net/{}/device/power/control", nic.name);
        Finding::new(
            ID,
            subject(nic),
            Level::Note,
            "the device may be powered down when it is idle",
            "with a cable out and in again it takes longer until frames pass",
        )
        .remedy(Remedy::Change(Change::file(&path, "auto", "on")))
    } else {
        Finding::fine(ID, subject(nic), "the device stays powered")
    })
}

/// The CPUs of a hexadecimal mask that are in `cpus`.
fn in_mask(mask: &str, cpus: &[usize]) -> bool {
    let digits: Vec<u32> =
        mask.chars().filter(|c| *c != ',').filter_map(|c| c.to_digit(16)).collect();
    cpus.iter().any(|cpu| {
        digits.iter().rev().nth(cpu / 4).is_some_and(|digit| digit >> (cpu % 4) & 1 == 1)
    })
}

fn packet_steering(nic: &Nic, _: &NicLink, needs: &NicNeeds<'_>) -> Option<Finding> {
    const ID: &str = "lan_packet_steering";
    let pattern = format!("/sys/class/net/{}/queues/*/rps_cpus", nic.name);
    let masks: Vec<(&str, &str)> = needs.texts.matching(&pattern).collect();
    if masks.is_empty() {
        return None;
    }
    let steered: Vec<_> = masks.iter().filter(|(_, mask)| in_mask(mask, needs.pinned)).collect();
    if steered.is_empty() {
        return Some(Finding::fine(ID, subject(nic), "frames are not steered to our CPUs (RPS)"));
    }
    let changes = steered.iter().map(|(path, mask)| Remedy::Change(Change::file(path, mask, "0")));
    Some(
        Finding::new(
            ID,
            subject(nic),
            Level::Warning,
            "the kernel steers received frames to a CPU of our threads (RPS)",
            "each frame goes from CPU to CPU by an interrupt before our thread can have it, and \
             never where that thread never waits",
        )
        .remedies(changes),
    )
}

fn threaded_napi(nic: &Nic, _: &NicLink, needs: &NicNeeds<'_>) -> Option<Finding> {
    const ID: &str = "lan_threaded_napi";
    let value = file(nic, needs, "threaded")?;
    Some(if value == "0" {
        Finding::fine(ID, subject(nic), "frames are received in the interrupt's own thread")
    } else {
        let path = format!("/sys/class/net/{}/threaded", nic.name);
        Finding::new(
            ID,
            subject(nic),
            Level::Warning,
            "frames are received in threads without real-time priority (threaded NAPI)",
            "any program that computes on their CPU delays the frames of this LAN",
        )
        .remedy(Remedy::Change(Change::file(&path, value, "0")))
    })
}

/// The bridge on this host that is at the other end of a veth pair.
fn bridge_behind<'a>(nic: &Nic, needs: &NicNeeds<'a>) -> Option<&'a str> {
    let peer = file(nic, needs, "iflink")?;
    if Some(peer) == file(nic, needs, "ifindex") {
        return None;
    }
    let mut indexes = needs.texts.matching("/sys/class/net/*/ifindex");
    let (path, _) = indexes.find(|(_, index)| index.trim() == peer)?;
    let port = path.strip_prefix("/sys/class/net/")?.strip_suffix("/ifindex")?;
    let end = format!("/brif/{port}/state");
    let mut ports = needs.texts.matching("/sys/class/net/*/brif/*/state");
    let (path, _) = ports.find(|(path, _)| path.ends_with(&end))?;
    path.strip_prefix("/sys/class/net/")?.strip_suffix(&end)
}

fn spanning_tree(nic: &Nic, _: &NicLink, needs: &NicNeeds<'_>) -> Option<Finding> {
    const ID: &str = "lan_spanning_tree";
    let Some(bridge) = bridge_behind(nic, needs) else {
        // A switch of its own is not to be seen from here.
        return None;
    };
    let value = |name: &str| {
        needs.texts.get(&format!("/sys/class/net/{bridge}/bridge/{name}")).map(str::trim)
    };
    let on = value("stp_state")? != "0";
    Some(if on {
        // In hundredths of a second, twice: listening and learning.
        let delay_s = value("forward_delay").and_then(|d| d.parse::<u64>().ok()).unwrap_or(1500);
        let wait_s = delay_s.saturating_mul(2) / 100;
        Finding::new(
            ID,
            subject(nic),
            Level::Warning,
            format!("its switch is the bridge {bridge} of this host, with spanning tree on"),
            format!("for {wait_s} s after each link change the bridge passes nothing"),
        )
        .command(format!("ip link set dev {} type bridge stp_state 0", shell_word(bridge)))
    } else {
        let seen = format!("its switch, the bridge {bridge} of this host, has no spanning tree");
        Finding::fine(ID, subject(nic), seen)
    })
}

fn namespace(nic: &Nic, _: &NicLink, needs: &NicNeeds<'_>) -> Option<Finding> {
    const ID: &str = "lan_namespace";
    let Some(is_host) = needs.host_namespace else {
        let seen = "whose network namespace it is in cannot be seen";
        let harm = "others in the host's own could send on it, past the daemon";
        return Some(
            Finding::new(ID, subject(nic), Level::Unknown, seen, harm)
                .advice(needs.texts.how_to_see()),
        );
    };
    Some(match is_host {
        false => Finding::fine(ID, subject(nic), "it is not in the host's own network namespace"),
        true => Finding::new(
            ID,
            subject(nic),
            Level::Note,
            "it is in the host's own network namespace",
            "a program with CAP_NET_RAW can send on it, past the daemon",
        )
        .advice("give CAP_NET_RAW to nobody else, or run the daemon in a namespace of its own"),
    })
}

/// Judges the LANs together, and the bridges of this host.
#[must_use]
pub fn judge_together(nics: &[Nic], texts: &HostTexts) -> Vec<Finding> {
    independence(nics).into_iter().chain(bridge_netfilter(texts)).collect()
}

fn independence(nics: &[Nic]) -> Option<Finding> {
    const ID: &str = "lan_independence";
    let a = nics.iter().find(|nic| nic.lan == LanId::A)?;
    let b = nics.iter().find(|nic| nic.lan == LanId::B)?;
    let (one, other) = (a.device.as_deref()?, b.device.as_deref()?);
    // A card's ports are functions of one device: 0000:01:00.0 and 0000:01:00.1.
    let card = |device: &str| device.rsplit_once('.').map(|(card, _)| card.to_owned());
    Some(if one == other {
        Finding::new(
            ID,
            "LANs",
            Level::Problem,
            format!("{} and {} are the same device ({one})", a.name, b.name),
            "one fault of it ends both LANs",
        )
        .advice("use two network cards, or two ports at least")
    } else if card(one).is_some() && card(one) == card(other) {
        Finding::new(
            ID,
            "LANs",
            Level::Note,
            format!("{} and {} are ports of one card ({one}, {other})", a.name, b.name),
            "a fault of the card ends both LANs",
        )
        .advice("where that matters, use two cards")
    } else {
        Finding::fine(ID, "LANs", format!("two devices ({one}, {other})"))
    })
}

fn bridge_netfilter(texts: &HostTexts) -> Option<Finding> {
    const ID: &str = "bridge_netfilter";
    let settings: Vec<(&str, &str)> =
        texts.matching("/proc/sys/net/bridge/bridge-nf-call-*").collect();
    if settings.is_empty() {
        return None;
    }
    let on: Vec<_> = settings.iter().filter(|(_, value)| value.trim() != "0").collect();
    let is_bridged = texts.matching("/sys/class/net/*/bridge/stp_state").next().is_some();
    if on.is_empty() || !is_bridged {
        return Some(Finding::fine(ID, "bridges", "frames on bridges are not filtered"));
    }
    let changes = on.iter().map(|(path, value)| {
        let change = Change::file(path, value, "0");
        Remedy::Change(change.with_caution("firewalls of containers that rely on it lose effect"))
    });
    Some(
        Finding::new(
            ID,
            "bridges",
            Level::Note,
            "frames on bridges of this host go through the packet filter (br_netfilter)",
            "a bridge that serves as a LAN's switch cuts the trailers off: no redundancy there",
        )
        .remedies(changes),
    )
}
