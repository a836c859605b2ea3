//! Regions: how long an image takes from one process to another, and what its commit costs.
//!
//! Two processes on two CPUs run the same course with the ring, with the published crate iceoryx2
//! and with a bare cache line, round by round in turn, so that what drifts drifts for all. All but
//! the line copy the same images in, with a CRC-32C that the reader verifies, and copy them out.
//! iceoryx2's reader need not: it may verify an image where it lies, and runs that way, too.
//!
//! | Module | Holds |
//! |---|---|
//! | [`course`] | the course: period, stamps, account |
//! | [`times`] | times with fixed bounds |
//! | [`ends`] | the ring's and the line's ends |
//! | [`role`] | what a process is told, and how it runs |
//! | [`round`] | one round: processes started and ended |
//! | [`commit`] | what a commit costs the writer |
//! | [`neighbours`] | what the two CPUs share |

use std::path::PathBuf;
use std::time::Duration;

use rt_core::os::clock::MonotonicClock;
use rt_core::os::dma_latency::DmaLatency;
use rt_core::os::thread::RtThread;
use serde::{Deserialize, Serialize};
use tools::exit::Failure;

use super::cpus::Cpus;
use super::host::Host;
use super::report::{Aim, Results};
use super::spread::Spread;
use commit::Commit;
use course::{Observed, Plan};
use round::{Contestant, Place};

pub mod commit;
pub mod course;
pub mod ends;
pub mod neighbours;
mod report;
pub mod role;
pub mod round;
pub mod times;

/// Sizes of images, in octets.
pub const SIZES: [usize; 4] = [64, 1_024, 65_536, 1_048_576];
/// By its name where one is meant.
const SMALLEST: usize = SIZES[0];
/// The size for which a commit's cost has an aim.
const COMMIT_AIM_OCTETS: usize = SIZES[2];

/// The most that the ring may take of a cache line's time.
const LINE_RATIO_MAX: f64 = 1.5;
/// The least that iceoryx2 takes of the ring's time.
const ICEORYX2_RATIO_MIN: f64 = 2.0;
/// The most that a commit may take of a plain copy's time.
const COPY_RATIO_MAX: f64 = 1.3;

/// The warm-up's share of a round.
const WARM_UP_SHARE: u64 = 10;
/// Passes of a bare line in a round.
const PASSES: u64 = 200_000;

/// What is measured and how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// This program, which holds the ends of the ring and of the line.
    pub own: PathBuf,
    /// The program that holds the ends of iceoryx2.
    pub iceoryx2: Option<PathBuf>,
    /// The writer's CPU and the reader's; chosen unless told.
    pub cpus: Option<[usize; 2]>,
    /// Rounds of each contestant.
    pub rounds: usize,
    /// Length of a round.
    pub round: Duration,
}

/// What was found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Regions {
    /// The writer's CPU and the reader's.
    pub cpus: [Option<usize>; 2],
    /// What those two share.
    pub neighbours: String,
    /// One reading of the clock, in ns.
    pub clock_ns: Spread,
    /// A cache line passed to and fro without any clock, one way, in ns.
    pub line_pass_ns: Spread,
    /// Every contestant with every size, polling and woken.
    pub ways: Vec<Way>,
    /// What commits cost.
    pub commits: Vec<Commit>,
}

/// One contestant with one size.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Way {
    /// Who.
    pub contestant: String,
    /// Whether its reader slept and was woken.
    pub woken: bool,
    /// Octets of an image; the line has none, and runs in the same rounds.
    pub image_octets: usize,
    /// From one image to the next, in ns.
    pub period_ns: u64,
    /// Images published and counted, in all rounds.
    pub images: u64,
    /// Periods in which the writer was kept from publishing.
    pub periods_missed: u64,
    /// All rounds together.
    pub observed: Observed,
    /// The median of each round, in ns.
    pub median_ns: Spread,
    /// The median of each round by the line's of the same round.
    pub by_line: Spread,
    /// The median of each round by the ring's of the same round.
    pub by_ring: Spread,
}

