#pragma once

#include <stddef.h>

/// Whether a child made by `fork`, which Swift does not import, reads `value` in every byte of the range: 1 or 0.
///
/// Without a child, or when it was killed, the result is -1. The child runs C only: another thread of the parent may have held
/// a lock of Swift's runtime at the fork.
int chorale_test_forked_child_reads(const void *start, size_t count, unsigned char value);

/// Linux's PR_GET_DUMPABLE (`prctl` is variadic, which Swift does not import); -1 elsewhere.
int chorale_test_is_dumpable(void);

/// Lets this process lock at most `byteCount` bytes from now on; a root process becomes nobody, for root has no limit.
/// 0 when it worked.
int chorale_test_limit_locked_memory(size_t byteCount);

/// Allows core dumps of this process where the machine does; what it answers is no matter.
void chorale_test_allow_core_dumps(void);

/// Whether both the soft and the hard limit on core dumps are 0: 1 or 0.
int chorale_test_core_dumps_are_forbidden(void);

/// Whether a sanitizer is built in: 1 or 0. Sanitizers answer `mlock` themselves and lock nothing.
int chorale_test_is_sanitized(void);
