//! Do the figures of a document agree with each other?
//!
//! Each check holds for every document that is made of a recording. What can be other on another
//! machine or with another probe is not asked.

use super::ReadError;
use crate::latency::report::{
    Bucket, Distribution, Exceedances, Gate, Report, Rung, Series, Slot, Verdict,
};

type Checked = Result<(), ReadError>;

/// A refusal, unless it is so.
fn must(is_so: bool, place: &str, what: impl FnOnce() -> String) -> Checked {
    if is_so {
        return Ok(());
    }
    Err(ReadError::Contradiction { place: place.to_owned(), what: what() })
}

/// A document.
pub(super) fn report(report: &Report) -> Checked {
    report.gates.iter().try_for_each(gate)?;
    let is_invalid = report.verdict == Verdict::Invalid;
    must(is_invalid != report.invalid.is_empty(), "verdict", || {
        format!("{:?} with {} reasons to be invalid", report.verdict, report.invalid.len())
    })?;
    let exceeded = report.gates.iter().filter(|gate| gate.exceeded).count();
    let agrees = is_invalid || (report.verdict == Verdict::Exceeded) == (exceeded > 0);
    must(agrees, "verdict", || format!("{:?} with {exceeded} gates exceeded", report.verdict))?;
    for (number, run) in report.runs.iter().enumerate() {
        for it in &run.series {
            let name: String = it.name.chars().take(64).collect();
            series(&format!("runs[{number}] {}, series {name:?}", run.probe.name()), it)?;
        }
    }
    Ok(())
}

fn gate(gate: &Gate) -> Checked {
    let agrees = match gate.found {
        Some(found) if gate.exceeded => found >= gate.limit,
        Some(found) => found <= gate.limit,
        None => gate.exceeded,
    };
    must(agrees, "gates", || {
        let found = gate.found.map_or_else(|| "nothing".to_owned(), |it| it.to_string());
        let word = if gate.exceeded { "exceeded" } else { "kept" };
        format!("{found} is said to have {word} the limit {}", gate.limit)
    })
}

fn series(place: &str, it: &Series) -> Checked {
    must(it.period_ns > 0, place, || "a period of 0 ns".to_owned())?;
    distribution(&format!("{place}, seen"), &it.seen)?;
    distribution(&format!("{place}, owed"), &it.owed)?;
    let counts = it.counts;
    must(counts.late <= it.seen.samples, place, || {
        format!("{} late of {} samples", counts.late, it.seen.samples)
    })?;
    // A cycle that came twice is seen and not owed.
    let all = u128::from(it.seen.samples) + u128::from(counts.swallowed);
    let twice = all.checked_sub(u128::from(it.owed.samples));
    must(twice.is_some_and(|it| it <= u128::from(counts.repeated)), place, || {
        let [seen, owed] = [&it.seen, &it.owed].map(|it| it.samples);
        format!("{seen} samples seen and {} swallowed, but {owed} owed", counts.swallowed)
    })?;
    must(it.owed.max_ns <= it.seen.max_ns, place, || {
        format!("more owed ({:?} ns) than seen ({:?} ns)", it.owed.max_ns, it.seen.max_ns)
    })?;
    let latest_first = it.stalls.is_sorted_by(|a, b| a.late_ns >= b.late_ns);
    must(latest_first, place, || "stalls that are not sorted, latest first".to_owned())?;
    let latest = it.stalls.first().map(|stall| stall.late_ns);
    must(latest.is_none() || latest == it.seen.max_ns, place, || {
        format!("the latest stall is {latest:?} ns, the greatest sample {:?} ns", it.seen.max_ns)
    })?;
    timeline(&format!("{place}, timeline"), it)?;
    exceedances(&format!("{place}, exceedances"), &it.exceedances, &it.seen)?;
    let rungs = &it.run_lengths;
    let rising = rungs.is_sorted_by(|a, b| a.threshold_ns < b.threshold_ns);
    must(rising, place, || "run lengths whose thresholds do not rise".to_owned())?;
    rungs.iter().try_for_each(|rung| rows(&format!("{place}, run lengths"), rung, it.cycles()))
}

fn distribution(place: &str, it: &Distribution) -> Checked {
    let mut counted = 0u64;
    let mut before: Option<u64> = None;
    for &Bucket { lowest_ns, highest_ns, count } in &it.histogram {
        must(lowest_ns <= highest_ns, place, || {
            format!("a bucket from {lowest_ns} to {highest_ns} ns")
        })?;
        must(before.is_none_or(|before| before < lowest_ns), place, || {
            format!("the bucket from {lowest_ns} ns is not above the one before it")
        })?;
        must(count > 0, place, || format!("an empty bucket from {lowest_ns} ns"))?;
        before = Some(highest_ns);
        counted = counted.saturating_add(count);
    }
    must(counted == it.samples && counted < i64::MAX.unsigned_abs(), place, || {
        format!("{} samples, but {counted} in the histogram", it.samples)
    })?;
    let figures = [
        it.min_ns,
        it.p50_ns,
        it.p90_ns,
        it.p99_ns,
        it.p999_ns,
        it.p9999_ns,
        it.p99999_ns,
        it.max_ns,
    ];
    let is_empty = it.samples == 0;
    let told = figures.iter().all(|figure| figure.is_none() == is_empty);
    let told = told && it.mean_ns.is_none() == is_empty && it.max_at_ns.is_none() == is_empty;
    must(told, place, || format!("null figures, or figures of nothing: {} samples", it.samples))?;
    must(it.overflow <= it.histogram.last().map_or(0, |last| last.count), place, || {
        format!("{} overflown, more than the last bucket holds", it.overflow)
    })?;
    must(figures.is_sorted(), place, || format!("figures that do not rise: {figures:?} ns"))?;
    let (Some(first), Some(last)) = (it.histogram.first(), it.histogram.last()) else {
        return Ok(());
    };
    let [min, max] = [it.min_ns, it.max_ns].map(|it| it.unwrap_or(0));
    must((first.lowest_ns..=first.highest_ns).contains(&min), place, || {
        format!(
            "the least is {min} ns, the first bucket {} to {}",
            first.lowest_ns, first.highest_ns
        )
    })?;
    must((last.lowest_ns..=last.highest_ns).contains(&max), place, || {
        format!(
            "the greatest is {max} ns, the last bucket {} to {}",
            last.lowest_ns, last.highest_ns
        )
    })?;
    must((it.overflow > 0) == (max > it.highest_ns), place, || {
        format!("{} above the bound of {} ns, the greatest {max} ns", it.overflow, it.highest_ns)
    })?;
    // A mean of samples near 2^64 is as exact as a float.
    let mean = it.mean_ns.unwrap_or(0.0);
    let room = max as f64 * 1e-12;
    let inside = mean >= min as f64 - room && mean <= max as f64 + room;
    must(inside, place, || format!("a mean of {mean} ns between {min} and {max} ns"))?;
    quantiles(place, it)
}

