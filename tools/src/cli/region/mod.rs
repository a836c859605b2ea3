//! `bumpless region dump` and `bumpless region watch`: what a region holds, by name and value where
//! its writer said what is in it, else in hex.

mod image;
mod reader;

use std::time::Duration;

use serde_json::json;
use shm_replica::segment::RegionName;

use super::regions::age;
use super::text::{number, octets, utc};
use super::{
    DropArgs, DumpArgs, Reader as Output, RegionCommand, WatchArgs, finish, json, print,
    wrong_document,
};
use crate::control::Request;
use crate::control::client::ask;
use crate::exit::{ExitCode, Failure};
use crate::report::Document;
use image::{Shown, hex_lines};
use reader::RegionReader;

pub(super) fn run(command: &RegionCommand) -> Result<ExitCode, Failure> {
    match command {
        RegionCommand::Dump(args) => dump(args),
        RegionCommand::Watch(args) => watch(args),
        RegionCommand::Drop(args) => drop_state(args),
    }
}

fn name_of(said: &str) -> Result<RegionName, Failure> {
    RegionName::new(said)
        .map_err(|wrong| Failure::usage(format!("{said:?}: {wrong}"), "as in plant"))
}

fn open(target: &super::Target, name: &str) -> Result<RegionReader, Failure> {
    let name = name_of(name)?;
    RegionReader::open(&target.runtime_dir()?, name)
}

fn drop_state(args: &DropArgs) -> Result<ExitCode, Failure> {
    let region = name_of(&args.region)?;
    let request = Request::Drop { region };
    let Document::Regions(regions) = ask(&args.ask.target.runtime_dir()?, &request)? else {
        return Err(wrong_document());
    };
    if args.ask.json {
        return finish(&json(&regions)?);
    }
    finish(&format!("region {region}: the last state is given up; the next process begins anew\n"))
}

fn dump(args: &DumpArgs) -> Result<ExitCode, Failure> {
    let mut reader = open(&args.ask.target, &args.region)?;
    let Some(shown) = reader.look()? else {
        return Err(Failure::failed(
            format!("region {}: nothing was committed yet", args.region),
            "see with bumpless regions who writes it",
        ));
    };
    if args.ask.json {
        return finish(&json(&document(&args.region, &shown, args.all))?);
    }
    let mut text = headline(&args.region, &shown);
    for (name, value) in shown.values(args.all) {
        text += &format!("{name} = {value}\n");
    }
    if !shown.has_schema() || args.hex {
        let (lines, left_out) = hex_lines(&shown.image, args.all);
        for (at, line) in lines {
            text += &format!("{at:08x}  {line}\n");
        }
        if left_out > 0 {
            text += &format!("({} octets more: --all shows them)\n", number(left_out));
        }
    }
    finish(&text)
}

fn headline(region: &str, shown: &Shown) -> String {
    let stamp = &shown.stamp;
    format!(
        "# {region}: cycle {}, epoch {}, commit {}, {} old, {} ({})\n",
        number(stamp.cycle),
        number(stamp.epoch),
        number(shown.sequence),
        age(shown.age_ns),
        octets(shown.image.len() as u64),
        utc(stamp.wall_clock_ns)
    )
}

fn document(region: &str, shown: &Shown, all: bool) -> serde_json::Value {
    let blocks: Vec<_> = shown
        .blocks()
        .map(|(block, value)| {
            json!({
                "name": block.name,
                "kind": block.kind,
                "count": block.count,
                "offset": block.offset,
                "value": value(all),
            })
        })
        .collect();
    let (lines, left_out) = hex_lines(&shown.image, all);
    let hex: String = lines.into_iter().map(|(_, line)| image::digits(&line)).collect();
    json!({
        "schema": crate::report::SCHEMA,
        "region": region,
        "epoch": shown.stamp.epoch,
        "cycle": shown.stamp.cycle,
        "commit": shown.sequence,
        "age_ns": shown.age_ns,
        "unix_time_ns": shown.stamp.wall_clock_ns,
        "application_time_ns": shown.stamp.application_time_ns,
        "bytes": shown.image.len(),
        "blocks": blocks,
        "hex": hex,
        "hex_left_out_bytes": left_out,
    })
}

/// Prints what has changed since the look before, until somebody ends it.
fn watch(args: &WatchArgs) -> Result<ExitCode, Failure> {
    let mut reader = open(&args.target, &args.region)?;
    let interval = Duration::from_millis(args.interval_ms);
    let mut before: Option<Shown> = None;
    let mut looks = 0;
    loop {
        if let Some(shown) = reader.look()? {
            let text = changes(&args.region, before.as_ref(), &shown);
            if !text.is_empty() && print(&text)? == Output::Gone {
                return Ok(ExitCode::Fine);
            }
            before = Some(shown);
        }
        looks += 1;
        if args.looks.is_some_and(|wanted| looks >= wanted) {
            return Ok(ExitCode::Fine);
        }
        reader.wait(interval)?;
    }
}

/// The values that are not as they were.
fn changes(region: &str, before: Option<&Shown>, now: &Shown) -> String {
    if before.is_some_and(|before| before.is_same_commit(now)) {
        return String::new();
    }
    let mut lines = Vec::new();
    if now.has_schema() {
        let old: Vec<_> = before.map(|before| before.values(false).collect()).unwrap_or_default();
        for (name, value) in now.values(false) {
            if !old.iter().any(|known| *known == (name.clone(), value.clone())) {
                lines.push(format!("  {name} = {value}\n"));
            }
        }
    } else {
        let old = before.map(|before| hex_lines(&before.image, false).0).unwrap_or_default();
        for (at, line) in hex_lines(&now.image, false).0 {
            if !old.iter().any(|known| *known == (at, line.clone())) {
                lines.push(format!("  {at:08x}  {line}\n"));
            }
        }
    }
    if lines.is_empty() { String::new() } else { headline(region, now) + &lines.concat() }
}