/// Runs everything and judges the aims. `tell` is told what goes on.
///
/// # Errors
/// A privilege or a program is missing, or an end fails.
pub fn run(options: &Options, mut tell: impl FnMut(&str)) -> Result<Results, Failure> {
    let mut results = Results { host: Host::read(), ..Results::default() };
    let cpus = Cpus::here();
    let pair = options.cpus.map_or_else(|| cpus.pair(), |cpus| cpus.map(Some));
    results.notes.extend(distortion(pair).map(str::to_owned));
    results.notes.extend(shortfalls(pair)?);
    // As an application would that wants to be woken soon; for all contestants.
    let latency = DmaLatency::hold(0);
    results.notes.extend(latency.as_ref().err().map(|error| format!("idle states: {error}")));
    if options.iceoryx2.is_none() {
        results.notes.push("iceoryx2 was not measured: its program was not built".to_owned());
    }
    let place = Place { own: options.own.clone(), iceoryx2: options.iceoryx2.clone(), cpus: pair };
    let passes = (0..options.rounds).map(|_| place.pass_line(PASSES));
    let mut regions = Regions {
        cpus: pair,
        neighbours: neighbours::of(pair),
        clock_ns: Spread::of((0..options.rounds).map(|_| clock_ns()).collect()),
        line_pass_ns: Spread::of(passes.collect::<Result<_, Failure>>()?),
        ways: Vec::new(),
        commits: Vec::new(),
    };
    for image_octets in SIZES {
        for woken in [false, true] {
            let how = if woken { "woken" } else { "polling" };
            tell(&format!("{image_octets} octets, {how}"));
            regions.ways.extend(in_turn(&place, image_octets, woken, options)?);
        }
    }
    for image_octets in SIZES {
        tell(&format!("{image_octets} octets, commit"));
        let length = (options.rounds, options.round);
        regions.commits.push(commit::measure(image_octets, pair[0], length)?);
    }
    judge(&mut results, &regions);
    results.regions = Some(regions);
    Ok(results)
}

/// What the kernel does not grant to writer and reader.
fn shortfalls(pair: [Option<usize>; 2]) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for cpu in pair {
        let thread = RtThread::spawn(Cpus::plan("region-trial", cpu), || ())
            .map_err(|error| Failure::failed(error.to_string(), ""))?;
        found.extend(thread.report().shortfalls.iter().map(ToString::to_string));
        thread.join().map_err(|panic| Failure::failed(panic.to_string(), ""))?;
    }
    Ok(found)
}

/// What sharing a CPU distorts.
const fn distortion([writer, reader]: [Option<usize>; 2]) -> Option<&'static str> {
    match (writer, reader) {
        (Some(writer), Some(reader)) if writer == reader => {
            Some("writer and reader share a CPU: each waits until the other gives way")
        }
        (None, _) | (_, None) => {
            Some("one CPU: writer and reader take turns, a time is that of a switch between them")
        }
        (Some(0), _) => Some("the writer shares its CPU with everything else, and gives way"),
        (_, Some(0)) => Some("the reader shares its CPU with everything else, and gives way"),
        _ => None,
    }
}

/// A period in which an image of that size is far from keeping its reader busy, so that no image
/// waits for the one before.
const fn period(image_octets: usize) -> rt_core::time::Duration {
    rt_core::time::Duration::from_micros(match image_octets {
        0..=4_096 => 50,
        4_097..=131_072 => 250,
        _ => 1_000,
    })
}

