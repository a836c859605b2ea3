//! Readers that mean harm: they have a descriptor for reading, and no way from there to one for
//! writing.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use bumpless::os::mapping::Mapping;
use bumpless::os::page::PageFile;
use bumpless::segment::HEADER_OCTETS;
use nix::fcntl::{FallocateFlags, FcntlArg, OFlag, SealFlag, fallocate, fcntl};
use nix::sys::uio::pwrite;
use nix::unistd::{Uid, ftruncate};

use crate::forge::{filled, reads_all};

/// The memories that readers are handed.
fn handed() -> [(&'static str, OwnedFd); 2] {
    let page = PageFile::create(1).unwrap();
    [("segment", filled().for_reading().unwrap()), ("page", page.for_reading().unwrap())]
}

#[test]
fn a_reader_has_no_way_to_a_memory_that_it_could_write_to_or_shorten() {
    let segment = filled();
    assert!(ftruncate(segment.file(), 0).is_err() && ftruncate(segment.file(), 1 << 30).is_err());
    let more = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_FUTURE_WRITE;
    assert!(fcntl(segment.file(), FcntlArg::F_ADD_SEALS(more)).is_err(), "its seals are sealed");
    for (what, file) in handed() {
        assert!(Mapping::new(&file, HEADER_OCTETS, true).is_err(), "{what}: mapped for writing");
        assert!(ftruncate(&file, 0).is_err() && ftruncate(&file, 1 << 30).is_err(), "{what}");
        for seal in [more, SealFlag::F_SEAL_WRITE, SealFlag::F_SEAL_SHRINK] {
            assert!(fcntl(&file, FcntlArg::F_ADD_SEALS(seal)).is_err(), "{what}: {seal:?}");
        }
        assert!(nix::unistd::write(&file, b"x").is_err() && pwrite(&file, b"x", 0).is_err());
        let keep = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        for mode in [FallocateFlags::empty(), keep, keep | FallocateFlags::FALLOC_FL_PUNCH_HOLE] {
            assert!(fallocate(&file, mode, 0, 4_096).is_err(), "{what}: {mode:?}");
        }
        // What a descriptor was opened for stays so.
        fcntl(&file, FcntlArg::F_SETFL(OFlag::O_RDWR)).unwrap();
        assert!(nix::unistd::write(&file, b"x").is_err(), "{what}");
        let mapping = Mapping::new(&file, HEADER_OCTETS, false).unwrap();
        assert_eq!(mapping.octets_at(0, 8), None, "{what}: no pointer to write through");
    }
    reads_all(segment);
}

/// Ways to write through a descriptor that is standard input.
const WAYS: [&str; 6] = [
    "exec 3<>/proc/self/fd/0",
    "exec 3>/proc/self/fd/0",
    "exec 3>>/dev/stdin",
    "echo x >&0",
    "chmod 666 /proc/self/fd/0",
    "truncate -s 0 /proc/self/fd/0",
];

/// Whether a shell of `user` succeeds in one of them.
fn succeeds(way: &str, file: &OwnedFd, user: Option<u32>) -> bool {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", way]).stdin(Stdio::from(file.try_clone().unwrap()));
    shell.stderr(Stdio::null()).stdout(Stdio::null());
    if let Some(user) = user {
        shell.uid(user).gid(user);
    }
    shell.status().unwrap().success()
}

#[test]
fn a_reader_of_another_user_cannot_open_what_it_was_handed_for_writing() {
    const NOBODY: u32 = 65_534;
    if !Uid::effective().is_root() {
        println!(
            "SKIP: a_reader_of_another_user_cannot_open_what_it_was_handed_for_writing: not root"
        );
        return;
    }
    for (what, file) in handed() {
        assert!(succeeds("head -c 8 <&0", &file, Some(NOBODY)), "{what}: it may read");
        for way in WAYS {
            assert!(!succeeds(way, &file, Some(NOBODY)), "{what}: {way}");
        }
        // Through the number that it has in the process that made it.
        let own = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        assert!(!succeeds(&format!("exec 3<>{own}"), &file, Some(NOBODY)), "{what}: {own}");
        // That the shell would do it if it could: the user that made the memory can. Whom a daemon
        // lets read only runs as another user than it does.
        assert!(succeeds(WAYS[0], &file, None), "{what}");
    }
}
