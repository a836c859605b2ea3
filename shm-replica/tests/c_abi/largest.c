/* A region of the greatest size, 64 MiB: committed, read, and taken over from a process that is
 * killed at any instant. Arguments: the runtime folder, and after how many microseconds the active
 * process is killed.
 *
 * Each word of the state is made of the cycle and of its place, so that an image of two cycles, or one
 * with a part at a wrong place, is none. */
#define _GNU_SOURCE
#include <bumpless.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REQUIRE(good)                                                                            \
    do {                                                                                         \
        if (!(good)) {                                                                           \
            fprintf(stderr, "process %d, line %d: %s\n", (int)getpid(), __LINE__, #good);         \
            exit(1);                                                                             \
        }                                                                                        \
    } while (0)

#define OCTETS (UINT64_C(64) << 20)
#define TAIL 4096u /* a second block, at the very end */
#define WORDS ((uint32_t)(OCTETS / 8))

static uint64_t *state;

static uint64_t word(uint64_t cycle, uint32_t at) { return cycle * UINT64_C(0x9e3779b97f4a7c15) + at; }

static void fill(uint64_t cycle)
{
    for (uint32_t i = 0; i < WORDS; i++)
        state[i] = word(cycle, i);
}

static int is_of(const uint64_t *image, uint64_t cycle)
{
    for (uint32_t i = 0; i < WORDS; i++)
        if (image[i] != word(cycle, i))
            return 0;
    return 1;
}

static void rest_us(long us) { nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL); }

static bmpl_t *create(const char *folder)
{
    bmpl_options_t options = BMPL_OPTIONS_INIT;
    bmpl_t *h = NULL;
    options.application = "plc";
    options.runtime_dir = folder;
    options.connect_timeout_ms = 60000;
    REQUIRE(bmpl_create(&options, &h) == 0);
    return h;
}

static bmpl_t *controller(const char *folder)
{
    bmpl_block_t blocks[] = {{"most", BMPL_KIND_U64, WORDS - TAIL / 8, state},
                             {"tail", BMPL_KIND_OCTETS, TAIL, state + WORDS - TAIL / 8}};
    bmpl_region_options_t plant = BMPL_REGION_OPTIONS_INIT, more = BMPL_REGION_OPTIONS_INIT;
    bmpl_t *h = create(folder);
    more.name = "log";
    more.address = state;
    more.size = OCTETS + 8;
    REQUIRE(bmpl_register(h, &more) == BMPL_E_LIMIT);
    plant.name = "plant";
    plant.blocks = blocks;
    plant.block_count = 2;
    REQUIRE(bmpl_register(h, &plant) == 0);
    REQUIRE(bmpl_activate(h) >= 0);
    return h;
}

static bmpl_cycle_t becomes(bmpl_t *h, int role)
{
    bmpl_cycle_t cycle = BMPL_CYCLE_INIT;
    for (int i = 0; bmpl_cycle_begin(h, &cycle) != role; i++) {
        REQUIRE(i < 60000);
        rest_us(1000);
    }
    return cycle;
}

/* Commits until it is killed. */
static void is_active(const char *folder, int says)
{
    bmpl_t *h = controller(folder);
    bmpl_cycle_t cycle = becomes(h, BMPL_ROLE_ACTIVE);
    for (;;) {
        fill(cycle.cycle);
        REQUIRE(bmpl_commit(h) == 0);
        REQUIRE(write(says, "", 1) == 1);
        REQUIRE(bmpl_cycle_begin(h, &cycle) == BMPL_ROLE_ACTIVE);
    }
}

int main(int argc, char **argv)
{
    bmpl_reader_options_t reads = BMPL_READER_OPTIONS_INIT;
    bmpl_cycle_t cycle = BMPL_CYCLE_INIT;
    bmpl_image_t image = BMPL_IMAGE_INIT;
    bmpl_region_info_t info = BMPL_REGION_INFO_INIT;
    bmpl_t *h, *reader;
    uint64_t held = 0;
    int pipes[2], status, whole = 0, read_whole = 0;
    char byte;
    pid_t child;
    if (argc != 3)
        return 2;
    alarm(300);
    state = aligned_alloc(64, OCTETS);
    REQUIRE(state != NULL && pipe(pipes) == 0);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        close(pipes[0]);
        is_active(argv[1], pipes[1]);
    }
    close(pipes[1]);
    REQUIRE(read(pipes[0], &byte, 1) == 1);

    h = controller(argv[1]);
    becomes(h, BMPL_ROLE_STANDBY);
    reader = create(argv[1]);
    reads.name = "plant";
    REQUIRE(bmpl_attach(reader, &reads) == 0);
    REQUIRE(bmpl_activate(reader) >= 0);
    /* While it is written: the standby holds whole images, and a reader reads such. */
    for (int i = 0; whole < 3 || read_whole < 3; i++) {
        int said;
        REQUIRE(i < 60000);
        REQUIRE(bmpl_cycle_begin(h, &cycle) == BMPL_ROLE_STANDBY);
        REQUIRE(cycle.cycle >= held);
        if (bmpl_restore(h) == 1 && cycle.cycle > held) {
            REQUIRE(is_of(state, cycle.cycle));
            held = cycle.cycle;
            whole++;
        }
        said = bmpl_read(reader, 0, &image);
        REQUIRE(said >= 0);
        if (said == BMPL_READ_NEW) {
            REQUIRE(image.size == OCTETS && is_of(image.data, image.cycle));
            read_whole++;
        }
        rest_us(1000);
    }
    rest_us(atol(argv[2]));
    REQUIRE(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));

    cycle = becomes(h, BMPL_ROLE_ACTIVE);
    REQUIRE((cycle.flags & (BMPL_CYCLE_TOOK_OVER | BMPL_CYCLE_RESTORED)) ==
            (BMPL_CYCLE_TOOK_OVER | BMPL_CYCLE_RESTORED));
    REQUIRE((cycle.flags & (BMPL_CYCLE_STATE_LOST | BMPL_CYCLE_NEWER_LOST)) == 0);
    REQUIRE(cycle.cycle > held && cycle.epoch == 2);
    REQUIRE(is_of(state, cycle.cycle - 1));
    REQUIRE(bmpl_region_info(h, 0, &info) == 0 && info.size == OCTETS && info.commit_cost_ns > 0);
    /* And goes on, for the reader too. */
    for (int i = 0; i < 3; i++) {
        if (i > 0)
            REQUIRE(bmpl_cycle_begin(h, &cycle) == BMPL_ROLE_ACTIVE);
        fill(cycle.cycle);
        REQUIRE(bmpl_commit(h) == 0);
    }
    for (int i = 0; image.cycle != cycle.cycle; i++) {
        REQUIRE(i < 60000);
        REQUIRE(bmpl_read(reader, 0, &image) >= 0);
        rest_us(1000);
    }
    REQUIRE(image.epoch == 2 && is_of(image.data, cycle.cycle));
    printf("held %" PRIu64 ", taken over in cycle %" PRIu64 ", a commit costs %" PRIu64 " us\n", held,
           cycle.cycle - 2, info.commit_cost_ns / 1000);
    return 0;
}
