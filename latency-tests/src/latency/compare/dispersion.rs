//! How much more the number of late cycles varies than if each were late by itself.
//!
//! Late cycles come in groups: a stall swallows twenty, a busy minute makes a thousand later. Of
//! *n* cycles of which the share *p* is late, the number of late ones has the variance
//! *n·p·(1 − p)·D*; *D* is the dispersion, 1 where cycles are independent. It is measured at the
//! very level that is asked about, in one of two ways:
//!
//! - **Blocks**, where each cycle that is later is known one by one: the run is cut into
//!   [`BLOCKS`] blocks, and the variance of their counts is what it is. Right for any dependence
//!   that is shorter than a block.
//! - **Rows**, for lower levels: the lengths of the rows of late cycles are known, and those of
//!   the rows between are taken to vary alike. Right for dependence from cycle to cycle; slower
//!   changes are not in it, so it is used only where the course of the run shows none.
//!
//! In both cases a run whose blocks or slots follow their predecessors is refused: it was not the
//! same all the time, and what another run of it would find, no figure of this one says.

use std::collections::BTreeSet;

use super::sample::Sample;
use crate::latency::report::{Rung, Series};

/// Blocks that a run is cut into.
pub(super) const BLOCKS: usize = 20;
/// A variance of twenty blocks is itself uncertain: Student's interval with 19 degrees of freedom
/// is wider than the normal one by this, squared.
const OF_BLOCKS: f64 = (2.093 / 1.96) * (2.093 / 1.96);
/// Correlation of neighbouring blocks above which they are taken to depend: once in a hundred times
/// where they do not.
const BLOCKS_DEPEND: f64 = 0.46;
/// The same of slots, in parts of the correlation's standard deviation.
const SLOTS_DEPEND: f64 = 2.6;
/// Fewer rows, or slots, say nothing.
const FEWEST: u64 = 30;
/// Where less than so many cycles are later than a level, groups are looked for at the level that
/// so many are later than, too.
const LATE_FEW: u64 = 50;

/// Why nothing is known, a sentence's part.
pub(super) type Unknown = String;

/// The dispersion of the number of cycles later than a level that `later` cycles are at least.
pub(super) fn at_level(sample: &Sample<'_>, level_ns: u64, later: u64) -> Result<f64, Unknown> {
    let here = above(sample, level_ns)?;
    if later >= LATE_FEW {
        return Ok(here);
    }
    let lower = sample.at_rank_from_top(LATE_FEW.min(sample.count));
    let lower_ns = lower.map_or(level_ns, |it| it.lowest_ns.saturating_sub(1)).min(level_ns);
    Ok(above(sample, lower_ns).map_or(here, |lower| lower.max(here)))
}

fn above(sample: &Sample<'_>, level_ns: u64) -> Result<f64, Unknown> {
    let known = |part: &&Series| part.exceedances.threshold_ns <= level_ns;
    if sample.parts.iter().all(known) {
        let mut blocks = [0.0; BLOCKS];
        sample.parts.iter().for_each(|part| into_blocks(part, level_ns, &mut blocks));
        return of_blocks(&blocks, sample.cycles());
    }
    // Whether processors are late at the same time is not known here: at worst they are.
    let mut deviation = 0.0;
    let (mut all, mut late) = (0.0, 0.0);
    for part in &sample.parts {
        let only = Sample::new(vec![part]);
        let cycles = only.count as f64;
        let share = only.later_than(level_ns) as f64 / cycles.max(1.0);
        let dispersion = if known(part) {
            let mut blocks = [0.0; BLOCKS];
            into_blocks(part, level_ns, &mut blocks);
            of_blocks(&blocks, only.cycles())?
        } else {
            of_rows(part, &only, level_ns)?
        };
        deviation += (cycles * share * (1.0 - share) * dispersion).sqrt();
        all += cycles;
        late += cycles * share;
    }
    let share = late / all.max(1.0);
    let independent = all * share * (1.0 - share);
    Ok(if independent > 0.0 { (deviation * deviation / independent).max(1.0) } else { 1.0 })
}

/// The dispersion of the number of cycles that were late by a period or never ran.
pub(super) fn of_late(sample: &Sample<'_>) -> Result<f64, Unknown> {
    let mut blocks = [0.0; BLOCKS];
    for part in &sample.parts {
        if part.exceedances.threshold_ns > part.period_ns {
            return Err(format!(
                "of {:?} cycles later than a period are known only above {} ns",
                part.name, part.exceedances.threshold_ns
            ));
        }
        for &(cycle, late_ns) in &part.exceedances.peaks {
            if late_ns > part.period_ns {
                let more = if part.counts.swallowed > 0 {
                    late_ns.div_ceil(part.period_ns.max(1)) - 1
                } else {
                    0
                };
                spread(cycle, more.saturating_add(1), cycles_of(part), &mut blocks);
            }
        }
    }
    of_blocks(&blocks, sample.cycles())
}

