//! Which interface is a LAN's, as interfaces come, go and change their names.
//!
//! What is configured is a name. At start, and whenever the LAN has no interface, the one of that
//! name is taken. From then on it is that very interface, whatever it is called: the cable is in
//! it, and it carries frames. A renamed interface is followed; another one that gets the configured
//! name is told and left alone until ours is gone. (Rejected: to change over to whoever has the
//! name. Two interfaces that swap names, as happens when a host sorts its cards out late, would put
//! each LAN's frames on the other LAN, and a working LAN would be given up for one that nobody has
//! seen work.)
//!
//! Pure, and driven by what is there, not by what was reported: a look at the interfaces gives the
//! next step, however many notifications came, in which order, or were lost.

use rt_core::time::{Duration, Instant};

/// How soon an interface that could not be taken is tried again: often it is just being set up or
/// moved, and while it is up and not ours the host's own stack receives on it.
pub const RETRY_FIRST: Duration = Duration::from_millis(10);
/// Each further time takes twice as long as the one before, to this.
pub const RETRY_LAST: Duration = Duration::from_millis(500);

/// A LAN's interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LanLife {
    /// None is ours.
    Absent,
    /// One has the name but could not be taken.
    Refused {
        /// Its index.
        index: u32,
        /// When it is tried again.
        again: Instant,
        /// How long it rests now.
        rest: Duration,
    },
    /// One is ours.
    Held {
        /// Its index.
        index: u32,
        /// What it was called last.
        name: String,
        /// The interface that has the configured name instead, told already.
        rival: Option<u32>,
    },
}

/// The interfaces as they are now, as far as one LAN is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sight<'a> {
    /// The name of the interface that is ours; none when it is gone, or none is ours.
    pub ours: Option<&'a str>,
    /// The interface that has the configured name.
    pub named: Option<u32>,
    /// The other LAN's interface.
    pub others: Option<u32>,
}

/// What has to be done next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Our interface is gone: use it no more.
    Lose,
    /// Our interface has another name.
    Rename(String),
    /// Another interface has the configured name while ours lives.
    TellRival(u32),
    /// Take this interface.
    Take(u32),
}

impl LanLife {
    /// The interface that is ours.
    #[must_use]
    pub const fn held(&self) -> Option<u32> {
        match self {
            Self::Held { index, .. } => Some(*index),
            _ => None,
        }
    }

    /// The next step, `None` when all is as it should be. After each step the state is told, and
    /// this asked again.
    #[must_use]
    pub fn next(&self, sight: &Sight<'_>, now: Instant) -> Option<Step> {
        let free = sight.named.filter(|named| sight.others != Some(*named));
        match self {
            Self::Held { index, name, rival } => {
                let Some(present) = sight.ours else { return Some(Step::Lose) };
                if present != name {
                    return Some(Step::Rename(present.to_owned()));
                }
                let another = free.filter(|named| named != index);
                another.filter(|named| *rival != Some(*named)).map(Step::TellRival)
            }
            Self::Refused { index, again, .. } if free == Some(*index) && now < *again => None,
            Self::Refused { .. } | Self::Absent => free.map(Step::Take),
        }
    }

    /// An interface was taken.
    pub fn taken(&mut self, index: u32, name: &str) {
        *self = Self::Held { index, name: name.to_owned(), rival: None };
    }

    /// An interface could not be taken.
    pub fn refused(&mut self, refused: u32, now: Instant) {
        let rest = match self {
            Self::Refused { index, rest, .. } if *index == refused => {
                Duration::from_nanos(rest.as_nanos().saturating_mul(2)).min(RETRY_LAST)
            }
            _ => RETRY_FIRST,
        };
        *self = Self::Refused { index: refused, again: now + rest, rest };
    }

    /// When an interface that could not be taken is to be tried again.
    #[must_use]
    pub const fn retry_at(&self) -> Option<Instant> {
        match self {
            Self::Refused { again, .. } => Some(*again),
            _ => None,
        }
    }

    /// The interface was lost.
    pub fn lost(&mut self) {
        *self = Self::Absent;
    }

    /// It is known that the interface has another name.
    pub fn renamed(&mut self, present: &str) {
        if let Self::Held { name, rival, .. } = self {
            present.clone_into(name);
            *rival = None;
        }
    }

    /// It is known who has the configured name.
    pub fn rival_told(&mut self, other: u32) {
        if let Self::Held { rival, .. } = self {
            *rival = Some(other);
        }
    }

