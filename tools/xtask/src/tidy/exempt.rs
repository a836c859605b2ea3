//! What the rules let pass, and why: the one list.

/// Where `unsafe` may stand. A new corner is added here, with its reason, or nowhere.
pub(super) const UNSAFE_CORNERS: &[&str] = &[
    // System calls.
    "rt-core/src/os/",
    "prp/src/os/",
    "shm-replica/src/os/",
    // The C interface: what another language hands over.
    "shm-replica/src/capi/",
    "tools/src/os/",
    "latency-tests/src/os/",
    // Tests that drop their own capabilities; no safe wrapper for capset is at hand.
    "prp/tests/support/privilege.rs",
];

/// Who may read the standard library's clocks.
pub(super) const CLOCK_READERS: &[&str] = &[
    // Measures how long a group of tests took; has no other package to ask.
    "tools/xtask/src/run.rs",
];

/// Names from outside that hold a word we do not use.
pub(super) const FOREIGN_NAMES: &[&str] = &[
    // The kernel's name of the attribute that says which bridge or bond an interface belongs to.
    "IFLA_MASTER",
];

/// The libraries whose pure half knows no time, and so cannot wait.
pub(super) const PURE_PACKAGES: &[&str] = &["rt-core", "prp", "shm-replica"];

/// Whether `file` is, or lies in, one of `places`.
pub(super) fn covers(places: &[&str], file: &str) -> bool {
    places.iter().any(|p| if p.ends_with('/') { file.starts_with(p) } else { file == *p })
}

/// Whether `file` belongs to the pure half of a library. The C interface belongs to the other one.
pub(super) fn is_pure(file: &str) -> bool {
    PURE_PACKAGES.iter().any(|package| {
        file.strip_prefix(package)
            .and_then(|f| f.strip_prefix("/src/"))
            .is_some_and(|below| !["os/", "capi/"].iter().any(|half| below.starts_with(half)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pure_is_what_lies_in_a_library_but_not_in_its_os_folder() {
        assert!(is_pure("prp/src/lre/mod.rs"));
        assert!(!is_pure("prp/src/os/tap.rs"));
        assert!(!is_pure("shm-replica/src/capi/table.rs"));
        assert!(!is_pure("prp/tests/x.rs"));
        assert!(!is_pure("tools/src/lib.rs"));
    }

    #[test]
    fn a_folder_covers_what_lies_in_it() {
        assert!(covers(UNSAFE_CORNERS, "tools/src/os/user.rs"));
        assert!(!covers(UNSAFE_CORNERS, "tools/src/daemon/os.rs"));
        assert!(!covers(CLOCK_READERS, "tools/xtask/src/run.rs.bak"));
    }
}