/// The dispersion of the number of lost cycles.
pub(super) fn of_lost(sample: &Sample<'_>) -> Result<f64, Unknown> {
    let mut blocks = [0.0; BLOCKS];
    for part in &sample.parts {
        let slots = part.timeline.len() as u64;
        for (place, slot) in (0..).zip(&part.timeline) {
            if slot.lost > 0 {
                blocks[block_of(place, slots)] += slot.lost as f64;
            }
        }
    }
    of_blocks(&blocks, sample.cycles())
}

/// How many cycles were planned, left out ones too: what the numbers of cycles go to.
fn cycles_of(part: &Series) -> u64 {
    let last = part.exceedances.peaks.last().map_or(0, |(cycle, _)| cycle.saturating_add(1));
    part.cycles().saturating_add(part.counts.skipped).max(last).max(1)
}

fn block_of(cycle: u64, cycles: u64) -> usize {
    let cycles = cycles.max(1);
    let block = match cycle.checked_mul(BLOCKS as u64) {
        Some(product) => product / cycles,
        None => cycle / (cycles / BLOCKS as u64).max(1),
    };
    usize::try_from(block).unwrap_or(BLOCKS).min(BLOCKS - 1)
}

/// Counts `count` cycles from `cycle` on in the blocks that they lie in.
fn spread(cycle: u64, count: u64, cycles: u64, blocks: &mut [f64; BLOCKS]) {
    if count == 1 {
        blocks[block_of(cycle, cycles)] += 1.0;
        return;
    }
    let end = cycle.saturating_add(count).min(cycles);
    let first = block_of(cycle, cycles);
    let last = block_of(end.saturating_sub(1), cycles).max(first);
    let edge = |block: usize| {
        let edge = (block as u128 * u128::from(cycles)).div_ceil(BLOCKS as u128);
        u64::try_from(edge).unwrap_or(u64::MAX)
    };
    for (block, counted) in blocks.iter_mut().enumerate().take(last + 1).skip(first) {
        let inside = end.min(edge(block + 1)).saturating_sub(cycle.max(edge(block)));
        *counted += inside as f64;
    }
}

fn into_blocks(part: &Series, level_ns: u64, blocks: &mut [f64; BLOCKS]) {
    let cycles = cycles_of(part);
    for &(cycle, late_ns) in &part.exceedances.peaks {
        let Some(above_ns) = late_ns.checked_sub(level_ns).filter(|ns| *ns > 0) else { continue };
        // Each swallowed cycle was late by a period less than the one before it.
        let count = if part.counts.swallowed > 0 {
            above_ns.div_ceil(part.period_ns.max(1)).min(late_ns.div_ceil(part.period_ns.max(1)))
        } else {
            1
        };
        spread(cycle, count, cycles, blocks);
    }
}

fn of_blocks(blocks: &[f64; BLOCKS], cycles: u64) -> Result<f64, Unknown> {
    let count = BLOCKS as f64;
    let mean = blocks.iter().sum::<f64>() / count;
    if mean <= 0.0 {
        return Ok(1.0);
    }
    let correlation = correlation(blocks);
    if correlation > BLOCKS_DEPEND {
        return Err(format!(
            "the number of late cycles in a twentieth of the run follows the one before it \
             (correlation {correlation:.2}): the run was not the same all the time"
        ));
    }
    let variance = blocks.iter().map(|it| (it - mean) * (it - mean)).sum::<f64>() / (count - 1.0);
    let share = (mean * count / (cycles as f64).max(1.0)).min(0.999_999);
    Ok((variance / (mean * (1.0 - share))).max(1.0) * OF_BLOCKS)
}

/// How much each follows the one before it: 0 for none, 1 for a straight line.
fn correlation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let square: f64 = values.iter().map(|it| (it - mean) * (it - mean)).sum();
    if square <= 0.0 {
        return 0.0;
    }
    values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>() / square
}

