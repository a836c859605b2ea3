//! Network namespaces: as root at once, else in a user namespace that the program enters first by
//! executing itself again.
//!
//! Executing, not starting a child: the terminal, its signals and the exit code stay with one
//! process.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use nix::unistd::geteuid;
use prp::os::netns::{NetNs, command_in_user_namespace};

use crate::exit::Failure;

/// Tells the program that it has entered a user namespace by itself and must not try again.
const ENTERED: &str = "BUMPLESS_DEMO_IN_USER_NAMESPACE";

/// Whose namespaces they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Privilege {
    /// The machine's root.
    Root,
    /// Root of a user namespace only, which is nobody outside of it.
    UserNamespace,
}

/// Makes sure that network namespaces can be made. Does not return where the program has to be
/// executed again. Call it before any thread is started.
///
/// # Errors
/// Namespaces are not allowed here (code 3).
pub(super) fn obtain() -> Result<Privilege, Failure> {
    let entered = env::var_os(ENTERED).is_some();
    if !entered && !geteuid().is_root() {
        return Err(refused(&enter_user_namespace().to_string()));
    }
    match NetNs::create() {
        Ok(_) if in_first_user_namespace() => Ok(Privilege::Root),
        Ok(_) => Ok(Privilege::UserNamespace),
        Err(error) if entered => Err(refused(&error.to_string())),
        // Root without the capability, as in a container.
        Err(_) => Err(refused(&enter_user_namespace().to_string())),
    }
}

fn in_first_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Executes the program again in a user namespace; comes back only with the reason why not.
fn enter_user_namespace() -> std::io::Error {
    /// A thread that was joined may be a moment from its end, and a process with two threads cannot
    /// enter a user namespace.
    const TRIES: u32 = 20;
    let own = match env::current_exe() {
        Ok(own) => own,
        Err(error) => return error,
    };
    let mut tries = 0;
    loop {
        let mut command = Command::new(&own);
        command.args(env::args_os().skip(1)).env(ENTERED, "1");
        let error = command_in_user_namespace(&mut command).exec();
        tries += 1;
        if error.raw_os_error() != Some(libc::EINVAL) || tries == TRIES {
            return error;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The failure, with the setting that forbids it, if it can be told.
fn refused(why: &str) -> Failure {
    let setting = obstacle(|path| fs::read_to_string(path).ok());
    let remedy = match setting {
        Some((name, value, wanted)) => {
            format!("{name} is {value}: `sudo sysctl {name}={wanted}` allows it, or run it as root")
        }
        None => "run it as root (in a container: one with CAP_SYS_ADMIN and CAP_NET_ADMIN), or on \
                 a kernel with CONFIG_USER_NS"
            .to_owned(),
    };
    Failure::missing(format!("network namespaces are not allowed here: {why}"), remedy)
}

/// The setting that forbids namespaces: name, value, a value that would not.
pub(crate) fn obstacle(
    read: impl Fn(&str) -> Option<String>,
) -> Option<(&'static str, String, &'static str)> {
    const SETTINGS: [(&str, &str, &str); 4] = [
        ("user.max_user_namespaces", "0", "10000"),
        ("user.max_net_namespaces", "0", "10000"),
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ];
    SETTINGS.into_iter().find_map(|(name, forbids, wanted)| {
        let value = read(&format!("/proc/sys/{}", name.replace('.', "/")))?;
        (value.trim() == forbids).then(|| (name, value.trim().to_owned(), wanted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_forbids_namespaces_is_named_with_its_remedy() {
        for (path, value, named) in [
            ("/proc/sys/user/max_user_namespaces", "0\n", "user.max_user_namespaces"),
            ("/proc/sys/user/max_net_namespaces", "0\n", "user.max_net_namespaces"),
            (
                "/proc/sys/kernel/unprivileged_userns_clone",
                "0\n",
                "kernel.unprivileged_userns_clone",
            ),
            (
                "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
                "1\n",
                "kernel.apparmor_restrict_unprivileged_userns",
            ),
        ] {
            let read = |asked: &str| (asked == path).then(|| value.to_owned());
            assert_eq!(obstacle(read).map(|(name, ..)| name), Some(named));
        }
    }

    #[test]
    fn settings_that_allow_namespaces_are_not_blamed() {
        let read =
            |path: &str| Some(if path.contains("apparmor") { "0\n" } else { "96363\n" }.to_owned());
        assert_eq!(obstacle(read), None);
        assert_eq!(obstacle(|_| None), None);
    }
}
