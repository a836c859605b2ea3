//! Why something that came is not taken, and how often.
//!
//! One list for all layers, so that one table of counters tells an operator whether a neighbour
//! has another version, another key, the same name, or whether somebody plays back what he
//! recorded. None of these changes any state.

use core::fmt;

/// Why something that came is not taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Refusal {
    /// It is none of ours: another magic or subtype.
    NotOurs,
    /// It is of a version that is not known here.
    Version,
    /// It is shorter than it says, or not as long as its kind is.
    Length,
    /// It is sealed and no key is configured here, or it is not and one is.
    Protection,
    /// Something stands where nothing is to be, or a number means nothing.
    Content,
    /// Its path is none of ours.
    UnknownPath,
    /// It is of another pair.
    ForeignPair,
    /// Its check sum is wrong.
    CheckSum,
    /// It was not sealed with our key, or was changed on its way.
    Authentication,
    /// An epoch is higher than there are.
    Epoch,
    /// An instant is further off than any clock that was started at a boot.
    FarClock,
    /// Its sender has this node's name: both nodes are configured as the same one.
    OwnNode,
    /// It bears this node's own session: something sends back what this node sent.
    OwnSession,
    /// It is of a session that the peer has left.
    FormerSession,
    /// It is of the peer's session, and for another session or none.
    NotAddressed,
    /// It was taken before, or is too old to know.
    Replayed,
    /// This node's challenges are used up: it has to be restarted to take another session.
    ChallengesSpent,
    /// It answers nothing that this node asked.
    NotAsked,
}

/// How many kinds there are.
const KINDS: usize = 18;

impl Refusal {
    /// All, in the order of the layers that find them.
    pub const ALL: [Self; KINDS] = [
        Self::NotOurs,
        Self::Version,
        Self::Length,
        Self::Protection,
        Self::Content,
        Self::UnknownPath,
        Self::ForeignPair,
        Self::CheckSum,
        Self::Authentication,
        Self::Epoch,
        Self::FarClock,
        Self::OwnNode,
        Self::OwnSession,
        Self::FormerSession,
        Self::NotAddressed,
        Self::Replayed,
        Self::ChallengesSpent,
        Self::NotAsked,
    ];

    /// Its name as a counter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotOurs => "not_ours",
            Self::Version => "version",
            Self::Length => "length",
            Self::Protection => "protection",
            Self::Content => "content",
            Self::UnknownPath => "unknown_path",
            Self::ForeignPair => "foreign_pair",
            Self::CheckSum => "check_sum",
            Self::Authentication => "authentication",
            Self::Epoch => "epoch",
            Self::FarClock => "far_clock",
            Self::OwnNode => "own_node",
            Self::OwnSession => "own_session",
            Self::FormerSession => "former_session",
            Self::NotAddressed => "not_addressed",
            Self::Replayed => "replayed",
            Self::ChallengesSpent => "challenges_spent",
            Self::NotAsked => "not_asked",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOurs => "it is none of ours",
            Self::Version => "its version is not known here: update the older node",
            Self::Length => "its length is wrong",
            Self::Protection => "one node has a key configured and the other has none",
            Self::Content => "its content is wrong",
            Self::UnknownPath => "its path is not known here",
            Self::ForeignPair => "it is of another pair",
            Self::CheckSum => "its check sum is wrong",
            Self::Authentication => "it is not sealed with the key of this pair",
            Self::Epoch => "its epoch is higher than there are",
            Self::FarClock => "its instant is further off than any clock",
            Self::OwnNode => "it bears this node's name: one of the two has to be the other node",
            Self::OwnSession => "this node sent it",
            Self::FormerSession => "it is of a session that the peer has left",
            Self::NotAddressed => "it is not for this node's present session",
            Self::Replayed => "it was taken before, or is too old",
            Self::ChallengesSpent => "no further session can be taken: restart this node",
            Self::NotAsked => "it answers nothing that was asked",
        })
    }
}

impl core::error::Error for Refusal {}

/// How often what was refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Refusals([u64; KINDS]);

impl Refusals {
    /// None yet.
    pub const NONE: Self = Self([0; KINDS]);

    /// Counts one. Real-time class: one addition.
    pub fn count(&mut self, refusal: Refusal) {
        let count = &mut self.0[refusal as usize];
        *count = count.saturating_add(1);
    }

    /// How often for this reason.
    #[must_use]
    pub const fn of(&self, refusal: Refusal) -> u64 {
        self.0[refusal as usize]
    }

    /// How often in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Each reason with its count, in the order of [`Refusal::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Refusal, u64)> {
        Refusal::ALL.into_iter().zip(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_a_counter_and_a_name_of_its_own() {
        let mut refusals = Refusals::NONE;
        for (place, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, place);
            for _ in 0..=place {
                refusals.count(refusal);
            }
            assert_eq!(refusals.of(refusal), place as u64 + 1);
            let same = Refusal::ALL.iter().filter(|it| it.name() == refusal.name()).count();
            assert_eq!(same, 1, "{}", refusal.name());
        }
        assert_eq!(refusals.total(), refusals.iter().map(|(_, count)| count).sum::<u64>());
        assert_eq!(refusals.total(), (KINDS * (KINDS + 1) / 2) as u64);
    }
}
