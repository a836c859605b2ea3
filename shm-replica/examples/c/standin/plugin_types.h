/* In place of OpenPLC Runtime v4's core/src/drivers/plugin_types.h, for building the plug-in without
 * the runtime's sources: the same fields in the same order, in our words. Built with the runtime's
 * include folder first, the plug-in gets the real one. */
#ifndef PLUGIN_TYPES_H
#define PLUGIN_TYPES_H
#include <stdbool.h>
#include <stdint.h>

typedef uint8_t IEC_BOOL;
typedef uint8_t IEC_BYTE;
typedef uint16_t IEC_UINT;
typedef uint32_t IEC_UDINT;
typedef uint64_t IEC_ULINT;

typedef void (*standin_log_t)(const char *, ...);

typedef struct {
    /* The image tables: %IX, %QX, %IB, %QB, %IW, %QW, %ID, %QD, %IL, %QL, %MW, %MD, %ML, %MX. */
    IEC_BOOL *(*bool_input)[8];
    IEC_BOOL *(*bool_output)[8];
    IEC_BYTE **byte_input;
    IEC_BYTE **byte_output;
    IEC_UINT **int_input;
    IEC_UINT **int_output;
    IEC_UDINT **dint_input;
    IEC_UDINT **dint_output;
    IEC_ULINT **lint_input;
    IEC_ULINT **lint_output;
    IEC_UINT **int_memory;
    IEC_UDINT **dint_memory;
    IEC_ULINT **lint_memory;
    IEC_BOOL *(*bool_memory)[8];
    void (*image_lock)(void);
    void (*image_unlock)(void);
    /* The debugger's access to variables. */
    uint8_t (*debug_array_count)(void);
    uint16_t (*debug_elem_count)(uint8_t);
    uint16_t (*debug_size)(uint8_t, uint16_t);
    uint16_t (*debug_read)(uint8_t, uint16_t, uint8_t *);
    uint8_t (*debug_set)(uint8_t, uint16_t, bool, const uint8_t *, uint16_t);
    uint8_t (*debug_write)(uint8_t, uint16_t, const uint8_t *, uint16_t);
    char plugin_specific_config_file_path[256];
    int buffer_size;
    int bits_per_buffer;
    standin_log_t log_info;
    standin_log_t log_debug;
    standin_log_t log_warn;
    standin_log_t log_error;
    /* Writes that are applied at the next scan. */
    int (*journal_write_bool)(int, int, int, int);
    int (*journal_write_byte)(int, int, int);
    int (*journal_write_int)(int, int, int);
    int (*journal_write_dint)(int, int, unsigned int);
    int (*journal_write_lint)(int, int, unsigned long long);
    void (*request_plc_stop)(const char *);
    unsigned long long base_tick_ns;
    void (*request_plc_start)(const char *);
    void (*set_switch_position)(int); /* 0 stop, 1 run */
    int (*get_plc_state)(void);       /* 0 stopped, 1 running, 2 error */
} plugin_runtime_args_t;
#endif
