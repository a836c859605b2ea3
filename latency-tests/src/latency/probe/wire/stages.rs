//! A round trip split by stage, from the instants at which a frame was met. Pure.

use rt_core::time::{Duration, Instant};

/// The instants of one frame, as far as they are known.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Marks {
    /// The program sends.
    pub(super) sent: Option<Instant>,
    /// It leaves by the host interface.
    pub(super) host_out: Option<Instant>,
    /// It leaves by LAN A, LAN B.
    pub(super) lan_out: [Option<Instant>; 2],
    /// The answer comes by LAN A, LAN B.
    pub(super) lan_in: [Option<Instant>; 2],
    /// It comes by the host interface.
    pub(super) host_in: Option<Instant>,
    /// The program has it.
    pub(super) answered: Option<Instant>,
}

/// A part of the way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Stage {
    /// From the program to the host interface.
    HostOut,
    /// From there to the first LAN.
    Tag,
    /// From leaving by LAN A to the answer's coming there: the wire and the far end.
    LanA,
    /// The same of LAN B.
    LanB,
    /// From the first LAN's answer to the host interface.
    Discard,
    /// From leaving by the host interface to the answer's coming by LAN A, where what leaves by the
    /// LANs cannot be watched.
    ByLanA,
    /// The same of LAN B.
    ByLanB,
    /// From leaving by the host interface to coming there, where the LANs cannot be watched.
    Lans,
    /// From the host interface to the program.
    HostIn,
    /// All of it.
    RoundTrip,
}

/// What of the LANs can be watched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sight {
    /// All.
    Full,
    /// What comes.
    Incoming,
    /// Nothing.
    None,
}

impl Sight {
    /// The stages that can be told.
    pub(super) const fn stages(self) -> &'static [Stage] {
        use Stage::{ByLanA, ByLanB, Discard, HostIn, HostOut, LanA, LanB, Lans, RoundTrip, Tag};
        match self {
            Self::Full => &[HostOut, Tag, LanA, LanB, Discard, HostIn, RoundTrip],
            Self::Incoming => &[HostOut, ByLanA, ByLanB, Discard, HostIn, RoundTrip],
            Self::None => &[HostOut, Lans, HostIn, RoundTrip],
        }
    }
}

impl Stage {
    /// Its series.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::HostOut => "host out",
            Self::Tag => "tag",
            Self::LanA => "lan a",
            Self::LanB => "lan b",
            Self::Discard => "discard",
            Self::ByLanA => "tag, lan a",
            Self::ByLanB => "tag, lan b",
            Self::Lans => "lans",
            Self::HostIn => "host in",
            Self::RoundTrip => "round trip",
        }
    }
}

impl Marks {
    /// How long the frame was in a stage; nothing when an end is missing, or comes before the
    /// beginning.
    pub(super) fn took(&self, stage: Stage) -> Option<Duration> {
        let (begin, end) = match stage {
            Stage::HostOut => (self.sent, self.host_out),
            Stage::Tag => (self.host_out, first(self.lan_out)),
            Stage::LanA => (self.lan_out[0], self.lan_in[0]),
            Stage::LanB => (self.lan_out[1], self.lan_in[1]),
            Stage::Discard => (first(self.lan_in), self.host_in),
            Stage::ByLanA => (self.host_out, self.lan_in[0]),
            Stage::ByLanB => (self.host_out, self.lan_in[1]),
            Stage::Lans => (self.host_out, self.host_in),
            Stage::HostIn => (self.host_in, self.answered),
            Stage::RoundTrip => (self.sent, self.answered),
        };
        let (begin, end) = (begin?, end?);
        (begin <= end).then(|| end.since(begin))
    }

    /// Whether all is known that can become known.
    pub(super) fn is_complete(&self, sight: Sight) -> bool {
        let host = [self.sent, self.host_out, self.host_in, self.answered];
        let is_known = |of: &[Option<Instant>]| of.iter().all(Option::is_some);
        is_known(&host)
            && (sight == Sight::None || is_known(&self.lan_in))
            && (sight != Sight::Full || is_known(&self.lan_out))
    }

