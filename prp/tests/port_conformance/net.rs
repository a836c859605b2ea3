//! A network namespace of the test's own, and `ip` in it.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};

/// Puts the calling thread into a network namespace of its own, which goes away with the thread and
/// what it opened. The error says what is missing.
pub(crate) fn enter_namespace() -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| format!("a network namespace ({errno})"))?;
    // Interfaces without addresses of their own keep silent.
    let path = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
    if std::path::Path::new(path).exists() {
        std::fs::write(path, "1").map_err(|error| format!("writing {path}: {error}"))?;
    }
    Ok(())
}

/// Runs `ip` with these arguments, separated by blanks, in the thread's namespace.
pub(crate) fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {said}");
}

/// What `ip` prints.
pub(crate) fn ip_says(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {arguments}");
    String::from_utf8(output.stdout).unwrap()
}

/// A veth pair `va`, `vb` that is up, in a namespace of its own.
pub(crate) fn veth_pair(mtu: u32) -> Result<(), String> {
    enter_namespace()?;
    let added = Command::new("ip")
        .args(["link", "add", "va", "type", "veth", "peer", "name", "vb"])
        .output()
        .map_err(|error| format!("the program ip ({error})"))?;
    if !added.status.success() {
        return Err(format!("veth ({})", String::from_utf8_lossy(&added.stderr).trim()));
    }
    for end in ["va", "vb"] {
        ip(&format!("link set {end} mtu {mtu} up"));
    }
    Ok(())
}

/// An interface's index.
pub(crate) fn index(name: &str) -> u32 {
    nix::net::if_::if_nametoindex(name).unwrap()
}
