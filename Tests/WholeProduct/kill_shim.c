/*
 * Loaded into a chorale process with LD_PRELOAD. Does two things, both told by environment variables:
 *
 *   KILL_AT=n KILL_HOW=before|after|half   ends the process with SIGKILL at its n-th durable step: right before the call, right
 *                                          after it, or, for a write, after the first half of its bytes
 *   RELEASE_LOG=FOLDER                     keeps a copy of every file that gets its name in the exchange folder, even of one that is
 *                                          replaced a moment later
 *
 * Durable steps are the calls that change what a crash leaves behind: mkdir, link, linkat, rename, unlink, fsync, fdatasync,
 * ftruncate, and pwrite, with which all files are written.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long step_count;

/* Read once, before any thread runs: the process changes its environment when it has taken its passphrase. */
static long kill_at;
static char how[16], release_log[1024];

static void copy(char *target, size_t size, const char *name) {
    const char *value = getenv(name);
    snprintf(target, size, "%s", value ? value : "");
}

__attribute__((constructor)) static void prepare(void) {
    const char *at = getenv("KILL_AT");
    kill_at = at ? atol(at) : 0;
    copy(how, sizeof how, "KILL_HOW");
    copy(release_log, sizeof release_log, "RELEASE_LOG");
}

static void end_now(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Whether the process is to end here. Every step is counted once; the same number is asked for before its call and after. */
static int is_due(long step, const char *where) { return step == kill_at && !strcmp(how, where); }

static void reach(long step, const char *where) {
    if (is_due(step, where)) end_now();
}

/* The function that the program would have called without this library. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* --- The log of what was released --- */

/*
 * Copies the file, before it gets its name: what a kill interrupts here was never released, and is left as a .part.
 * Between the two a kill leaves a copy of what was about to be released, which the checks count as released.
 */
static void keep(const char *source, const char *target, char *kept, size_t kept_size) {
    static atomic_long number;
    kept[0] = 0;
    /* The last folder of this name on the way is the request's. */
    const char *inside = NULL;
    for (const char *next = target; (next = strstr(next, "/chorale-")); next++) inside = next;
    if (!release_log[0] || !inside) return;
    char name[1024];
    snprintf(name, sizeof name, "%s", inside + 1);
    for (char *c = name; *c; c++) if (*c == '/') *c = '+';
    snprintf(kept, kept_size, "%s/%ld-%ld-%s", release_log, (long)getpid(), (long)atomic_fetch_add(&number, 1), name);
    char part[3072];
    snprintf(part, sizeof part, "%s.part", kept);
    int from = open(source, O_RDONLY | O_CLOEXEC);
    if (from < 0) {
        /* The folder is away this very moment; `settle` looks again if the call succeeds all the same. */
        kept[0] = 0;
        return;
    }
    int to = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    char buffer[65536];
    ssize_t count;
    while (to >= 0 && (count = read(from, buffer, sizeof buffer)) > 0)
        if (write(to, buffer, (size_t)count) != count) abort();
    close(from);
    if (to >= 0) close(to);
    REAL(rename)(part, kept);
}

/* A name that was not given released nothing; one that was given is looked for until it is seen. */
static void settle(char *kept, size_t kept_size, const char *target, int result) {
    if (result != 0) {
        if (kept[0]) REAL(unlink)(kept);
        return;
    }
    for (int tries = 0; !kept[0] && release_log[0] && strstr(target, "/chorale-") && tries < 1000; tries++) {
        keep(target, target, kept, kept_size);
        if (!kept[0]) usleep(1000);
    }
}

/* --- The calls --- */

#define STEP(call)                                      \
    long step = atomic_fetch_add(&step_count, 1) + 1;   \
    reach(step, "before");                              \
    call;                                               \
    int code = errno;                                   \
    reach(step, "after");                               \
    errno = code;                                       \
    return result

int mkdir(const char *path, mode_t mode) { STEP(int result = REAL(mkdir)(path, mode)); }
int unlink(const char *path) { STEP(int result = REAL(unlink)(path)); }
int fsync(int file) { STEP(int result = REAL(fsync)(file)); }
int fdatasync(int file) { STEP(int result = REAL(fdatasync)(file)); }
int ftruncate(int file, off_t size) { STEP(int result = REAL(ftruncate)(file, size)); }

/* Calls link, linkat or rename, with the log around it. */
static int named(int (*call)(const char *, const char *), const char *path, const char *new_path) {
    char kept[2048];
    keep(path, new_path, kept, sizeof kept);
    int result = call(path, new_path);
    int code = errno;
    settle(kept, sizeof kept, new_path, result);
    errno = code;
    return result;
}

int link(const char *path, const char *new_path) {
    STEP(int result = named(REAL(link), path, new_path));
}

/* How a file without a name gets one: through its descriptor, which `path` names under /proc. */
static int linkat_descriptor(const char *path, const char *new_path) {
    return REAL(linkat)(AT_FDCWD, path, AT_FDCWD, new_path, AT_SYMLINK_FOLLOW);
}

int linkat(int folder, const char *path, int new_folder, const char *new_path, int flags) {
    if (folder != AT_FDCWD || new_folder != AT_FDCWD || flags != AT_SYMLINK_FOLLOW) abort();
    STEP(int result = named(linkat_descriptor, path, new_path));
}

int rename(const char *path, const char *new_path) {
    STEP(int result = named(REAL(rename), path, new_path));
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
    long step = atomic_fetch_add(&step_count, 1) + 1;
    reach(step, "before");
    if (is_due(step, "half")) {
        REAL(pwrite)(file, bytes, count / 2, offset);
        end_now();
    }
    ssize_t result = REAL(pwrite)(file, bytes, count, offset);
    int code = errno;
    reach(step, "after");
    errno = code;
    return result;
}
