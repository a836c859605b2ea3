//! J, the lateness that the timers of a takeover reckon with: from recordings to the value that is
//! stored, and back to the question whether it is still that of this host.
//!
//! The way: [`derive()`] takes what both hosts and both LANs recorded and what the plant asks
//! for; it gives a [`Derivation`]: bounds with the horizons that they cover, the timers, the
//! inequalities between them ([`margins`](crate::margins)), and the mean time between false
//! suspicions that the recordings support. [`Stored`] is what is kept of it in the daemon's
//! configuration, and [`Stored::judge`] says whether that was measured on this host and lately.
//!
//! **A beat that does not come** is not the same as a late cycle. Beats that are all late by the
//! same time still come one period apart; what a peer notices is silence. So lateness is compared
//! with the time of silence that is borne ([`Silence`]), not counted in cycles of a period that
//! happens to be the recording's. To take the chance of one late cycle to the power of the misses
//! was rejected: one cause makes many beats late.
//!
//! All is pure and for ordinary threads: it allocates and, where tails are fitted, takes up to some
//! seconds.
//!
//! | Module | Holds |
//! |---|---|
//! | `bound` | what a series is bounded by, and for how long |
//! | `silence` | how often a peer is falsely silent for longer than is borne |
//! | `derivation` | all together: the timers and what they rest on |
//! | `stored` | what is kept, as text, and whether it still holds |
//! | `date` | dates as RFC 3339 has them |

mod bound;
mod date;
mod derivation;
mod silence;
mod stored;

pub use bound::{Bound, Extrapolated, Method, Recorded};
pub use date::{date_text, seconds_of_date};
pub use derivation::{Absent, Derivation, Goal, Heartbeat, Input, OfHost, OfLan, derive};
pub use silence::{Apart, LanRecorded, Silence};
pub use stored::{DECIDING, Difference, Doubt, MAX_AGE_DAYS, Stored, StoredHost};
