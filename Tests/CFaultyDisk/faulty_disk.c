#include "CFaultyDisk.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

struct chorale_faulty_disk {
    sqlite3_vfs vfs;
    sqlite3_vfs *system;
    char *name;
    atomic_long steps, step;
    atomic_int fault, keeps_synced;
};

typedef struct {
    sqlite3_file base;
    chorale_faulty_disk *disk;
    const char *path;
    sqlite3_file *real;
} faulty_file;

// --- Faults

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/// Counts a step; whether it is the one, or for lasting faults one behind it.
static int is_due(chorale_faulty_disk *disk) {
    long number = atomic_fetch_add(&disk->steps, 1) + 1, step = atomic_load(&disk->step);
    int fault = atomic_load(&disk->fault);
    return fault >= CHORALE_FAULT_NO_SPACE ? number >= step : fault != CHORALE_FAULT_NONE && number == step;
}

static void copy_file(const char *from, const char *to) {
    char bytes[65536];
    int source = open(from, O_RDONLY | O_CLOEXEC);
    int target = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t count;
    while (source >= 0 && target >= 0 && (count = read(source, bytes, sizeof bytes)) > 0)
        if (write(target, bytes, (size_t)count) != count) abort();
    if (source >= 0) close(source);
    if (target >= 0) close(target);
}

static void synced_path(const char *path, char *result, size_t size) { snprintf(result, size, "%s.synced", path); }

// --- Files

static sqlite3_file *real(sqlite3_file *file) { return ((faulty_file *)file)->real; }

static int close_file(sqlite3_file *file) { return real(file)->pMethods->xClose(real(file)); }
static int read_file(sqlite3_file *file, void *bytes, int count, sqlite3_int64 offset) {
    return real(file)->pMethods->xRead(real(file), bytes, count, offset);
}
static int write_file(sqlite3_file *file, const void *bytes, int count, sqlite3_int64 offset) {
    chorale_faulty_disk *disk = ((faulty_file *)file)->disk;
    int fault = is_due(disk) ? atomic_load(&disk->fault) : CHORALE_FAULT_NONE;
    if (fault == CHORALE_FAULT_KILL_BEFORE) die();
    if (fault == CHORALE_FAULT_KILL_WITHIN || fault == CHORALE_FAULT_NO_SPACE || fault == CHORALE_FAULT_BROKEN) {
        real(file)->pMethods->xWrite(real(file), bytes, count / 2, offset);
        if (fault == CHORALE_FAULT_KILL_WITHIN) die();
        errno = fault == CHORALE_FAULT_NO_SPACE ? ENOSPC : EIO;
        return fault == CHORALE_FAULT_NO_SPACE ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    }
    int code = real(file)->pMethods->xWrite(real(file), bytes, count, offset);
    if (fault == CHORALE_FAULT_KILL_AFTER) die();
    return code;
}
static int truncate_file(sqlite3_file *file, sqlite3_int64 size) {
    chorale_faulty_disk *disk = ((faulty_file *)file)->disk;
    int fault = is_due(disk) ? atomic_load(&disk->fault) : CHORALE_FAULT_NONE;
    if (fault == CHORALE_FAULT_KILL_BEFORE || fault == CHORALE_FAULT_KILL_WITHIN) die();
    int code = real(file)->pMethods->xTruncate(real(file), size);
    if (fault == CHORALE_FAULT_KILL_AFTER) die();
    return code;
}
static int sync_file(sqlite3_file *file, int flags) {
    chorale_faulty_disk *disk = ((faulty_file *)file)->disk;
    int fault = is_due(disk) ? atomic_load(&disk->fault) : CHORALE_FAULT_NONE;
    if (fault == CHORALE_FAULT_KILL_BEFORE || fault == CHORALE_FAULT_KILL_WITHIN) die();
    if (fault == CHORALE_FAULT_NO_SYNC) {
        errno = EIO;
        return SQLITE_IOERR_FSYNC;
    }
    int code = real(file)->pMethods->xSync(real(file), flags);
    const char *path = ((faulty_file *)file)->path;
    if (code == SQLITE_OK && path && atomic_load(&disk->keeps_synced)) {
        char copy[4096];
        synced_path(path, copy, sizeof copy);
        copy_file(path, copy);
    }
    if (fault == CHORALE_FAULT_KILL_AFTER) die();
    return code;
}
static int size_file(sqlite3_file *file, sqlite3_int64 *size) { return real(file)->pMethods->xFileSize(real(file), size); }
static int lock_file(sqlite3_file *file, int level) { return real(file)->pMethods->xLock(real(file), level); }
static int unlock_file(sqlite3_file *file, int level) { return real(file)->pMethods->xUnlock(real(file), level); }
static int check_lock(sqlite3_file *file, int *held) { return real(file)->pMethods->xCheckReservedLock(real(file), held); }
static int control_file(sqlite3_file *file, int operation, void *argument) {
    return real(file)->pMethods->xFileControl(real(file), operation, argument);
}
static int sector_size(sqlite3_file *file) { return real(file)->pMethods->xSectorSize(real(file)); }
static int characteristics(sqlite3_file *file) { return real(file)->pMethods->xDeviceCharacteristics(real(file)); }

