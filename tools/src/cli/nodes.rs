//! `bumpless nodes`: who is out there, those with a problem first.

use rt_core::limits::NODE_SILENT_ON_LAN_TIME;

use super::text::{Side, Style, Table, count, number, span};
use super::{Ask, finish, json, wrong_document};
use crate::control::Request;
use crate::control::client::ask;
use crate::exit::{ExitCode, Failure};
use crate::report::{Document, Node};

pub(super) fn run(args: &Ask) -> Result<ExitCode, Failure> {
    let Document::Nodes(nodes) = ask(&args.target.runtime_dir()?, &Request::Nodes)? else {
        return Err(wrong_document());
    };
    if args.json {
        return finish(&json(&nodes)?);
    }
    finish(&render(&nodes, usize::MAX, Style::of_stdout()))
}

pub(super) fn render(nodes: &[Node], rows_max: usize, style: Style) -> String {
    if nodes.is_empty() {
        return "no node was heard yet\n".to_owned();
    }
    let mut sorted: Vec<(Option<&str>, &Node)> =
        nodes.iter().map(|node| (problem(node), node)).collect();
    sorted.sort_by(|(a, x), (b, y)| b.is_some().cmp(&a.is_some()).then(x.mac.cmp(&y.mac)));
    let wrong = sorted.iter().filter(|(problem, _)| problem.is_some()).count();
    let all = count(nodes.len() as u64, "node");
    let mut text = match wrong {
        0 => format!("{all}, {}\n\n", style.good("all fine")),
        _ => format!("{all}, {}\n\n", style.bad(&format!("{wrong} with a problem"))),
    };
    let mut table = Table::new(&[
        ("MAC address", Side::Left),
        ("Kind", Side::Left),
        ("Heard on A", Side::Right),
        ("Heard on B", Side::Right),
        ("Frames A", Side::Right),
        ("Frames B", Side::Right),
        ("Remark", Side::Left),
    ]);
    for (problem, node) in sorted.iter().take(rows_max) {
        table.row(vec![
            node.mac.clone(),
            node.kind.clone(),
            age(node.last_seen_a_ns),
            age(node.last_seen_b_ns),
            number(node.lan_a.rx_frames),
            number(node.lan_b.rx_frames),
            remark(node, *problem),
        ]);
    }
    text += &table.render(style);
    if sorted.len() > rows_max {
        text += &format!("and {} more\n", number((sorted.len() - rows_max) as u64));
    }
    text
}

fn age(ns: Option<u64>) -> String {
    ns.map_or_else(|| "never".to_owned(), |ns| format!("{} ago", span(ns)))
}

/// What is wrong with a node now, if anything.
fn problem(node: &Node) -> Option<&'static str> {
    if !node.is_doubly_attached() {
        return None;
    }
    let heard = |ns: Option<u64>| ns.is_some_and(|ns| ns < NODE_SILENT_ON_LAN_TIME.as_nanos());
    match (heard(node.last_seen_a_ns), heard(node.last_seen_b_ns)) {
        (true, true) => None,
        (false, false) => Some("SILENT on both LANs"),
        (true, false) => Some("NOT HEARD on LAN B"),
        (false, true) => Some("NOT HEARD on LAN A"),
    }
}

/// What is wrong now, and what was: a count of frames on the wrong LAN never falls, so that it
/// alone does not say whether the cables are still swapped (`bumpless status` does).
fn remark(node: &Node, problem: Option<&str>) -> String {
    let lans = [("A", node.lan_a.wrong_lan_frames), ("B", node.lan_b.wrong_lan_frames)];
    let wrong = lans
        .into_iter()
        .filter(|&(_, frames)| frames > 0)
        .map(|(lan, frames)| format!("{} of the other LAN on {lan}", number(frames)));
    problem.map(str::to_owned).into_iter().chain(wrong).collect::<Vec<_>>().join(", ")
}
