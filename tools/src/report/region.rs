//! Regions and applications as documents.

use serde::{Deserialize, Serialize};

/// A process that uses the library.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Participant {
    /// Its number.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
}

/// An application.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// Its newest epoch; 0 before the first.
    pub epoch: u64,
    /// The process that is active; null while none is.
    pub active: Option<Participant>,
    /// The processes that are ready and stand by.
    pub standbys: Vec<Participant>,
    /// The process that owned it when the daemon ended, lives, and has not come back: nobody else
    /// becomes active. Null in the ordinary case.
    pub awaited_pid: Option<i32>,
    /// Processes that stood by when the daemon ended, and live, while none of them has come back:
    /// who is started anew does not become active by itself. Empty in the ordinary case.
    #[serde(default)]
    pub awaited_standby_pids: Vec<i32>,
}

/// A region.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// Its application.
    pub application: String,
    /// The epoch of its segment in force; 0 while there is none.
    pub epoch: u64,
    /// The cycle of the newest image; null before the first.
    pub cycle: Option<u64>,
    /// Commits in this epoch.
    pub commits: u64,
    /// Time between two commits, on the average of half a second, in ns; null where nobody measured
    /// it, or nothing was committed meanwhile.
    #[serde(default)]
    pub commit_interval_ns: Option<u64>,
    /// Time since the newest image was committed, in ns; null before the first.
    pub age_ns: Option<u64>,
    /// How many cycles the standby is behind; null without one.
    pub lag_cycles: Option<u64>,
    /// Whether there is a standby that has the newest image.
    pub in_sync: bool,
    /// Octets of an image; null while there is no segment.
    pub bytes: Option<u64>,
    /// Octets of the segment's memory.
    pub memory_octets: u64,
    /// How many processes read it.
    pub readers: u32,
    /// The process that writes it; null while none does.
    pub writer_pid: Option<i32>,
}

/// `bumpless switchover --json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Switchover {
    /// See [`super::SCHEMA`].
    pub schema: u32,
    /// The application.
    pub application: String,
    /// Its epoch now.
    pub epoch: u64,
    /// The process that is active now.
    pub pid: i32,
}

/// `bumpless regions --json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Regions {
    /// See [`super::SCHEMA`].
    pub schema: u32,
    /// The instance.
    pub name: String,
    /// Time since the daemon started, in ns.
    pub uptime_ns: u64,
    /// The applications.
    pub applications: Vec<Application>,
    /// The regions.
    pub regions: Vec<Region>,
}
