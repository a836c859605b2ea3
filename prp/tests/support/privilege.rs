//! Privilege, taken away: what an ordinary user can do, and what nobody may without capabilities.

use std::process::Command;

use prp::os::netns::command_in_user_namespace;

const IN_USER_NAMESPACE: &str = "BUMPLESS_TEST_IN_USER_NAMESPACE";

/// Whether this is the second run of the tests.
pub(crate) fn in_user_namespace() -> bool {
    std::env::var_os(IN_USER_NAMESPACE).is_some()
}

/// Runs all tests of this binary a second time, as an ordinary user could: inside a user namespace.
/// None of them may be skipped there.
pub(crate) fn run_all_in_a_user_namespace() {
    if in_user_namespace() {
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--nocapture").env(IN_USER_NAMESPACE, "1");
    let output = match command_in_user_namespace(&mut command).output() {
        Ok(output) => output,
        Err(error) => {
            println!("SKIP: user namespace: {error}");
            return;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("SKIP"), "{text}");
}

/// Takes the calling thread's capabilities. They belong to the thread: those of others stay.
#[allow(unsafe_code, reason = "there is no safe wrapper for capset")]
pub(crate) fn drop_effective_capabilities() {
    // Version 3 header for the calling thread; two zero sets of effective, permitted, inheritable.
    let header: [u32; 2] = [0x2008_0522, 0];
    let data = [0u32; 6];
    // SAFETY: both pointers are to live arrays of the sizes that version 3 prescribes, only read.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
    assert_eq!(result, 0);
}
