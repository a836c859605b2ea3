//! Where the LAN interfaces are: in the network namespace of the daemon that runs, which need not
//! be ours.
//!
//! An interface is looked at where it is, if we may enter; our own namespace may have another one
//! of the same name. What would have to be set there is told as a command that enters it, and is
//! not for `--fix`: its files are not those that our `/sys` shows.

use std::fs;

use prp::os::netns::NetNs;
use prp::types::LanId;
use rt_core::os::host::{Finding, HostTexts, Level, Remedy, Target, shell_word};

use super::nic::{self, Nic};
use super::subject::Subject;
use crate::config::InterfaceName;

/// The network namespace of the interfaces that are judged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Ours.
    Here,
    /// That of this process, which is another one.
    Of(u32),
    /// That of this process, and whether it is ours cannot be seen.
    Unseen(u32, String),
}

/// What was read of the interfaces, and what of them could not be.
pub(super) struct Read {
    pub(super) nics: Vec<Nic>,
    pub(super) findings: Vec<Finding>,
    /// Whether they are in the namespace that the host started with; none where that is not known.
    pub(super) host_namespace: Option<bool>,
}

/// The network namespace of a process, as the kernel names it.
fn namespace_of(process: &str) -> Result<std::path::PathBuf, String> {
    let path = format!("/proc/{process}/ns/net");
    fs::read_link(&path).map_err(|error| format!("{path}: {error}"))
}

impl Place {
    /// Where the interfaces of process `pid` are.
    pub(super) fn of(pid: u32) -> Self {
        match (namespace_of("self"), namespace_of(&pid.to_string())) {
            (Ok(ours), Ok(theirs)) if ours == theirs => Self::Here,
            (Ok(_), Ok(_)) => Self::Of(pid),
            (_, Err(why)) | (Err(why), _) => Self::Unseen(pid, why),
        }
    }

    /// Reads the interfaces there, and their files into `texts`.
    pub(super) fn read(&self, subject: &Subject, texts: &mut HostTexts) -> Read {
        let lans = &subject.lans;
        let name_of_daemon = shell_word(subject.name.as_deref().unwrap_or_default());
        let mut all = Read { nics: Vec::new(), findings: Vec::new(), host_namespace: None };
        let process = match self {
            Self::Of(pid) => pid.to_string(),
            Self::Here | Self::Unseen(..) => "self".to_owned(),
        };
        let of = |process: &str| namespace_of(process).ok();
        all.host_namespace = of(&process).and_then(|place| Some(place == of("1")?));
        let texts_remedy = texts.how_to_see();
        let unknown = |lan: LanId, name: &InterfaceName, pid: u32, why: &str| {
            let harm = "nothing can be said about this interface";
            Finding::new("lan_interface", format!("LAN {lan} ({name})"), Level::Unknown, why, harm)
                .advice(texts_remedy)
                .command(format!("{} bumpless doctor --name {name_of_daemon}", enter(pid)))
        };
        if let Self::Of(pid) = self {
            let read = NetNs::of_pid(*pid).and_then(|namespace| {
                let read = |sys| lans.iter().map(|lan| read_there(lan, sys, texts)).collect();
                namespace.run_with_sys(read)
            });
            match read {
                Ok(nics) => all.nics = nics,
                Err(error) => {
                    let why = format!(
                        "the daemon (process {pid}) is in another network namespace, and that one \
                         is closed to us: {error}"
                    );
                    let told = lans.iter().map(|(lan, name)| unknown(*lan, name, *pid, &why));
                    all.findings.extend(told);
                }
            }
            return all;
        }
        for (lan, name) in lans {
            let nic = nic::read(*lan, name.as_str(), texts);
            match (self, &nic.link) {
                (Self::Unseen(pid, unseen), Err(error)) => {
                    let why = format!(
                        "{error} here, and whether the daemon (process {pid}) is in another \
                         network namespace cannot be seen ({unseen})"
                    );
                    all.findings.push(unknown(*lan, name, *pid, &why));
                }
                _ => all.nics.push(nic),
            }
        }
        all
    }

    /// A finding about what is there, with remedies that work from here.
    pub(super) fn told(&self, mut finding: Finding) -> Finding {
        let Self::Of(pid) = self else { return finding };
        // That bridge is here, at the other end of the interface's cable.
        if finding.id == "lan_spanning_tree" {
            return finding;
        }
        for remedy in &mut finding.remedies {
            let command = match remedy {
                Remedy::Command(command) => command.clone(),
                Remedy::Change(change) => match change.target {
                    Target::Device { .. } => change.command.clone(),
                    Target::File(_) => {
                        let set = format!("mount -t sysfs sysfs /sys && {}", change.command);
                        format!("unshare --mount sh -c {}", shell_word(&set))
                    }
                },
                Remedy::Boot { .. } | Remedy::Unit(_) | Remedy::Advice(_) => continue,
            };
            *remedy = Remedy::Command(format!("{} {command}", enter(*pid)));
        }
        finding
    }
}

/// What starts a program in the network namespace of a process.
fn enter(pid: u32) -> String {
    format!("nsenter --net=/proc/{pid}/ns/net")
}

/// Reads an interface on a thread that is where it is; without its files, where `/sys` shows those
/// of another place.
fn read_there((lan, name): &(LanId, InterfaceName), sys: bool, texts: &mut HostTexts) -> Nic {
    if sys {
        nic::read(*lan, name.as_str(), texts)
    } else {
        nic::read_without_files(*lan, name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use rt_core::os::host::Change;

    use super::*;

    #[test]
    fn remedies_of_another_place_say_how_to_get_there() {
        let finding = || {
            Finding::new("lan_x", "LAN A", Level::Note, "", "")
                .command("ip address flush dev eth1")
                .remedy(Remedy::Change(Change::file("/sys/class/net/eth1/threaded", "1", "0")))
                .advice("look")
        };
        assert_eq!(Place::Here.told(finding()), finding());
        let told: Vec<String> =
            Place::Of(7).told(finding()).remedies.iter().map(ToString::to_string).collect();
        let expected = [
            "`nsenter --net=/proc/7/ns/net ip address flush dev eth1`",
            "`nsenter --net=/proc/7/ns/net unshare --mount sh -c 'mount -t sysfs sysfs /sys && \
             echo 0 > /sys/class/net/eth1/threaded'`",
            "look",
        ];
        assert_eq!(told, expected);
    }
}
