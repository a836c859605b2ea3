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

// An image whose checksum does not fit: something wrote where only the writer writes.
#define BMPL_E_CORRUPT -1023

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

// Commits of the active process wake this one's bmpl_wait while it stands by: costs the active one
// a system call for each commit.
#define BMPL_REGION_WAKE 4

// State of another schema is restored block by block, by name: what it has and this program does
// not is left out, and blocks that it lacks stay as they are. Without it another schema is
// refused.
#define BMPL_REGION_MAP_BY_NAME 8

// Blocks are found by name: what the image has and the reader does not is left out, what it lacks
// is zero. Without it another schema is refused.
#define BMPL_READER_MAP_BY_NAME 8

// Commits wake bmpl_wait: costs the writer a system call for each commit.
#define BMPL_READER_WAKE 4

// bmpl_wait: no region, for changes of the role alone.
#define BMPL_NO_REGION -1

// This process has become the active one since the last cycle.
#define BMPL_CYCLE_TOOK_OVER 1

// This process was the active one in the last cycle, and is no more: it does not act.
#define BMPL_CYCLE_STEPPED_DOWN 2

// The state that the last active process committed stands in the blocks, or in place.
#define BMPL_CYCLE_RESTORED 4

// There was a state to restore and none that is whole: the program begins as it did the first
// time.
#define BMPL_CYCLE_STATE_LOST 16

// What was restored is not the newest: a newer state was there and not whole.
#define BMPL_CYCLE_NEWER_LOST 32

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

// What a program holds: what bmpl_create gives and bmpl_destroy takes back. It points to nothing,
// so one that is null, foreign or destroyed is an error (BMPL_E_HANDLE) and never an access.
typedef struct bmpl_t bmpl_t;

// What a program is, for bmpl_create. Begin with BMPL_OPTIONS_INIT.
typedef struct bmpl_options_t {
    // sizeof(bmpl_options_t).
    uint32_t struct_size;
    // Zero.
    uint32_t flags;
    // The application: participants of one name stand in for each other.
    const char *application;
    // The daemon's instance: its runtime folder is /run/bumpless/INSTANCE. Null: the one that
    // there is.
    const char *instance;
    // The daemon's runtime folder itself, in place of an instance. Null: that of the instance.
    const char *runtime_dir;
    // The cycle in ns; zero where there is none.
    uint64_t cycle_ns;
    // One of BMPL_STANDBY_*.
    uint32_t standby_class;
    // How long bmpl_activate waits for the daemon, in ms; zero is 5000.
    uint32_t connect_timeout_ms;
    // Zero.
    uint64_t reserved[4];
} bmpl_options_t;