    /// Whether what is known can be: nothing ends before it began, and the stages that the first
    /// answer went through are no longer than the whole.
    pub(super) fn is_consistent(&self, sight: Sight) -> bool {
        let ends = [self.sent, self.host_out, first(self.lan_out), first(self.lan_in)];
        let ends = ends.into_iter().chain([self.host_in, self.answered]).flatten();
        let in_order = ends.is_sorted();
        let by_b = self.lan_in[1].is_some() && self.lan_in[1] == first(self.lan_in);
        // Of the two LANs the one whose answer came first.
        let is_of_way = |stage: &&Stage| match stage {
            Stage::LanA | Stage::ByLanA => !by_b,
            Stage::LanB | Stage::ByLanB => by_b,
            Stage::RoundTrip => false,
            _ => true,
        };
        let way = sight.stages().iter().filter(is_of_way);
        let sum = way.filter_map(|stage| self.took(*stage));
        let sum = sum.fold(Duration::ZERO, |sum, it| sum + it);
        in_order && self.took(Stage::RoundTrip).is_none_or(|whole| sum <= whole)
    }
}

/// The earlier one.
fn first(instants: [Option<Instant>; 2]) -> Option<Instant> {
    instants.into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> Option<Instant> {
        Some(Instant::from_nanos(1_000_000 + us * 1_000))
    }

    fn us(us: u64) -> Option<Duration> {
        Some(Duration::from_micros(us))
    }

    /// LAN A is sent to first, and LAN B answers first.
    fn whole() -> Marks {
        Marks {
            sent: at(0),
            host_out: at(3),
            lan_out: [at(10), at(12)],
            lan_in: [at(60), at(50)],
            host_in: at(58),
            answered: at(65),
        }
    }

    const ALL: [Sight; 3] = [Sight::Full, Sight::Incoming, Sight::None];

    fn took(marks: &Marks, sight: Sight) -> Vec<Option<Duration>> {
        sight.stages().iter().map(|stage| marks.took(*stage)).collect()
    }

    #[test]
    fn a_round_trip_is_split_and_its_stages_add_up() {
        let marks = whole();
        let split = took(&marks, Sight::Full);
        assert_eq!(split, [us(3), us(7), us(50), us(38), us(8), us(7), us(65)]);
        // All but the 2 µs between the two LANs' sending.
        let way = [0, 1, 3, 4, 5].map(|at| split[at].map_or(0, Duration::as_micros));
        assert_eq!(way.iter().sum::<u64>(), 63);
        let incoming = took(&marks, Sight::Incoming);
        assert_eq!(incoming, [us(3), us(57), us(47), us(8), us(7), us(65)]);
        assert_eq!(took(&marks, Sight::None), [us(3), us(55), us(7), us(65)]);
        for sight in ALL {
            assert!(marks.is_complete(sight) && marks.is_consistent(sight), "{sight:?}");
        }
    }

    #[test]
    fn what_is_missing_takes_its_stages_away_and_no_other() {
        let marks = Marks { lan_in: [None, at(50)], lan_out: [None, at(12)], ..whole() };
        assert_eq!(marks.took(Stage::LanA), None);
        assert_eq!((marks.took(Stage::Tag), marks.took(Stage::Discard)), (us(9), us(8)));
        assert_eq!(ALL.map(|sight| marks.is_complete(sight)), [false, false, true]);
        let hidden = Marks { lan_out: [None, None], ..whole() };
        assert_eq!(ALL.map(|sight| hidden.is_complete(sight)), [false, true, true]);
        let lost = Marks { answered: None, host_in: None, ..whole() };
        assert_eq!((lost.took(Stage::RoundTrip), lost.took(Stage::LanA)), (None, us(50)));
        for marks in [marks, hidden, lost, Marks::default()] {
            assert!(ALL.into_iter().all(|sight| marks.is_consistent(sight)), "{marks:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_seen() {
        let back = Marks { host_out: at(70), ..whole() };
        assert_eq!(back.took(Stage::HostIn), us(7));
        assert!(ALL.into_iter().all(|sight| !back.is_consistent(sight)));
        let lan = Marks { lan_in: [at(4), None], ..whole() };
        assert_eq!(lan.took(Stage::LanA), None);
        assert!(!lan.is_consistent(Sight::Full));
    }
}
