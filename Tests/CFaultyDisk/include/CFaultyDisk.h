#pragma once

/// SQLite's access to files, with faults: the system's own, that counts each step which changes a file, and fails at one.
///
/// A step is a write, a truncation, a synchronisation or a removal. Each disk has a name of its own, and stays until the process ends.
typedef struct chorale_faulty_disk chorale_faulty_disk;

enum chorale_fault {
    CHORALE_FAULT_NONE = 0,
    /// The process is killed before the step.
    CHORALE_FAULT_KILL_BEFORE = 1,
    /// The process is killed when half of a write's bytes are there; other steps are not taken.
    CHORALE_FAULT_KILL_WITHIN = 2,
    /// The process is killed after the step.
    CHORALE_FAULT_KILL_AFTER = 3,
    /// From the step on, writes find no room after half of their bytes.
    CHORALE_FAULT_NO_SPACE = 4,
    /// From the step on, nothing can be made durable.
    CHORALE_FAULT_NO_SYNC = 5,
    /// From the step on, writes fail as on a broken disk.
    CHORALE_FAULT_BROKEN = 6,
};

/// Makes a disk that SQLite knows by the name; null when it does not take it.
chorale_faulty_disk *chorale_faulty_disk_create(const char *name);

/// What happens at the step, counted from 1 from now on. With CHORALE_FAULT_NONE all goes well again.
void chorale_faulty_disk_arm(chorale_faulty_disk *disk, int fault, long step);

/// Steps since the disk was made or last armed.
long chorale_faulty_disk_steps(const chorale_faulty_disk *disk);

/// From now on each file gets a copy beside it whenever it is synchronised, with ".synced" behind its name: what is there after a power
/// cut that takes all that was not made durable.
void chorale_faulty_disk_keep_synced(chorale_faulty_disk *disk);
