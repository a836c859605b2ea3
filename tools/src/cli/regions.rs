//! `bumpless regions` and `bumpless switchover`.

use std::thread::sleep;
use std::time::Duration;

use shm_replica::segment::RegionName;

use super::text::{Side, Style, Table, number, octets, span};
use super::{Ask, SwitchoverArgs, finish, json, wrong_document};
use crate::control::Request;
use crate::control::client::ask;
use crate::exit::{ExitCode, Failure};
use crate::report::{Application, Document, Region, Regions};

/// Between the two looks that a rate is taken from.
const LOOK: Duration = Duration::from_millis(500);

pub(super) fn run(args: &Ask) -> Result<ExitCode, Failure> {
    let folder = args.target.runtime_dir()?;
    let look = || match ask(&folder, &Request::Regions)? {
        Document::Regions(regions) => Ok(*regions),
        _ => Err(wrong_document()),
    };
    let before = look()?;
    sleep(LOOK);
    let mut now = look()?;
    add_rates(&before, &mut now);
    if args.json {
        return finish(&json(&now)?);
    }
    finish(&render(&now, Style::of_stdout()))
}

pub(super) fn switch_over(args: &SwitchoverArgs) -> Result<ExitCode, Failure> {
    let application = args.application.as_ref().map(|name| {
        RegionName::new(name).map_err(|wrong| {
            Failure::usage(format!("--application: {name:?}: {wrong}"), "as in plc")
        })
    });
    let application = application.transpose()?;
    if !args.force {
        return Err(Failure::usage(
            "without --force a switchover is agreed on with the other node of a pair, and no pair \
             is configured",
            "add --force to make the standby on this host active",
        ));
    }
    let request = Request::Switchover { application };
    let Document::Switchover(done) = ask(&args.ask.target.runtime_dir()?, &request)? else {
        return Err(wrong_document());
    };
    if args.ask.json {
        return finish(&json(&done)?);
    }
    finish(&format!(
        "application {}: process {} is active now, in epoch {}\n",
        done.application, done.pid, done.epoch
    ))
}

/// What was committed between two looks.
fn add_rates(before: &Regions, now: &mut Regions) {
    let elapsed_ns = now.uptime_ns.saturating_sub(before.uptime_ns);
    for region in &mut now.regions {
        let same = |it: &&Region| it.name == region.name && it.epoch == region.epoch;
        let commits = before.regions.iter().find(same).map(|it| it.commits);
        let commits = commits.map_or(0, |commits| region.commits.saturating_sub(commits));
        region.commit_interval_ns = elapsed_ns.checked_div(commits);
    }
}

pub(super) fn render(regions: &Regions, style: Style) -> String {
    if regions.applications.is_empty() {
        return "no application is configured ([[application]] in bumpless.toml(5))\n".to_owned();
    }
    let applications = render_applications(&regions.applications, style);
    format!("{applications}\n{}", render_regions(&regions.regions, style))
}

pub(super) fn render_applications(applications: &[Application], style: Style) -> String {
    let mut table = Table::new(&[
        ("Application", Side::Left),
        ("Epoch", Side::Right),
        ("Active", Side::Left),
        ("Standby", Side::Left),
    ]);
    for application in applications {
        let pids: Vec<String> =
            application.standbys.iter().map(|standby| standby.pid.to_string()).collect();
        let active = match (&application.active, application.awaited_pid) {
            (Some(active), _) => format!("process {}", active.pid),
            (None, Some(pid)) => format!("waits for {pid}"),
            (None, None) => "NONE".to_owned(),
        };
        table.row(vec![
            application.name.clone(),
            number(application.epoch),
            active,
            if pids.is_empty() { "none".to_owned() } else { pids.join(", ") },
        ]);
    }
    table.render(style)
}

pub(super) fn render_regions(regions: &[Region], style: Style) -> String {
    let mut table = Table::new(&[
        ("Region", Side::Left),
        ("Application", Side::Left),
        ("Image", Side::Right),
        ("Memory", Side::Right),
        ("Commits/s", Side::Right),
        ("Cycle", Side::Right),
        ("Age", Side::Right),
        ("Readers", Side::Right),
        ("Epoch", Side::Right),
        ("Writer", Side::Left),
    ]);
    let dash = || "-".to_owned();
    for region in regions {
        table.row(vec![
            region.name.clone(),
            region.application.clone(),
            region.bytes.map_or_else(dash, octets),
            octets(region.memory_octets),
            region.commit_interval_ns.map_or_else(dash, rate),
            region.cycle.map_or_else(dash, number),
            region.age_ns.map_or_else(dash, age),
            number(region.readers.into()),
            number(region.epoch),
            region.writer_pid.map_or_else(|| "none".to_owned(), |pid| pid.to_string()),
        ]);
    }
    table.render(style)
}

/// How often something happens that happens each so many ns.
fn rate(interval_ns: u64) -> String {
    let tenths = 10_000_000_000 / interval_ns.max(1);
    if tenths >= 1_000 { number(tenths / 10) } else { format!("{}.{}", tenths / 10, tenths % 10) }
}

/// A span that may be short.
pub(super) fn age(ns: u64) -> String {
    match ns {
        0..10_000_000 => format!("{} µs", number(ns / 1_000)),
        _ => span(ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_ages_are_as_fine_as_they_are_short() {
        for (interval_ns, text) in [
            (1_000_000, "1,000"),
            (250_000_000, "4.0"),
            (3_000_000_000, "0.3"),
            (0, "1,000,000,000"),
        ] {
            assert_eq!(rate(interval_ns), text);
        }
        assert_eq!((age(900_000), age(20_000_000)), ("900 µs".to_owned(), "20 ms".to_owned()));
    }
}
