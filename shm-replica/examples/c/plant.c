/* A simulated plant that outlives its controllers: a tank with two time constants. It goes on to the
 * next step when it has an output for this one, so that its course depends on outputs alone and not
 * on when they came. Prints each step with the output that was used, exactly, and at the end how many
 * ticks of its clock passed without a new output.
 *
 *     plant WIRES STEPS TICK_US */
#include "plant.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    struct wires *w = wires(argv[1]);
    uint64_t steps = strtoull(argv[2], NULL, 10), missed = 0, longest = 0, run = 0;
    long tick_ns = atol(argv[3]) * 1000;
    double level = 0, flow = 0;
    struct timespec next;
    if (w == NULL)
        return 1;
    clock_gettime(CLOCK_MONOTONIC, &next);
    w->measured = level;
    __atomic_store_n(&w->step, 1, __ATOMIC_RELEASE);
    for (uint64_t step = 1; step <= steps;) {
        next.tv_nsec += tick_ns;
        next.tv_sec += next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        if (__atomic_load_n(&w->answered, __ATOMIC_ACQUIRE) != step) {
            missed += step > 1; /* before the first answer nobody is missed */
            longest = (run += step > 1) > longest ? run : longest;
            continue;
        }
        run = 0;
        double output = w->output;
        printf("%" PRIu64 " %a\n", step, output);
        fflush(stdout);
        flow += (output - flow) * 0.2;
        level += (flow - level) * 0.05;
        w->measured = level;
        __atomic_store_n(&w->step, ++step, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&w->step, UINT64_MAX, __ATOMIC_RELEASE);
    fprintf(stderr, "missed %" PRIu64 " longest %" PRIu64 "\n", missed, longest);
    return 0;
}
