//! What can only be found out by trying: in a network namespace that nobody else sees.

use std::fs;

use prp::os::ingress::{IngressDrop, Method};
use prp::os::netns::NetNs;
use rt_core::os::host::{Finding, Level};

use crate::demo::privilege;

/// The checks of this file.
pub const IDS: [&str; 2] = ["ingress_drop", "user_namespaces"];

/// Every namespace has a loopback interface, and this is its number.
const LOOPBACK: u32 = 1;

/// Makes them all.
pub(super) fn findings() -> Vec<Finding> {
    vec![ingress_drop(), user_namespaces(|path| fs::read_to_string(path).ok())]
}

/// Whether what arrives on a LAN can be kept from the host's own stack: tried on the loopback
/// interface of a namespace that ends with the attempt.
fn ingress_drop() -> Finding {
    const ID: &str = "ingress_drop";
    let namespace = match NetNs::create() {
        Ok(namespace) => namespace,
        Err(error) => {
            let harm = "whether LAN interfaces can be kept for the daemon alone is not known";
            return Finding::new(ID, "kernel", Level::Unknown, error.to_string(), harm).advice(
                match nix::unistd::geteuid().is_root() {
                    true => "root may not make one here: look outside of the container",
                    false => "run as root",
                },
            );
        }
    };
    let tried = namespace.run(|| {
        [Method::Clsact, Method::Nftables].map(|method| {
            let mut ingress = IngressDrop::open().map_err(|error| error.to_string())?;
            ingress.install_with(LOOPBACK, method).map_err(|error| error.to_string())
        })
    });
    let [clsact, nftables] = tried.unwrap_or_else(|error| [(); 2].map(|()| Err(error.to_string())));
    match (clsact, nftables) {
        (Ok(()), Ok(())) => Finding::fine(ID, "kernel", "tc clsact and nftables both work"),
        (Ok(()), Err(_)) => Finding::fine(ID, "kernel", "tc clsact works"),
        (Err(_), Ok(())) => Finding::fine(ID, "kernel", "nftables works"),
        (Err(clsact), Err(nftables)) => Finding::new(
            ID,
            "kernel",
            Level::Problem,
            format!("neither tc clsact ({clsact}) nor nftables ({nftables}) works"),
            "LAN interfaces cannot be kept for the daemon alone: it does not start",
        )
        .advice(
            "use a kernel with CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF, or with \
             CONFIG_NF_TABLES_NETDEV, and grant CAP_NET_ADMIN and CAP_BPF",
        ),
    }
}

/// Whether the demo runs without root.
fn user_namespaces(read: impl Fn(&str) -> Option<String>) -> Finding {
    const ID: &str = "user_namespaces";
    match privilege::obstacle(read) {
        None => Finding::fine(ID, "kernel", "the demo runs without root"),
        Some((name, value, wanted)) => Finding::new(
            ID,
            "kernel",
            Level::Note,
            format!("{name} is {value}"),
            "`bumpless demo` needs root; nothing else does without",
        )
        .command(format!("sysctl -w {name}={wanted}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_closes_user_namespaces_is_told() {
        let closed = |path: &str| path.ends_with("max_user_namespaces").then(|| "0\n".to_owned());
        let finding = user_namespaces(closed);
        assert_eq!(finding.level, Level::Note);
        assert!(finding.to_string().contains("user.max_user_namespaces=10000"), "{finding}");
        assert_eq!(user_namespaces(|_| None).level, Level::Fine);
    }

    #[test]
    fn the_way_to_keep_lans_is_tried() {
        let finding = ingress_drop();
        match NetNs::create() {
            Ok(_) => assert_eq!(finding.level, Level::Fine, "{finding}"),
            Err(_) => assert_eq!(finding.level, Level::Unknown, "{finding}"),
        }
    }
}
