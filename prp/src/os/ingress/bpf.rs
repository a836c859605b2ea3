//! The smallest program there is: whatever arrives is dropped.

use std::os::fd::{FromRawFd as _, OwnedFd};

use nix::errno::Errno;

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const TC_ACT_SHOT: i32 = 2;

/// One instruction as the kernel reads it.
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// `r0 = TC_ACT_SHOT; exit`
const DROP: [Instruction; 2] = [
    Instruction { code: 0xb7, registers: 0, offset: 0, immediate: TC_ACT_SHOT },
    Instruction { code: 0x95, registers: 0, offset: 0, immediate: 0 },
];

/// The head of `union bpf_attr` for `BPF_PROG_LOAD`, as far as the name; the kernel takes what it
/// is not given as zero.
#[repr(C)]
struct ProgramLoad {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_octets: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

/// Loads the program. It lives as long as something holds it: this descriptor, or a filter.
///
/// # Errors
/// `EPERM` without `CAP_BPF` and `CAP_NET_ADMIN` in the initial user namespace (or a kernel that is
/// locked down), `ENOSYS` without bpf.
pub(super) fn load_drop(name: &str) -> Result<OwnedFd, Errno> {
    let mut load = ProgramLoad {
        program_type: BPF_PROG_TYPE_SCHED_CLS,
        instruction_count: 2,
        instructions: DROP.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        log_level: 0,
        log_octets: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: [0; 16],
    };
    for (to, from) in load.name.iter_mut().zip(name.bytes().take(15)) {
        *to = from;
    }
    // SAFETY: the structure has the layout of the kernel's for this command and is live for the
    // call; the instructions and the licence that it points to are static; the size is its own.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const load, size_of::<ProgramLoad>())
    };
    let fd = Errno::result(result)?;
    let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
