#ifndef BUMPLESS_H
#define BUMPLESS_H

#include <stddef.h>
#include <stdint.h>

/*
 * bumpless: state that survives any death. The C interface of libbumpless.
 *
 *   configure:  bmpl_create, bmpl_register and bmpl_attach, bmpl_activate
 *   each cycle: bmpl_cycle_begin, the program's own work, bmpl_commit
 *   at the end: bmpl_deactivate, bmpl_destroy
 *
 * Each function says in four lines in which phase it is called, whether it is fit for a real-time
 * cycle ("yes": no allocation, no lock, no unbounded loop, no system call but one that is named),
 * from which thread, and what can go wrong. Zero and positive results are fine, negative ones are
 * errors: bmpl_strerror says which, bmpl_last_detail says what it was this time and what to do.
 *
 * A handle that is null, foreign or destroyed, a call in the wrong phase, from the wrong thread or
 * in a forked child is an error and nothing else. So nothing here is declared "nonnull": a compiler
 * may take that for a promise and drop the caller's own checks.
 *
 * Structures begin with struct_size and grow at their end. Begin each with its _INIT macro.
 *
 * Changes
 *   ABI 0.1 (0.1.0)  the first
 */

#if defined(__GNUC__)
#define BMPL_API __attribute__((visibility("default")))
#define BMPL_MUST_USE __attribute__((warn_unused_result))
#else
#define BMPL_API
#define BMPL_MUST_USE
#endif

/* Non-zero if this header is of version MAJOR.MINOR or a later one that programs for it fit. */
#define BMPL_VERSION_CHECK(major, minor) \
    (BMPL_VERSION_MAJOR == (major) && BMPL_VERSION_MINOR >= (minor))

/* What this header has; a later one defines more. */
#define BMPL_HAVE_BLOCKS 1
#define BMPL_HAVE_IN_PLACE 1
#define BMPL_HAVE_MAP_BY_NAME 1
#define BMPL_HAVE_WAIT 1
#define BMPL_HAVE_LINT 1

/* What a structure begins with: its size, and zero for everything else. */
#if defined(__cplusplus)
#define BMPL_INIT_(type) \
    [] { type made{}; made.struct_size = static_cast<uint32_t>(sizeof(type)); return made; }()
#else
#define BMPL_INIT_(type) { .struct_size = (uint32_t)sizeof(type) }
#endif
#define BMPL_OPTIONS_INIT BMPL_INIT_(bmpl_options_t)
#define BMPL_REGION_OPTIONS_INIT BMPL_INIT_(bmpl_region_options_t)
#define BMPL_READER_OPTIONS_INIT BMPL_INIT_(bmpl_reader_options_t)
#define BMPL_CYCLE_INIT BMPL_INIT_(bmpl_cycle_t)
#define BMPL_IMAGE_INIT BMPL_INIT_(bmpl_image_t)
#define BMPL_REGION_INFO_INIT BMPL_INIT_(bmpl_region_info_t)

// The first number of the library's version.
#define BMPL_VERSION_MAJOR 0

// The second number.
#define BMPL_VERSION_MINOR 1

// The third number.
#define BMPL_VERSION_PATCH 0

// The interface's number: its upper 16 bits are those of the library's SONAME and change when a
// program would have to be compiled anew; its lower 16 bits rise with each function or field that
// is added.
#define BMPL_ABI_VERSION 1

// All is fine, and there is nothing more to say.
#define BMPL_OK 0

// This is no handle, or no more: it was destroyed, or was never one.
#define BMPL_E_HANDLE -1001

// The process has forked since the handle was made, and this is the child.
#define BMPL_E_FORKED -1002

// Another thread makes the cyclic calls of this handle.
#define BMPL_E_THREAD -1003

// Not in this phase: before activation, or only before it.
#define BMPL_E_PHASE -1004

// Another thread is inside a call of this handle.
#define BMPL_E_BUSY -1005

// No region of this handle has that number, or it is of the other kind.
#define BMPL_E_REGION -1006

// An argument is null, misaligned or out of range.
#define BMPL_E_ARGUMENT -1007

// `struct_size` is none of this structure's sizes, or says more than this library knows.
#define BMPL_E_STRUCT_SIZE -1008

// A reserved field is not zero, or a flag is not known.
#define BMPL_E_RESERVED -1009

// A name that is none.
#define BMPL_E_NAME -1010

// Too many, or too large.
#define BMPL_E_LIMIT -1011

// A block that cannot be, or a schema that is not the region's.
#define BMPL_E_SCHEMA -1012

// A size or number of slots that is not the region's.
#define BMPL_E_LAYOUT -1013

// A commit would take more of the cycle than is allowed.
#define BMPL_E_COST -1014

// The daemon cannot be reached.
#define BMPL_E_DAEMON -1015

// The daemon and this library do not speak the same version.
#define BMPL_E_VERSION -1016

// The daemon knows no such application or region.
#define BMPL_E_UNKNOWN -1017

// This user may not.
#define BMPL_E_PERMISSION -1018

// Somebody else has it, or it was done already.
#define BMPL_E_TAKEN -1019

// This process is not the active one: its state is nobody's.
#define BMPL_E_NOT_ACTIVE -1020

// The operating system refuses, or has no more of it.
#define BMPL_E_SYSTEM -1021

// A defect of this library.
#define BMPL_E_INTERNAL -1022

// Role: none was given yet, or it only reads.
#define BMPL_ROLE_NONE 0

// Role: another process is active, this one stands by.
#define BMPL_ROLE_STANDBY 1

// Role: this process is active: its commits count, and it may act.
#define BMPL_ROLE_ACTIVE 2

// Class of standby: what the configuration says, or hot.
#define BMPL_STANDBY_DEFAULT 0

