/* The wires between the plant and whoever controls it: a file that both map.
 * The plant says what it measures in a step; a controller answers with the step and its output. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#ifndef PLANT_H
#define PLANT_H
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

struct wires {
    uint64_t step;     /* what is measured now is of this step; UINT64_MAX at the end */
    double measured;
    uint64_t answered; /* the output is for this step */
    double output;
};

static inline struct wires *wires(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *at = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, sizeof(struct wires)) == 0)
        at = mmap(NULL, sizeof(struct wires), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return at == MAP_FAILED ? NULL : at;
}
#endif
