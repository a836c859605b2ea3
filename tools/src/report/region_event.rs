//! What happens to applications and their processes.

use shm_replica::os::broker::Event;
use shm_replica::segment::RegionName;

use super::Severity;

/// What happens to an application and one of its processes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RegionEvent {
    /// A process speaks for it.
    Joined(RegionName, i32),
    /// A process ended, or hung up.
    Left(RegionName, i32),
    /// A process became the active one, in this epoch.
    Active(RegionName, i32, u64),
    /// What a process asked was refused, and why.
    Refused(RegionName, i32, String),
    /// A process owned it when the daemon ended, lives, and is waited for.
    OwnerAwaited(RegionName, i32),
    /// That process has ended, or came back and owns nothing.
    OwnerGone(RegionName, i32),
    /// Something that should work did not.
    Failed(String),
}

impl From<Event> for RegionEvent {
    fn from(event: Event) -> Self {
        match event {
            Event::Joined(application, peer) => Self::Joined(application, peer.pid),
            Event::Left(application, peer) => Self::Left(application, peer.pid),
            Event::Active(application, peer, epoch) => Self::Active(application, peer.pid, epoch),
            Event::Refused(application, peer, why) => Self::Refused(application, peer.pid, why),
            Event::OwnerGone(application, pid) => Self::OwnerGone(application, pid),
            Event::Failed(what) => Self::Failed(what),
        }
    }
}

/// What a document says of it.
pub(super) struct Words {
    pub(super) severity: Severity,
    pub(super) kind: &'static str,
    pub(super) application: Option<RegionName>,
    pub(super) pid: Option<i32>,
    pub(super) epoch: Option<u64>,
    pub(super) text: String,
}

impl RegionEvent {
    pub(super) fn words(&self) -> Words {
        use Severity::{Alarm, Info, Warning};
        let (severity, kind, of, epoch, text) = match self {
            Self::Joined(name, pid) => {
                let text = format!("application {name}: process {pid} has joined");
                (Info, "participant_joined", Some((name, pid)), None, text)
            }
            Self::Left(name, pid) => {
                let text = format!("application {name}: process {pid} is gone");
                (Info, "participant_left", Some((name, pid)), None, text)
            }
            Self::Active(name, pid, epoch) => {
                let text =
                    format!("application {name}: process {pid} is active now, in epoch {epoch}");
                (Info, "participant_active", Some((name, pid)), Some(*epoch), text)
            }
            Self::Refused(name, pid, why) => {
                let text = format!("application {name}: process {pid} was refused: {why}");
                (Warning, "participant_refused", Some((name, pid)), None, text)
            }
            Self::OwnerAwaited(name, pid) => {
                let text = format!(
                    "application {name}: process {pid} owned it when the daemon ended, and lives: \
                     nobody else becomes active before it has come back or ended"
                );
                (Warning, "owner_awaited", Some((name, pid)), None, text)
            }
            Self::OwnerGone(name, pid) => {
                let text = format!(
                    "application {name}: process {pid}, which owned it when the daemon ended, has \
                     ended or owns nothing any more"
                );
                (Info, "owner_gone", Some((name, pid)), None, text)
            }
            Self::Failed(what) => (Alarm, "regions_failed", None, None, what.clone()),
        };
        Words {
            severity,
            kind,
            application: of.map(|(name, _)| *name),
            pid: of.map(|(_, pid)| *pid),
            epoch,
            text,
        }
    }
}