// Class of standby: started when it is needed, and reads the last state then.
#define BMPL_STANDBY_COLD 1

// Class of standby: runs; its memory is made when it is needed.
#define BMPL_STANDBY_WARM 2

// Class of standby: runs and has its memory, made, mapped and touched.
#define BMPL_STANDBY_HOT 3

// Kinds of elements. In the image they stand one behind the other, in the machine's word order.
#define BMPL_KIND_OCTETS 1

// uint8_t, USINT.
#define BMPL_KIND_U8 2

// uint16_t, UINT.
#define BMPL_KIND_U16 3

// uint32_t, UDINT.
#define BMPL_KIND_U32 4

// uint64_t, ULINT.
#define BMPL_KIND_U64 5

// int8_t, SINT.
#define BMPL_KIND_I8 6

// int16_t, INT.
#define BMPL_KIND_I16 7

// int32_t, DINT.
#define BMPL_KIND_I32 8

// int64_t, LINT.
#define BMPL_KIND_I64 9

// float, REAL.
#define BMPL_KIND_F32 10

// double, LREAL.
#define BMPL_KIND_F64 11

// One octet, 0 or 1; BOOL.
#define BMPL_KIND_BOOL 12

// Octets of one text, filled up with zeros; STRING.
#define BMPL_KIND_TEXT 13

// A span or a time in ns, int64_t; LTIME.
#define BMPL_KIND_TIME 14

// An address. It is refused: in another process it means nothing. bmpl_lint finds it.
#define BMPL_KIND_POINTER 15

// The region is written in place: bmpl_open gives the memory that the next commit publishes.
#define BMPL_REGION_IN_PLACE 1

// bmpl_commit leaves the region out; bmpl_commit_region commits it.
#define BMPL_REGION_SEPARATE 2

// Blocks are found by name: what the image has and the reader does not is left out, what it lacks
// is zero. Without it another schema is refused.
#define BMPL_READER_MAP_BY_NAME 1

// Commits wake bmpl_wait: costs the writer one system call for each commit.
#define BMPL_READER_WAKE 2

// This process has become the active one since the last cycle.
#define BMPL_CYCLE_TOOK_OVER 1

// This process was the active one in the last cycle, and is no more: it does not act.
#define BMPL_CYCLE_STEPPED_DOWN 2

// The state that the last active process committed stands in the blocks, or in place.
#define BMPL_CYCLE_RESTORED 4

// The daemon does not answer. What is active stays so; nobody takes over meanwhile.
#define BMPL_CYCLE_DAEMON_AWAY 8

// bmpl_read: nothing was committed since the last read.
#define BMPL_READ_NOTHING_NEW 0

// bmpl_read: there is an image that was not read before.
#define BMPL_READ_NEW 1

// bmpl_read: the writer went round the ring while the image was copied; read again.
#define BMPL_READ_LAPPED 2

// bmpl_region_info_t: the program writes the region.
#define BMPL_REGION_IS_WRITTEN (1 << 16)

// bmpl_region_info_t: the program reads the region.
#define BMPL_REGION_IS_READ (1 << 17)

// A part of a region's state. It stands in arrays and therefore never grows.
typedef struct {
    // 1 to 63 letters, digits, '-', '_', '.', '[', ']' or ':', a letter, digit or '_' in front;
    // each block of a region has a name of its own.
    const char *name;
    // One of BMPL_KIND_*.
    uint32_t kind;
    // How many elements, at least 1.
    uint32_t count;
    // Where they stand in the program: read at each commit, written when state is restored. Null
    // for bmpl_attach, for bmpl_lint and for regions in place.
    void *address;
} bmpl_block_t;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The interface's number of the library that runs, to be compared with BMPL_ABI_VERSION of the
// header that was compiled with: the upper 16 bits are equal, the lower ones at least as great.
//
// Phase:  any
// RT:     yes
// Thread: any; in a signal handler and after a fork too
// Errors: none
BMPL_API BMPL_MUST_USE unsigned int bmpl_abi_version(void);

// The version of the library that runs, as "0.1.0"; never null, and never to be freed.
//
// Phase:  any
// RT:     yes
// Thread: any; in a signal handler and after a fork too
// Errors: none
BMPL_API BMPL_MUST_USE const char *bmpl_version_string(void);

// What a code means, in a sentence with the remedy; never null, and never to be freed. For the
// particulars of a call see bmpl_last_detail.
//
// Phase:  any
// RT:     yes
// Thread: any; in a signal handler and after a fork too
// Errors: none; a number that is no code gets a sentence that says so
BMPL_API BMPL_MUST_USE const char *bmpl_strerror(int code);

// What a code is called in this header: "BMPL_E_PHASE"; never null, and never to be freed.
//
// Phase:  any
// RT:     yes
// Thread: any; in a signal handler and after a fork too
// Errors: none; a number that is no code is called "BMPL_E_?"
BMPL_API BMPL_MUST_USE const char *bmpl_error_name(int code);

// Looks for what is allowed in a region, or could be meant, and is trouble later: pointers, opaque
// octets that may hide them, names that differ in case alone. Writes a line for each into `lines`
// (`size` octets, always ended; may be null), as many as fit.
//
// Phase:  any; needs no handle
// RT:     no
// Thread: any
// Errors: the number of findings, zero for none; BMPL_E_ARGUMENT, BMPL_E_LIMIT, BMPL_E_NAME,
//         BMPL_E_SCHEMA for blocks that cannot be (bmpl_last_detail(NULL, ...) says why)
BMPL_API
BMPL_MUST_USE
int bmpl_lint(const bmpl_block_t *blocks,
              uint32_t block_count,
              char *lines,
              size_t size);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BUMPLESS_H */
