//! What follows, for people.

use rt_core::os::jitter::{Apart, Bound, Derivation, Method, date_text};
use rt_core::time::Duration;
use tools::cli::text::{Side, Style, Table, count, number, span};

use super::super::summary::shown;
use super::{Derived, Wanted};

/// The whole page.
pub(super) fn text(derived: &Derived, style: Style) -> String {
    let it = &derived.derivation;
    let mut text = sources(derived, style);
    text += &bounds(it, style);
    text += &timers(derived, style);
    text += &inequalities(it, style);
    text += &false_suspicions(derived, style);
    if !derived.cautions.is_empty() {
        text += &format!("\n{}\n", style.head("Cautions"));
        for caution in &derived.cautions {
            text += &format!("  {}\n", style.odd(&shown(caution)));
        }
    }
    text
}

fn sources(derived: &Derived, style: Style) -> String {
    let mut text = style.head("Recordings") + "\n";
    for host in &derived.material.hosts {
        let files: Vec<String> = host.files.iter().map(|it| it.display().to_string()).collect();
        text += &format!(
            "  host {}: {} (since {}), lateness of {}\n",
            host.name,
            files.join(", "),
            date_text(host.began_s),
            host.probe.name()
        );
    }
    text
}

/// Bounds of lateness and round trips, and where each comes from.
fn bounds(it: &Derivation, style: Style) -> String {
    let right = |name| (name, Side::Right);
    let mut table = Table::new(&[
        ("", Side::Left),
        right("recorded"),
        right("largest"),
        right("1.2 × it"),
        right("covers"),
        right("tail's"),
        right("covers"),
        ("used", Side::Left),
    ]);
    let mut refusals = Vec::new();
    let hosts = it.hosts.iter().map(|host| (format!("host {}", host.name), &host.bounds));
    let lans = it.lans.iter().zip(["A", "B"]);
    let lans = lans.map(|(lan, name)| (format!("LAN {name}"), &lan.bounds));
    for (of, bounds) in hosts.chain(lans) {
        for bound in bounds {
            let name = format!("{of}, {}", shown(&bound.name));
            if let Err(refusal) = &bound.extrapolated {
                refusals.push(format!("{name}: {refusal}"));
            }
            table.row(row(name, bound));
        }
    }
    let mut text = format!("\n{}\n{}", style.head("Lateness and round trips"), table.render(style));
    text += "  covers: the mean time between events beyond it, at least (95 %)\n";
    for refusal in refusals {
        text += &format!("  not extrapolated: {refusal}\n");
    }
    let host = it.worst_host().map(|host| {
        let rests = match host.method() {
            Method::Empirical => "1.2 × the largest value seen",
            Method::Extrapolated => "the tail's upper end, not below 1.2 × the largest value seen",
        };
        format!("host {}, {rests}", host.name)
    });
    text += &format!("  J = {} ({})\n", it.measured.jitter, host.unwrap_or_default());
    text + &format!("  Round trip = {} (the worse LAN)\n", it.measured.round_trip)
}

fn row(name: String, bound: &Bound) -> Vec<String> {
    let (tails, covers) = match &bound.extrapolated {
        Ok(tail) => (tail.bound.to_string(), long(tail.horizon)),
        Err(_) => ("–".to_owned(), "–".to_owned()),
    };
    vec![
        name,
        long(bound.span),
        bound.largest.to_string(),
        bound.empirical.to_string(),
        long(bound.empirical_horizon),
        tails,
        covers,
        bound.method().name().to_owned(),
    ]
}

