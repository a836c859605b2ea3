//! The bpf(2) system call, as far as programs of a few instructions need it: no library, no
//! compiler, no file. Programs are written with [`Assembler`]. Nobody else makes this call.
//!
//! Thread class: never a real-time thread.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE: libc::c_int = 2;
const PROGRAM_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;

pub(super) const MAP_TYPE_XSK: u32 = 17;
const PROGRAM_TYPE_CLASSIFIER: u32 = 3;
const PROGRAM_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
/// `bpf_redirect_map`.
pub(super) const HELPER_REDIRECT_MAP: i32 = 51;

/// The program is for one interface, whose driver it may ask about a frame (Linux 6.3).
const FOR_ONE_INTERFACE: u32 = 1 << 6;
/// What a call names is a function of the kernel's, not a helper.
const PSEUDO_KERNEL_FUNCTION: u8 = 2;

/// Where a map's descriptor stands in an instruction: the "source register" that says so.
const PSEUDO_MAP_FD: u8 = 1;

/// One instruction as the kernel reads it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Instruction {
    code: u8,
    /// Destination in the low half, source in the high half, as on a little-endian machine.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// A register. `R0` holds results, `R1` to `R5` arguments and are lost in a call, `R6` to `R9`
/// survive it, `R10` is where the stack ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Register {
    R0 = 0,
    R1 = 1,
    R2 = 2,
    R3 = 3,
    R4 = 4,
    R5 = 5,
    R6 = 6,
    R10 = 10,
}

/// A place in a program that is jumped to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Label(usize);

/// Writes a program, one named operation after the other. Jumps go forward only, so that any
/// program that can be written here ends.
#[derive(Default, Debug)]
pub(super) struct Assembler {
    instructions: Vec<Instruction>,
    /// Jumps that wait for their label: instruction, label.
    jumps: Vec<(usize, usize)>,
    labels: usize,
}

impl Assembler {
    pub(super) fn label(&mut self) -> Label {
        self.labels += 1;
        Label(self.labels)
    }

    /// The label stands before the next instruction.
    pub(super) fn place(&mut self, label: Label) {
        let target = self.instructions.len();
        for (at, _) in self.jumps.extract_if(.., |(_, waiting)| *waiting == label.0) {
            // Offsets count from the instruction behind the jump. Programs are short.
            self.instructions[at].offset = i16::try_from(target - at - 1).unwrap_or(i16::MAX);
        }
    }

    fn push(&mut self, code: u8, to: Register, from: u8, offset: i16, immediate: i32) {
        #[cfg(target_endian = "little")]
        let registers = (to as u8) | (from << 4);
        #[cfg(target_endian = "big")]
        let registers = ((to as u8) << 4) | from;
        self.instructions.push(Instruction { code, registers, offset, immediate });
    }

    /// `to = value`
    pub(super) fn set(&mut self, to: Register, value: i32) {
        self.push(0xb7, to, 0, 0, value);
    }

    /// `to = from`
    pub(super) fn copy(&mut self, to: Register, from: Register) {
        self.push(0xbf, to, from as u8, 0, 0);
    }

    /// `to += value`
    pub(super) fn add(&mut self, to: Register, value: i32) {
        self.push(0x07, to, 0, 0, value);
    }

    /// `to = *(u16 *)(at + offset)`
    pub(super) fn load_u16(&mut self, to: Register, at: Register, offset: i16) {
        self.push(0x69, to, at as u8, offset, 0);
    }

    /// `to = *(u32 *)(at + offset)`
    pub(super) fn load_u32(&mut self, to: Register, at: Register, offset: i16) {
        self.push(0x61, to, at as u8, offset, 0);
    }

    /// `*(u16 *)(at + offset) = value`
    pub(super) fn store_u16(&mut self, at: Register, offset: i16, value: i32) {
        self.push(0x6a, at, 0, offset, value);
    }

