/* What each function says to what it should never be given. One argument: the runtime folder.
 * The first table has every function that takes a handle, and each goes through every state that a
 * handle can be in; what is special to one function stands below. */
#define _GNU_SOURCE
#include <bumpless.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int failures;
static long checks;

static void expect(const char *what, const char *when, int expected, int found)
{
    checks++;
    if (expected != found) {
        failures++;
        fprintf(stderr, "%s, %s: %s (%d), expected %s (%d)\n", what, when, bmpl_error_name(found),
                found, bmpl_error_name(expected), expected);
    }
}

static double plant[4];
static bmpl_block_t blocks[2] = {{"x", BMPL_KIND_F64, 2, &plant[0]}, {"y", BMPL_KIND_F64, 2, &plant[2]}};

static bmpl_region_options_t of_blocks(const char *name)
{
    bmpl_region_options_t it = BMPL_REGION_OPTIONS_INIT;
    it.name = name;
    it.blocks = blocks;
    it.block_count = 2;
    return it;
}

/* ---- Every function with a handle, with arguments that are right --------------------------- */

static int f_register(bmpl_t *h)
{
    bmpl_region_options_t it = of_blocks("recipe");
    return bmpl_register(h, &it);
}
static int f_attach(bmpl_t *h)
{
    bmpl_reader_options_t it = BMPL_READER_OPTIONS_INIT;
    it.name = "log";
    return bmpl_attach(h, &it);
}
static int f_cycle_begin(bmpl_t *h)
{
    bmpl_cycle_t it = BMPL_CYCLE_INIT;
    return bmpl_cycle_begin(h, &it);
}
static int f_commit_region(bmpl_t *h) { return bmpl_commit_region(h, 0); }
static int f_open(bmpl_t *h)
{
    void *image;
    return bmpl_open(h, 1, &image);
}
static int f_read(bmpl_t *h)
{
    bmpl_image_t it = BMPL_IMAGE_INIT;
    return bmpl_read(h, 0, &it);
}
static int f_read_next(bmpl_t *h)
{
    bmpl_image_t it = BMPL_IMAGE_INIT;
    return bmpl_read_next(h, 0, &it);
}
static int f_wait(bmpl_t *h) { return bmpl_wait(h, 0, 1); }
static int f_region_info(bmpl_t *h)
{
    bmpl_region_info_t it = BMPL_REGION_INFO_INIT;
    return bmpl_region_info(h, 0, &it);
}
static int f_get_role(bmpl_t *h) { return bmpl_get_role(h); }
static int f_may_act(bmpl_t *h) { return bmpl_may_act(h); }
static int f_get_fd(bmpl_t *h) { return bmpl_get_fd(h); }
static int f_last_detail(bmpl_t *h)
{
    char text[8];
    return bmpl_last_detail(h, text, sizeof text) < 0 ? bmpl_last_detail(h, text, sizeof text) : 0;
}

enum { CONFIGURES = 1, CYCLIC = 2, ANY = 4, ACTIVE_ONLY = 8, ENDS = 16 };

static const struct function {
    const char *name;
    int (*call)(bmpl_t *);
    int kind;
} functions[] = {
    {"bmpl_register", f_register, CONFIGURES},
    {"bmpl_attach", f_attach, CONFIGURES},
    {"bmpl_activate", bmpl_activate, CONFIGURES},
    {"bmpl_cycle_begin", f_cycle_begin, CYCLIC},
    {"bmpl_commit", bmpl_commit, CYCLIC},
    {"bmpl_commit_region", f_commit_region, CYCLIC},
    {"bmpl_open", f_open, CYCLIC},
    {"bmpl_read", f_read, CYCLIC},
    {"bmpl_read_next", f_read_next, CYCLIC},
    {"bmpl_restore", bmpl_restore, CYCLIC},
    {"bmpl_wait", f_wait, CYCLIC},
    {"bmpl_release_thread", bmpl_release_thread, ANY | ACTIVE_ONLY},
    {"bmpl_get_role", f_get_role, ANY},
    {"bmpl_may_act", f_may_act, ANY},
    {"bmpl_get_fd", f_get_fd, ANY | ACTIVE_ONLY},
    {"bmpl_region_info", f_region_info, ANY},
    {"bmpl_last_detail", f_last_detail, ANY},
    {"bmpl_deactivate", bmpl_deactivate, ENDS},
    {"bmpl_destroy", bmpl_destroy, ENDS},
};
#define FUNCTIONS (sizeof functions / sizeof functions[0])

