/* The wall clock that goes with an image is that of its commit, for whoever reads it and whenever.
 *
 * The library asks this program's clock_gettime, so that the wall clock can be set to another time
 * here without setting the machine's. Argument: the runtime folder. */
#define _GNU_SOURCE
#include <bumpless.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define REQUIRE(good)                                                                            \
    do {                                                                                         \
        if (!(good)) {                                                                           \
            fprintf(stderr, "line %d, cycle %d: %s\n", __LINE__, round, #good);                   \
            exit(1);                                                                             \
        }                                                                                        \
    } while (0)

#define HOUR 3600

static time_t set_s; /* by how much the wall clock was set */
static int round;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    long failed = syscall(SYS_clock_gettime, clock, now);
    if (failed == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += set_s;
    return (int)failed;
}

static int64_t wall(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void rest(long ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL); }

static bmpl_t *create(const char *folder)
{
    bmpl_options_t options = BMPL_OPTIONS_INIT;
    bmpl_t *h = NULL;
    options.application = "plc";
    options.runtime_dir = folder;
    REQUIRE(bmpl_create(&options, &h) == 0);
    return h;
}

static bmpl_t *controller(const char *folder, uint64_t *state)
{
    bmpl_region_options_t plant = BMPL_REGION_OPTIONS_INIT;
    bmpl_t *h = create(folder);
    plant.name = "plant";
    plant.address = state;
    plant.size = sizeof *state;
    REQUIRE(bmpl_register(h, &plant) == 0);
    REQUIRE(bmpl_activate(h) >= 0);
    return h;
}

static void becomes(bmpl_t *h, int role)
{
    bmpl_cycle_t cycle = BMPL_CYCLE_INIT;
    for (int i = 0; bmpl_cycle_begin(h, &cycle) != role; i++) {
        REQUIRE(i < 10000);
        rest(1);
    }
}

/* The image of `cycle`, as somebody has it. */
static bmpl_image_t image_of(bmpl_t *h, uint64_t number)
{
    bmpl_image_t image = BMPL_IMAGE_INIT;
    bmpl_cycle_t cycle = BMPL_CYCLE_INIT;
    for (int i = 0; image.cycle != number; i++) {
        REQUIRE(i < 10000);
        if (i > 0)
            rest(1);
        REQUIRE(bmpl_cycle_begin(h, &cycle) >= 0);
        REQUIRE(bmpl_read(h, 0, &image) >= 0);
    }
    return image;
}

int main(int argc, char **argv)
{
    uint64_t states[2] = {0, 0};
    bmpl_reader_options_t reads = BMPL_READER_OPTIONS_INIT;
    bmpl_t *active, *standby, *reader;
    uint64_t time_ns = 0, last_ns = 0;
    if (argc != 2)
        return 2;
    alarm(60);
    active = controller(argv[1], &states[0]);
    becomes(active, BMPL_ROLE_ACTIVE);
    REQUIRE(bmpl_commit(active) == 0);
    standby = controller(argv[1], &states[1]);
    becomes(standby, BMPL_ROLE_STANDBY);
    reader = create(argv[1]);
    reads.name = "plant";
    REQUIRE(bmpl_attach(reader, &reads) == 0);
    REQUIRE(bmpl_activate(reader) >= 0);

    for (round = 0; round < 9; round++) {
        bmpl_cycle_t cycle = BMPL_CYCLE_INIT;
        bmpl_image_t image, again;
        int64_t before, begun, commits, committed;
        uint64_t commits_ns, committed_ns, reads_ns;
        set_s = round / 3 == 1 ? HOUR : round / 3 == 2 ? -HOUR : 0;
        before = wall();
        REQUIRE(bmpl_cycle_begin(active, &cycle) == BMPL_ROLE_ACTIVE);
        begun = wall();
        rest(round % 3 * 20); /* the program's work: the time of the commit is not that of the begin */
        commits_ns = bmpl_now_ns();
        commits = wall();
        REQUIRE(bmpl_commit(active) == 0);
        committed = wall();
        committed_ns = bmpl_now_ns();

        rest(10);
        reads_ns = bmpl_now_ns();
        image = image_of(reader, cycle.cycle);
        /* Never later than the commit; earlier only by what may pass between two looks at clocks
         * while the cycle begins. */
        REQUIRE(image.wall_clock_ns <= committed);
        REQUIRE(image.wall_clock_ns >= commits - (begun - before));
        /* Read later and by others it is the same. */
        rest(5);
        again = image_of(standby, cycle.cycle);
        REQUIRE(again.wall_clock_ns == image.wall_clock_ns);
        again = image_of(reader, cycle.cycle);
        REQUIRE(again.wall_clock_ns == image.wall_clock_ns);
        /* Age and the application's time are of the other clock: nobody sets it. */
        REQUIRE(image.age_ns >= reads_ns - committed_ns);
        REQUIRE(again.age_ns >= image.age_ns + 5000000);
        REQUIRE(again.age_ns <= bmpl_now_ns() - commits_ns);
        REQUIRE(round == 0 || image.time_ns - time_ns <= committed_ns - last_ns);
        REQUIRE(image.time_ns > time_ns);
        time_ns = image.time_ns;
        last_ns = commits_ns;
        if (round == 8) {
            /* Who takes over reads the clock of who committed. */
            REQUIRE(bmpl_deactivate(active) == 0);
            becomes(standby, BMPL_ROLE_ACTIVE);
            again = image_of(standby, cycle.cycle);
            REQUIRE(again.wall_clock_ns == image.wall_clock_ns);
        }
    }
    puts("fine");
    return 0;
}