    /// `to =` the map behind this descriptor (takes two instructions' room).
    pub(super) fn load_map(&mut self, to: Register, map: BorrowedFd<'_>) {
        self.push(0x18, to, PSEUDO_MAP_FD, 0, map.as_raw_fd());
        self.push(0, Register::R0, 0, 0, 0);
    }

    fn jump(&mut self, code: u8, to: Register, from: u8, immediate: i32, label: Label) {
        self.jumps.push((self.instructions.len(), label.0));
        self.push(code, to, from, 0, immediate);
    }

    /// `if a > b goto label`
    pub(super) fn jump_if_more(&mut self, a: Register, b: Register, label: Label) {
        self.jump(0x2d, a, b as u8, 0, label);
    }

    /// `if a <= b goto label`
    pub(super) fn jump_unless_more(&mut self, a: Register, b: Register, label: Label) {
        self.jump(0xbd, a, b as u8, 0, label);
    }

    /// `if a == value goto label`
    pub(super) fn jump_if_equal(&mut self, a: Register, value: i32, label: Label) {
        self.jump(0x15, a, 0, value, label);
    }

    /// `if a != value goto label`
    pub(super) fn jump_unless_equal(&mut self, a: Register, value: i32, label: Label) {
        self.jump(0x55, a, 0, value, label);
    }

    /// `R0 = helper(R1, …, R5)`
    pub(super) fn call(&mut self, helper: i32) {
        self.push(0x85, Register::R0, 0, 0, helper);
    }

    /// `R0 = function(R1, …, R5)`, a function of the kernel's by its number.
    pub(super) fn call_kernel(&mut self, function: i32) {
        self.push(0x85, Register::R0, PSEUDO_KERNEL_FUNCTION, 0, function);
    }

    /// `return R0`
    pub(super) fn exit(&mut self) {
        self.push(0x95, Register::R0, 0, 0, 0);
    }

    /// The program. Each label that is jumped to has been placed, or the program is refused by the
    /// kernel's verifier.
    pub(super) fn finish(self) -> Vec<Instruction> {
        debug_assert!(self.jumps.is_empty(), "a label was never placed");
        self.instructions
    }
}

/// `union bpf_attr` for `BPF_MAP_CREATE`, as far as the name. The kernel takes what it is not given
/// as zero; so with all of these.
#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_octets: u32,
    value_octets: u32,
    entries_max: u32,
    flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    name: [u8; 16],
}

#[repr(C)]
struct MapUpdate {
    map_fd: u32,
    _padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// As far as the attach type.
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
    interface_index: u32,
    expected_attach_type: u32,
}

#[repr(C)]
struct LinkCreate {
    program_fd: u32,
    interface_index: u32,
    attach_type: u32,
    flags: u32,
}

/// A name as the kernel shows it; longer ones are cut.
fn name_of(name: &str) -> [u8; 16] {
    let mut octets = [0; 16];
    for (to, from) in octets.iter_mut().zip(name.bytes().take(15)) {
        *to = from;
    }
    octets
}

fn number_of(fd: BorrowedFd<'_>) -> u32 {
    // Descriptors are never negative.
    fd.as_raw_fd().cast_unsigned()
}

/// Runs a command whose structure holds no address, or only such of octets that live as long as
/// the borrow that the caller holds, and are as many as the structure or the map says.
fn command<A>(command: libc::c_int, attributes: &A) -> Result<libc::c_int, Errno> {
    let attributes: *const A = attributes;
    // SAFETY: the structure has the layout of the kernel's for this command and lives over the
    // call, the size is its own; what it points to lives over the call (each caller keeps it), and
    // the kernel only reads it.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<A>()) };
    libc::c_int::try_from(Errno::result(result)?).map_err(|_| Errno::EBADF)
}