static void all(bmpl_t *h, const char *when, int expected)
{
    for (size_t i = 0; i < FUNCTIONS; i++) {
        int wanted = expected;
        if (h == NULL && (functions[i].call == bmpl_destroy || functions[i].call == f_last_detail))
            wanted = BMPL_OK; /* both are said to take null */
        expect(functions[i].name, when, wanted, functions[i].call(h));
    }
}

static void of_kind(bmpl_t *h, int kind, const char *when, int expected)
{
    for (size_t i = 0; i < FUNCTIONS; i++)
        if (functions[i].kind & kind)
            expect(functions[i].name, when, expected, functions[i].call(h));
}

/* ---- Handles -------------------------------------------------------------------------------- */

static const char *folder;

static bmpl_t *create(void)
{
    bmpl_options_t it = BMPL_OPTIONS_INIT;
    bmpl_t *h = NULL;
    it.application = "plc";
    it.runtime_dir = folder;
    expect("bmpl_create", "as it should be", BMPL_OK, bmpl_create(&it, &h));
    return h;
}

static bmpl_t *configured(void)
{
    bmpl_t *h = create();
    bmpl_region_options_t it = of_blocks("plant");
    expect("bmpl_register", "the first", 0, bmpl_register(h, &it));
    it = (bmpl_region_options_t)BMPL_REGION_OPTIONS_INIT;
    it.name = "recipe";
    it.flags = BMPL_REGION_IN_PLACE | BMPL_REGION_SEPARATE;
    it.size = 100;
    expect("bmpl_register", "the second", 1, bmpl_register(h, &it));
    return h;
}

static void until_active(bmpl_t *h)
{
    struct timespec rest = {0, 1000000};
    for (int i = 0; i < 5000 && f_cycle_begin(h) != BMPL_ROLE_ACTIVE; i++)
        nanosleep(&rest, NULL);
    expect("bmpl_cycle_begin", "alone", BMPL_ROLE_ACTIVE, f_cycle_begin(h));
}

static void *takes_the_cyclic_calls(void *h)
{
    expect("bmpl_cycle_begin", "released to another thread", BMPL_ROLE_ACTIVE, f_cycle_begin(h));
    return NULL;
}

static void *in_another_thread(void *h)
{
    of_kind(h, CYCLIC, "another thread's", BMPL_E_THREAD);
    expect("bmpl_get_role", "another thread", BMPL_ROLE_ACTIVE, bmpl_get_role(h));
    return NULL;
}

static volatile int is_quiet;

static uint64_t from_now(uint64_t ns)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec + ns;
}

static void *waits(void *h)
{
    expect("bmpl_cycle_begin", "in its thread", BMPL_ROLE_ACTIVE, f_cycle_begin(h));
    /* What the daemon still says after activation wakes it. */
    for (int i = 0; i < 1000 && bmpl_wait(h, BMPL_NO_REGION, from_now(100000000)) != 0; i++)
        f_cycle_begin(h);
    is_quiet = 1;
    /* Long enough to be found waiting on any machine; ended by nobody. */
    bmpl_wait(h, BMPL_NO_REGION, from_now(2000000000));
    return NULL;
}

