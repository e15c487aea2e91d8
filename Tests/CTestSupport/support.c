#include "CTestSupport.h"

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

int chorale_test_in_forked_child(int (*body)(const void *context), const void *context) {
    pid_t child = fork();
    if (child < 0) return -1;
    if (child == 0) {
        // Another thread's lock, held at the fork, would stop the child for good.
        alarm(20);
        _exit(body(context));
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
