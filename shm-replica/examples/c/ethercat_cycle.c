/* The cyclic loop of an EtherCAT controller, with a standby: receive, control, commit, send.
 * Call: ethercat_cycle RUNTIME_DIR BUS [CYCLES]
 *
 * The fieldbus calls are those of IgH's ecrt.h. Here they come from standin/ecrt.h, a file in place of
 * a bus. (SOEM: ecx_receive_processdata, IOmap and ecx_send_processdata in the same places.) Only one
 * process can hold the bus, so it is requested when the process becomes active. */
#include "standin/ecrt.h"
#include <bumpless.h>
#include <inttypes.h>
#include <stdio.h>

#define CYCLE_NS 1000000u /* 1 ms */

static struct { int32_t position, target; uint64_t moved; } axis;

int main(int argc, char **argv)
{
    bmpl_block_t blocks[] = {{"axis", BMPL_KIND_I32, 2, &axis}, {"moved", BMPL_KIND_U64, 1, &axis.moved}};
    bmpl_options_t options = BMPL_OPTIONS_INIT;
    bmpl_region_options_t region = {.struct_size = sizeof region, .name = "drive", .block_count = 2, .blocks = blocks};
    bmpl_cycle_t cycle = BMPL_CYCLE_INIT;
    ec_master_t *bus = NULL;
    ec_domain_t *domain = NULL;
    uint64_t cycles = argc > 3 ? strtoull(argv[3], NULL, 10) : UINT64_MAX;
    bmpl_t *h;

    options.application = "axis";
    options.runtime_dir = argc > 2 ? argv[1] : NULL;
    options.cycle_ns = CYCLE_NS;
    standin_bus = argc > 2 ? argv[2] : "";
    if (argc < 3 || bmpl_create(&options, &h) || bmpl_register(h, &region) || bmpl_activate(h) < 0)
        return 1;
    while (axis.moved < cycles) {
        bmpl_wait(h, BMPL_NO_REGION, (bmpl_now_ns() / CYCLE_NS + 1) * CYCLE_NS);
        if (bmpl_cycle_begin(h, &cycle) != BMPL_ROLE_ACTIVE)
            continue;
        if (bus == NULL) {
            if ((bus = ecrt_request_master(0)) == NULL)
                continue; /* its former holder has not ended yet */
            domain = ecrt_master_create_domain(bus);
            ecrt_master_activate(bus);
            printf("on the bus in cycle %" PRIu64 ", moved %" PRIu64 "\n", cycle.cycle, axis.moved);
        }
        ecrt_master_receive(bus);
        ecrt_domain_process(domain);
        axis.position = EC_READ_S32(ecrt_domain_data(domain));
        axis.target = axis.position + 3;
        axis.moved++;
        if (bmpl_commit(h) == BMPL_OK && bmpl_may_act(h) == 1) {
            EC_WRITE_S32(ecrt_domain_data(domain) + 4, axis.target);
            ecrt_domain_queue(domain);
            ecrt_master_send(bus);
        }
    }
    printf("moved %" PRIu64 " to %" PRId32 "\n", axis.moved, axis.target);
    return bmpl_destroy(h) < 0;
}