// A part of a region's state. It stands in arrays and therefore never grows.
typedef struct bmpl_block_t {
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

// A region that the program writes when it is active, for bmpl_register. Begin with
// BMPL_REGION_OPTIONS_INIT. Either blocks, or an address and a size, or in place a size.
typedef struct bmpl_region_options_t {
    // sizeof(bmpl_region_options_t).
    uint32_t struct_size;
    // BMPL_REGION_*, or zero.
    uint32_t flags;
    // The region's name, as the daemon's configuration has it.
    const char *name;
    // Images that the ring holds, 4 to 64; zero is 4.
    uint32_t slots;
    // How many blocks; zero for a region of one nameless piece.
    uint32_t block_count;
    // The blocks, in the order of the image.
    const struct bmpl_block_t *blocks;
    // Without blocks: where the state stands; null in place.
    void *address;
    // Without blocks: its octets, to 64 MiB.
    uint64_t size;
    // Zero.
    uint64_t reserved[4];
} bmpl_region_options_t;

// A region that the program reads, for bmpl_attach. Begin with BMPL_READER_OPTIONS_INIT.
typedef struct bmpl_reader_options_t {
    // sizeof(bmpl_reader_options_t).
    uint32_t struct_size;
    // BMPL_READER_*, or zero.
    uint32_t flags;
    // The region's name.
    const char *name;
    // How many blocks are expected; zero where any image will do.
    uint32_t block_count;
    // Zero.
    uint32_t reserved32;
    // The blocks; their addresses are null.
    const struct bmpl_block_t *blocks;
    // Zero.
    uint64_t reserved[4];
} bmpl_reader_options_t;

// What a cycle begins with, from bmpl_cycle_begin. Begin with BMPL_CYCLE_INIT.
typedef struct bmpl_cycle_t {
    // sizeof(bmpl_cycle_t).
    uint32_t struct_size;
    // One of BMPL_ROLE_*.
    uint32_t role;
    // BMPL_CYCLE_*.
    uint32_t flags;
    // Zero.
    uint32_t reserved32;
    // The number of this cycle: one more than that of the last commit, whoever made it. Of a
    // standby, the last cycle that it holds.
    uint64_t cycle;
    // The epoch: rises with each takeover.
    uint64_t epoch;
    // The application's time in ns: goes on through a takeover with the time that passed. Timers
    // count with it and with no other clock.
    uint64_t time_ns;
    // At a takeover: what passed since the last commit, in ns.
    uint64_t gap_ns;
    // Zero.
    uint64_t reserved[4];
} bmpl_cycle_t;

// An image that was read and verified, from bmpl_read. Begin with BMPL_IMAGE_INIT.
typedef struct bmpl_image_t {
    // sizeof(bmpl_image_t).
    uint32_t struct_size;
    // Zero.
    uint32_t reserved32;
    // The octets, this program's own copy: as they are until the next read of this region, and of
    // one that it also writes until the next bmpl_cycle_begin. Aligned for any type.
    const void *data;
    // How many.
    uint64_t size;
    // The writer's cycle.
    uint64_t cycle;
    // The writer's epoch.
    uint64_t epoch;
    // How long ago it was committed, in ns.
    uint64_t age_ns;
    // Images that were committed since the last read and not read.
    uint64_t skipped;
    // The application's time of its cycle, in ns.
    uint64_t time_ns;
    // The wall clock at its commit: ns since 1970 (UTC).
    int64_t wall_clock_ns;
    // Zero.
    uint64_t reserved[4];
} bmpl_image_t;

// What is known of a region, from bmpl_region_info. Begin with BMPL_REGION_INFO_INIT.
typedef struct bmpl_region_info_t {
    // sizeof(bmpl_region_info_t).
    uint32_t struct_size;
    // BMPL_REGION_IS_*, and the flags that it was registered or attached with.
    uint32_t flags;
    // The region's name.
    char name[64];
    // Octets of an image; zero while that is not known.
    uint64_t size;
    // Images that its ring holds; zero while that is not known.
    uint32_t slots;
    // How many blocks.
    uint32_t block_count;
    // Tells schemas apart; zero for none.
    uint64_t schema_hash;
    // What a commit was measured to cost here, in ns; zero before activation, and for a reader.
    uint64_t commit_cost_ns;
    // The epoch of the segment in force; zero before the first.
    uint64_t epoch;
    // The cycle of the last commit or read.
    uint64_t cycle;
    // Zero.
    uint64_t reserved[4];
} bmpl_region_info_t;

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

// Makes a handle for a program of an application, and writes it to `handle`; null there when it
// cannot. Nothing is connected yet.
//
// Phase:  before all others
// RT:     no
// Thread: any
// Errors: BMPL_E_ARGUMENT, BMPL_E_STRUCT_SIZE, BMPL_E_RESERVED, BMPL_E_NAME; BMPL_E_LIMIT for the
//         65th handle (bmpl_last_detail(NULL, ...) says why)
BMPL_API
BMPL_MUST_USE
int bmpl_create(const struct bmpl_options_t *options,
                struct bmpl_t **handle);

// Adds a region that the program writes when it is active, and whose state it takes over.
// The blocks' memory stays where it is until bmpl_deactivate.
//
// Phase:  configure
// RT:     no
// Thread: any, one at a time
// Errors: the region's number, from zero; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE, BMPL_E_BUSY,
//         BMPL_E_ARGUMENT, BMPL_E_STRUCT_SIZE, BMPL_E_RESERVED, BMPL_E_NAME, BMPL_E_LIMIT,
//         BMPL_E_SCHEMA (a pointer, too), BMPL_E_TAKEN for a name that was there before
BMPL_API
BMPL_MUST_USE
int bmpl_register(struct bmpl_t *handle,
                  const struct bmpl_region_options_t *region);

// Adds a region that the program only reads.
//
// Phase:  configure
// RT:     no
// Thread: any, one at a time
// Errors: the region's number, from zero; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE, BMPL_E_BUSY,
//         BMPL_E_ARGUMENT, BMPL_E_STRUCT_SIZE, BMPL_E_RESERVED, BMPL_E_NAME, BMPL_E_LIMIT,
//         BMPL_E_SCHEMA, BMPL_E_TAKEN for a name that was there before
BMPL_API
BMPL_MUST_USE
int bmpl_attach(struct bmpl_t *handle,
                const struct bmpl_reader_options_t *region);

// Measures what commits cost here, reaches the daemon, registers all regions and starts the
// library's own thread. May be tried again when it fails.
//
// Phase:  configure; the cyclic calls follow
// RT:     no; waits for the daemon as long as connect_timeout_ms says
// Thread: any, one at a time; not a real-time one
// Errors: one of BMPL_ROLE_*; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE, BMPL_E_BUSY,
//         BMPL_E_DAEMON, BMPL_E_VERSION, BMPL_E_UNKNOWN, BMPL_E_PERMISSION, BMPL_E_TAKEN,
//         BMPL_E_LAYOUT, BMPL_E_SCHEMA, BMPL_E_COST, BMPL_E_LIMIT, BMPL_E_SYSTEM
BMPL_API BMPL_MUST_USE int bmpl_activate(struct bmpl_t *handle);

// Leaves: an active program's standby takes over. The program's blocks are its own again.
//
// Phase:  after activation; bmpl_destroy follows
// RT:     no; waits for the library's own thread
// Thread: any, one at a time
// Errors: zero; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE, BMPL_E_BUSY
BMPL_API int bmpl_deactivate(struct bmpl_t *handle);

// Gives a handle back, deactivated or not. Calls of other threads that are inside are waited for.
// Null is fine.
//
// Phase:  any
// RT:     no
// Thread: any but one that is inside another call of the handle (a signal handler)
// Errors: zero; BMPL_E_HANDLE, BMPL_E_FORKED
BMPL_API int bmpl_destroy(struct bmpl_t *handle);

// Begins a cycle: what this process is, the cycle's number and time, and what has changed. If it
// has just become active, the state that the last active process committed stands in the blocks
// (or is what bmpl_open gives) when this returns.
//
// Phase:  cyclic, once for each cycle and before its other calls
// RT:     yes; a copy of the state at a takeover, and for a hot standby with each commit
// Thread: the first that makes a cyclic call
// Errors: one of BMPL_ROLE_*; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE, BMPL_E_THREAD,
//         BMPL_E_BUSY, BMPL_E_ARGUMENT, BMPL_E_STRUCT_SIZE
BMPL_API BMPL_MUST_USE int bmpl_cycle_begin(struct bmpl_t *handle, struct bmpl_cycle_t *cycle);

// Commits the state of all regions but separate ones, as of one cycle. From here on it survives
// this process.
//
// Phase:  cyclic, while active, once for each bmpl_cycle_begin
// RT:     yes; a copy of the state and its checksum; one system call (a futex wake) for each
//         region that somebody waits for
// Thread: the first that makes a cyclic call
// Errors: zero; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE (no cycle has begun, too),
//         BMPL_E_THREAD, BMPL_E_BUSY; BMPL_E_NOT_ACTIVE: nothing is committed, do not act
BMPL_API BMPL_MUST_USE int bmpl_commit(struct bmpl_t *handle);

// Commits the state of one region that was registered with BMPL_REGION_SEPARATE.
//
// Phase:  cyclic, while active, after bmpl_cycle_begin and before bmpl_commit
// RT:     yes; as bmpl_commit
// Thread: the first that makes a cyclic call
// Errors: as bmpl_commit; BMPL_E_REGION
BMPL_API BMPL_MUST_USE int bmpl_commit_region(struct bmpl_t *handle, int region);

// Gives the memory of a region that was registered with BMPL_REGION_IN_PLACE: it holds the last
// state, and what is written there is what the next commit publishes. `image` is good until then,
// and null where there is an error.
//
// Phase:  cyclic, while active, after bmpl_cycle_begin
// RT:     yes; a copy of the image, once in a cycle
// Thread: the first that makes a cyclic call
// Errors: zero; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE (no cycle has begun, too),
//         BMPL_E_THREAD, BMPL_E_BUSY, BMPL_E_ARGUMENT, BMPL_E_REGION, BMPL_E_NOT_ACTIVE
BMPL_API BMPL_MUST_USE int bmpl_open(struct bmpl_t *handle, int region, void **image);

// Reads the newest image of a region. `image` is filled in also where there is nothing new: with
// what was read before and how old it is; its data is null where nothing was ever read. A hot
// standby reads what it would take over, as of bmpl_cycle_begin.
//
// Phase:  cyclic
// RT:     yes; a copy of the image, three at most
// Thread: the first that makes a cyclic call
// Errors: one of BMPL_READ_*; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE, BMPL_E_THREAD,
//         BMPL_E_BUSY, BMPL_E_ARGUMENT, BMPL_E_STRUCT_SIZE, BMPL_E_REGION, BMPL_E_CORRUPT
BMPL_API BMPL_MUST_USE int bmpl_read(struct bmpl_t *handle, int region, struct bmpl_image_t *image);

// Reads the image after the one that was read last, or the oldest that the ring still has:
// `skipped` says how many were missed. Otherwise as bmpl_read.
//
// Phase:  cyclic
// RT:     yes; a copy of the image, three at most
// Thread: the first that makes a cyclic call
// Errors: as bmpl_read
BMPL_API
BMPL_MUST_USE
int bmpl_read_next(struct bmpl_t *handle,
                   int region,
                   struct bmpl_image_t *image);

// Writes the state that this standby holds into its blocks, without taking over: to compute along,
// or to show it.
//
// Phase:  cyclic, while not active
// RT:     yes; a copy of the state
// Thread: the first that makes a cyclic call
// Errors: 1 where there is a state, 0 where there is none yet; BMPL_E_HANDLE, BMPL_E_FORKED,
//         BMPL_E_PHASE (while active, too), BMPL_E_THREAD, BMPL_E_BUSY
BMPL_API BMPL_MUST_USE int bmpl_restore(struct bmpl_t *handle);

// Waits until a region has an image that was not read, the role may have changed, or `until_ns`
// (CLOCK_MONOTONIC) is over: the one wait of the cycle. The region was registered or attached with
// a _WAKE flag, or is BMPL_NO_REGION.
//
// Phase:  cyclic
// RT:     yes; one system call that waits
// Thread: the first that makes a cyclic call; bmpl_destroy in another waits for it
// Errors: 1 where there may be something, 0 where the time is over; BMPL_E_HANDLE, BMPL_E_FORKED,
//         BMPL_E_PHASE, BMPL_E_THREAD, BMPL_E_BUSY, BMPL_E_REGION, BMPL_E_SYSTEM
BMPL_API int bmpl_wait(struct bmpl_t *handle, int region, uint64_t until_ns);

// Lets another thread make the cyclic calls: the next that makes one. For programs that are
// started on one thread and cycle on another.
//
// Phase:  cyclic, between two cycles
// RT:     yes
// Thread: any
// Errors: zero; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE, BMPL_E_BUSY
BMPL_API int bmpl_release_thread(struct bmpl_t *handle);

// The role as the daemon says now: for threads that show it. What a cycle is to do is said by
// bmpl_cycle_begin, and bmpl_may_act says whether it still holds.
//
// Phase:  any; BMPL_ROLE_NONE before activation and after deactivation
// RT:     yes
// Thread: any; in a signal handler too
// Errors: one of BMPL_ROLE_*; BMPL_E_HANDLE, BMPL_E_FORKED
BMPL_API BMPL_MUST_USE int bmpl_get_role(const struct bmpl_t *handle);

// Whether this process may act on the plant now: it is active, and has taken the state over. Asked
// directly before outputs are written.
//
// Phase:  any; 0 before activation and after deactivation
// RT:     yes
// Thread: any; in a signal handler too
// Errors: 1 or 0; BMPL_E_HANDLE, BMPL_E_FORKED
BMPL_API BMPL_MUST_USE int bmpl_may_act(const struct bmpl_t *handle);

// A descriptor for poll, epoll or sd-event: readable when the role may have changed. Reading 8
// octets from it takes that back. It is the library's: not to be closed, and good until
// bmpl_deactivate.
//
// Phase:  after activation
// RT:     yes
// Thread: any
// Errors: the descriptor; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE
BMPL_API BMPL_MUST_USE int bmpl_get_fd(const struct bmpl_t *handle);

// What is known of a region: its sizes, what a commit costs here, the epoch in force.
//
// Phase:  any
// RT:     no
// Thread: any
// Errors: zero; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_REGION, BMPL_E_ARGUMENT, BMPL_E_STRUCT_SIZE
BMPL_API
BMPL_MUST_USE
int bmpl_region_info(const struct bmpl_t *handle,
                     int region,
                     struct bmpl_region_info_t *info);

// What went wrong in the last call of this handle that failed, with the remedy, into `text`
// (`size` octets, always ended). With a null handle: in the last call of this thread that had no
// handle (bmpl_create, bmpl_lint). Empty where nothing has.
//
// Phase:  any
// RT:     no
// Thread: any
// Errors: the octets of the whole text without its end, as snprintf; BMPL_E_HANDLE, BMPL_E_FORKED
BMPL_API int bmpl_last_detail(const struct bmpl_t *handle, char *text, size_t size);

// The clock that bmpl_wait counts with: CLOCK_MONOTONIC, in ns.
//
// Phase:  any; needs no handle
// RT:     yes; what the C library's clock_gettime does
// Thread: any
// Errors: none
BMPL_API BMPL_MUST_USE uint64_t bmpl_now_ns(void);

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
int bmpl_lint(const struct bmpl_block_t *blocks,
              uint32_t block_count,
              char *lines,
              size_t size);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BUMPLESS_H */
