/* Claims 64 processors, as a large host shows them to a small container. */
#define _GNU_SOURCE
#include <sched.h>
#include <string.h>

int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set) {
    (void)pid;
    memset(set, 0, size);
    for (int processor = 0; processor < 64; processor++)
        CPU_SET_S(processor, size, set);
    return 0;
}
