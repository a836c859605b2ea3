//! `bumpless status`: what is wrong first, then how things are.

use super::regions::{render_applications, render_regions};
use super::text::{Side, Style, Table, count, number, octets, span};
use super::{Ask, finish, json, wrong_document};
use crate::control::Request;
use crate::control::client::ask;
use crate::exit::{ExitCode, Failure};
use crate::report::{
    Application, Document, HostKind, Link, Port, Region, RegionsStatus, Status, Thread,
};

pub(super) fn run(args: &Ask) -> Result<ExitCode, Failure> {
    let style = Style::of_stdout();
    match ask(&args.target.runtime_dir()?, &Request::Status)? {
        Document::Status(status) if args.json => finish(&json(&status)?),
        Document::Status(status) => finish(&render(&status, style)),
        Document::RegionsStatus(status) if args.json => finish(&json(&status)?),
        Document::RegionsStatus(status) => finish(&render_regions_only(&status, style)),
        _ => Err(wrong_document()),
    }
}

/// A daemon that keeps regions only.
fn render_regions_only(status: &RegionsStatus, style: Style) -> String {
    let told = |head, list: &[String]| {
        list.iter().map(|text| Problem { head, text: text.clone() }).collect::<Vec<_>>()
    };
    let mut problems = told("ALARM", &status.alarms);
    problems.extend(without_active(&status.applications));
    problems.extend(told("DEGRADED", &status.degraded));
    let mut text = verdict(&status.name, &problems, "fine, each application is active", style);
    text += &format!(
        "\nDaemon   regions only, bumplessd {} (process {}), up {}\n\n",
        status.version,
        status.pid,
        span(status.uptime_ns)
    );
    text += &regions(&status.applications, &status.regions, style);
    text.push('\n');
    text += &threads(&status.threads, style);
    text
}

/// Applications that nobody drives.
fn without_active(applications: &[Application]) -> impl Iterator<Item = Problem> {
    let idle = applications.iter().filter(|it| it.active.is_none() && it.awaited_pid.is_none());
    idle.map(|application| Problem {
        head: "WARNING",
        text: format!("application {}: no process is active", application.name),
    })
}

fn regions(applications: &[Application], regions: &[Region], style: Style) -> String {
    if applications.is_empty() {
        return String::new();
    }
    let applications = render_applications(applications, style);
    format!("{applications}\n{}", render_regions(regions, style))
}

/// One thing that is wrong.
struct Problem {
    /// `ALARM`, `WARNING` or `DEGRADED`.
    head: &'static str,
    text: String,
}

pub(super) fn render(status: &Status, style: Style) -> String {
    let mut text = verdict(&status.name, &problems(status), "fine, both LANs carry", style);
    text += &format!(
        "\nNode     {}, {}, bumplessd {} (process {}), up {}\n",
        status.mac,
        status.protocol,
        status.version,
        status.pid,
        span(status.uptime_ns)
    );
    let host = &status.host;
    let kind = match host.kind {
        HostKind::Tap => "TAP",
        HostKind::Veth => "veth",
    };
    let carrier = if host.carrier { "carrier up" } else { "no carrier" };
    let place = if host.elsewhere { " in another network namespace" } else { "" };
    text += &format!(
        "Host     {} ({kind}){place}, MTU {}, {carrier}, {} sent, {} received, {} dropped\n",
        host.interface,
        host.mtu,
        number(host.counters.rx_frames),
        number(host.counters.tx_frames),
        number(host.counters.rx_dropped_frames.saturating_add(host.counters.tx_dropped_frames))
    );
    text += &format!("Nodes    {} in the table (bumpless nodes)\n\n", number(status.nodes));
    text += &ports(status, style);
    text += &ways(status);
    if !status.applications.is_empty() {
        text += &format!("\n{}", regions(&status.applications, &status.regions, style));
    }
    text.push('\n');
    text += &threads(&status.threads, style);
    text += &format!(
        "\nReceive mode {}, {} locked, {} allocations on real-time threads, next number {}\n",
        status.receive_mode,
        octets(status.memory_locked_octets),
        number(status.rt_allocations),
        status.sequence_number
    );
    text
}

/// The first lines: whether all is well, else each thing that is not.
fn verdict(name: &str, problems: &[Problem], fine: &str, style: Style) -> String {
    if problems.is_empty() {
        return format!("{name}: {}\n", style.good(fine));
    }
    let number_of_them = count(problems.len() as u64, "problem");
    let mut text = format!("{name}: {}\n", style.bad(&number_of_them));
    for Problem { head, text: what } in problems {
        let head = format!("{head:<8}");
        let head = if head.starts_with("ALARM") { style.bad(&head) } else { style.odd(&head) };
        text += &format!("  {head}  {what}\n");
    }
    text
}

