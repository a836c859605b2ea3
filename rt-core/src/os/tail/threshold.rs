//! Which events belong to the tail: the lowest threshold above which the shape no longer changes.
//!
//! A higher threshold is nearer to the law and leaves fewer events. The candidates keep fewer and
//! fewer of the largest events; a candidate is stable when the shape of every higher one differs
//! from its own by no more than chance allows. Their samples are nested, so the variance of the
//! difference is the difference of the variances (Hausman). Looking at a mean-excess plot was the
//! alternative: it needs somebody who looks.

use super::gpd::{Gpd, Sample};
use super::special::normal_quantile;
use super::{EVENTS_MIN, Peak};

/// More events than this say nothing more of the tail, and cost time.
const EVENTS_MAX: usize = 2000;
/// Each candidate keeps this share of the events of the one before.
const KEPT: (usize, usize) = (3, 4);
/// The chance that the shape of a true tail is taken as unstable.
const LEVEL: f64 = 0.05;

/// The events above one threshold, and their fit.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) threshold_ns: u64,
    pub(super) sample: Sample,
    pub(super) fit: Gpd,
    pub(super) log_likelihood: f64,
}

impl Candidate {
    /// The shape and the upper end of its 95 % interval, as the normal approximation gives them.
    pub(super) fn shape_at_most(&self) -> (f64, f64) {
        let shape = self.fit.shape;
        (shape, shape + 1.96 * (1.0 + shape) / self.sample.count().sqrt())
    }
}

/// The candidates, lowest threshold first, one or more; each has [`EVENTS_MIN`] events or more.
///
/// # Errors
/// The most events that lie over any threshold, when these are fewer: so many are equal.
pub(super) fn candidates(events: &[Peak], threshold_ns: u64) -> Result<Vec<Candidate>, usize> {
    let mut late: Vec<u64> = events.iter().map(|event| event.late_ns).collect();
    late.sort_unstable_by(|a, b| b.cmp(a));
    let mut found: Vec<Candidate> = Vec::new();
    let mut most = 0;
    let mut keep = late.len().min(EVENTS_MAX);
    while keep >= EVENTS_MIN {
        let threshold_ns = late.get(keep).copied().unwrap_or(threshold_ns);
        let is_new = found.last().is_none_or(|last| last.threshold_ns < threshold_ns);
        let above = late.partition_point(|&one| one > threshold_ns);
        most = most.max(above);
        if is_new && above >= EVENTS_MIN {
            // A lateness is a whole number of nanoseconds, cut off below: half of one lies between.
            let excess = |&one: &u64| (one - threshold_ns) as f64 - 0.5;
            let sample = Sample::sorted(late[..above].iter().rev().map(excess).collect());
            let (fit, log_likelihood) = sample.fit();
            found.push(Candidate { threshold_ns, sample, fit, log_likelihood });
        }
        keep = keep * KEPT.0 / KEPT.1;
    }
    if found.is_empty() { Err(most) } else { Ok(found) }
}

/// The place of the lowest stable candidate at or after `from`.
pub(super) fn first_stable(candidates: &[Candidate], from: usize) -> Option<usize> {
    let pairs = candidates.len().saturating_sub(1).max(1) as f64;
    let allowed = normal_quantile(1.0 - LEVEL / 2.0 / pairs);
    (from..candidates.len()).find(|&index| {
        let low = &candidates[index];
        candidates[index + 1..].iter().all(|high| {
            let variance = 1.0 / high.sample.count() - 1.0 / low.sample.count();
            let deviation = (1.0 + low.fit.shape) * variance.sqrt();
            (high.fit.shape - low.fit.shape).abs() <= allowed * deviation
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    fn events(excesses: &[f64]) -> Vec<Peak> {
        let peak = |(cycle, late): (usize, &f64)| Peak {
            cycle: cycle as u64,
            late_ns: 1000 + super::super::whole(*late) + 1,
        };
        excesses.iter().enumerate().map(peak).collect()
    }

    #[test]
    fn a_tail_that_is_one_from_the_beginning_is_kept_whole() {
        let mut random = Random::from_seed(31);
        let mut whole = 0;
        for _ in 0..100 {
            let sample = Gpd { shape: 0.1, scale: 1e5 }.draw(400, &mut random);
            let found = candidates(&events(sample.excesses()), 1000).unwrap();
            assert_eq!((found[0].threshold_ns, found[0].sample.excesses().len()), (1000, 400));
            assert!(found.iter().all(|one| one.sample.excesses().len() >= EVENTS_MIN));
            whole += u32::from(first_stable(&found, 0) == Some(0));
        }
        assert!(whole >= 85, "{whole}");
    }

    #[test]
    fn a_body_of_another_kind_is_left_out() {
        let mut random = Random::from_seed(32);
        // Two thirds of the events lie evenly below 10^6, the tail begins there.
        let mut excesses: Vec<f64> = (0..1000).map(|_| random.uniform() * 1e6).collect();
        let tail = Gpd { shape: 0.0, scale: 1e6 }.draw(500, &mut random);
        excesses.extend(tail.excesses().iter().map(|excess| 1e6 + excess));
        let found = candidates(&events(&excesses), 1000).unwrap();
        let chosen = &found[first_stable(&found, 0).unwrap()];
        assert!(chosen.threshold_ns > 700_000, "{}", chosen.threshold_ns);
        assert!(chosen.fit.shape.abs() < 0.2, "{:?}", chosen.fit);
    }

    #[test]
    fn equal_lateness_makes_no_second_candidate() {
        let same = vec![Peak { cycle: 0, late_ns: 2000 }; 300];
        assert_eq!(candidates(&same, 1000).unwrap().len(), 1);
        let same = vec![Peak { cycle: 0, late_ns: 2000 }; 3000];
        assert_eq!(candidates(&same, 1000).unwrap_err(), 0);
    }
}
