/*
 * Loaded into a chorale process with LD_PRELOAD. Does four things, all told by environment variables:
 *
 *   KILL_AT=n KILL_HOW=before|after|half   ends the process with SIGKILL at its n-th durable step: right before the call, right
 *                                          after it, or, for a write, after the first half of its bytes
 *   KILL_STEP="CALL TEXT"                  counts only steps whose call begins so, about a path with this text in it
 *   KILL_LOG=FILE                          adds a line to the file before such an end: the step's call, and the path it is about
 *   RELEASE_LOG=FOLDER                     keeps a copy of every file that gets its name in the exchange folder, even of one that is
 *                                          replaced a moment later
 *   CLOCK_JUMP=FILE                        the time of day is an hour ahead for as long as the file exists
 *   CONNECT_ONLY=PORT                      there is no way to any other port of any host, as behind a firewall
 *
 * Durable steps are the calls that change what a crash leaves behind: mkdir, link, linkat, rename, unlink, fsync, fdatasync,
 * ftruncate, and pwrite, with which all files are written.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static atomic_long step_count;

/* Read once, before any thread runs: the process changes its environment when it has taken its passphrase. */
static long kill_at, connect_only;
static char how[16], kill_call[32], kill_text[256], release_log[1024], kill_log[1024], clock_jump[1024];

static void copy(char *target, size_t size, const char *name) {
    const char *value = getenv(name);
    snprintf(target, size, "%s", value ? value : "");
}

__attribute__((constructor)) static void prepare(void) {
    const char *at = getenv("KILL_AT");
    kill_at = at ? atol(at) : 0;
    const char *port = getenv("CONNECT_ONLY");
    connect_only = port ? atol(port) : 0;
    copy(how, sizeof how, "KILL_HOW");
    const char *step = getenv("KILL_STEP");
    if (step && sscanf(step, "%31s %255s", kill_call, kill_text) != 2) abort();
    copy(release_log, sizeof release_log, "RELEASE_LOG");
    copy(kill_log, sizeof kill_log, "KILL_LOG");
    copy(clock_jump, sizeof clock_jump, "CLOCK_JUMP");
}

/* What the step is about: a path, or a file that is open. */
struct subject { const char *call, *path; int file; };

static void find_path(struct subject subject, char *path, size_t size) {
    path[0] = 0;
    if (subject.path) {
        snprintf(path, size, "%s", subject.path);
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", subject.file);
        ssize_t count = readlink(link, path, size - 1);
        path[count > 0 ? count : 0] = 0;
    }
}

static void end_now(struct subject subject) {
    char path[1024];
    find_path(subject, path, sizeof path);
    FILE *log = kill_log[0] ? fopen(kill_log, "a") : NULL;
    if (log) {
        fprintf(log, "%s %s\n", subject.call, path);
        fclose(log);
    }
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* The number of this step, or 0 where it is none of those that are counted. */
static long count_step(struct subject subject) {
    if (!kill_at) return 0;
    if (kill_call[0]) {
        char path[1024];
        find_path(subject, path, sizeof path);
        if (strncmp(kill_call, subject.call, strlen(kill_call)) || !strstr(path, kill_text)) return 0;
    }
    return atomic_fetch_add(&step_count, 1) + 1;
}

/* Whether the process is to end here. Every step is counted once; the same number is asked for before its call and after. */
static int is_due(long step, const char *where) { return step && step == kill_at && !strcmp(how, where); }

static void reach(long step, const char *where, struct subject subject) {
    if (is_due(step, where)) end_now(subject);
}

/* The function that the program would have called without this library. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* --- The log of what was released --- */

/*
 * Copies the file as a .about, before it gets its name; `settle` takes the ending away when it has it. What a kill interrupts between
 * the two may have been released or not: the checks look whether it lies in the folder.
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
    char part[3072], about[3072];
    snprintf(part, sizeof part, "%s.part", kept);
    snprintf(about, sizeof about, "%s.about", kept);
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
    REAL(rename)(part, about);
}

/* A name that was not given released nothing; one that was given is looked for until it is seen. */
static void settle(char *kept, size_t kept_size, const char *target, int result) {
    char about[3072];
    if (result == 0)
        for (int tries = 0; !kept[0] && release_log[0] && strstr(target, "/chorale-") && tries < 1000; tries++) {
            keep(target, target, kept, kept_size);
            if (!kept[0]) usleep(1000);
        }
    if (!kept[0]) return;
    snprintf(about, sizeof about, "%s.about", kept);
    if (result == 0) REAL(rename)(about, kept);
    else REAL(unlink)(about);
}

/* --- The calls --- */

#define STEP(name, path, file, call)                      \
    struct subject subject = {#name, path, file};         \
    long step = count_step(subject);                      \
    reach(step, "before", subject);                       \
    call;                                                 \
    int code = errno;                                     \
    reach(step, "after", subject);                        \
    errno = code;                                         \
    return result

int mkdir(const char *path, mode_t mode) { STEP(mkdir, path, -1, int result = REAL(mkdir)(path, mode)); }
int unlink(const char *path) { STEP(unlink, path, -1, int result = REAL(unlink)(path)); }
int fsync(int file) { STEP(fsync, NULL, file, int result = REAL(fsync)(file)); }
int fdatasync(int file) { STEP(fdatasync, NULL, file, int result = REAL(fdatasync)(file)); }
int ftruncate(int file, off_t size) { STEP(ftruncate, NULL, file, int result = REAL(ftruncate)(file, size)); }

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
    STEP(link, new_path, -1, int result = named(REAL(link), path, new_path));
}

/* How a file without a name gets one: through its descriptor, which `path` names under /proc. */
static int linkat_descriptor(const char *path, const char *new_path) {
    return REAL(linkat)(AT_FDCWD, path, AT_FDCWD, new_path, AT_SYMLINK_FOLLOW);
}

int linkat(int folder, const char *path, int new_folder, const char *new_path, int flags) {
    if (folder != AT_FDCWD || new_folder != AT_FDCWD || flags != AT_SYMLINK_FOLLOW) abort();
    STEP(linkat, new_path, -1, int result = named(linkat_descriptor, path, new_path));
}

int rename(const char *path, const char *new_path) {
    STEP(rename, new_path, -1, int result = named(REAL(rename), path, new_path));
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
    struct subject subject = {"pwrite", NULL, file};
    long step = count_step(subject);
    reach(step, "before", subject);
    if (is_due(step, "half")) {
        REAL(pwrite)(file, bytes, count / 2, offset);
        end_now(subject);
    }
    ssize_t result = REAL(pwrite)(file, bytes, count, offset);
    int code = errno;
    reach(step, "after", subject);
    errno = code;
    return result;
}

/* --- The clock --- */

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = REAL(clock_gettime)(clock, time);
    if (result == 0 && clock == CLOCK_REALTIME && clock_jump[0] && access(clock_jump, F_OK) == 0) time->tv_sec += 3600;
    return result;
}

/* --- The network --- */

int connect(int socket, __CONST_SOCKADDR_ARG address, socklen_t size) {
    sa_family_t family = address.__sockaddr__->sa_family;
    long port = family == AF_INET    ? ntohs(address.__sockaddr_in__->sin_port)
                : family == AF_INET6 ? ntohs(address.__sockaddr_in6__->sin6_port)
                                     : -1;
    if (connect_only && port >= 0 && port != connect_only) {
        errno = ENETUNREACH;
        return -1;
    }
    return REAL(connect)(socket, address, size);
}
