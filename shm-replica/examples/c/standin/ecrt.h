/* In place of a fieldbus: a file that holds the process image of one drive, with the calls of IgH's
 * ecrt.h that a cyclic loop makes (their names and arguments as published; what they do here is ours).
 * The drive answers at once: its position becomes the target that it was sent. Like the real bus it
 * has one holder, and is free when that process has ended, however it ended. */
#ifndef STANDIN_ECRT_H
#define STANDIN_ECRT_H
#define _DEFAULT_SOURCE /* flock */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

typedef struct ec_master { int file; unsigned char image[8]; } ec_master_t;
typedef ec_master_t ec_domain_t;

static const char *standin_bus;

static inline ec_master_t *ecrt_request_master(unsigned int index)
{
    ec_master_t *bus = calloc(1, sizeof *bus);
    bus->file = open(standin_bus, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (index == 0 && bus->file >= 0 && flock(bus->file, LOCK_EX | LOCK_NB) == 0)
        return bus;
    if (bus->file >= 0)
        close(bus->file);
    free(bus);
    return NULL;
}

static inline ec_domain_t *ecrt_master_create_domain(ec_master_t *bus) { return bus; }
static inline int ecrt_master_activate(ec_master_t *bus) { return bus->file < 0; }
static inline uint8_t *ecrt_domain_data(const ec_domain_t *domain) { return (uint8_t *)domain->image; }

static inline int ecrt_master_receive(ec_master_t *bus)
{
    memset(bus->image, 0, sizeof bus->image);
    return pread(bus->file, bus->image, sizeof bus->image, 0) < 0;
}

static inline int ecrt_domain_process(ec_domain_t *domain)
{
    memcpy(domain->image, domain->image + 4, 4); /* the drive has moved */
    return 0;
}

static inline int ecrt_domain_queue(ec_domain_t *domain) { return domain == NULL; }
static inline int ecrt_master_send(ec_master_t *bus)
{
    return pwrite(bus->file, bus->image, sizeof bus->image, 0) < 0;
}

static inline int32_t EC_READ_S32(const uint8_t *at)
{
    int32_t value;
    memcpy(&value, at, 4);
    return value;
}
static inline void EC_WRITE_S32(uint8_t *at, int32_t value) { memcpy(at, &value, 4); }
#endif