fn timers(derived: &Derived, style: Style) -> String {
    let (it, goal) = (&derived.derivation, &derived.goal);
    let heartbeat = it.heartbeat;
    let how = if heartbeat.is_given {
        "as asked for".to_owned()
    } else {
        format!(
            "the shortest of a quarter, half, once … the cycle of {} that is not below J and the \
             round trip ({}), nor below the recorded period",
            goal.cycle, heartbeat.least
        )
    };
    let timers = it.timers;
    let mut text = format!("\n{}\n", style.head("Timers"));
    text += &format!("  Heartbeat {}: {how}\n", heartbeat.interval);
    text += &format!("  Misses    {} in a row may be lost\n", timers.misses);
    text += &format!("  Suspicion {} after a beat was due\n", it.suspicion);
    text += &format!("  Lease     {}\n", timers.lease);
    text += &format!("  Promise   {} (clocks {} ppm off)\n", timers.promise, goal.drift_ppm);
    text += &format!(
        "  Takeover  {} after a silent crash, {} after a death that was seen, at most\n",
        it.after_silence, it.after_evidence
    );
    let right = |name| (name, Side::Right);
    let mut table = Table::new(&[
        right("  with a heartbeat of"),
        right("lease"),
        right("takeover"),
        ("", Side::Left),
    ]);
    for (timers, takeover, holds) in &it.others {
        let kept = timers.heartbeat >= heartbeat.least;
        let said = match (holds, kept) {
            (true, true) => "holds",
            (true, false) => "shorter than the hosts can keep",
            (false, _) => "does not hold",
        };
        let [beat, lease, takeover] = [timers.heartbeat, timers.lease, *takeover];
        table.row(vec![beat.to_string(), lease.to_string(), takeover.to_string(), said.to_owned()]);
    }
    text + &table.render(style)
}

fn inequalities(it: &Derivation, style: Style) -> String {
    let mut text = format!("\n{}\n", style.head("Inequalities"));
    for finding in &it.findings {
        let margin = finding.margin();
        let line = if finding.holds {
            style.good(&format!("{finding}, by {margin}"))
        } else {
            style.bad(&format!("{finding}: {margin} are missing"))
        };
        text += &format!("  {line}\n");
    }
    text
}

fn false_suspicions(derived: &Derived, style: Style) -> String {
    let it = &derived.derivation;
    let mut text = format!("\n{}\n", style.head("Mean time between false suspicions"));
    for host in &it.hosts {
        text += &format!("  stalls of host {}: {}\n", host.name, apart(&host.apart));
    }
    for (lan, name) in it.lans.iter().zip(["A", "B"]) {
        let lost = number(lan.lost);
        let of = count(lan.cycles, "beat");
        text += &format!(
            "  silence of LAN {name} alone: {} ({lost} of {of} lost)\n",
            apart(&lan.apart)
        );
    }
    text += &format!(
        "  together: {}, with both LANs (silent at once no more often than the better one)\n",
        style.head(&apart(&it.with_both))
    );
    text += &format!("            {}, with the worse LAN only\n", apart(&it.with_one));
    if let Some(Wanted { between, is_supported, recording }) = derived.wanted() {
        text += &if is_supported {
            format!("  {}\n", style.good(&format!("{} are supported", long(between))))
        } else {
            let supported = long(it.with_both.supported());
            let said = format!(
                "{} are not supported: the recordings support {supported}. It takes recordings of \
                 {} of both hosts and LANs without any such event (the rule of three, for two \
                 hosts and the LANs).",
                long(between),
                long(recording)
            );
            format!("  {}\n", style.bad(&said))
        };
    }
    text
}

fn apart(it: &Apart) -> String {
    match *it {
        Apart::AtLeast(time) => format!("at least {} (95 %)", long(time)),
        Apart::Measured { mean, lower, upper } => {
            format!("measured {} ({}–{}, 95 %)", long(mean), long(lower), long(upper))
        }
    }
}

/// A time as a person says it.
fn long(time: Duration) -> String {
    const YEAR_NS: u64 = 31_557_600_000_000_000;
    let ns = time.as_nanos();
    match ns / YEAR_NS {
        0 if ns < 1_000_000 => time.to_string(),
        0..2 => span(ns),
        _ => format!("{}.{} years", ns / YEAR_NS, ns % YEAR_NS / (YEAR_NS / 10)),
    }
}
