/* A PID controller that survives its own death: start it twice, kill either: pid RUNTIME_DIR WIRES
 *
 * Its whole state, the output included, is one region. It commits before it acts; and where the plant
 * still waits for the answer that was committed last, whoever is active gives that answer (again). So
 * a takeover computes no step twice and leaves none out. */
#include "plant.h"
#include <bumpless.h>
#include <inttypes.h>
#include <stdio.h>

#define CYCLE_NS 1000000u /* 1 ms */

static struct { double integral, error, output; uint64_t step; } s;

static void control(double measured)
{
    double error = 50.0 - measured, slope = error - s.error;
    s.integral += error * 0.01;
    s.output = 1.2 * error + s.integral + 0.3 * slope;
    s.error = error;
    s.step++;
}

int main(int argc, char **argv)
{
    bmpl_block_t blocks[] = {{"pid", BMPL_KIND_F64, 3, &s}, {"step", BMPL_KIND_U64, 1, &s.step}};
    bmpl_options_t options = BMPL_OPTIONS_INIT;
    bmpl_region_options_t region = BMPL_REGION_OPTIONS_INIT;
    bmpl_cycle_t cycle = BMPL_CYCLE_INIT;
    struct wires *w = argc == 3 ? wires(argv[2]) : NULL;
    bmpl_t *h;
    int role = 0;

    options.application = "pid";
    options.runtime_dir = argc == 3 ? argv[1] : NULL;
    options.cycle_ns = CYCLE_NS;
    region.name = "loop";
    region.blocks = blocks;
    region.block_count = 2;
    if (w == NULL || bmpl_create(&options, &h) || bmpl_register(h, &region) || bmpl_activate(h) < 0)
        return 1;
    for (uint64_t step = 0; step != UINT64_MAX && role >= 0;) {
        bmpl_wait(h, BMPL_NO_REGION, (bmpl_now_ns() / CYCLE_NS + 1) * CYCLE_NS);
        role = bmpl_cycle_begin(h, &cycle);
        if (cycle.flags & BMPL_CYCLE_TOOK_OVER)
            fprintf(stderr, "active after step %" PRIu64 ", %" PRIu64 " ns\n", s.step, cycle.gap_ns);
        step = __atomic_load_n(&w->step, __ATOMIC_ACQUIRE);
        if (role != BMPL_ROLE_ACTIVE || step == 0)
            continue;
        if (step == s.step + 1)
            control(w->measured);
        if (bmpl_commit(h) == BMPL_OK && bmpl_may_act(h) == 1) {
            w->output = s.output;
            __atomic_store_n(&w->answered, s.step, __ATOMIC_RELEASE);
        }
    }
    return bmpl_destroy(h) < 0;
}
