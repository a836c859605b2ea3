//! What the two processes tell each other: orders as one argument, answers as lines of JSON.
//!
//! An answer is bounded by [`ANSWER_OCTETS_MAX`] and checked ([`check`]): series that do not
//! account for each image that was published are none.

use rt_core::os::thread::Policy;
use rt_core::time::Instant;
use serde::{Deserialize, Serialize};
use tools::exit::{ExitCode, Failure};

use super::account::Course;
use crate::latency::report::Series;

/// The longest line that the second process may say: two series whose histograms are full take a
/// quarter of it.
pub const ANSWER_OCTETS_MAX: u64 = 16 * 1024 * 1024;

/// What the second process has to do. Its standard input is the segment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Orders {
    /// Who starts it; it ends when that process does.
    pub parent: u32,
    /// What will be published.
    pub course: Course,
    /// The run's begin, CLOCK_MONOTONIC.
    pub begin_ns: u64,
    /// Where the reader runs.
    pub cpu: usize,
    /// How it runs.
    pub policy: Scheduled,
    /// Whether it runs, and says what it lacks, where the kernel grants less.
    pub allow_non_rt: bool,
}

impl Orders {
    /// The run's begin.
    #[must_use]
    pub const fn begin(&self) -> Instant {
        Instant::from_nanos(self.begin_ns)
    }
}

/// A [`Policy`] that can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheduled {
    /// SCHED_OTHER.
    Other,
    /// SCHED_FIFO with this priority.
    Fifo(u8),
}

impl From<Policy> for Scheduled {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Other => Self::Other,
            Policy::Fifo(priority) => Self::Fifo(priority),
        }
    }
}

impl From<Scheduled> for Policy {
    fn from(policy: Scheduled) -> Self {
        match policy {
            Scheduled::Other => Self::Other,
            Scheduled::Fifo(priority) => Self::Fifo(priority),
        }
    }
}

/// What the second process says, a line each.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// It looks for images.
    Ready,
    /// How far it has come: images that are over, images that were lost, the latest in ns.
    SoFar([u64; 3]),
    /// It has seen the end; a series for each way of waiting.
    Found(Vec<Series>),
    /// It cannot go on.
    Failed {
        /// The exit code.
        code: u8,
        /// What is wrong.
        message: String,
        /// What to do about it.
        remedy: String,
    },
}

impl From<&Failure> for Told {
    fn from(failure: &Failure) -> Self {
        let Failure { code, message, remedy } = failure.clone();
        Self::Failed { code: code as u8, message, remedy }
    }
}

/// The failure that was told.
#[must_use]
pub fn failure(code: u8, message: String, remedy: String) -> Failure {
    let known = [ExitCode::Usage, ExitCode::Missing, ExitCode::Invalid];
    let code = known.into_iter().find(|it| *it as u8 == code).unwrap_or(ExitCode::Failed);
    Failure { code, message, remedy }
}

/// Whether the series are those of `course`, of which the images before `images` came to pass, and
/// account for each of these.
///
/// # Errors
/// What does not fit.
pub fn check(series: &[Series], course: &Course, images: u64) -> Result<(), String> {
    if series.len() != course.parts.len() {
        return Err(format!("{} series, not {}", series.len(), course.parts.len()));
    }
    for (series, (way, part)) in series.iter().zip(&course.parts) {
        let planned = images.clamp(part.start, part.end) - part.start;
        if series.name != way.name() || series.period_ns != course.interval_ns {
            return Err(format!("a series `{}` where `{}` was due", series.name, way.name()));
        }
        if series.cycles() != planned {
            let found = series.cycles();
            return Err(format!("`{}` accounts for {found} of {planned} images", way.name()));
        }
        if series.thread.is_none() {
            return Err(format!("`{}` names no thread", way.name()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rt_core::os::recorder::{Plan, Recorder};
    use rt_core::time::Duration;

    use super::*;
    use crate::latency::probe::shm::account::Way;
    use crate::latency::report::{Measure, ThreadFacts};

    const MS: Duration = Duration::from_millis(1);

    fn series(name: &str, cycles: u64) -> Series {
        let mut recorder = Recorder::new(Plan::new(Instant::ORIGIN, MS)).unwrap();
        for cycle in 0..cycles {
            let planned = Instant::ORIGIN + MS.saturating_mul(cycle);
            recorder.record_span(planned, Duration::from_nanos(900));
        }
        let thread = ThreadFacts {
            name: "reader".to_owned(),
            policy: "SCHED_FIFO".to_owned(),
            priority: 80,
            cpus: vec![1],
            shortfalls: Vec::new(),
            preemptions: 0,
            page_faults: 0,
        };
        Series::new(name, Measure::Span, &recorder.finish()).by(thread)
    }

    #[test]
    fn series_that_do_not_account_for_each_image_are_none() {
        let course = Course::new(&[Way::Polling, Way::Woken], 20, MS);
        let told = |polling, woken| vec![series("polling", polling), series("woken", woken)];
        assert_eq!(check(&told(10, 10), &course, 20), Ok(()));
        assert_eq!(check(&told(10, 3), &course, 13), Ok(()));
        assert_eq!(check(&told(4, 0), &course, 4), Ok(()));
        let refused = |series: &[Series], images| check(series, &course, images).unwrap_err();
        assert_eq!(refused(&told(9, 10), 20), "`polling` accounts for 9 of 10 images");
        assert_eq!(refused(&told(10, 10), 19), "`woken` accounts for 10 of 9 images");
        assert_eq!(refused(&told(10, 10)[..1], 20), "1 series, not 2");
        let mut other = told(10, 10);
        other.swap(0, 1);
        assert_eq!(refused(&other, 20), "a series `woken` where `polling` was due");
        let mut nobody = told(10, 10);
        nobody[1].thread = None;
        assert_eq!(refused(&nobody, 20), "`woken` names no thread");
    }

    #[test]
    fn what_is_told_arrives_as_it_was_and_fits_its_bound() {
        let all = [
            Told::Ready,
            Told::SoFar([1, 2, u64::MAX]),
            Told::Found(vec![series("polling", 50)]),
            Told::from(&Failure::missing("no", "do")),
        ];
        for told in all {
            let line = serde_json::to_string(&told).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<Told>(&line).unwrap(), told);
        }
        assert_eq!(
            failure(3, "no".to_owned(), "do".to_owned()),
            Failure::missing("no", "do"),
            "codes survive",
        );
        // As many buckets, peaks and slots as a recorder can hold, each of them told at length.
        let mut recorder = Recorder::new(Plan::new(Instant::ORIGIN, MS)).unwrap();
        let mut late_ns = 0u64;
        for cycle in 0..400_000 {
            late_ns = (late_ns + late_ns / 900 + 1) % 61_000_000_000;
            let planned = Instant::ORIGIN + MS.saturating_mul(cycle);
            recorder.record_span(planned, Duration::from_nanos(late_ns));
        }
        let full = Series::new("woken", Measure::Span, &recorder.finish());
        let line = serde_json::to_vec(&Told::Found(vec![full.clone(), full])).unwrap();
        assert!((line.len() as u64) < ANSWER_OCTETS_MAX / 2, "{}", line.len());
    }
}