fn of_rows(part: &Series, only: &Sample<'_>, level_ns: u64) -> Result<f64, Unknown> {
    unchanged(part)?;
    let below = part.run_lengths.iter().rfind(|rung| rung.threshold_ns <= level_ns);
    let above = part.run_lengths.iter().find(|rung| rung.threshold_ns > level_ns);
    let known = [below, above].into_iter().flatten().filter_map(|rung| of_rung(rung, part, only));
    known.reduce(f64::max).map(|it| it.max(1.0)).ok_or_else(|| {
        format!(
            "too few rows of cycles later than about {level_ns} ns to see whether they come in \
             groups"
        )
    })
}

/// The dispersion at a threshold: rows of late cycles and of others, in turn.
fn of_rung(rung: &Rung, part: &Series, only: &Sample<'_>) -> Option<f64> {
    let rows: u64 = rung.rows.iter().fold(0, |sum, (_, rows)| sum.saturating_add(*rows));
    let cycles = part.cycles() as f64;
    let late = only.later_than(rung.threshold_ns).saturating_add(part.counts.lost) as f64;
    if rows < FEWEST || late >= cycles {
        return None;
    }
    let rows_count = rows as f64;
    let (mut told, mut squares) = (0.0, 0.0);
    let (last, rest) = rung.rows.split_last()?;
    for (length, rows) in rest {
        told += *length as f64 * *rows as f64;
        squares += (*length as f64).powi(2) * *rows as f64;
    }
    // The last length may stand for all above it: their mean is what is left.
    let (least, times) = (last.0 as f64, last.1 as f64);
    let mean = ((late - told) / times).clamp(least, (rung.longest as f64).max(least));
    squares += times * (mean * mean + (mean - least) * (mean - least));
    let one = (told + mean * times) / rows_count;
    let one_variance = (squares / rows_count - one * one).max(0.0);
    let other = ((cycles - late) / rows_count).max(1.0);
    let other_variance = other * other * (1.0 - 1.0 / other).max(one_variance / (one * one));
    let share = one / (one + other);
    let variance =
        (other * other * one_variance + one * one * other_variance) / (one + other).powi(3);
    Some(variance / (share * (1.0 - share)))
}

/// Whether the course of the run shows slow changes.
fn unchanged(part: &Series) -> Result<(), Unknown> {
    let slots: Vec<_> = part.timeline.iter().filter(|slot| slot.samples > 0).collect();
    // The last one is shorter.
    let slots = &slots[..slots.len().saturating_sub(1)];
    if (slots.len() as u64) < FEWEST {
        return Err(format!(
            "{} slots of time are too few to see whether {:?} was the same all the time",
            slots.len(),
            part.name
        ));
    }
    let courses = [
        ("least", slots.iter().map(|it| it.min_ns).collect()),
        ("greatest", slots.iter().map(|it| it.max_ns).collect()),
    ];
    for (which, values) in courses {
        let correlation = correlation(&ranks(values));
        if correlation * (slots.len() as f64).sqrt() > SLOTS_DEPEND {
            return Err(format!(
                "the {which} samples of neighbouring slots of {:?} follow each other (correlation \
                 {correlation:.2}): the run was not the same all the time",
                part.name
            ));
        }
    }
    Ok(())
}

/// The place of each value among the different ones: no single value weighs more than another.
fn ranks(values: Vec<u64>) -> Vec<f64> {
    let sorted: Vec<u64> = values.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    values.iter().map(|value| sorted.partition_point(|it| it < value) as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_lie_in_the_blocks_they_lie_in() {
        let mut blocks = [0.0; BLOCKS];
        spread(0, 200, 200, &mut blocks);
        assert_eq!(blocks, [10.0; BLOCKS]);
        let mut blocks = [0.0; BLOCKS];
        spread(18, 4, 200, &mut blocks);
        spread(199, 1_000, 200, &mut blocks);
        assert_eq!((blocks[1], blocks[2], blocks[19]), (2.0, 2.0, 1.0));
        let mut blocks = [0.0; BLOCKS];
        (0..7).for_each(|cycle| spread(cycle, 1, 7, &mut blocks));
        spread(u64::MAX, u64::MAX, u64::MAX, &mut blocks);
        assert_eq!(blocks.iter().sum::<f64>(), 7.0);
    }

    #[test]
    fn what_follows_its_predecessor_is_correlated() {
        let line: Vec<f64> = (0..100).map(f64::from).collect();
        assert!(correlation(&line) > 0.9);
        let turns: Vec<f64> = (0..100).map(|it| f64::from(it % 2)).collect();
        assert!(correlation(&turns) < -0.9);
        assert_eq!(correlation(&[5.0; 9]), 0.0);
        assert_eq!(ranks(vec![7, 3, 7, 1_000_000]), [1.0, 0.0, 1.0, 2.0]);
    }
}