/// All contestants with one size, round by round in turn.
fn in_turn(
    place: &Place,
    image_octets: usize,
    woken: bool,
    options: &Options,
) -> Result<Vec<Way>, Failure> {
    let period = period(image_octets);
    let length_ns = u64::try_from(options.round.as_nanos()).unwrap_or(u64::MAX);
    let images = (length_ns / period.as_nanos()).max(10);
    let warm_up = images.div_ceil(WARM_UP_SHARE);
    let plan = Plan { image_octets, images, warm_up, period, woken };
    let iceoryx2 = [Contestant::Iceoryx2, Contestant::Iceoryx2InPlace];
    let iceoryx2 = iceoryx2.into_iter().filter(|_| place.iceoryx2.is_some());
    let all: Vec<Contestant> =
        [Contestant::Line, Contestant::Ring].into_iter().chain(iceoryx2).collect();
    let mut sums = vec![Sum::default(); all.len()];
    for _ in 0..options.rounds {
        for (sum, contestant) in sums.iter_mut().zip(&all) {
            let (published, observed) = place.run(*contestant, &plan)?;
            sum.periods_missed += published.periods_missed;
            sum.add(&observed);
        }
    }
    let by = |sum: &Sum, other: &Sum| {
        Spread::of(sum.medians.iter().zip(&other.medians).map(|(a, b)| a / b.max(1.0)).collect())
    };
    let way = |(contestant, sum): (&Contestant, &Sum)| Way {
        contestant: contestant.name().to_owned(),
        woken,
        image_octets,
        period_ns: period.as_nanos(),
        images: images * options.rounds as u64,
        periods_missed: sum.periods_missed,
        observed: sum.observed.clone(),
        median_ns: Spread::of(sum.medians.clone()),
        by_line: by(sum, &sums[0]),
        by_ring: by(sum, &sums[1]),
    };
    Ok(all.iter().zip(&sums).map(way).collect())
}

/// The rounds of one contestant.
#[derive(Clone, Default)]
struct Sum {
    observed: Observed,
    periods_missed: u64,
    medians: Vec<f64>,
}

impl Sum {
    fn add(&mut self, round: &Observed) {
        let Observed { images, skipped, missing, torn, wrong, times } = round;
        self.observed.images += images;
        self.observed.skipped += skipped;
        self.observed.missing += missing;
        self.observed.torn += torn;
        self.observed.wrong += wrong;
        self.observed.times.add(times);
        self.medians.push(times.median_ns());
    }
}

/// What one reading of the clock takes.
fn clock_ns() -> f64 {
    const READINGS: u32 = 100_000;
    let start = MonotonicClock::now();
    for _ in 0..READINGS {
        std::hint::black_box(MonotonicClock::now());
    }
    MonotonicClock::now().since(start).as_nanos() as f64 / f64::from(READINGS)
}

fn judge(results: &mut Results, regions: &Regions) {
    let of = |contestant: Contestant| {
        let ways = regions.ways.iter().filter(|way| !way.woken);
        ways.filter(move |way| way.contestant == contestant.name())
    };
    if let Some(way) = of(Contestant::Ring).find(|way| way.image_octets == SMALLEST) {
        let what = format!("one way, polling, {SMALLEST} octets, ratio to a cache line");
        results.aims.push(Aim::at_most(what, "", LINE_RATIO_MAX, way.by_line.clone()));
    }
    for way in of(Contestant::Iceoryx2) {
        let octets = way.image_octets;
        let what = format!("one way, polling, {octets} octets, iceoryx2's time by ours");
        results.aims.push(Aim::at_least(what, "", ICEORYX2_RATIO_MIN, way.by_ring.clone()));
    }
    let commit = regions.commits.iter().find(|commit| commit.image_octets == COMMIT_AIM_OCTETS);
    let published = commit.and_then(|commit| commit.ways.iter().find(|w| w.way == commit::PUBLISH));
    if let Some(way) = published {
        let what = format!("commit, {COMMIT_AIM_OCTETS} octets, ratio to a plain copy");
        results.aims.push(Aim::at_most(what, "", COPY_RATIO_MAX, way.ratio.clone()));
    }
    let ours = regions.ways.iter().filter(|way| way.contestant == Contestant::Ring.name());
    let faults: u64 = ours.map(|way| way.observed.torn + way.observed.wrong).sum();
    let faults = Spread::of(vec![faults as f64]);
    results.aims.push(Aim::at_most(
        "images torn or with other content".to_owned(),
        "",
        0.0,
        faults,
    ));
}
