//! Applications, their regions, and who may do what with them.

use std::fmt;
use std::path::PathBuf;

use nix::unistd::{Group, User};
use rt_core::limits::{APPLICATIONS_MAX, REGIONS_MAX};
use shm_replica::book::Takeover;
use shm_replica::segment::RegionName;

use super::keys;
use super::raw::{RawApplication, RawConfig, RawRegion, RawWho, numbered, shorten};
use super::validate::Checker;
use crate::exit::Failure;

/// The share of its cycle that a commit may take, when nothing is said.
const COST_SHARE_MAX_PERCENT_DEFAULT: u64 = 20;
/// Names of users and groups are shorter on every system.
const NAME_OCTETS_MAX: usize = 64;

/// All about regions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegionsConfig {
    /// Whether this node may have active participants.
    pub in_charge: bool,
    /// The share of its cycle that a commit may take, in percent.
    pub cost_share_max_percent: u64,
    /// Where epochs are stored; `None`: as [`super::DaemonConfig::state_dir`] says.
    pub state_dir: Option<PathBuf>,
    /// The lowest epoch to use.
    pub epoch: Option<u64>,
    /// The applications.
    pub applications: Vec<ApplicationConfig>,
    /// The regions.
    pub regions: Vec<RegionConfig>,
}

/// An application.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ApplicationConfig {
    /// Its name.
    pub name: RegionName,
    /// When a standby takes over.
    pub takeover: Takeover,
}

/// A region.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegionConfig {
    /// Its name.
    pub name: RegionName,
    /// Its application.
    pub application: RegionName,
    /// Whether programs whose schemas differ may stand in for each other, by the names of blocks.
    pub by_name: bool,
    /// Who may write it, beside root and the daemon's own user.
    pub write: Vec<Who>,
    /// Who may read it, beside those who may write it for its application.
    pub read: Vec<Who>,
}

/// Somebody who has a right.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Who {
    /// A user by number.
    Uid(u32),
    /// A user by name.
    User(String),
    /// A group by name.
    Group(String),
}

/// The same, as the kernel knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhoId {
    /// A user.
    Uid(u32),
    /// A group.
    Gid(u32),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uid) => uid.fmt(f),
            Self::User(name) => name.fmt(f),
            Self::Group(name) => write!(f, "@{name}"),
        }
    }
}

impl Who {
    /// Looks the name up. Reads the user database: not for a real-time thread.
    ///
    /// # Errors
    /// There is no such user or group; `key` is who names it.
    pub fn resolve(&self, key: &str) -> Result<WhoId, Failure> {
        let (what, found) = match self {
            Self::Uid(uid) => return Ok(WhoId::Uid(*uid)),
            Self::User(name) => {
                let found = User::from_name(name);
                ("user", found.map(|user| user.map(|user| WhoId::Uid(user.uid.as_raw()))))
            }
            Self::Group(name) => {
                let found = Group::from_name(name);
                ("group", found.map(|group| group.map(|group| WhoId::Gid(group.gid.as_raw()))))
            }
        };
        match found {
            Ok(Some(id)) => Ok(id),
            Ok(None) => Err(Failure::usage(
                format!("{key}: there is no {what} {}", self.to_string().trim_start_matches('@')),
                format!("create it, or name another {what}"),
            )),
            Err(errno) => Err(Failure::failed(
                format!("{key}: cannot look up {self}: {}", errno.desc()),
                "name users by their numbers",
            )),
        }
    }
}

/// What of a configuration has to do with regions; none where nothing does.
pub(super) fn validate(check: &mut Checker, raw: &RawConfig) -> Option<RegionsConfig> {
    let said = &raw.regions;
    let in_charge =
        check.word("regions.role", said.role.as_deref(), &[("active", true), ("standby", false)]);
    let share =
        check.number("regions.cost_share_max_percent", said.cost_share_max_percent, 1..=100);
    let epoch = check.number("regions.epoch", said.epoch, 1..=i64::MAX >> 2);
    let state_dir = state_dir(check, said.state_dir.as_deref());
    let applications = applications(check, &raw.application);
    let regions = regions(check, &raw.region, &applications);
    if regions.is_empty() && applications.is_empty() {
        return None;
    }
    for application in &applications {
        if !regions.iter().any(|region| region.application == application.name) {
            check.warn("application", format!("{}: it has no region", application.name));
        }
    }
    Some(RegionsConfig {
        in_charge,
        cost_share_max_percent: share.unwrap_or(COST_SHARE_MAX_PERCENT_DEFAULT),
        state_dir,
        epoch,
        applications,
        regions,
    })
}

fn state_dir(check: &mut Checker, said: Option<&str>) -> Option<PathBuf> {
    let folder = PathBuf::from(said?);
    if !folder.is_absolute() {
        check.error(
            "regions.state_dir",
            format!("{:?} does not begin with /", shorten(said.unwrap_or_default())),
            "name a folder by its whole path",
        );
        return None;
    }
    Some(folder)
}

