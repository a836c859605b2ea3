/* An application with state: counts cycles, and commits the count in each.
 *
 *     hello_active RUNTIME_DIR [CYCLES]
 *
 * Started a second time (or as hello_standby) it stands by. When the first one ends, however it
 * ends, the other goes on from the last count. */
#include <bumpless.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CYCLE_NS 10000000u /* 10 ms */

static int failed(const bmpl_t *h, const char *what, int code)
{
    char why[512];
    bmpl_last_detail(h, why, sizeof why);
    fprintf(stderr, "%s: %s: %s\n", what, bmpl_error_name(code), why);
    return 1;
}

int main(int argc, char **argv)
{
    uint64_t count = 0, cycles = argc > 2 ? strtoull(argv[2], NULL, 10) : UINT64_MAX;
    bmpl_block_t blocks[] = {{"count", BMPL_KIND_U64, 1, &count}};
    bmpl_options_t options = BMPL_OPTIONS_INIT;
    bmpl_region_options_t region = BMPL_REGION_OPTIONS_INIT;
    bmpl_cycle_t cycle = BMPL_CYCLE_INIT;
    bmpl_t *h;
    int code;

    options.application = "hello";
    options.runtime_dir = argc > 1 ? argv[1] : NULL;
    options.cycle_ns = CYCLE_NS;
    region.name = "counter";
    region.blocks = blocks;
    region.block_count = 1;
    if ((code = bmpl_create(&options, &h)) < 0)
        return failed(NULL, "bmpl_create", code);
    if ((code = bmpl_register(h, &region)) < 0)
        return failed(h, "bmpl_register", code);
    if ((code = bmpl_activate(h)) < 0)
        return failed(h, "bmpl_activate", code);
    for (uint64_t next = bmpl_now_ns(); count < cycles; next += CYCLE_NS) {
        bmpl_wait(h, BMPL_NO_REGION, next);
        if ((code = bmpl_cycle_begin(h, &cycle)) < 0)
            return failed(h, "bmpl_cycle_begin", code);
        if (code != BMPL_ROLE_ACTIVE)
            continue;
        if (cycle.flags & BMPL_CYCLE_RESTORED)
            printf("took over in cycle %" PRIu64 " with count %" PRIu64 "\n", cycle.cycle, count);
        count++;
        if ((code = bmpl_commit(h)) < 0)
            return failed(h, "bmpl_commit", code);
    }
    printf("count %" PRIu64 "\n", count);
    return bmpl_destroy(h) < 0;
}
