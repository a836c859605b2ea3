//! `bumpless events`: what happened, and with `--follow` what happens.

use super::text::{Style, number, span, utc};
use super::{EventsArgs, Reader, finish, json, print, wrong_document};
use crate::control::client::{Connection, ask};
use crate::control::{Reply, Request};
use crate::exit::{ExitCode, Failure};
use crate::report::{Document, Event, Events, Severity};

pub(super) fn run(args: &EventsArgs) -> Result<ExitCode, Failure> {
    let folder = args.ask.target.runtime_dir()?;
    if args.follow {
        return follow(args, &folder);
    }
    let request = Request::Events { follow: false };
    let Document::Events(events) = ask(&folder, &request)? else {
        return Err(wrong_document());
    };
    if args.ask.json {
        return finish(&json(&events)?);
    }
    finish(&render(&events, Style::of_stdout()))
}

fn follow(args: &EventsArgs, folder: &std::path::Path) -> Result<ExitCode, Failure> {
    let style = Style::of_stdout();
    let show = |event: &Event, now_ns: Option<u64>| {
        if args.ask.json {
            serde_json::to_string(event)
                .map(|text| text + "\n")
                .map_err(|error| Failure::failed(error.to_string(), ""))
        } else {
            Ok(line(event, now_ns, style))
        }
    };
    let mut connection = Connection::open(folder, &Request::Events { follow: true })?;
    let events = match connection.reply()? {
        Reply::Document(Document::Events(events)) => events,
        Reply::Document(_) => return Err(wrong_document()),
        Reply::Refused(refusal) => {
            return Err(Failure::failed(
                format!("the daemon refused: {}", refusal.message),
                "try again",
            ));
        }
    };
    let mut last = events.forgotten;
    let mut text = String::new();
    for event in &events.events {
        text += &show(event, Some(events.uptime_ns))?;
        last = event.sequence;
    }
    let mut reader = print(&text)?;
    while reader == Reader::Reads {
        let Some(event) = connection.next_event()? else {
            return Err(Failure::failed(
                "the daemon closed the connection",
                "see with bumpless status whether it runs, and follow again",
            ));
        };
        let mut text = String::new();
        let missed = event.sequence.saturating_sub(last).saturating_sub(1);
        if missed > 0 && !args.ask.json {
            text += &format!("({} events are missing here: read too slowly)\n", number(missed));
        }
        last = event.sequence;
        text += &show(&event, None)?;
        reader = print(&text)?;
    }
    Ok(ExitCode::Fine)
}

fn render(events: &Events, style: Style) -> String {
    let mut text = String::new();
    if events.forgotten > 0 {
        text += &format!("({} older events are no longer kept)\n", number(events.forgotten));
    }
    if events.events.is_empty() {
        text += "nothing happened yet\n";
    }
    for event in &events.events {
        text += &line(event, Some(events.uptime_ns), style);
    }
    text
}

fn line(event: &Event, now_ns: Option<u64>, style: Style) -> String {
    let head = match event.severity {
        Severity::Info => "info    ".to_owned(),
        Severity::Warning => style.odd("WARNING "),
        Severity::Alarm => style.bad("ALARM   "),
    };
    let age = now_ns.map_or_else(String::new, |now_ns| {
        format!("{:>14}  ", format!("{} ago", span(now_ns.saturating_sub(event.uptime_ns))))
    });
    format!("{}  {age}{head}{}\n", utc(event.unix_time_ns), event.text)
}
