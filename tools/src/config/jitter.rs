//! The stored J: what `bumpless latency derive` wrote, held against this host.

use rt_core::os::clock::realtime_ns;
use rt_core::os::host::{self, HostTexts};
use rt_core::os::jitter::{Doubt, Method, Stored, StoredHost, seconds_of_date};
use rt_core::time::Duration;
use serde_json::{Value, json};

use super::Warning;
use super::raw::{RawJitter, RawJitterHost, numbered, shorten};
use super::validate::Checker;

/// Nothing that takes longer is a bound for a takeover: an hour.
const SPAN_NS_MAX: i64 = 3_600_000_000_000;
/// A pair has two.
const HOSTS_MAX: usize = 2;
const WRITTEN_BY: &str = "store what `bumpless latency derive --write` gives, unchanged";

/// Checks the table.
pub(super) fn validate(check: &mut Checker, raw: Option<&RawJitter>) -> Option<Stored> {
    let raw = raw?;
    let measured_s = date(check, raw.measured.as_deref());
    let program = text(check, "jitter.program", raw.program.as_deref());
    let jitter = span(check, "jitter.jitter_ns", raw.jitter_ns);
    let a = span(check, "jitter.round_trip_a_ns", raw.round_trip_a_ns);
    let b = span(check, "jitter.round_trip_b_ns", raw.round_trip_b_ns);
    if raw.host.is_empty() || raw.host.len() > HOSTS_MAX {
        let said = format!("{} hosts", raw.host.len());
        check.error("jitter.host", said, format!("a pair has one or two; {WRITTEN_BY}"));
    }
    let numbered_hosts = raw.host.iter().enumerate();
    let hosts: Vec<Option<StoredHost>> =
        numbered_hosts.map(|(index, it)| host(check, it, index)).collect();
    let hosts: Vec<StoredHost> = hosts.into_iter().collect::<Option<_>>()?;
    let stored = Stored {
        measured_s: measured_s?,
        program: program?,
        jitter: jitter?,
        round_trip: [a?, b?],
        hosts,
    };
    for (index, host) in stored.hosts.iter().enumerate() {
        if host.bound > stored.jitter {
            let key = numbered("jitter.host", index);
            check.error(
                "jitter.jitter_ns",
                format!("{} ns is less than {key}.bound_ns", stored.jitter.as_nanos()),
                WRITTEN_BY,
            );
        }
    }
    if let [one, other] = &*stored.hosts
        && one.name == other.name
    {
        let what = format!("{:?} is the name of both", shorten(&one.name));
        check.error("jitter.host[2].name", what, WRITTEN_BY);
    }
    Some(stored)
}

fn host(check: &mut Checker, raw: &RawJitterHost, index: usize) -> Option<StoredHost> {
    let key = |word: &str| format!("{}.{word}", numbered("jitter.host", index));
    let name = text(check, &key("name"), raw.name.as_deref());
    let bound = span(check, &key("bound_ns"), raw.bound_ns);
    let method = text(check, &key("method"), raw.method.as_deref());
    let method = method.and_then(|word| {
        let method = Method::named(&word);
        if method.is_none() {
            let what = format!("{:?} is not known", shorten(&word));
            check.error(&key("method"), what, "write one of empirical, extrapolated");
        }
        method
    });
    let horizon_s = number(check, &key("horizon_s"), raw.horizon_s, 0..=i64::MAX / 1_000_000_000);
    let samples = number(check, &key("samples"), raw.samples, 1..=i64::MAX);
    if raw.facts.is_none() {
        check.error(&key("facts"), "missing".to_owned(), WRITTEN_BY);
    }
    Some(StoredHost {
        name: name?,
        bound: bound?,
        method: method?,
        horizon: Duration::from_secs(horizon_s?),
        samples: samples?,
        facts: raw.facts.clone()?,
    })
}

fn date(check: &mut Checker, value: Option<&str>) -> Option<u64> {
    let value = text(check, "jitter.measured", value)?;
    let seconds = seconds_of_date(&value);
    if seconds.is_none() {
        let what = format!("{:?} is no date", shorten(&value));
        check.error("jitter.measured", what, "write it as in 2026-11-22T16:04:05Z");
    }
    seconds
}

fn text(check: &mut Checker, key: &str, value: Option<&str>) -> Option<String> {
    if value.is_none() {
        check.error(key, "missing".to_owned(), WRITTEN_BY);
    }
    value.map(str::to_owned)
}

fn span(check: &mut Checker, key: &str, value: Option<i64>) -> Option<Duration> {
    number(check, key, value, 1..=SPAN_NS_MAX).map(Duration::from_nanos)
}

fn number(
    check: &mut Checker,
    key: &str,
    value: Option<i64>,
    range: std::ops::RangeInclusive<i64>,
) -> Option<u64> {
    if value.is_none() {
        check.error(key, "missing".to_owned(), WRITTEN_BY);
    }
    check.number(key, value, range)
}

/// Why the stored J does not hold now on the host of these texts. Reads the clock.
#[must_use]
pub fn doubts(stored: &Stored, texts: &HostTexts) -> Vec<Doubt> {
    stored.judge(&host::facts(texts), realtime_ns() / 1_000_000_000)
}

/// The same of this host, as warnings of a configuration. Reads the host's files where something is
/// stored: not for a real-time thread.
#[must_use]
pub fn warnings(stored: Option<&Stored>) -> Vec<Warning> {
    let doubts = stored.map(|it| doubts(it, &HostTexts::read(None))).unwrap_or_default();
    let warning = |doubt: &Doubt| Warning { key: "jitter".to_owned(), message: doubt.to_string() };
    doubts.iter().map(warning).collect()
}

/// The table as a document.
pub(super) fn document(stored: &Stored) -> Value {
    let [a, b] = stored.round_trip.map(Duration::as_nanos);
    let host = |it: &StoredHost| {
        json!({
            "name": it.name,
            "bound_ns": it.bound.as_nanos(),
            "method": it.method.name(),
            "horizon_s": it.horizon.as_millis() / 1_000,
            "samples": it.samples,
            "facts": it.facts,
        })
    };
    json!({
        "measured": rt_core::os::jitter::date_text(stored.measured_s),
        "program": stored.program,
        "jitter_ns": stored.jitter.as_nanos(),
        "round_trip_a_ns": a,
        "round_trip_b_ns": b,
        "host": stored.hosts.iter().map(host).collect::<Vec<_>>(),
    })
}
