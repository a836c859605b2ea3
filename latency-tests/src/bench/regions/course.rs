//! The course that every contestant runs: images of a known pattern at a fixed period, each looked
//! at when it was observed.
//!
//! - **One way, by one clock.** The writer reads CLOCK_MONOTONIC, which is one for all CPUs, just
//!   before it publishes, and the reading travels with the image; the reader reads the same clock
//!   when it has the image and has verified it. So each figure holds about one reading of the
//!   clock.
//! - **Open loop.** The writer publishes by the clock, whatever the reader does. An image that the
//!   reader never saw counts as observed together with the one that it saw instead: a reader that
//!   stalls for a millisecond is charged for each image of that millisecond.
//! - **The content is checked**, word for word, after the time was taken: verification by checksum
//!   is within the time, that by knowledge of the pattern is the bench's own.
//!
//! (A round trip halved was the alternative. It shows means, its two ends wait for each other, and
//! so it leaves out what happens during a stall.)

use std::thread;

use rt_core::os::clock::{self, MonotonicClock};
use rt_core::time::{Duration, Instant};
use serde::{Deserialize, Serialize};
use tools::exit::Failure;

use super::times::Times;

/// A reader gives up when nothing came for so long.
const PATIENCE: Duration = Duration::from_secs(5);
/// From the writer's start to its first image.
const RUN_UP: Duration = Duration::from_millis(20);
/// How many empty looks a polling reader takes between two at the clock.
const LOOKS_PER_CLOCK: u32 = 4_096;

/// What is published, how often, and how the reader learns of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Octets of an image.
    pub image_octets: usize,
    /// Images that count.
    pub images: u64,
    /// Images before those.
    pub warm_up: u64,
    /// From one image to the next.
    pub period: Duration,
    /// Whether the reader sleeps and is woken, instead of polling.
    pub woken: bool,
}

impl Plan {
    /// The last image's number; the first has 1.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.warm_up + self.images
    }
}

/// The writer's end of a contestant.
pub trait Publish {
    /// Publishes an image, and wakes the reader where the plan says so. `number` and `started_ns`
    /// travel with it. Real-time class: this is what is measured.
    ///
    /// # Errors
    /// The contestant does not take it.
    fn publish(&mut self, number: u64, started_ns: u64, image: &[u8]) -> Result<(), Failure>;
}

/// What a reader found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// Nothing that was not seen before.
    Nothing,
    /// An image, whole and verified.
    Image {
        /// Its number.
        number: u64,
        /// The clock before it was published.
        started_ns: u64,
    },
    /// An image whose checksum does not fit.
    Torn,
}

/// The reader's end of a contestant.
pub trait Observe {
    /// Looks for the next image, takes it and verifies it. Real-time class: this is what is
    /// measured.
    ///
    /// # Errors
    /// The contestant failed.
    fn look(&mut self) -> Result<Look, Failure>;

    /// The image that [`Self::look`] found last; empty where it has no content.
    fn image(&self) -> &[u8];

    /// What was found last is done with.
    fn done(&mut self) {}

    /// Sleeps until there may be an image, or until `until`.
    ///
    /// # Errors
    /// The contestant cannot wait.
    fn wait(&mut self, until: Instant) -> Result<(), Failure>;
}

/// What a writer has done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Published {
    /// Images.
    pub images: u64,
    /// Periods that passed without one, because the writer itself was kept from running.
    pub periods_missed: u64,
}

/// What a reader has seen; the warm-up is not counted, but for what is wrong.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct Observed {
    /// Images seen.
    pub images: u64,
    /// Images that were overwritten before they were seen.
    pub skipped: u64,
    /// Images that were published last and never seen.
    pub missing: u64,
    /// Images whose checksum did not fit.
    pub torn: u64,
    /// Images whose content was another, or whose number was out of order.
    pub wrong: u64,
    /// From before publishing to after verifying, of each image that was published.
    pub times: Times,
}

/// Fills `image` with the pattern of image `number`.
pub fn fill(number: u64, image: &mut [u8]) {
    let (whole, rest) = image.as_chunks_mut::<8>();
    let start = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut word = start;
    for octets in whole {
        *octets = word.to_le_bytes();
        word = word.wrapping_add(0xd1b5_4a32_d192_ed03);
    }
    let last = word.to_le_bytes();
    rest.copy_from_slice(&last[..rest.len()]);
}

