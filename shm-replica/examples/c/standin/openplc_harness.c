/* In place of OpenPLC Runtime v4: loads a native plug-in as its published interface says (the names in
 * plugin_driver.h, the arguments in plugin_types.h) and makes the runtime's calls: init, start when
 * the switch says run or the plug-in asks for it, retain_load before the first scan, retain_save in
 * each. Its program counts scans in a retained variable.
 *
 *     openplc_harness PLUGIN.so CONFIGURATION_FILE SCANS */
#define _POSIX_C_SOURCE 200809L
#include "plugin_types.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char program[] = "0123456789abcdef0123456789abcdef"; /* its MD5, 32 characters */
static volatile int switch_position = 1, start_asked, stop_asked;
static long scans;
static int (*load)(const char *, uint16_t, uint8_t *, uint16_t, uint16_t *);
static int (*save)(const uint8_t *, uint16_t);

static void told(const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    vprintf(format, rest);
    va_end(rest);
    printf("\n");
}
static void start(const char *why) { told("start: %s", why); start_asked = 1; }
static void stop(const char *why) { told("stop: %s", why); stop_asked = 1; }
static void set_switch(int position) { switch_position = position; }
static int state(void) { return start_asked && !stop_asked; }

static void *scan_cycle(void *nothing)
{
    uint8_t blob[12] = "RTN1";
    uint64_t count = 0;
    uint16_t length = 0;
    struct timespec tick = {0, 1000000};
    uint8_t room[4096];
    if (load(program, 32, room, sizeof room, &length) == 0 && length == sizeof blob)
        memcpy(&count, room + 4, sizeof count);
    printf("first scan with count %llu\n", (unsigned long long)count);
    fflush(stdout);
    for (long i = 0; i < scans && !stop_asked; i++) {
        count++;
        memcpy(blob + 4, &count, sizeof count);
        save(blob, sizeof blob);
        nanosleep(&tick, NULL);
    }
    printf("last scan with count %llu\n", (unsigned long long)count);
    fflush(stdout);
    return nothing;
}

/* ISO C has no cast from a data pointer to a function's; POSIX has this. */
#define FIND(plugin, name, into) (*(void **)(&into) = dlsym(plugin, name))

int main(int argc, char **argv)
{
    int (*init)(void *) = NULL;
    void (*stop_loop)(void) = NULL, (*cleanup)(void) = NULL;
    plugin_runtime_args_t *args = calloc(1, sizeof *args);
    struct timespec rest = {0, 1000000};
    pthread_t scan;
    if (argc != 4)
        return 2;
    scans = atol(argv[3]);
    void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (plugin == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    FIND(plugin, "init", init);
    FIND(plugin, "stop_loop", stop_loop);
    FIND(plugin, "cleanup", cleanup);
    FIND(plugin, "retain_load", load);
    FIND(plugin, "retain_save", save);
    if (!init || !load || !save || !cleanup)
        return 1;
    snprintf(args->plugin_specific_config_file_path, 256, "%s", argv[2]);
    args->log_info = args->log_debug = args->log_warn = args->log_error = told;
    args->base_tick_ns = 1000000;
    args->request_plc_stop = stop;
    args->request_plc_start = start;
    args->set_switch_position = set_switch;
    args->get_plc_state = state;
    if (init(args) != 0)
        return 1;
    memset(args, 0xff, sizeof *args); /* as the runtime: what was not copied is gone */
    free(args);
    for (int i = 0; i < 60000 && !start_asked && switch_position == 0; i++)
        nanosleep(&rest, NULL);
    pthread_create(&scan, NULL, scan_cycle, NULL);
    pthread_join(scan, NULL);
    if (stop_loop)
        stop_loop();
    cleanup();
    return 0;
}