/// Each stands in the bucket that its rank falls into.
fn quantiles(place: &str, it: &Distribution) -> Checked {
    let told = [
        (it.p50_ns, 50_000),
        (it.p90_ns, 90_000),
        (it.p99_ns, 99_000),
        (it.p999_ns, 99_900),
        (it.p9999_ns, 99_990),
        (it.p99999_ns, 99_999),
    ];
    for (found, parts) in told {
        let rank = (u128::from(it.samples) * parts).div_ceil(100_000);
        let mut up_to_here = 0u128;
        let here = it.histogram.iter().find(|bucket| {
            up_to_here += u128::from(bucket.count);
            up_to_here >= rank
        });
        let agrees = here
            .zip(found)
            .is_none_or(|(bucket, found)| (bucket.lowest_ns..=bucket.highest_ns).contains(&found));
        must(agrees, place, || {
            let percent = parts as f64 / 1_000.0;
            format!("{percent} % is said to be {found:?} ns, the histogram says {here:?}")
        })?;
    }
    Ok(())
}

fn timeline(place: &str, it: &Series) -> Checked {
    let slots = &it.timeline;
    must(slots.is_empty() || it.slot_ns > 0, place, || "slots of 0 ns".to_owned())?;
    let rising = slots.is_sorted_by(|a, b| a.at_ns < b.at_ns);
    must(rising, place, || "slots that do not follow each other".to_owned())?;
    let odd = slots.iter().find(|slot| {
        let Slot { samples, min_ns, max_ns, .. } = **slot;
        min_ns > max_ns || (samples == 0 && max_ns > 0)
    });
    must(odd.is_none(), place, || format!("a slot that cannot be: {odd:?}"))?;
    let sum = |of: fn(&Slot) -> u64| slots.iter().map(|slot| u128::from(of(slot))).sum::<u128>();
    let (samples, lost) = (sum(|slot| slot.samples), sum(|slot| slot.lost));
    must(samples == u128::from(it.seen.samples), place, || {
        format!("{samples} samples, {} seen", it.seen.samples)
    })?;
    must(lost == u128::from(it.counts.lost), place, || {
        format!("{lost} lost, {} in all", it.counts.lost)
    })?;
    let max = slots.iter().filter(|slot| slot.samples > 0).map(|slot| slot.max_ns).max();
    must(max == it.seen.max_ns, place, || {
        format!("the greatest is {max:?} ns, and {:?} ns seen", it.seen.max_ns)
    })
}

fn exceedances(place: &str, it: &Exceedances, seen: &Distribution) -> Checked {
    let threshold = it.threshold_ns;
    let in_order = it.peaks.is_sorted_by(|a, b| a.0 <= b.0);
    must(in_order, place, || "peaks whose cycles do not rise".to_owned())?;
    let odd = it.peaks.iter().find(|peak| peak.1 <= threshold || Some(peak.1) > seen.max_ns);
    must(odd.is_none(), place, || {
        let max = seen.max_ns;
        format!("a peak {odd:?} that is not between the threshold {threshold} and {max:?} ns")
    })?;
    let above = |edge: fn(&Bucket) -> u64| {
        let above = seen.histogram.iter().filter(move |bucket| edge(bucket) > threshold);
        above.map(|bucket| bucket.count).sum::<u64>()
    };
    let (surely, at_most) = (above(|it| it.lowest_ns), above(|it| it.highest_ns));
    must((surely..=at_most).contains(&(it.peaks.len() as u64)), place, || {
        let peaks = it.peaks.len();
        format!("{peaks} peaks above {threshold} ns, {surely} to {at_most} in the histogram")
    })
}

fn rows(place: &str, it: &Rung, cycles: u64) -> Checked {
    let rising = it.rows.is_sorted_by(|a, b| a.0 < b.0);
    let counted = it.rows.iter().all(|(length, rows)| *length > 0 && *rows > 0);
    must(rising && counted, place, || format!("rows that do not rise: {:?}", it.rows))?;
    let last = it.rows.last().map_or(0, |(length, _)| *length);
    must(it.longest >= last && (last == 0) == (it.longest == 0), place, || {
        format!("the longest row has {} cycles, a row has {last}", it.longest)
    })?;
    let products = it.rows.iter().map(|(length, rows)| u128::from(*length) * u128::from(*rows));
    // Saturating, for there may be any number of numbers in a file.
    let all = products.fold(0u128, u128::saturating_add);
    must(all <= u128::from(cycles), place, || {
        format!("{all} cycles later than {} ns, of {cycles}", it.threshold_ns)
    })
}