// Version 1 has no shared memory: so a database that needs any does not work here.
static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_file,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = size_file,
    .xLock = lock_file,
    .xUnlock = unlock_file,
    .xCheckReservedLock = check_lock,
    .xFileControl = control_file,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
};

// --- The disk

static chorale_faulty_disk *disk_of(sqlite3_vfs *vfs) { return vfs->pAppData; }

static int open_file(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *flags_out) {
    chorale_faulty_disk *disk = disk_of(vfs);
    faulty_file *faulty = (faulty_file *)file;
    faulty->disk = disk;
    faulty->path = path;
    faulty->real = (sqlite3_file *)(faulty + 1);
    int code = disk->system->xOpen(disk->system, path, faulty->real, flags, flags_out);
    file->pMethods = faulty->real->pMethods ? &methods : NULL;
    return code;
}
static int delete_file(sqlite3_vfs *vfs, const char *path, int sync_folder) {
    chorale_faulty_disk *disk = disk_of(vfs);
    int fault = is_due(disk) ? atomic_load(&disk->fault) : CHORALE_FAULT_NONE;
    if (fault == CHORALE_FAULT_KILL_BEFORE || fault == CHORALE_FAULT_KILL_WITHIN) die();
    int code = disk->system->xDelete(disk->system, path, sync_folder);
    if (atomic_load(&disk->keeps_synced)) {
        char copy[4096];
        synced_path(path, copy, sizeof copy);
        unlink(copy);
    }
    if (fault == CHORALE_FAULT_KILL_AFTER) die();
    return code;
}
static int access_file(sqlite3_vfs *vfs, const char *path, int flags, int *result) {
    return disk_of(vfs)->system->xAccess(disk_of(vfs)->system, path, flags, result);
}
static int full_path(sqlite3_vfs *vfs, const char *path, int count, char *result) {
    return disk_of(vfs)->system->xFullPathname(disk_of(vfs)->system, path, count, result);
}
static int randomness(sqlite3_vfs *vfs, int count, char *bytes) {
    return disk_of(vfs)->system->xRandomness(disk_of(vfs)->system, count, bytes);
}
static int sleep_for(sqlite3_vfs *vfs, int microseconds) { return disk_of(vfs)->system->xSleep(disk_of(vfs)->system, microseconds); }
static int current_time(sqlite3_vfs *vfs, double *days) { return disk_of(vfs)->system->xCurrentTime(disk_of(vfs)->system, days); }
static int last_error(sqlite3_vfs *vfs, int count, char *text) {
    (void)vfs, (void)count, (void)text;
    return errno;
}

chorale_faulty_disk *chorale_faulty_disk_create(const char *name) {
    sqlite3_vfs *system = sqlite3_vfs_find(NULL);
    chorale_faulty_disk *disk = calloc(1, sizeof *disk);
    if (!system || !disk) return NULL;
    disk->system = system;
    disk->name = strdup(name);
    disk->vfs = (sqlite3_vfs){
        .iVersion = 1,
        .szOsFile = (int)sizeof(faulty_file) + system->szOsFile,
        .mxPathname = system->mxPathname,
        .zName = disk->name,
        .pAppData = disk,
        .xOpen = open_file,
        .xDelete = delete_file,
        .xAccess = access_file,
        .xFullPathname = full_path,
        .xRandomness = randomness,
        .xSleep = sleep_for,
        .xCurrentTime = current_time,
        .xGetLastError = last_error,
    };
    return sqlite3_vfs_register(&disk->vfs, 0) == SQLITE_OK ? disk : NULL;
}

void chorale_faulty_disk_arm(chorale_faulty_disk *disk, int fault, long step) {
    atomic_store(&disk->fault, CHORALE_FAULT_NONE);
    atomic_store(&disk->steps, 0);
    atomic_store(&disk->step, step);
    atomic_store(&disk->fault, fault);
}

long chorale_faulty_disk_steps(const chorale_faulty_disk *disk) { return atomic_load(&disk->steps); }

void chorale_faulty_disk_keep_synced(chorale_faulty_disk *disk) { atomic_store(&disk->keeps_synced, 1); }
