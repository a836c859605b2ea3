//! What was found: as a table, as a page, as JSON.

use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::host::Host;
use super::lre_cost::LreCost;
use super::machine::Machine;
use super::regions::Regions;
use super::round_trip::RoundTrip;
use super::spread::Spread;
use super::throughput::Throughput;

/// An aim and what was found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Aim {
    /// What is measured.
    pub what: String,
    /// In which unit; empty for plain numbers.
    pub unit: String,
    /// Whether the bound is the least (`true`) or the most that is allowed.
    pub at_least: bool,
    /// The bound.
    pub bound: f64,
    /// What was found; its median counts.
    pub found: Spread,
    /// Whether the aim was met.
    pub met: bool,
}

impl Aim {
    /// Met when the median is no less than `bound`.
    #[must_use]
    pub fn at_least(what: String, unit: &str, bound: f64, found: Spread) -> Self {
        let met = found.median >= bound;
        Self { what, unit: unit.to_owned(), at_least: true, bound, found, met }
    }

    /// Met when the median is no more than `bound`.
    #[must_use]
    pub fn at_most(what: String, unit: &str, bound: f64, found: Spread) -> Self {
        let met = found.median <= bound;
        Self { what, unit: unit.to_owned(), at_least: false, bound, found, met }
    }
}

/// Everything of one run.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct Results {
    /// Where.
    pub host: Host,
    /// What has to be known to read the figures.
    pub notes: Vec<String>,
    /// The aims and what became of them.
    pub aims: Vec<Aim>,
    /// The LRE alone.
    pub lre: Vec<LreCost>,
    /// The machine's own figures.
    pub machine: Option<Machine>,
    /// The daemon under load.
    pub throughput: Vec<Throughput>,
    /// Round trips.
    pub round_trip: Vec<RoundTrip>,
    /// Regions: what is published until it is observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions: Option<Regions>,
}

impl Results {
    /// Whether every aim was met.
    #[must_use]
    pub fn all_met(&self) -> bool {
        self.aims.iter().all(|aim| aim.met)
    }

    /// The aims as a table (which is Markdown, too).
    #[must_use]
    pub fn table(&self) -> String {
        let mut text =
            String::from("| aim | bound | found (min … max) | met |\n|---|---|---|---|\n");
        for aim in &self.aims {
            let sign = if aim.at_least { "≥" } else { "≤" };
            let Spread { min, median, max, .. } = aim.found;
            let met = if aim.met { "yes" } else { "**no**" };
            let (what, bound, unit) = (&aim.what, aim.bound, &aim.unit);
            let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
            let _ = writeln!(
                text,
                "| {what} | {sign} {bound}{unit} | {median:.2} ({min:.2} … {max:.2}) | {met} |"
            );
        }
        text
    }

    /// The whole page.
    #[must_use]
    pub fn page(&self) -> String {
        let host = &self.host;
        let none = || "none".to_owned();
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(none);
        let mut text = format!(
            "# Speed, {}\n\nMedians of the rounds, least and greatest in parentheses.\n\n{}\n",
            host.date,
            self.table()
        );
        let _ = writeln!(
            text,
            "## Where\n\n| | |\n|---|---|\n| kernel | {} |\n| CPU | {} |\n| CPUs | {} |\n\
             | hypervisor | {} |\n| governor | {} |\n| isolated CPUs | {} |\n\
             | load average | {} |\n| commit | {} |\n| command | `{}` |\n",
            host.kernel,
            host.cpu,
            host.cpus,
            or_none(&host.hypervisor),
            or_none(&host.governor),
            if host.isolated_cpus.is_empty() { "none" } else { &host.isolated_cpus },
            host.load_average,
            host.commit,
            host.command,
        );
        self.write_lre(&mut text);
        self.write_machine(&mut text);
        self.write_throughput(&mut text);
        self.write_round_trip(&mut text);
        if let Some(regions) = &self.regions {
            regions.write(&mut text);
        }
        if !self.notes.is_empty() {
            text.push_str("## Notes\n\n");
            for note in &self.notes {
                let _ = writeln!(text, "- {note}");
            }
        }
        text
    }

    fn write_lre(&self, text: &mut String) {
        if self.lre.is_empty() {
            return;
        }
        text.push_str(
            "## The LRE alone\n\nPer LAN frame (each number comes twice): decode, node table and \
             discard, and what ageing adds; the loop around it subtracted. The time is that of \
             both.\n\n| nodes | instructions | ageing adds | ns |\n|---|---|---|---|\n",
        );
        for cost in &self.lre {
            let count = |count: Option<f64>| count.map_or_else(dash, |count| format!("{count:.0}"));
            let (frame, ageing) = (count(cost.instructions), count(cost.ageing_instructions));
            write_row(text, &[&cost.nodes, &frame, &ageing, &plain(&cost.ns)]);
        }
        text.push('\n');
    }

    fn write_machine(&self, text: &mut String) {
        let Some(machine) = &self.machine else { return };
        let _ = writeln!(
            text,
            "## The machine itself\n\n| | ns |\n|---|---|\n\
             | a system call that does nothing | {} |",
            plain(&machine.system_call_ns)
        );
        for sent in &machine.transmissions {
            let _ = writeln!(
                text,
                "| one frame of {} octets out by AF_XDP over veth, far end drops | {} |",
                sent.frame_octets,
                plain(&sent.cpu_ns)
            );
        }
        text.push('\n');
    }