/// The writer's run. `gives_way` where its CPU is not its own.
///
/// # Errors
/// The contestant does not take an image.
pub fn publish_all(
    end: &mut impl Publish,
    plan: &Plan,
    gives_way: bool,
) -> Result<Published, Failure> {
    let mut image = vec![0; plan.image_octets];
    let mut due = MonotonicClock::now() + RUN_UP;
    let mut periods_missed = 0;
    for number in 1..=plan.last() {
        fill(number, &mut image);
        let started = wait_for(due, gives_way);
        end.publish(number, started.as_nanos(), &image)?;
        // What was missed is not made up for: a burst would say nothing of a cycle.
        let missed = started.since(due).as_nanos() / plan.period.as_nanos().max(1);
        periods_missed += missed;
        due += Duration::from_nanos((missed + 1) * plan.period.as_nanos());
    }
    Ok(Published { images: plan.last(), periods_missed })
}

/// The first reading of the clock that is not before `due`.
fn wait_for(due: Instant, gives_way: bool) -> Instant {
    if gives_way {
        clock::sleep_until(due);
    }
    loop {
        let now = MonotonicClock::now();
        if now >= due {
            return now;
        }
    }
}

/// The reader's run. `gives_way` where its CPU is not its own.
///
/// # Errors
/// The contestant failed.
pub fn observe_all(
    end: &mut impl Observe,
    plan: &Plan,
    gives_way: bool,
) -> Result<Observed, Failure> {
    let mut account = Account::new(plan);
    let mut give_up = MonotonicClock::now() + PATIENCE;
    let mut was_last_look = false;
    let mut empty_looks = 0u32;
    while account.number < plan.last() {
        match end.look()? {
            Look::Image { number, started_ns } => {
                let now = MonotonicClock::now();
                account.saw(number, now.as_nanos().saturating_sub(started_ns), end.image());
                end.done();
                give_up = now + PATIENCE;
                was_last_look = false;
            }
            Look::Torn => account.observed.torn += 1,
            Look::Nothing => {
                empty_looks = empty_looks.wrapping_add(1);
                let polls = !plan.woken;
                if plan.woken {
                    end.wait(give_up)?;
                } else if gives_way {
                    thread::yield_now();
                }
                let is_hot = polls && !gives_way && !empty_looks.is_multiple_of(LOOKS_PER_CLOCK);
                if !is_hot && MonotonicClock::now() >= give_up {
                    // Whoever was kept from running looks once more.
                    if std::mem::replace(&mut was_last_look, true) {
                        break;
                    }
                }
            }
        }
    }
    account.observed.missing = plan.last().saturating_sub(account.number.max(plan.warm_up));
    Ok(account.observed)
}

struct Account<'p> {
    plan: &'p Plan,
    /// The image seen last; zero before the first.
    number: u64,
    expected: Vec<u8>,
    observed: Observed,
}

impl<'p> Account<'p> {
    fn new(plan: &'p Plan) -> Self {
        let expected = vec![0; plan.image_octets];
        Self { plan, number: 0, expected, observed: Observed::default() }
    }

    fn saw(&mut self, number: u64, took_ns: u64, image: &[u8]) {
        fill(number, &mut self.expected);
        let content = image.is_empty() || image == self.expected;
        if !content || number <= self.number || number > self.plan.last() {
            self.observed.wrong += 1;
            return;
        }
        let from = self.number.max(self.plan.warm_up) + 1;
        for earlier in from..=number {
            let periods = number - earlier;
            self.observed.times.record(took_ns + periods * self.plan.period.as_nanos());
        }
        if number >= from {
            self.observed.images += 1;
            self.observed.skipped += number - from;
        }
        self.number = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        image_octets: 20,
        images: 10,
        warm_up: 2,
        period: Duration::from_micros(100),
        woken: false,
    };

    fn image(number: u64) -> Vec<u8> {
        let mut image = vec![0; PLAN.image_octets];
        fill(number, &mut image);
        image
    }

    #[test]
    fn every_image_that_counts_has_a_time_whether_it_was_seen_or_not() {
        let mut account = Account::new(&PLAN);
        for number in [1, 3, 4, 8, 12] {
            account.saw(number, 1_000, &image(number));
        }
        let Observed { images, skipped, wrong, times, .. } = account.observed;
        // Image 2 was skipped in the warm-up; 5 to 7 and 9 to 11 while it counted.
        assert_eq!((images, skipped, wrong), (4, 6, 0));
        assert_eq!(times.count(), PLAN.images);
        let late = times.max_ns();
        assert!((300_000..302_000).contains(&late), "the first of three skipped: {late}");
    }

    #[test]
    fn what_is_not_the_image_of_its_number_is_wrong() {
        let mut account = Account::new(&PLAN);
        account.saw(3, 1, &image(3));
        account.saw(5, 1, &image(4));
        account.saw(3, 1, &image(3));
        account.saw(13, 1, &image(13));
        assert_eq!((account.observed.images, account.observed.wrong), (1, 3));
        let mut spoilt = image(6);
        spoilt[19] ^= 1;
        account.saw(6, 1, &spoilt);
        assert_eq!(account.observed.wrong, 4);
    }
}
