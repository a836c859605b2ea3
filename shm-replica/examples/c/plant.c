/* A simulated plant that outlives its controllers: a tank with two time constants. It goes on to the
 * next step when it has an output for this one, so that its course depends on outputs alone and not
 * on when they came. Prints each step with the output that was used, exactly, and how many ticks of its
 * clock had passed without one; at the end all of these and the most of one step. Ticks that it was
 * late for itself are not counted: nobody knows whether an output was there.
 *
 *     plant WIRES STEPS TICK_US */
#include "plant.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    struct wires *w = wires(argv[1]);
    uint64_t steps = strtoull(argv[2], NULL, 10), missed = 0, longest = 0, run = 0;
    int64_t tick_ns = atol(argv[3]) * 1000, next, late;
    double level = 0, flow = 0;
    if (w == NULL || tick_ns <= 0)
        return 1;
    next = now_ns();
    w->measured = level;
    __atomic_store_n(&w->step, 1, __ATOMIC_RELEASE);
    for (uint64_t step = 1; step <= steps;) {
        next += tick_ns;
        struct timespec at = {next / 1000000000, next % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        late = now_ns() - next;
        next += late > 0 ? late / tick_ns * tick_ns : 0;
        if (__atomic_load_n(&w->answered, __ATOMIC_ACQUIRE) != step) {
            run += step > 1; /* before the first answer nobody is missed */
            continue;
        }
        double output = w->output;
        printf("%" PRIu64 " %a %" PRIu64 "\n", step, output, run);
        fflush(stdout);
        missed += run;
        longest = run > longest ? run : longest;
        run = 0;
        flow += (output - flow) * 0.2;
        level += (flow - level) * 0.05;
        w->measured = level;
        __atomic_store_n(&w->step, ++step, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&w->step, UINT64_MAX, __ATOMIC_RELEASE);
    fprintf(stderr, "missed %" PRIu64 " longest %" PRIu64 "\n", missed, longest);
    return 0;
}