static void handles(void)
{
    static double foreign[64];
    all(NULL, "null", BMPL_E_HANDLE);
    all((bmpl_t *)foreign, "a pointer to something else", BMPL_E_HANDLE);
    all((bmpl_t *)(uintptr_t)1, "an odd number", BMPL_E_HANDLE);
    all((bmpl_t *)UINTPTR_MAX, "all ones", BMPL_E_HANDLE);
    bmpl_t *h = create();
    all((bmpl_t *)((uintptr_t)h ^ 0x10000), "another generation's", BMPL_E_HANDLE);
    all((bmpl_t *)((uintptr_t)h ^ 0x3f00), "another place's", BMPL_E_HANDLE);
    expect("bmpl_destroy", "not activated", BMPL_OK, bmpl_destroy(h));
    all(h, "destroyed", BMPL_E_HANDLE);
    bmpl_t *next = create();
    all(h, "destroyed, and its place is another's", BMPL_E_HANDLE);
    expect("bmpl_destroy", "the other", BMPL_OK, bmpl_destroy(next));

    bmpl_t *many[64];
    for (int i = 0; i < 64; i++)
        many[i] = create();
    bmpl_options_t it = BMPL_OPTIONS_INIT;
    it.application = "plc";
    h = many[0];
    expect("bmpl_create", "the 65th", BMPL_E_LIMIT, bmpl_create(&it, &h));
    expect("bmpl_create", "gives null then", 1, h == NULL);
    for (int i = 0; i < 64; i++)
        expect("bmpl_destroy", "of many", BMPL_OK, bmpl_destroy(many[i]));
}

static void phases_and_threads(void)
{
    pthread_t thread;
    bmpl_t *h = configured();
    of_kind(h, CYCLIC | ACTIVE_ONLY, "before activation", BMPL_E_PHASE);
    expect("bmpl_deactivate", "before activation", BMPL_E_PHASE, bmpl_deactivate(h));
    expect("bmpl_get_role", "before activation", BMPL_ROLE_NONE, bmpl_get_role(h));
    expect("bmpl_may_act", "before activation", 0, bmpl_may_act(h));
    int role = bmpl_activate(h);
    expect("bmpl_activate", "gives a role", 1, role >= BMPL_ROLE_NONE && role <= BMPL_ROLE_ACTIVE);
    of_kind(h, CONFIGURES, "after activation", BMPL_E_PHASE);
    expect("bmpl_commit", "before a cycle", BMPL_E_PHASE, bmpl_commit(h));
    until_active(h);
    expect("bmpl_may_act", "active", 1, bmpl_may_act(h));
    pthread_create(&thread, NULL, in_another_thread, h);
    pthread_join(thread, NULL);
    expect("bmpl_restore", "while active", BMPL_E_PHASE, bmpl_restore(h));
    expect("bmpl_commit_region", "not separate", BMPL_E_REGION, bmpl_commit_region(h, 0));
    expect("bmpl_commit_region", "separate", BMPL_OK, bmpl_commit_region(h, 1));
    expect("bmpl_commit", "in a cycle", BMPL_OK, bmpl_commit(h));
    expect("bmpl_commit", "twice in a cycle", BMPL_E_PHASE, bmpl_commit(h));
    expect("bmpl_release_thread", "between cycles", BMPL_OK, bmpl_release_thread(h));
    pthread_create(&thread, NULL, takes_the_cyclic_calls, h);
    pthread_join(thread, NULL);
    expect("bmpl_release_thread", "and back", BMPL_OK, bmpl_release_thread(h));
    pid_t child = fork();
    if (child == 0) {
        failures = 0;
        checks = 0;
        all(h, "in a forked child", BMPL_E_FORKED);
        bmpl_t *own = create();
        expect("bmpl_destroy", "the child's own", BMPL_OK, bmpl_destroy(own));
        _exit(failures > 0 || checks < (long)FUNCTIONS);
    }
    int status = -1;
    waitpid(child, &status, 0);
    expect("fork", "the child's checks", 0, status);
    expect("bmpl_cycle_begin", "after the child", BMPL_ROLE_ACTIVE, f_cycle_begin(h));
    expect("bmpl_deactivate", "once", BMPL_OK, bmpl_deactivate(h));
    expect("bmpl_deactivate", "twice", BMPL_E_PHASE, bmpl_deactivate(h));
    of_kind(h, CONFIGURES | CYCLIC | ACTIVE_ONLY, "deactivated", BMPL_E_PHASE);
    expect("bmpl_get_role", "deactivated", BMPL_ROLE_NONE, bmpl_get_role(h));
    expect("bmpl_may_act", "deactivated", 0, bmpl_may_act(h));
    expect("bmpl_destroy", "deactivated", BMPL_OK, bmpl_destroy(h));
}

