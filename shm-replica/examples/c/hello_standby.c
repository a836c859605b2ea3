/* The standby of hello_active: shows what it holds, and says so when it takes over.
 *
 *     hello_standby RUNTIME_DIR
 *
 * It is woken by each commit. What it holds is whole and verified, whenever it looks. */
#include <bumpless.h>
#include <inttypes.h>
#include <stdio.h>

static int failed(const bmpl_t *h, const char *what, int code)
{
    char why[512];
    bmpl_last_detail(h, why, sizeof why);
    fprintf(stderr, "%s: %s: %s\n", what, bmpl_error_name(code), why);
    return 1;
}

int main(int argc, char **argv)
{
    uint64_t count = 0, held = 0;
    bmpl_block_t blocks[] = {{"count", BMPL_KIND_U64, 1, &count}};
    bmpl_options_t options = BMPL_OPTIONS_INIT;
    bmpl_region_options_t region = BMPL_REGION_OPTIONS_INIT;
    bmpl_cycle_t cycle = BMPL_CYCLE_INIT;
    bmpl_t *h;
    int code;

    options.application = "hello";
    options.runtime_dir = argc > 1 ? argv[1] : NULL;
    region.name = "counter";
    region.flags = BMPL_REGION_WAKE;
    region.blocks = blocks;
    region.block_count = 1;
    if ((code = bmpl_create(&options, &h)) < 0)
        return failed(NULL, "bmpl_create", code);
    if ((code = bmpl_register(h, &region)) < 0)
        return failed(h, "bmpl_register", code);
    if ((code = bmpl_activate(h)) < 0)
        return failed(h, "bmpl_activate", code);
    for (;;) {
        bmpl_wait(h, 0, bmpl_now_ns() + 1000000000u);
        if ((code = bmpl_cycle_begin(h, &cycle)) < 0)
            return failed(h, "bmpl_cycle_begin", code);
        if (code == BMPL_ROLE_ACTIVE)
            break;
        if (cycle.cycle != held && bmpl_restore(h) == 1) {
            printf("holds cycle %" PRIu64 " with count %" PRIu64 "\n", cycle.cycle, count);
            fflush(stdout);
            held = cycle.cycle;
        }
    }
    printf("took over in cycle %" PRIu64 " with count %" PRIu64 "\n", cycle.cycle, count);
    return bmpl_destroy(h) < 0;
}
