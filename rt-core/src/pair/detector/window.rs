//! Which of a session's numbers came, exactly, whatever their order.
//!
//! One bit for each of the last [`BEAT_WINDOW`] numbers. A number that falls out at the end without
//! its bit is lost, and is never taken back: a counter of what was lost only rises. Until then it
//! is missing. Rejected: what was expected without what came, which is simpler and falls again with
//! each number that comes late, so that whoever watches it takes it for a restart.

use crate::limits::BEAT_WINDOW;

const WORDS: usize = BEAT_WINDOW / 64;
const NUMBERS: u64 = BEAT_WINDOW as u64;

/// What a number was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Number {
    /// Here for the first time.
    New,
    /// Here before.
    Repeated,
    /// Older than what is remembered: it was counted, as lost or as received.
    TooOld,
}

/// The last numbers of a session.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Window {
    /// Bit `n % NUMBERS` stands for number `n`, of those up to `head`.
    came: [u64; WORDS],
    /// The first and the last number that are known to be.
    span: Option<(u64, u64)>,
    /// Numbers that fell out without their bit.
    lost: u64,
}

impl Window {
    /// A number came.
    pub(super) fn take(&mut self, number: u64) -> Number {
        self.reach(number);
        let Some((base, head)) = self.span else { return Number::TooOld };
        if head - number.min(head) >= NUMBERS {
            return Number::TooOld;
        }
        self.span = Some((base.min(number), head));
        let (word, bit) = place(number);
        if self.came[word] & bit != 0 {
            return Number::Repeated;
        }
        self.came[word] |= bit;
        Number::New
    }

    /// A number was sent, whether it came here or not: what is too old now falls out.
    pub(super) fn reach(&mut self, number: u64) {
        let Some((base, head)) = self.span else {
            self.span = Some((number, number));
            return;
        };
        if number <= head {
            return;
        }
        let ahead = number - head;
        if ahead >= NUMBERS {
            // All that is remembered falls out, and numbers that never were in.
            let skipped = ahead - NUMBERS;
            self.lost = self.lost.saturating_add(self.missing()).saturating_add(skipped);
            self.came = [0; WORDS];
        } else {
            for new in head + 1..=number {
                let (word, bit) = place(new);
                let is_counted = new.checked_sub(NUMBERS).is_some_and(|old| old >= base);
                if is_counted && self.came[word] & bit == 0 {
                    self.lost = self.lost.saturating_add(1);
                }
                self.came[word] &= !bit;
            }
        }
        self.span = Some((base, number));
    }

    /// Another session begins: what is missing will not come.
    pub(super) fn restart(&mut self) {
        self.lost = self.lost.saturating_add(self.missing());
        self.came = [0; WORDS];
        self.span = None;
    }

    /// Numbers that are known to be and did not come yet.
    pub(super) fn missing(&self) -> u64 {
        let Some((base, head)) = self.span else { return 0 };
        let remembered = (head - base).saturating_add(1).min(NUMBERS);
        let came: u64 = self.came.iter().map(|word| u64::from(word.count_ones())).sum();
        // Nothing below the first number has a bit.
        remembered.saturating_sub(came)
    }

    /// Numbers that did not come while they were remembered.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }
}

/// Where a number's bit is.
const fn place(number: u64) -> (usize, u64) {
    let index = number % NUMBERS;
    // Less than the number of words.
    #[allow(clippy::cast_possible_truncation, reason = "an index below BEAT_WINDOW")]
    let word = (index / 64) as usize;
    (word, 1 << (index % 64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of the numbers that were, how many came: exact at each moment.
    fn adds_up(window: &Window, received: u64) -> bool {
        let Some((base, head)) = window.span else { return received == 0 };
        u128::from(received) + u128::from(window.missing()) + u128::from(window.lost())
            == u128::from(head - base) + 1
    }

    #[test]
    fn a_number_is_lost_when_as_many_newer_ones_are_known_as_are_remembered() {
        let mut window = Window::default();
        window.take(1);
        window.take(3);
        assert_eq!((window.missing(), window.lost()), (1, 0));
        window.reach(2 + NUMBERS - 1);
        assert_eq!(window.lost(), 0);
        let mut late = window.clone();
        assert_eq!(late.take(2), Number::New, "late, not lost");
        window.reach(2 + NUMBERS);
        assert_eq!(window.lost(), 1);
        assert_eq!(window.take(2), Number::TooOld);
    }

    #[test]
    fn what_was_sent_before_anybody_listened_is_not_lost() {
        let mut window = Window::default();
        window.take(1_000_000);
        assert_eq!((window.missing(), window.lost()), (0, 0));
        window.take(999_998);
        assert_eq!((window.missing(), window.lost()), (1, 0), "it was sent later than that one");
        window.restart();
        assert_eq!((window.missing(), window.lost()), (0, 1));
    }

    #[test]
    fn a_leap_loses_what_it_leaps_over() {
        let mut window = Window::default();
        window.take(0);
        window.take(10_000);
        assert_eq!(window.lost() + window.missing(), 9_999);
        window.take(u64::MAX);
        assert!(adds_up(&window, 3));
    }

    proptest! {
        #[test]
        fn what_came_is_lost_or_missing_makes_what_was(
            moves in prop::collection::vec((any::<bool>(), 0u64..600), 1..400),
            origin: u64,
        ) {
            let mut window = Window::default();
            let mut received = 0;
            for (came, number) in moves {
                let number = origin.saturating_add(number);
                if !came {
                    window.reach(number);
                } else if window.take(number) == Number::New {
                    received += 1;
                }
                // The first number may be known from elsewhere only.
                prop_assert!(adds_up(&window, received));
            }
        }

        #[test]
        fn any_numbers_add_up(numbers in prop::collection::vec(any::<u64>(), 1..100)) {
            let mut window = Window::default();
            let mut received: u64 = 0;
            for number in numbers {
                received += u64::from(window.take(number) == Number::New);
                let Some((base, head)) = window.span else { return Err(TestCaseError::fail("")) };
                let known = u128::from(head - base) + 1;
                let counted = u128::from(received)
                    + u128::from(window.missing())
                    + u128::from(window.lost());
                prop_assert!(counted == known || known > u128::from(u64::MAX));
            }
        }
    }
}
