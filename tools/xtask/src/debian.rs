//! What the tests need from the system: installed where we may, named where we may not.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::groups::{Group, PACKAGES};
use crate::run::{Ending, captured};

/// How long a package manager may take.
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// Sees to it that what `groups` need is there. What stays missing is said, and the tests that miss
/// it skip themselves.
pub(crate) fn provide(groups: &[Group]) {
    let mut missing: Vec<&str> = PACKAGES
        .iter()
        .filter(|need| groups.iter().any(|g| g.name == need.group))
        .flat_map(|need| need.packages.iter().copied())
        .filter(|package| !is_installed(package))
        .collect();
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        return;
    }
    let list = missing.join(" ");
    if !Path::new("/etc/debian_version").exists() {
        say!("The tests use what Debian packages as: {list}. Install the like of it.");
    } else if !is_root() {
        say!("The tests use packages that are missing: apt-get install {list}");
    } else {
        say!("Installing what the tests use: {list}");
        apt_get(&["update"]);
        let install = ["install", "--yes", "--no-install-recommends"];
        apt_get(&[&install[..], &missing[..]].concat());
    }
}

fn apt_get(arguments: &[&str]) {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    match captured(&mut command, LIMIT, |_| ()) {
        Ok(outcome) if outcome.ending == Ending::Fine => {}
        Ok(outcome) => {
            outcome.lines.iter().for_each(|line| say!("{line}"));
            say!("apt-get {} failed", arguments.join(" "));
        }
        Err(failure) => say!("{failure}"),
    }
}

fn is_installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|output| output.stdout == b"installed")
}

/// Whether the effective user is root.
fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    effective_user(&status) == Some(0)
}

fn effective_user(status: &str) -> Option<u32> {
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_user_is_read() {
        assert_eq!(effective_user("Name:\tx\nUid:\t1000\t0\t0\t0\n"), Some(0));
        assert_eq!(effective_user("Name:\tx\n"), None);
    }
}