fn applications(check: &mut Checker, said: &[RawApplication]) -> Vec<ApplicationConfig> {
    let mut known: Vec<ApplicationConfig> = Vec::new();
    too_many(check, "application", said.len(), APPLICATIONS_MAX);
    for (index, said) in said.iter().enumerate().take(APPLICATIONS_MAX) {
        let key = numbered("application", index);
        let name = name(check, &format!("{key}.name"), said.name.as_deref());
        let takeover = check.word(
            &format!("{key}.takeover"),
            said.takeover.as_deref(),
            &[("on_exit", Takeover::OnExit), ("ordered", Takeover::Ordered)],
        );
        let Some(name) = name else { continue };
        if known.iter().any(|other| other.name == name) {
            twice(check, &key, name);
            continue;
        }
        known.push(ApplicationConfig { name, takeover });
    }
    known
}

fn regions(
    check: &mut Checker,
    said: &[RawRegion],
    applications: &[ApplicationConfig],
) -> Vec<RegionConfig> {
    let mut known: Vec<RegionConfig> = Vec::new();
    too_many(check, "region", said.len(), REGIONS_MAX);
    for (index, said) in said.iter().enumerate().take(REGIONS_MAX) {
        let key = numbered("region", index);
        let name = name(check, &format!("{key}.name"), said.name.as_deref());
        let application = application_of(check, &key, said.application.as_deref(), applications);
        let by_name = check.word(
            &format!("{key}.other_schema"),
            said.other_schema.as_deref(),
            &[("refuse", false), ("by_name", true)],
        );
        let write = everybody(check, &format!("{key}.write"), &said.write);
        let read = everybody(check, &format!("{key}.read"), &said.read);
        let (Some(name), Some(application)) = (name, application) else { continue };
        if known.iter().any(|other| other.name == name) {
            twice(check, &key, name);
            continue;
        }
        known.push(RegionConfig { name, application, by_name, write, read });
    }
    known
}

fn too_many(check: &mut Checker, key: &str, count: usize, most: usize) {
    if count > most {
        check.error(key, format!("{count} of them"), format!("write at most {most}"));
    }
}

fn twice(check: &mut Checker, key: &str, name: RegionName) {
    check.error(&format!("{key}.name"), format!("{name} is there twice"), "choose another name");
}

fn name(check: &mut Checker, key: &str, said: Option<&str>) -> Option<RegionName> {
    let Some(said) = said else {
        check.error(key, "missing".to_owned(), "give it a name, as in plant");
        return None;
    };
    let name = RegionName::new(said).ok();
    if name.is_none() {
        check.error(
            key,
            format!("{:?} is no name", shorten(said)),
            "write up to 63 letters, digits, `-`, `_` or `.`, first a letter, a digit or `_`",
        );
    }
    name
}

fn application_of(
    check: &mut Checker,
    key: &str,
    said: Option<&str>,
    applications: &[ApplicationConfig],
) -> Option<RegionName> {
    let key = format!("{key}.application");
    let names = || applications.iter().map(|application| application.name.as_str().to_owned());
    let list = names().collect::<Vec<_>>().join(", ");
    let choose = || {
        if list.is_empty() {
            "add a table [[application]] with this name".to_owned()
        } else {
            format!("name one of {list}, or add a table [[application]]")
        }
    };
    let Some(said) = said else {
        check.error(&key, "missing".to_owned(), choose());
        return None;
    };
    let found = applications.iter().find(|application| application.name.as_str() == said);
    if found.is_none() {
        let names: Vec<String> = names().collect();
        let near = keys::nearest_word(said, names.iter().map(String::as_str));
        let remedy = near.map_or_else(choose, |near| format!("did you mean {near}?"));
        check.error(&key, format!("there is no application {:?}", shorten(said)), remedy);
    }
    found.map(|application| application.name)
}

fn everybody(check: &mut Checker, key: &str, said: &[RawWho]) -> Vec<Who> {
    said.iter().filter_map(|who| somebody(check, key, who)).collect()
}

fn somebody(check: &mut Checker, key: &str, said: &RawWho) -> Option<Who> {
    let shown = match said {
        RawWho::Number(number) => match u32::try_from(*number) {
            Ok(uid) if uid < u32::MAX => return Some(Who::Uid(uid)),
            _ => number.to_string(),
        },
        RawWho::Name(text) => {
            let name = text.strip_prefix('@').unwrap_or(text);
            let good = |c: char| c.is_ascii_graphic() && !matches!(c, ':' | ',' | '/' | '@');
            let is_name = name.len() <= NAME_OCTETS_MAX && name.chars().all(good);
            if is_name && !name.is_empty() && !name.starts_with('-') {
                let name = name.to_owned();
                return Some(if text.starts_with('@') {
                    Who::Group(name)
                } else {
                    Who::User(name)
                });
            }
            format!("{:?}", shorten(text))
        }
    };
    let remedy = "write \"user\", \"@group\" or a user's number";
    check.error(key, format!("{shown} is no user and no group"), remedy);
    None
}
