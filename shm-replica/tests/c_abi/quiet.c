/* Cyclic calls beneath a filter that ends the process at any system call but those that are said,
 * with an allocator that counts what the cyclic thread asks of it. Arguments: the runtime folder, and
 *
 *   nothing more  the reader has asked to be woken: the filter lets a futex wake through
 *   unasked       nobody has asked: the filter lets no futex through
 *   asked         the counter-proof of it: somebody has asked, and no futex is let through
 *   calls, allocates  the counter-proofs of filter and allocator
 *
 * One thread drives an active participant, its standby and a reader, as three processes would; the
 * standby takes over while the filter is on. */
#define _GNU_SOURCE
#include <bumpless.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CYCLES 3000

/* ---- The allocator ---------------------------------------------------------------------------- */

static __thread int is_cyclic;
static long asked;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

void *malloc(size_t n) { asked += is_cyclic; return __libc_malloc(n); }
void *calloc(size_t n, size_t m) { asked += is_cyclic; return __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { asked += is_cyclic; return __libc_realloc(p, n); }
void *memalign(size_t a, size_t n) { asked += is_cyclic; return __libc_memalign(a, n); }
void *aligned_alloc(size_t a, size_t n) { asked += is_cyclic; return __libc_memalign(a, n); }
int posix_memalign(void **p, size_t a, size_t n)
{
    asked += is_cyclic;
    *p = __libc_memalign(a, n);
    return *p == NULL;
}
void free(void *p) { asked += is_cyclic && p != NULL; __libc_free(p); }

/* ---- The filter ------------------------------------------------------------------------------- */

#define LOAD(what) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, what))
#define ALLOW_IF(number)                                                                         \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),                                           \
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

#define NO_CALL 0xffffffffu

static void end_at_any_other_system_call(int may_wake)
{
    struct sock_filter filter[] = {
        LOAD(nr),
        ALLOW_IF(__NR_write),       /* what the program says at its end */
        ALLOW_IF(__NR_futex_waitv), /* the one wait */
        ALLOW_IF(__NR_exit),
        /* A futex, and only to wake: a lock that waits is none. */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, may_wake ? __NR_futex : NO_CALL, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        LOAD(args[1]),
        ALLOW_IF(FUTEX_WAKE),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
        abort();
}

/* ---- Three participants ----------------------------------------------------------------------- */

struct own { bmpl_t *handle; double plant[64]; unsigned char level[3]; };
static struct own one, second;
static bmpl_t *reader;
static const char *mode = "";
static volatile int turn;
static long commits, reads, restored_cycle, takeovers, seen;

static int is(const char *other) { return strcmp(mode, other) == 0; }

static void require(int good, const char *what)
{
    if (!good) {
        char line[200];
        int n = snprintf(line, sizeof line, "failed: %s\n", what);
        if (write(2, line, (size_t)n)) {}
        _exit(1);
    }
}

static bmpl_t *create(const char *folder)
{
    bmpl_options_t options = BMPL_OPTIONS_INIT;
    bmpl_t *h = NULL;
    options.application = "plc";
    options.runtime_dir = folder;
    require(bmpl_create(&options, &h) == 0, "create");
    return h;
}

static void configure(struct own *own, const char *folder)
{
    bmpl_block_t blocks[] = {{"plant", BMPL_KIND_F64, 64, own->plant}, {"level", BMPL_KIND_U8, 3, own->level}};
    bmpl_region_options_t plant = BMPL_REGION_OPTIONS_INIT, recipe = BMPL_REGION_OPTIONS_INIT;
    own->handle = create(folder);
    plant.name = "plant";
    plant.blocks = blocks;
    plant.block_count = 2;
    require(bmpl_register(own->handle, &plant) == 0, "register");
    recipe.name = "recipe";
    recipe.flags = BMPL_REGION_IN_PLACE | BMPL_REGION_SEPARATE;
    recipe.size = 4096;
    require(bmpl_register(own->handle, &recipe) == 1, "register in place");
    require(bmpl_activate(own->handle) >= 0, "activate");
}

static void *reads_in_a_process_of_its_own(void *nothing)
{
    bmpl_image_t image = BMPL_IMAGE_INIT;
    while (bmpl_get_role(reader) >= 0) {
        int said;
        if (is("unasked")) /* it polls */
            nanosleep(&(struct timespec){0, 100000}, NULL);
        else
            bmpl_wait(reader, 0, 0);
        said = bmpl_read_next(reader, 0, &image);
        if (said == BMPL_E_HANDLE)
            break;
        seen += said == BMPL_READ_NEW;
    }
    return nothing;
}

static void works(struct own *own)
{
    void *image;
    bmpl_cycle_t cycle = BMPL_CYCLE_INIT;
    require(bmpl_cycle_begin(own->handle, &cycle) == BMPL_ROLE_ACTIVE, "active");
    own->plant[0] = (double)cycle.cycle;
    own->level[2] = (unsigned char)cycle.cycle;
    require(bmpl_open(own->handle, 1, &image) == 0, "open");
    ((unsigned char *)image)[4095]++;
    require(bmpl_commit_region(own->handle, 1) == 0, "commit separately");
    require(bmpl_may_act(own->handle) == 1, "may act");
    require(bmpl_commit(own->handle) == 0, "commit");
    commits++;
}

static void stands_by(struct own *own)
{
    bmpl_cycle_t cycle = BMPL_CYCLE_INIT;
    bmpl_image_t image = BMPL_IMAGE_INIT;
    bmpl_region_info_t info = BMPL_REGION_INFO_INIT;
    require(bmpl_cycle_begin(own->handle, &cycle) == BMPL_ROLE_STANDBY, "stands by");
    reads += bmpl_read(own->handle, 0, &image) == BMPL_READ_NEW;
    require(bmpl_restore(own->handle) == 1, "restore");
    require((uint64_t)own->plant[0] == cycle.cycle, "what was restored is what is held");
    require(bmpl_commit(own->handle) == BMPL_E_NOT_ACTIVE, "commit as a standby");
    require(bmpl_region_info(own->handle, 0, &info) == 0, "info");
}

/* Errors of cyclic calls are as quiet. */
static void errs(void)
{
    bmpl_cycle_t small = BMPL_CYCLE_INIT;
    small.struct_size = 3;
    require(bmpl_commit(NULL) == BMPL_E_HANDLE, "null");
    require(bmpl_cycle_begin(one.handle, &small) == BMPL_E_STRUCT_SIZE, "size");
    require(bmpl_cycle_begin(one.handle, NULL) == BMPL_E_ARGUMENT, "argument");
    require(bmpl_commit_region(one.handle, 9) == BMPL_E_REGION, "region");
    require(bmpl_register(one.handle, NULL) == BMPL_E_PHASE, "phase");
}

static void *cycles(void *nothing)
{
    struct timespec now;
    bmpl_cycle_t cycle = BMPL_CYCLE_INIT;
    /* The calls have been resolved when the filter comes: lazy binding is the loader's, not ours. */
    works(&one);
    for (int i = 0; i < 200 && bmpl_restore(second.handle) != 1; i++) {
        require(bmpl_cycle_begin(second.handle, &cycle) == BMPL_ROLE_STANDBY, "stands by");
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    if (!is("allocates")) /* a thread's first allocation calls the system, too */
        end_at_any_other_system_call(!is("unasked") && !is("asked"));
    is_cyclic = 1;
    for (int i = 0; i < CYCLES; i++) {
        works(&one);
        stands_by(&second);
        errs();
        if (i == 1000 && is("calls"))
            syscall(SYS_getppid);
        if (i == 1000 && is("allocates"))
            bmpl_last_detail(one.handle, NULL, 0); /* said to be none for a cycle */
    }
    restored_cycle = (long)one.plant[0];
    turn = 1; /* the main thread ends the active one */
    do {
        clock_gettime(CLOCK_MONOTONIC, &now);
        bmpl_wait(second.handle, BMPL_NO_REGION,
                  (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec + 1000000);
        require(bmpl_cycle_begin(second.handle, &cycle) >= 0, "begin");
        takeovers += (cycle.flags & BMPL_CYCLE_TOOK_OVER) != 0;
    } while (cycle.role != BMPL_ROLE_ACTIVE);
    require((cycle.flags & BMPL_CYCLE_RESTORED) != 0, "restored");
    require((long)second.plant[0] == restored_cycle, "the last state");
    require((long)cycle.cycle == restored_cycle + 1, "the next cycle");
    for (int i = 0; i < CYCLES; i++)
        works(&second);
    is_cyclic = 0;
    /* Not by returning: the thread library has its own calls then. */
    syscall(SYS_exit, 0);
    return nothing;
}

int main(int argc, char **argv)
{
    pthread_t cyclic, beside;
    struct timespec rest = {0, 1000000};
    bmpl_reader_options_t reads_plant = BMPL_READER_OPTIONS_INIT;
    if (argc < 2)
        return 2;
    alarm(60);
    if (argc > 2)
        mode = argv[2];
    configure(&one, argv[1]);
    for (int i = 0; i < 5000 && bmpl_get_role(one.handle) != BMPL_ROLE_ACTIVE; i++)
        nanosleep(&rest, NULL);
    configure(&second, argv[1]);
    reader = create(argv[1]);
    reads_plant.name = "plant";
    if (!is("unasked"))
        reads_plant.flags = BMPL_READER_WAKE; /* so that each commit wakes somebody */
    require(bmpl_attach(reader, &reads_plant) == 0, "attach");
    require(bmpl_activate(reader) >= 0, "activate the reader");
    pthread_create(&beside, NULL, reads_in_a_process_of_its_own, NULL);
    pthread_create(&cyclic, NULL, cycles, NULL);
    while (turn == 0)
        nanosleep(&rest, NULL);
    while (bmpl_deactivate(one.handle) == BMPL_E_BUSY)
        nanosleep(&rest, NULL);
    pthread_join(cyclic, NULL);
    require(bmpl_destroy(reader) == 0, "destroy");
    pthread_join(beside, NULL);
    printf("commits %ld, read by the standby %ld, by the reader %ld, takeovers %ld, allocations %ld\n",
           commits, reads, seen, takeovers, asked);
    return 0;
}