/* A thread is inside a call: others look, and do not change; destroying waits for it. */
static void others_while_one_waits(void)
{
    pthread_t thread;
    struct timespec rest = {0, 1000000};
    bmpl_t *h = configured();
    expect("bmpl_activate", "again", 1, bmpl_activate(h) >= 0);
    pthread_create(&thread, NULL, waits, h);
    int busy = 0;
    for (int i = 0; i < 5000 && !busy; i++) {
        nanosleep(&rest, NULL);
        busy = is_quiet && bmpl_activate(h) == BMPL_E_BUSY;
    }
    expect("bmpl_activate", "while one waits", 1, busy);
    expect("bmpl_deactivate", "while one waits", BMPL_E_BUSY, bmpl_deactivate(h));
    expect("bmpl_may_act", "while one waits", 1, bmpl_may_act(h));
    expect("bmpl_region_info", "while one waits", BMPL_OK, f_region_info(h));
    expect("bmpl_commit", "while one waits", BMPL_E_THREAD, bmpl_commit(h));
    expect("bmpl_destroy", "while one waits", BMPL_OK, bmpl_destroy(h));
    all(h, "destroyed while one waited", BMPL_E_HANDLE);
    pthread_join(thread, NULL);
}

/* ---- Structures and arguments --------------------------------------------------------------- */