    /// What the least number of transmissions per frame takes on this machine, in ns: two for a
    /// frame of the host, half a one for a LAN frame; none where the host port is no veth.
    fn bare_ns(&self, found: &Throughput) -> Option<f64> {
        let machine = self.machine.as_ref()?;
        let same = |sent: &&super::machine::Transmission| sent.frame_octets == found.frame_octets;
        let one = machine.transmissions.iter().find(same)?.cpu_ns.median;
        match found.from_host {
            true => Some(2.0 * one),
            false => (found.host_port == "veth").then_some(one / 2.0),
        }
    }

    fn write_throughput(&self, text: &mut String) {
        if self.throughput.is_empty() {
            return;
        }
        text.push_str(
            "## The daemon under load\n\nMode `block`; rates per second of the `lre` thread's CPU \
             time. The host offers more than the daemon takes; the LANs bring bursts to a halted \
             daemon, none of which is lost. Over veth the far end of what the thread sends runs \
             within its time, the softirq of what it receives on the senders' cores.\n\n\
             | host port | LANs in by | way | octets | M/s per core | CPU ns per frame | of these \
             bare transmission | M/s by the clock | M/s offered | delivered per frame | waits |\n\
             |---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for found in &self.throughput {
            let way = if found.from_host { "host → both LANs" } else { "both LANs → host" };
            let millions = |spread: &Spread| spread_text(&spread.map(|rate| rate / 1e6), 2);
            let some = |spread: &Option<Spread>| spread.as_ref().map_or_else(dash, millions);
            let delivered = match found.from_host {
                true => dash(),
                false => spread_text(&found.delivered_share, 3),
            };
            let bare = self.bare_ns(found).map_or_else(dash, |ns| format!("{ns:.0}"));
            let cells: [&dyn fmt::Display; 11] = [
                &found.host_port,
                &found.lan_receive,
                &way,
                &found.frame_octets,
                &millions(&found.frames_per_core_second),
                &plain(&found.cpu_ns_per_frame),
                &bare,
                &some(&found.frames_per_second),
                &some(&found.offered_per_second),
                &delivered,
                &found.waits,
            ];
            write_row(text, &cells);
        }
        text.push('\n');
    }

    fn write_round_trip(&self, text: &mut String) {
        if self.round_trip.is_empty() {
            return;
        }
        text.push_str(
            "## Round trip\n\nMode `busy`, pinger and daemon poll; beside a Linux bridge, rounds \
             in turn.\n\n| host port | LANs in by | far end | daemon p50 ns | p99 | bridge p50 ns \
             | p99 | ratio of p50 | lost |\n|---|---|---|---|---|---|---|---|---|\n",
        );
        for found in &self.round_trip {
            let cells: [&dyn fmt::Display; 9] = [
                &found.host_port,
                &found.lan_receive,
                &found.far_end,
                &plain(&found.daemon_median_ns),
                &plain(&found.daemon_p99_ns),
                &plain(&found.bridge_median_ns),
                &plain(&found.bridge_p99_ns),
                &spread_text(&found.ratio, 2),
                &found.lost,
            ];
            write_row(text, &cells);
        }
        text.push('\n');
    }

    /// Writes `report.md` and `results.json` to a folder of its own below `results`, named after
    /// day and rig; a number is added when there is one of that name.
    ///
    /// # Errors
    /// The folder cannot be made or written to.
    pub fn write(&self, results: &Path, rig: &str) -> io::Result<PathBuf> {
        fs::create_dir_all(results)?;
        let name = format!("{}-{rig}", self.host.date);
        let mut folder = results.join(&name);
        let mut next = 2;
        while let Err(error) = fs::create_dir(&folder) {
            if error.kind() != io::ErrorKind::AlreadyExists || next > 1_000 {
                return Err(error);
            }
            folder = results.join(format!("{name}-{next}"));
            next += 1;
        }
        fs::write(folder.join("report.md"), self.page())?;
        let json = serde_json::to_string_pretty(self).map_err(io::Error::other)?;
        fs::write(folder.join("results.json"), json + "\n")?;
        Ok(folder)
    }
}

pub(super) fn write_row(text: &mut String, cells: &[&dyn fmt::Display]) {
    for cell in cells {
        let _ = write!(text, "| {cell} ");
    }
    text.push_str("|\n");
}

/// Where there is nothing to tell.
pub(super) fn dash() -> String {
    "–".to_owned()
}

pub(super) fn plain(spread: &Spread) -> String {
    spread_text(spread, 0)
}

pub(super) fn spread_text(spread: &Spread, digits: usize) -> String {
    let Spread { min, median, max, .. } = spread;
    format!("{median:.digits$} ({min:.digits$} … {max:.digits$})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_judged_by_its_median() {
        let spread = || Spread::of(vec![0.9, 1.0, 2.0]);
        let least = |bound| Aim::at_least("rate".to_owned(), "M/s", bound, spread()).met;
        let most = |bound| Aim::at_most("ratio".to_owned(), "", bound, spread()).met;
        assert!(least(1.0) && !least(1.1));
        assert!(most(1.0) && !most(0.95));
        let missed = Aim::at_most("ratio".to_owned(), "", 0.5, spread());
        let results = Results { aims: vec![missed], ..Results::default() };
        assert!(!results.all_met());
        assert!(results.page().contains("| ratio | ≤ 0.5 | 1.00 (0.90 … 2.00) | **no** |"));
    }
}
