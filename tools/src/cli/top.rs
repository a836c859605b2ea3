//! `bumpless top`: status, rates and nodes, drawn again every second.
//!
//! Plain terminal control: home, text, clear the rest. Nothing has to be restored, so that ending
//! it by Ctrl-C leaves the terminal as it was.

use std::io::{self, IsTerminal};
use std::thread::sleep;
use std::time::Duration;

use super::text::{Side, Style, Table, number};
use super::{Reader, Target, nodes, print, status, wrong_document};
use crate::control::Request;
use crate::control::client::ask;
use crate::exit::{ExitCode, Failure};
use crate::report::{Document, Port, Status};

const PERIOD: Duration = Duration::from_secs(1);
const NODES_SHOWN_MAX: usize = 20;

pub(super) fn run(target: &Target) -> Result<ExitCode, Failure> {
    if !io::stdout().is_terminal() {
        return Err(Failure::usage("top needs a terminal", "use bumpless status or --json"));
    }
    let folder = target.runtime_dir()?;
    let style = Style::of_stdout();
    let mut before: Option<Box<Status>> = None;
    loop {
        let now = match ask(&folder, &Request::Status)? {
            Document::Status(now) => now,
            Document::RegionsStatus(_) => {
                let what = "this daemon has no LANs, whose frames could be counted";
                return Err(Failure::usage(what, "use bumpless regions"));
            }
            _ => return Err(wrong_document()),
        };
        let Document::Nodes(list) = ask(&folder, &Request::Nodes)? else {
            return Err(wrong_document());
        };
        let mut text = status::render(&now, style);
        if let Some(before) = &before {
            text += &format!("\n{}", rates(before, &now, style));
        }
        text += &format!("\n{}", nodes::render(&list, NODES_SHOWN_MAX, style));
        // Each line clears what an older, longer one left behind it.
        let frame = text.replace('\n', "\x1b[K\n");
        if print(&format!("\x1b[H{frame}\x1b[J"))? == Reader::Gone {
            return Ok(ExitCode::Fine);
        }
        before = Some(now);
        sleep(PERIOD);
    }
}

/// Frames per second between two documents.
fn rates(before: &Status, now: &Status, style: Style) -> String {
    let span_ns = now.uptime_ns.saturating_sub(before.uptime_ns);
    let rate = |old: u64, new: u64| {
        let frames = u128::from(new.saturating_sub(old));
        let per_second = frames * 1_000_000_000 / u128::from(span_ns.max(1));
        number(u64::try_from(per_second).unwrap_or(u64::MAX))
    };
    let mut table =
        Table::new(&[("Frames/s", Side::Left), ("received", Side::Right), ("sent", Side::Right)]);
    let mut row = |name: &str, old: &Port, new: &Port| {
        let (old, new) = (&old.counters, &new.counters);
        table.row(vec![
            name.to_owned(),
            rate(old.rx_frames, new.rx_frames),
            rate(old.tx_frames, new.tx_frames),
        ]);
    };
    row("LAN A", &before.ports.a, &now.ports.a);
    row("LAN B", &before.ports.b, &now.ports.b);
    let (old, new) = (&before.host.counters, &now.host.counters);
    table.row(vec![
        "Host".to_owned(),
        rate(old.tx_frames, new.tx_frames),
        rate(old.rx_frames, new.rx_frames),
    ]);
    table.render(style)
}
