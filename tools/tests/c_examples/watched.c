/* Stands between a controller and the library (LD_PRELOAD): writes down when its cycles were, and ends
 * it at a certain instruction. Environment:
 *
 *   WATCHED  the file of the notes below; a controller goes on with those of the one before it
 *   DIES     "POINT N": in the Nth cycle in which it is active, by SIGKILL */
#define _GNU_SOURCE
#include <bumpless.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct notes {
    uint64_t whole_ns;    /* the last whole cycle, answer and all, of who is active first: its begin */
    uint64_t dies_ns;     /* directly before it ended itself */
    uint64_t takes_ns;    /* the cycle that took over: directly before its begin, */
    uint64_t gap_ns;      /* the gap that it was told, */
    uint64_t answered_ns; /* the first answer after it: directly behind it, */
    uint64_t cycles;      /* and in which cycle, from 1 */
};

static struct notes *notes;
static char point[20];
static unsigned long dies_in, active_cycles;
static uint64_t begins_ns;
static int is_active, takes_over, is_committed, may;

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL)
        abort();
    return found;
}

static void open_notes(void)
{
    const char *path = getenv("WATCHED"), *dies = getenv("DIES");
    int fd = path ? open(path, O_RDWR | O_CREAT, 0600) : -1;
    if (fd < 0 || ftruncate(fd, sizeof *notes) != 0)
        abort();
    notes = mmap(NULL, sizeof *notes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (notes == MAP_FAILED || (dies && sscanf(dies, "%19s %lu", point, &dies_in) != 2))
        abort();
}

static void dies_at(const char *here)
{
    if (is_active && active_cycles == dies_in && strcmp(point, here) == 0) {
        notes->dies_ns = bmpl_now_ns();
        raise(SIGKILL);
    }
}

/* The cycle is over: what was to be answered is answered. */
int bmpl_wait(bmpl_t *h, int region, uint64_t until_ns)
{
    static int (*next)(bmpl_t *, int, uint64_t);
    if (next == NULL) {
        void *found = real("bmpl_wait");
        memcpy(&next, &found, sizeof next);
        open_notes();
    }
    if (is_committed && may && notes->takes_ns == 0)
        notes->whole_ns = begins_ns;
    if (takes_over) {
        notes->cycles++;
        if (is_committed && may) {
            notes->answered_ns = bmpl_now_ns();
            takes_over = 0;
        }
    }
    is_committed = may = 0;
    return next(h, region, until_ns);
}

int bmpl_cycle_begin(bmpl_t *h, bmpl_cycle_t *cycle)
{
    static int (*next)(bmpl_t *, bmpl_cycle_t *);
    int role;
    if (next == NULL) {
        void *found = real("bmpl_cycle_begin");
        memcpy(&next, &found, sizeof next);
    }
    begins_ns = bmpl_now_ns();
    role = next(h, cycle);
    is_active = role == BMPL_ROLE_ACTIVE;
    active_cycles += (unsigned long)is_active;
    /* Not the first one's: it goes on from nobody. */
    if ((cycle->flags & BMPL_CYCLE_TOOK_OVER) && (cycle->flags & BMPL_CYCLE_RESTORED)) {
        notes->gap_ns = cycle->gap_ns;
        notes->takes_ns = begins_ns;
        takes_over = 1;
    }
    dies_at("begun");
    return role;
}

int bmpl_commit(bmpl_t *h)
{
    static int (*next)(bmpl_t *);
    int said;
    if (next == NULL) {
        void *found = real("bmpl_commit");
        memcpy(&next, &found, sizeof next);
    }
    dies_at("computed");
    said = next(h);
    is_committed = said == BMPL_OK;
    dies_at("committed");
    return said;
}

int bmpl_may_act(const bmpl_t *h)
{
    static int (*next)(const bmpl_t *);
    if (next == NULL) {
        void *found = real("bmpl_may_act");
        memcpy(&next, &found, sizeof next);
    }
    may = next(h) == 1;
    dies_at("may-act");
    return may;
}
