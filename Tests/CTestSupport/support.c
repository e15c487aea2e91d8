#include "CTestSupport.h"

#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

int chorale_test_forked_child_reads(const void *start, size_t count, unsigned char value) {
    pid_t child = fork();
    if (child < 0) return -1;
    if (child == 0) {
        const unsigned char *bytes = start;
        for (size_t index = 0; index < count; index++) {
            if (bytes[index] != value) _exit(0);
        }
        _exit(1);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
    return WEXITSTATUS(status);
}

int chorale_test_is_dumpable(void) {
#if defined(__linux__)
    return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
#else
    return -1;
#endif
}

int chorale_test_limit_locked_memory(size_t byteCount) {
    struct rlimit limit = {byteCount, byteCount};
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0) return -1;
    if (getuid() != 0) return 0;
    return setgid(65534) == 0 && setuid(65534) == 0 ? 0 : -1;
}

void chorale_test_allow_core_dumps(void) {
    struct rlimit limit = {4096, 4096};
    (void)setrlimit(RLIMIT_CORE, &limit);
}

int chorale_test_core_dumps_are_forbidden(void) {
    struct rlimit limit;
    return getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0 && limit.rlim_max == 0;
}

int chorale_test_is_sanitized(void) {
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return 1;
#else
    return 0;
#endif
}