fn problems(status: &Status) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut push = |head, text| problems.push(Problem { head, text });
    let (a, b) = (&status.ports.a, &status.ports.b);
    if !status.host.carrier && (a.link == Link::Up || b.link == Link::Up) {
        push("ALARM", "the host interface has no carrier: nothing forwards".to_owned());
    }
    for alarm in &status.alarms {
        push("ALARM", alarm.clone());
    }
    if a.link == Link::Up || b.link == Link::Up {
        for (lan, port) in [("A", a), ("B", b)] {
            if port.link != Link::Up {
                let words = link_words(port.link);
                push("WARNING", format!("no redundancy: LAN {lan} ({}) {words}", port.interface));
            }
        }
    }
    if status.rt_allocations > 0 {
        push(
            "WARNING",
            format!(
                "{} allocations on real-time threads: a defect of the daemon, please report it",
                number(status.rt_allocations)
            ),
        );
    }
    for reason in &status.degraded {
        push("DEGRADED", reason.clone());
    }
    problems.extend(without_active(&status.applications));
    problems
}

const fn link_words(link: Link) -> &'static str {
    match link {
        Link::Up => "is up",
        Link::Down => "has no link",
        Link::Absent => "does not exist",
    }
}

fn ports(status: &Status, style: Style) -> String {
    let mut table = Table::new(&[
        ("LAN", Side::Left),
        ("Interface", Side::Left),
        ("Link", Side::Left),
        ("MTU", Side::Right),
        ("In", Side::Left),
        ("Out", Side::Left),
        ("Received", Side::Right),
        ("Sent", Side::Right),
        ("Errors", Side::Right),
        ("Wrong LAN", Side::Right),
        ("Dropped", Side::Right),
        ("Merged", Side::Right),
    ]);
    let ports = &status.ports;
    let interlink = ports.interlink.as_ref().map(|port| ("C", port));
    for (lan, port) in [("A", &ports.a), ("B", &ports.b)].into_iter().chain(interlink) {
        table.row(port_row(status, lan, port));
    }
    table.render(style)
}

fn port_row(status: &Status, lan: &str, port: &Port) -> Vec<String> {
    let link = match port.link {
        Link::Up => "up",
        Link::Down => "DOWN",
        Link::Absent => "ABSENT",
    };
    let mib = |name: &str| number(status.counters.get(&format!("{name}{lan}")));
    let own = &port.counters;
    vec![
        lan.to_owned(),
        port.interface.clone(),
        link.to_owned(),
        port.mtu.map_or_else(|| "-".to_owned(), |mtu| mtu.to_string()),
        word(port.receive_path.as_deref()),
        word(port.transmit_path.as_deref()),
        number(own.rx_frames),
        number(own.tx_frames),
        mib("lreCntErrors"),
        mib("lreCntErrWrongLan"),
        number(own.rx_dropped_frames.saturating_add(own.tx_dropped_frames)),
        number(own.rx_merged_frames),
    ]
}

/// A word of a document as people read it.
fn word(word: Option<&str>) -> String {
    word.map_or_else(|| "-".to_owned(), |word| word.replace('_', " "))
}

/// Why frames do not arrive or leave in another way, and why those for others do: a line for each
/// of which there is something to say.
fn ways(status: &Status) -> String {
    let ports = [("A", &status.ports.a), ("B", &status.ports.b)];
    let line = |lan: &str, verb: &str, path: &Option<String>, why: &Option<String>| {
        let (path, why) = (word(path.as_deref()), why.as_ref()?);
        Some(format!("LAN {lan} {verb} by {path}: {why}\n"))
    };
    let lines = ports.into_iter().flat_map(|(lan, port)| {
        let received = line(lan, "receives", &port.receive_path, &port.receive_fallback);
        let sent = line(lan, "sends", &port.transmit_path, &port.transmit_fallback);
        let every = port
            .promiscuous
            .map(|why| format!("LAN {lan} takes frames for every station: {}\n", why.words()));
        [received, sent, every]
    });
    lines.flatten().collect()
}

fn threads(list: &[Thread], style: Style) -> String {
    let mut table = Table::new(&[
        ("Thread", Side::Left),
        ("Policy", Side::Left),
        ("CPU", Side::Right),
        ("Waited", Side::Right),
        ("Preempted", Side::Right),
        ("Faults", Side::Right),
        ("TID", Side::Right),
    ]);
    for thread in list {
        let policy = match thread.priority {
            0 => thread.policy.clone(),
            priority => format!("{} {priority}", thread.policy),
        };
        table.row(vec![
            thread.name.clone(),
            policy,
            thread.cpu.map_or_else(|| "any".to_owned(), |cpu| cpu.to_string()),
            number(thread.voluntary_switches),
            number(thread.involuntary_switches),
            number(thread.minor_faults.saturating_add(thread.major_faults)),
            thread.tid.to_string(),
        ]);
    }
    table.render(style)
}
