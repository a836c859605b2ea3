/* A plug-in for OpenPLC Runtime v4: the retained variables are a region, committed in each scan. A
 * second runtime stands by, stopped, and goes on from the last scan when the first one ends. The
 * plug-in's configuration file holds the daemon's runtime folder. */
#include "plugin_types.h"
#include <bumpless.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static plugin_runtime_args_t plc; /* a copy: the runtime frees its own after init */
static struct { char program[32]; uint32_t length; uint8_t blob[65535]; } kept;
static const bmpl_block_t blocks[] = {{"program", BMPL_KIND_TEXT, 32, kept.program},
    {"length", BMPL_KIND_U32, 1, &kept.length}, {"blob", BMPL_KIND_OCTETS, 65535, kept.blob}};
static char folder[256];
static bmpl_t *h;

static void *stand_by(void *nothing) {
    bmpl_cycle_t cycle = BMPL_CYCLE_INIT;
    while (bmpl_cycle_begin(h, &cycle) == BMPL_ROLE_STANDBY)
        bmpl_wait(h, BMPL_NO_REGION, bmpl_now_ns() + 100000000);
    if (bmpl_release_thread(h) == BMPL_OK) { /* the scan's thread makes the calls from here on */
        plc.set_switch_position(1);
        plc.request_plc_start("this controller is active now");
    }
    return nothing;
}

int init(void *args) { /* also called at each later start of the program */
    bmpl_options_t options = {.struct_size = sizeof options, .application = "openplc", .runtime_dir = folder};
    bmpl_region_options_t region = {.struct_size = sizeof region, .name = "retain", .block_count = 3, .blocks = blocks};
    pthread_t thread;
    if (h != NULL) return 0;
    memcpy(&plc, args, sizeof plc);
    plc.set_switch_position(0); /* not before it is active */
    FILE *file = fopen(plc.plugin_specific_config_file_path, "r");
    if (file == NULL || fscanf(file, "%255s", folder) != 1 || fclose(file) != 0
        || bmpl_create(&options, &h) || bmpl_register(h, &region) || bmpl_activate(h) < 0)
        return -1;
    return pthread_create(&thread, NULL, stand_by, NULL) || pthread_detach(thread);
}

int retain_load(const char *md5, uint16_t md5_length, uint8_t *out, uint16_t room, uint16_t *length) {
    if (md5_length != 32 || memcmp(kept.program, md5, 32) != 0) kept.length = 0; /* another's values */
    memcpy(kept.program, md5, md5_length < 32 ? md5_length : 32);
    *length = (uint16_t)kept.length;
    memcpy(out, kept.blob, *length < room ? *length : room);
    return *length > room ? 4 : 0;
}

int retain_save(const uint8_t *blob, uint16_t length) {
    bmpl_cycle_t cycle = BMPL_CYCLE_INIT;
    if (bmpl_cycle_begin(h, &cycle) == BMPL_ROLE_ACTIVE) memcpy(kept.blob, blob, kept.length = length);
    if (bmpl_commit(h) == BMPL_OK) return 0;
    plc.request_plc_stop("this controller is not active any more");
    return -1;
}

void stop_loop(void) { bmpl_release_thread(h); } /* the next start has a scan thread of its own */
void cleanup(void) { bmpl_destroy(h); }
