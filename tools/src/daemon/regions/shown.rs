//! What there is, as documents.

use rt_core::os::clock::MonotonicClock;
use shm_replica::image::Stamp;
use shm_replica::os::broker::report::{ApplicationReport, RegionReport};
use shm_replica::os::connection::Peer;

use super::Regions;
use crate::report::{Application, Participant, Region, Regions as Document, SCHEMA};

impl Regions {
    /// All of it.
    #[must_use]
    pub fn document(&self, node: &str, uptime_ns: u64) -> Document {
        document(node, uptime_ns, self.applications(), self.regions())
    }

    /// The applications.
    #[must_use]
    pub fn applications(&self) -> Vec<Application> {
        self.broker.applications().iter().map(application).collect()
    }

    /// The regions.
    #[must_use]
    pub fn regions(&self) -> Vec<Region> {
        let applications = self.broker.applications();
        self.broker.regions().iter().map(|it| region(it, &applications)).collect()
    }

    /// What is wrong now, a sentence each.
    #[must_use]
    pub fn alarms(&self) -> Vec<String> {
        let applications = self.broker.applications();
        applications.iter().filter_map(waits).chain(self.desk.epochs.alarms()).collect()
    }
}

/// The document of a node that keeps these.
pub fn document(
    node: &str,
    uptime_ns: u64,
    applications: Vec<Application>,
    regions: Vec<Region>,
) -> Document {
    Document { schema: SCHEMA, name: node.to_owned(), uptime_ns, applications, regions }
}

/// Who is waited for.
fn waits(report: &ApplicationReport) -> Option<String> {
    let name = report.name;
    if let Some(pid) = report.awaited {
        return Some(format!(
            "application {name}: process {pid} owned it when the daemon ended, lives, and has not \
             come back; nobody else becomes active before it does or ends"
        ));
    }
    let pids: Vec<String> = report.heirs.iter().map(ToString::to_string).collect();
    (!pids.is_empty()).then(|| {
        format!(
            "application {name}: those who stood by when the daemon ended ({}) live, and none has \
             come back; a new process has no state, and does not become active by itself before \
             one of them does or all end",
            pids.join(", ")
        )
    })
}

fn participant(peer: &Peer) -> Participant {
    Participant { pid: peer.pid, uid: peer.uid }
}

fn application(report: &ApplicationReport) -> Application {
    Application {
        name: report.name.as_str().to_owned(),
        epoch: report.epoch,
        active: report.active.as_ref().map(participant),
        standbys: report.standbys.iter().map(participant).collect(),
        awaited_pid: report.awaited,
        awaited_standby_pids: report.heirs.clone(),
    }
}

fn region(report: &RegionReport, applications: &[ApplicationReport]) -> Region {
    let segment = report.segment.as_ref();
    let newest = segment.and_then(|segment| segment.newest);
    let is_of_epoch =
        |(_, stamp): &(u64, Stamp)| segment.is_some_and(|segment| segment.epoch == stamp.epoch);
    let now_ns = MonotonicClock::now().as_nanos();
    // Who stands by on this host reads the same memory: it lacks nothing.
    let of_ours = |it: &&ApplicationReport| it.name == report.application;
    let in_sync = newest.is_some()
        && applications.iter().find(of_ours).is_some_and(|it| !it.standbys.is_empty());
    let octets = |octets: usize| u64::try_from(octets).unwrap_or(u64::MAX);
    Region {
        name: report.name.as_str().to_owned(),
        application: report.application.as_str().to_owned(),
        epoch: segment.map_or(0, |segment| segment.epoch),
        cycle: newest.map(|(_, stamp)| stamp.cycle),
        commits: newest.filter(is_of_epoch).map_or(0, |(sequence, _)| sequence),
        commit_interval_ns: None,
        age_ns: newest.map(|(_, stamp)| now_ns.saturating_sub(stamp.committed_at_ns)),
        lag_cycles: in_sync.then_some(0),
        in_sync,
        bytes: segment.map(|segment| octets(segment.image_octets)),
        memory_octets: segment.map_or(0, |segment| octets(segment.segment_octets)),
        readers: report.readers,
        writer_pid: segment.and_then(|segment| segment.writer.as_ref()).map(|peer| peer.pid),
    }
}
