/* The descriptor of bmpl_get_fd, as a program's event loop has it: readable when the role may have
 * changed, until 8 octets are read from it, and not for anything else. Argument: the runtime folder.
 *
 * Says "switch" when somebody shall put the standby in charge. */
#define _GNU_SOURCE
#include <bumpless.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define REQUIRE(good)                                                                            \
    do {                                                                                         \
        if (!(good)) {                                                                           \
            fprintf(stderr, "line %d: %s\n", __LINE__, #good);                                    \
            exit(1);                                                                             \
        }                                                                                        \
    } while (0)

/* What takes milliseconds and may take longer on a busy machine. */
#define PATIENCE_MS 20000

static double states[2];

static bmpl_t *controller(const char *folder, double *state)
{
    bmpl_options_t options = BMPL_OPTIONS_INIT;
    bmpl_region_options_t plant = BMPL_REGION_OPTIONS_INIT;
    bmpl_t *h = NULL;
    options.application = "plc";
    options.runtime_dir = folder;
    REQUIRE(bmpl_create(&options, &h) == 0);
    plant.name = "plant";
    plant.address = state;
    plant.size = sizeof *state;
    REQUIRE(bmpl_register(h, &plant) == 0);
    REQUIRE(bmpl_get_fd(h) == BMPL_E_PHASE);
    REQUIRE(bmpl_activate(h) >= 0);
    REQUIRE(bmpl_get_fd(h) >= 0);
    return h;
}

static int readable(bmpl_t *h, int timeout_ms)
{
    struct pollfd waits = {bmpl_get_fd(h), POLLIN, 0};
    int found = poll(&waits, 1, timeout_ms);
    REQUIRE(found >= 0 && (waits.revents & ~POLLIN) == 0);
    return found;
}

/* Takes back what it tells. */
static void take(bmpl_t *h)
{
    char octets[8];
    REQUIRE(read(bmpl_get_fd(h), octets, sizeof octets) == 8);
}

/* Looks at the role when the descriptor says so, and at no other time. */
static bmpl_cycle_t is_told_to_be(bmpl_t *h, int role, uint32_t flag)
{
    for (int i = 0; i < 10; i++) {
        bmpl_cycle_t cycle = BMPL_CYCLE_INIT;
        REQUIRE(readable(h, PATIENCE_MS) == 1);
        REQUIRE(readable(h, 0) == 1); /* until it is read */
        take(h);
        REQUIRE(bmpl_cycle_begin(h, &cycle) >= 0);
        if ((int)cycle.role == role && (cycle.flags & flag) == flag)
            return cycle;
    }
    REQUIRE(!"it is told, again and again, and is not what it should be");
    exit(1);
}

static void becomes(bmpl_t *h, int role)
{
    bmpl_cycle_t cycle = BMPL_CYCLE_INIT;
    for (int i = 0; bmpl_cycle_begin(h, &cycle) != role; i++) {
        REQUIRE(i < 10000);
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
}

static void works(bmpl_t *h)
{
    bmpl_cycle_t cycle = BMPL_CYCLE_INIT;
    REQUIRE(bmpl_cycle_begin(h, &cycle) == BMPL_ROLE_ACTIVE);
    REQUIRE(bmpl_commit(h) == 0);
}

/* Whether nothing is told while one commits and the other follows. What was told of an earlier
 * change may arrive after the role was seen: it comes once, and what the cycles tell comes again. */
static void nothing_is_told(bmpl_t *active, bmpl_t *standby)
{
    for (int late = 0, cycles = 0; cycles < 100; cycles++) {
        bmpl_cycle_t cycle = BMPL_CYCLE_INIT;
        works(active);
        REQUIRE(bmpl_cycle_begin(standby, &cycle) == BMPL_ROLE_STANDBY);
        for (int i = 0; i < 2; i++) {
            bmpl_t *h = i ? standby : active;
            if (readable(h, 0) == 0)
                continue;
            REQUIRE(++late <= 4);
            take(h);
            cycles = 0;
        }
    }
}

int main(int argc, char **argv)
{
    bmpl_t *one, *two;
    char byte;
    if (argc != 2)
        return 2;
    alarm(120);
    one = controller(argv[1], &states[0]);
    becomes(one, BMPL_ROLE_ACTIVE);
    REQUIRE(bmpl_commit(one) == 0);
    two = controller(argv[1], &states[1]);
    becomes(two, BMPL_ROLE_STANDBY);
    REQUIRE(bmpl_get_fd(one) != bmpl_get_fd(two));
    nothing_is_told(one, two);
    /* By the daemon's order: both are told. */
    puts("switch");
    fflush(stdout);
    REQUIRE(read(0, &byte, 1) == 1);
    is_told_to_be(two, BMPL_ROLE_ACTIVE, BMPL_CYCLE_TOOK_OVER);
    REQUIRE(bmpl_commit(two) == 0);
    is_told_to_be(one, BMPL_ROLE_STANDBY, BMPL_CYCLE_STEPPED_DOWN);
    nothing_is_told(two, one);
    /* By the end of the active one. */
    REQUIRE(bmpl_destroy(two) == 0);
    is_told_to_be(one, BMPL_ROLE_ACTIVE, BMPL_CYCLE_TOOK_OVER);
    REQUIRE(bmpl_commit(one) == 0);
    REQUIRE(bmpl_deactivate(one) == 0);
    REQUIRE(bmpl_get_fd(one) == BMPL_E_PHASE);
    REQUIRE(bmpl_destroy(one) == 0);
    puts("fine");
    return 0;
}