fn descriptor(number: libc::c_int) -> OwnedFd {
    // SAFETY: called with what a command that makes a descriptor (all of bpf's are close-on-exec)
    // has just returned; nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Makes a map of `u32` to `u32`.
pub(super) fn create_map(map_type: u32, entries_max: u32, name: &str) -> Result<OwnedFd, Errno> {
    let attributes = MapCreate {
        map_type,
        key_octets: 4,
        value_octets: 4,
        entries_max,
        flags: 0,
        inner_map_fd: 0,
        numa_node: 0,
        name: name_of(name),
    };
    command(MAP_CREATE, &attributes).map(descriptor)
}

/// Puts a descriptor into a map of [`create_map`].
pub(super) fn set_entry(map: BorrowedFd<'_>, key: u32, value: BorrowedFd<'_>) -> Result<(), Errno> {
    let value = number_of(value);
    let attributes = MapUpdate {
        map_fd: number_of(map),
        _padding: 0,
        key: (&raw const key).addr() as u64,
        value: (&raw const value).addr() as u64,
        flags: 0,
    };
    command(MAP_UPDATE, &attributes).map(drop)
}

fn load(
    program_type: u32,
    instructions: &[Instruction],
    name: &str,
    interface_index: Option<u32>,
    expected_attach_type: u32,
) -> Result<OwnedFd, Errno> {
    let attributes = ProgramLoad {
        program_type,
        instruction_count: u32::try_from(instructions.len()).map_err(|_| Errno::E2BIG)?,
        instructions: instructions.as_ptr().addr() as u64,
        license: c"Dual MIT/GPL".as_ptr().addr() as u64,
        log_level: 0,
        log_octets: 0,
        log: 0,
        kernel_version: 0,
        flags: interface_index.map_or(0, |_| FOR_ONE_INTERFACE),
        name: name_of(name),
        interface_index: interface_index.unwrap_or(0),
        expected_attach_type,
    };
    command(PROGRAM_LOAD, &attributes).map(descriptor)
}

/// Loads an XDP program. It lives as long as something holds it. One that asks a driver about
/// frames names its interface.
pub(super) fn load_xdp(
    instructions: &[Instruction],
    name: &str,
    interface_index: Option<u32>,
) -> Result<OwnedFd, Errno> {
    load(PROGRAM_TYPE_XDP, instructions, name, interface_index, ATTACH_XDP)
}

/// Loads a program for traffic control. It lives as long as something holds it: this descriptor, or
/// a filter.
///
/// # Errors
/// `EPERM` without `CAP_BPF` and `CAP_NET_ADMIN` in the initial user namespace (or a kernel that is
/// locked down), `ENOSYS` without bpf.
pub(super) fn load_classifier(instructions: &[Instruction], name: &str) -> Result<OwnedFd, Errno> {
    load(PROGRAM_TYPE_CLASSIFIER, instructions, name, None, 0)
}

/// Attaches an XDP program to an interface of the calling thread's network namespace, until the
/// descriptor that comes back is closed (by whatever ends the process, too).
pub(super) fn link_xdp(
    program: BorrowedFd<'_>,
    interface_index: u32,
    flags: u32,
) -> Result<OwnedFd, Errno> {
    let attributes = LinkCreate {
        program_fd: number_of(program),
        interface_index,
        attach_type: ATTACH_XDP,
        flags,
    };
    command(LINK_CREATE, &attributes).map(descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_count_from_the_instruction_behind_them() {
        let mut program = Assembler::default();
        let (near, far) = (program.label(), program.label());
        program.jump_if_equal(Register::R1, 7, far);
        program.jump_if_more(Register::R2, Register::R3, near);
        program.set(Register::R0, 1);
        program.place(near);
        program.set(Register::R0, 2);
        program.place(far);
        program.exit();
        let offsets: Vec<_> = program.finish().iter().map(|one| one.offset).collect();
        assert_eq!(offsets, [3, 1, 0, 0, 0]);
    }

    #[test]
    fn an_instruction_has_the_kernels_layout() {
        assert_eq!(size_of::<Instruction>(), 8);
        let mut program = Assembler::default();
        program.load_u16(Register::R5, Register::R2, 12);
        let [one] = program.finish()[..] else { panic!("one instruction") };
        assert_eq!((one.code, one.offset, one.immediate), (0x69, 12, 0));
        if cfg!(target_endian = "little") {
            assert_eq!(one.registers, 0x25);
        }
    }
}