    /// Whether another interface has the configured name.
    #[must_use]
    pub const fn has_rival(&self) -> bool {
        matches!(self, Self::Held { rival: Some(_), .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanos(10_000_000_000);
    const EARLIER: Instant = Instant::from_nanos(9_000_000_000);
    const LATER: Instant = Instant::from_nanos(11_000_000_000);

    fn held(index: u32, name: &str, rival: Option<u32>) -> LanLife {
        LanLife::Held { index, name: name.to_owned(), rival }
    }

    fn sight<'a>(ours: Option<&'a str>, named: Option<u32>, others: Option<u32>) -> Sight<'a> {
        Sight { ours, named, others }
    }

    /// Configured is "a"; the other LAN has interface 9.
    #[test]
    fn the_whole_table() {
        let rename = |name: &str| Some(Step::Rename(name.to_owned()));
        let waits = |again| LanLife::Refused { index: 5, again, rest: RETRY_FIRST };
        let table = [
            // Nothing is ours: whoever has the name is taken, if it is not the other LAN's.
            (LanLife::Absent, sight(None, None, Some(9)), None),
            (LanLife::Absent, sight(None, Some(5), Some(9)), Some(Step::Take(5))),
            (LanLife::Absent, sight(None, Some(9), Some(9)), None),
            (LanLife::Absent, sight(None, Some(9), None), Some(Step::Take(9))),
            // One was refused: it waits, another one does not.
            (waits(LATER), sight(None, Some(5), None), None),
            (waits(NOW), sight(None, Some(5), None), Some(Step::Take(5))),
            (waits(EARLIER), sight(None, Some(5), None), Some(Step::Take(5))),
            (waits(LATER), sight(None, Some(6), None), Some(Step::Take(6))),
            (waits(LATER), sight(None, None, None), None),
            (waits(EARLIER), sight(None, Some(5), Some(5)), None),
            // One is ours and called as configured.
            (held(5, "a", None), sight(Some("a"), Some(5), Some(9)), None),
            (held(5, "a", None), sight(None, None, Some(9)), Some(Step::Lose)),
            (held(5, "a", None), sight(None, Some(6), Some(9)), Some(Step::Lose)),
            // The same index again, but another interface.
            (held(5, "a", None), sight(None, Some(5), Some(9)), Some(Step::Lose)),
            // It is renamed: followed, whoever has the name now.
            (held(5, "a", None), sight(Some("x"), None, Some(9)), rename("x")),
            (held(5, "a", None), sight(Some("x"), Some(6), Some(9)), rename("x")),
            (held(5, "x", None), sight(Some("x"), None, Some(9)), None),
            (held(5, "x", None), sight(Some("x"), Some(6), Some(9)), Some(Step::TellRival(6))),
            (held(5, "x", Some(6)), sight(Some("x"), Some(6), Some(9)), None),
            (held(5, "x", Some(6)), sight(Some("x"), Some(7), Some(9)), Some(Step::TellRival(7))),
            (held(5, "x", Some(6)), sight(None, Some(6), Some(9)), Some(Step::Lose)),
            (held(5, "x", None), sight(Some("a"), Some(5), Some(9)), rename("a")),
            // Both LANs' interfaces have swapped names: each stays where its cable is.
            (held(5, "b", None), sight(Some("b"), Some(9), Some(9)), None),
        ];
        for (life, sight, step) in table {
            assert_eq!(life.next(&sight, NOW), step, "{life:?} {sight:?}");
        }
    }

    #[test]
    fn a_life_through_every_step() {
        let mut life = LanLife::Absent;
        life.refused(5, NOW);
        assert_eq!(life.retry_at(), Some(NOW + RETRY_FIRST));
        assert_eq!(life.held(), None);
        life.taken(5, "a");
        assert_eq!((life.clone(), life.held()), (held(5, "a", None), Some(5)));
        life.rival_told(6);
        assert!(life.has_rival());
        life.renamed("x");
        assert_eq!(life, held(5, "x", None));
        life.lost();
        assert_eq!(life, LanLife::Absent);
        // What is told too late changes nothing.
        life.renamed("y");
        life.rival_told(7);
        assert_eq!(life, LanLife::Absent);
    }

    #[test]
    fn what_is_refused_again_and_again_rests_longer_each_time_to_a_limit() {
        let mut life = LanLife::Absent;
        let mut rests = Vec::new();
        for _ in 0..8 {
            life.refused(5, NOW);
            rests.push(life.retry_at().unwrap().since(NOW).as_millis());
        }
        assert_eq!(rests, [10, 20, 40, 80, 160, 320, 500, 500]);
        // Another interface, or the same after it was ours, begins anew.
        life.refused(6, NOW);
        assert_eq!(life.retry_at(), Some(NOW + RETRY_FIRST));
        life.taken(6, "a");
        life.lost();
        assert_eq!(life.retry_at(), None);
        life.refused(6, NOW);
        assert_eq!(life.retry_at(), Some(NOW + RETRY_FIRST));
    }

    /// Whatever happens, a few steps lead to rest: nobody is asked for ever.
    #[test]
    fn every_sight_comes_to_rest() {
        let names = [None, Some("a"), Some("x")];
        let indices = [None, Some(5), Some(6), Some(9)];
        let states = [
            LanLife::Absent,
            LanLife::Refused { index: 5, again: LATER, rest: RETRY_FIRST },
            held(5, "a", None),
            held(5, "x", Some(6)),
        ];
        for start in states {
            for ours in names {
                for (named, others) in indices.iter().flat_map(|n| indices.map(|o| (*n, o))) {
                    let mut life = start.clone();
                    let mut sight = Sight { ours, named, others };
                    let mut steps = 0;
                    while let Some(step) = life.next(&sight, NOW) {
                        match step {
                            Step::Lose => {
                                life.lost();
                                sight.ours = None;
                            }
                            Step::Rename(name) => life.renamed(&name),
                            Step::TellRival(other) => life.rival_told(other),
                            Step::Take(index) => {
                                life.taken(index, "a");
                                sight.ours = Some("a");
                            }
                        }
                        steps += 1;
                        assert!(steps <= 3, "{start:?} {sight:?}");
                    }
                }
            }
        }
    }
}