/* Runs CALL with IT of a wrong size, null, misaligned, and with a tail that asks for more. */
#define SIZES(type, init, set, call)                                                             \
    do {                                                                                         \
        union { type it; unsigned char octets[256]; uint64_t align; } room;                      \
        type *p = &room.it;                                                                      \
        static const uint32_t wrong[] = {0, 1, 4, sizeof(type) - 1, sizeof(type) + 8, UINT32_MAX}; \
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {                            \
            type fresh = init;                                                                   \
            room.it = fresh;                                                                     \
            set;                                                                                 \
            room.it.struct_size = wrong[i];                                                      \
            expect(#call, "a wrong struct_size", BMPL_E_STRUCT_SIZE, call);                      \
        }                                                                                        \
        p = (type *)(void *)(room.octets + 1);                                                   \
        expect(#call, "misaligned", BMPL_E_ARGUMENT, call);                                      \
        p = NULL;                                                                                \
        expect(#call, "null", BMPL_E_ARGUMENT, call);                                            \
    } while (0)

/* Runs CALL with options that say more than this library knows: refused, whatever lies behind. */
#define NEWER(type, init, set, call, fine)                                                       \
    do {                                                                                         \
        union { type it; unsigned char octets[256]; } room;                                      \
        type *p = &room.it;                                                                      \
        memset(&room, 0, sizeof room);                                                           \
        type fresh = init;                                                                       \
        room.it = fresh;                                                                         \
        set;                                                                                     \
        room.it.struct_size = sizeof room;                                                       \
        room.octets[200] = 1;                                                                    \
        expect(#call, "asks for more", BMPL_E_STRUCT_SIZE, call);                                \
        room.octets[200] = 0;                                                                    \
        expect(#call, "of a newer header", BMPL_E_STRUCT_SIZE, call);                            \
        room.it.struct_size = sizeof(type);                                                      \
        expect(#call, "of this header", fine, call);                                             \
    } while (0)

static void create_options(void)
{
    bmpl_t *h = NULL;
    char long_text[5000];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    SIZES(bmpl_options_t, BMPL_OPTIONS_INIT, p->application = "plc", bmpl_create(p, &h));
    NEWER(bmpl_options_t, BMPL_OPTIONS_INIT, p->application = "plc", bmpl_create(p, &h), BMPL_OK);
    bmpl_destroy(h);
    bmpl_options_t it = BMPL_OPTIONS_INIT;
    expect("bmpl_create", "no application", BMPL_E_ARGUMENT, bmpl_create(&it, &h));
    it.application = "plc";
    expect("bmpl_create", "nowhere to put it", BMPL_E_ARGUMENT, bmpl_create(&it, NULL));
    it.reserved[3] = 1;
    expect("bmpl_create", "a reserved field", BMPL_E_RESERVED, bmpl_create(&it, &h));
    it.reserved[3] = 0;
    it.flags = 1;
    expect("bmpl_create", "an unknown flag", BMPL_E_RESERVED, bmpl_create(&it, &h));
    it.flags = 0;
    it.standby_class = 4;
    expect("bmpl_create", "an unknown class", BMPL_E_ARGUMENT, bmpl_create(&it, &h));
    it.standby_class = 0;
    static const char *const names[] = {"", "-x", ".x", "a b", "a/b", "\xff", "a\n"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        it.application = names[i];
        expect("bmpl_create", "no name", BMPL_E_NAME, bmpl_create(&it, &h));
        it.application = "plc";
        it.instance = names[i];
        expect("bmpl_create", "no instance", BMPL_E_NAME, bmpl_create(&it, &h));
        it.instance = NULL;
    }
    it.application = long_text;
    expect("bmpl_create", "an endless name", BMPL_E_NAME, bmpl_create(&it, &h));
    it.application = "plc";
    it.instance = "../prp0";
    expect("bmpl_create", "an instance that is a path", BMPL_E_NAME, bmpl_create(&it, &h));
    it.instance = NULL;
    it.runtime_dir = "/nonexistent";
    it.connect_timeout_ms = 1;
    expect("bmpl_create", "no daemon yet", BMPL_OK, bmpl_create(&it, &h));
    expect("bmpl_activate", "no daemon", BMPL_E_DAEMON, bmpl_activate(h));
    expect("bmpl_activate", "no daemon, again", BMPL_E_DAEMON, bmpl_activate(h));
    char text[400];
    expect("bmpl_last_detail", "names the place", 1,
           bmpl_last_detail(h, text, sizeof text) > 0 && strstr(text, "/nonexistent") != NULL);
    bmpl_destroy(h);
}

static void region_options(void)
{
    bmpl_t *h = create();
    SIZES(bmpl_region_options_t, of_blocks("plant"), (void)0, bmpl_register(h, p));
    NEWER(bmpl_region_options_t, of_blocks("plant"), (void)0, bmpl_register(h, p), 0);
    SIZES(bmpl_reader_options_t, BMPL_READER_OPTIONS_INIT, p->name = "log", bmpl_attach(h, p));
    NEWER(bmpl_reader_options_t, BMPL_READER_OPTIONS_INIT, p->name = "log", bmpl_attach(h, p), 1);
#define REFUSED(when, code, change)                                                              \
    do {                                                                                         \
        bmpl_region_options_t it = of_blocks("recipe");                                          \
        bmpl_block_t own[2];                                                                     \
        memcpy(own, blocks, sizeof own);                                                         \
        it.blocks = own;                                                                         \
        change;                                                                                  \
        expect("bmpl_register", when, code, bmpl_register(h, &it));                              \
    } while (0)
    REFUSED("a reserved field", BMPL_E_RESERVED, it.reserved[0] = 1);
    REFUSED("an unknown flag", BMPL_E_RESERVED, it.flags = 1u << 31);
    REFUSED("no name", BMPL_E_ARGUMENT, it.name = NULL);
    REFUSED("no such name", BMPL_E_NAME, it.name = "a b");
    REFUSED("a name that was there", BMPL_E_TAKEN, it.name = "plant");
    REFUSED("too few slots", BMPL_E_LIMIT, it.slots = 3);
    REFUSED("too many slots", BMPL_E_LIMIT, it.slots = UINT32_MAX);
    REFUSED("too many blocks", BMPL_E_LIMIT, it.block_count = UINT32_MAX);
    REFUSED("no blocks", BMPL_E_ARGUMENT, it.blocks = NULL);
    REFUSED("misaligned blocks", BMPL_E_ARGUMENT, it.blocks = (bmpl_block_t *)((uintptr_t)own + 1));
    REFUSED("neither blocks nor a size", BMPL_E_ARGUMENT, it.block_count = 0);
    REFUSED("both blocks and a size", BMPL_E_ARGUMENT, it.size = 32);
    REFUSED("a size without an address", BMPL_E_ARGUMENT, it.block_count = 0; it.size = 32);
    REFUSED("an address without a size", BMPL_E_LIMIT, it.block_count = 0; it.address = plant);
    REFUSED("larger than can be", BMPL_E_LIMIT, it.block_count = 0; it.address = plant; it.size = UINT64_MAX);
    REFUSED("in place with an address", BMPL_E_ARGUMENT, it.flags = BMPL_REGION_IN_PLACE);
    REFUSED("a block of no name", BMPL_E_ARGUMENT, own[1].name = NULL);
    REFUSED("a block of a bad name", BMPL_E_SCHEMA, own[1].name = "a b");
    REFUSED("two blocks of one name", BMPL_E_SCHEMA, own[1].name = "x");
    REFUSED("a block of no address", BMPL_E_ARGUMENT, own[1].address = NULL);
    REFUSED("a block of no elements", BMPL_E_SCHEMA, own[1].count = 0);
    REFUSED("a block of too many", BMPL_E_SCHEMA, own[1].count = UINT32_MAX);
    REFUSED("kind zero", BMPL_E_SCHEMA, own[1].kind = 0);
    REFUSED("an unknown kind", BMPL_E_SCHEMA, own[1].kind = 258);
    REFUSED("a pointer", BMPL_E_SCHEMA, own[1].kind = BMPL_KIND_POINTER);
    char text[400];
    expect("bmpl_last_detail", "of a pointer", 1,
           bmpl_last_detail(h, text, sizeof text) > 0 && strstr(text, "`y`") && strstr(text, "pointer"));
    expect("bmpl_last_detail", "no room", 1, bmpl_last_detail(h, NULL, 100) > 0);
    bmpl_reader_options_t it = BMPL_READER_OPTIONS_INIT;
    it.name = "recipe";
    it.reserved32 = 1;
    expect("bmpl_attach", "a reserved field", BMPL_E_RESERVED, bmpl_attach(h, &it));
    it.reserved32 = 0;
    it.flags = 1;
    expect("bmpl_attach", "an unknown flag", BMPL_E_RESERVED, bmpl_attach(h, &it));
    it.flags = 0;
    it.blocks = blocks;
    it.block_count = 2;
    expect("bmpl_attach", "blocks with addresses", BMPL_E_ARGUMENT, bmpl_attach(h, &it));
    it.block_count = 0;
    it.name = NULL;
    expect("bmpl_attach", "no name", BMPL_E_ARGUMENT, bmpl_attach(h, &it));
    bmpl_destroy(h);
}

static void refused_by_the_daemon(void)
{
    bmpl_options_t options = BMPL_OPTIONS_INIT;
    bmpl_t *h = NULL;
    options.application = "nobody";
    options.runtime_dir = folder;
    expect("bmpl_create", "an unknown application", BMPL_OK, bmpl_create(&options, &h));
    bmpl_region_options_t it = of_blocks("plant");
    expect("bmpl_register", "of an unknown application", 0, bmpl_register(h, &it));
    int code = bmpl_activate(h);
    expect("bmpl_activate", "another application's region", BMPL_E_PERMISSION, code);
    bmpl_destroy(h);
    h = create();
    it = of_blocks("nothing");
    expect("bmpl_register", "an unknown region", 0, bmpl_register(h, &it));
    expect("bmpl_activate", "an unknown region", BMPL_E_UNKNOWN, bmpl_activate(h));
    bmpl_destroy(h);
}

/* Activates a program whose region is not what the active one's is; what is said of it. */
static void disagrees(const char *what, bmpl_region_options_t it, int expected, const char *named)
{
    char text[1025] = "";
    bmpl_t *h = create();
    expect("bmpl_register", what, 0, bmpl_register(h, &it));
    expect("bmpl_activate", what, expected, bmpl_activate(h));
    bmpl_last_detail(h, text, sizeof text);
    expect("bmpl_last_detail", text, 1, strstr(text, named) != NULL);
    bmpl_destroy(h);
}

static void disagreements(void)
{
    static unsigned char large[1 << 20];
    bmpl_block_t own[2];
    bmpl_t *h = configured();
    expect("bmpl_activate", "to be agreed with", 1, bmpl_activate(h) >= 0);
    until_active(h);
    expect("bmpl_commit", "to be agreed with", BMPL_OK, bmpl_commit(h));
    memcpy(own, blocks, sizeof own);
    bmpl_region_options_t it = of_blocks("plant");
    it.blocks = own;
    own[1].name = "z";
    disagrees("another name", it, BMPL_E_SCHEMA, "`z`");
    own[1].name = "y";
    own[1].kind = BMPL_KIND_I64;
    disagrees("another kind", it, BMPL_E_SCHEMA, "`y`");
    own[1].kind = BMPL_KIND_F64;
    it.slots = 8;
    disagrees("another number of slots", it, BMPL_E_LAYOUT, "slots");

    bmpl_reader_options_t reads = BMPL_READER_OPTIONS_INIT;
    bmpl_t *reader = create();
    reads.name = "plant";
    own[0].address = NULL;
    reads.blocks = own;
    reads.block_count = 1;
    expect("bmpl_attach", "with fewer blocks", 0, bmpl_attach(reader, &reads));
    expect("bmpl_activate", "a reader with fewer blocks", BMPL_E_SCHEMA, bmpl_activate(reader));
    bmpl_destroy(reader);
    reader = create();
    reads.flags = BMPL_READER_MAP_BY_NAME;
    expect("bmpl_attach", "by name", 0, bmpl_attach(reader, &reads));
    expect("bmpl_activate", "a reader by name", 1, bmpl_activate(reader) >= 0);
    bmpl_destroy(reader);

    bmpl_options_t hurried = BMPL_OPTIONS_INIT;
    bmpl_t *late = NULL;
    hurried.application = "plc";
    hurried.runtime_dir = folder;
    hurried.cycle_ns = 1000;
    expect("bmpl_create", "in a hurry", BMPL_OK, bmpl_create(&hurried, &late));
    bmpl_region_options_t heavy = BMPL_REGION_OPTIONS_INIT;
    heavy.name = "log";
    heavy.address = large;
    heavy.size = sizeof large;
    expect("bmpl_register", "in a hurry", 0, bmpl_register(late, &heavy));
    expect("bmpl_activate", "in a hurry", BMPL_E_COST, bmpl_activate(late));
    bmpl_destroy(late);
    bmpl_destroy(h);
}

static void cyclic_arguments(void)
{
    void *image;
    bmpl_t *h = configured();
    expect("bmpl_activate", "for arguments", 1, bmpl_activate(h) >= 0);
    SIZES(bmpl_cycle_t, BMPL_CYCLE_INIT, (void)0, bmpl_cycle_begin(h, p));
    SIZES(bmpl_image_t, BMPL_IMAGE_INIT, (void)0, bmpl_read(h, 0, p));
    SIZES(bmpl_image_t, BMPL_IMAGE_INIT, (void)0, bmpl_read_next(h, 0, p));
    SIZES(bmpl_region_info_t, BMPL_REGION_INFO_INIT, (void)0, bmpl_region_info(h, 0, p));
    until_active(h);
    static const int regions[] = {-2, 2, 64, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof regions / sizeof regions[0]; i++) {
        bmpl_image_t it = BMPL_IMAGE_INIT;
        bmpl_region_info_t info = BMPL_REGION_INFO_INIT;
        int r = regions[i];
        expect("bmpl_read", "no such region", BMPL_E_REGION, bmpl_read(h, r, &it));
        expect("bmpl_read_next", "no such region", BMPL_E_REGION, bmpl_read_next(h, r, &it));
        expect("bmpl_open", "no such region", BMPL_E_REGION, bmpl_open(h, r, &image));
        expect("bmpl_commit_region", "no such region", BMPL_E_REGION, bmpl_commit_region(h, r));
        expect("bmpl_wait", "no such region", BMPL_E_REGION, bmpl_wait(h, r, 1));
        expect("bmpl_region_info", "no such region", BMPL_E_REGION, bmpl_region_info(h, r, &info));
    }
    image = plant;
    expect("bmpl_open", "not in place", BMPL_E_REGION, bmpl_open(h, 0, &image));
    expect("bmpl_open", "gives null then", 1, image == NULL);
    expect("bmpl_open", "nowhere to put it", BMPL_E_ARGUMENT, bmpl_open(h, 1, NULL));
    expect("bmpl_open", "in place", BMPL_OK, bmpl_open(h, 1, &image));
    memset(image, 7, 100);
    expect("bmpl_wait", "the past", 1, bmpl_wait(h, BMPL_NO_REGION, 1) >= 0);
    bmpl_destroy(h);
}

/* What a reader from a newer header finds behind what this library knows; errno; texts. */
static void texts(void)
{
    errno = 4711;
    all(NULL, "null", BMPL_E_HANDLE);
    expect("errno", "as it was", 4711, errno);
    expect("bmpl_strerror", "an unknown code", 1, strlen(bmpl_strerror(INT32_MIN)) > 0);
    for (int code = -1100; code < 100; code++)
        expect("bmpl_strerror", "any code", 1, bmpl_strerror(code) && bmpl_error_name(code));
    expect("bmpl_abi_version", "of this header", 1, bmpl_abi_version() >= BMPL_ABI_VERSION);
    expect("bmpl_lint", "no blocks", BMPL_E_SCHEMA, bmpl_lint(NULL, 0, NULL, 0));
    expect("bmpl_lint", "null", BMPL_E_ARGUMENT, bmpl_lint(NULL, 1, NULL, 0));
    expect("bmpl_lint", "too many", BMPL_E_LIMIT, bmpl_lint(blocks, 5000, NULL, 0));
    bmpl_block_t pointer = {"next", BMPL_KIND_POINTER, 1, NULL};
    char text[300];
    expect("bmpl_lint", "a pointer", 1, bmpl_lint(&pointer, 1, text, sizeof text));
    expect("bmpl_lint", "names it", 1, strstr(text, "`next`") != NULL);
    expect("bmpl_lint", "little room", 1, bmpl_lint(&pointer, 1, text, 5));
    expect("bmpl_lint", "little room, ended", 4, (int)strlen(text));
    pointer.name = NULL;
    expect("bmpl_lint", "no name", BMPL_E_ARGUMENT, bmpl_lint(&pointer, 1, text, sizeof text));
    expect("bmpl_last_detail", "without a handle", 1, bmpl_last_detail(NULL, text, sizeof text) > 0);
    expect("bmpl_version_string", "as the header", BMPL_VERSION_MAJOR, atoi(bmpl_version_string()));
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    folder = argv[1];
    alarm(120);
    handles();
    create_options();
    region_options();
    texts();
    phases_and_threads();
    others_while_one_waits();
    cyclic_arguments();
    refused_by_the_daemon();
    disagreements();
    printf("%ld checks, %d failed\n", checks, failures);
    for (size_t i = 0; i < FUNCTIONS; i++)
        printf("function %s\n", functions[i].name);
    return failures > 0;
}
