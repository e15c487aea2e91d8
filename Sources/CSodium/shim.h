#pragma once

#if !__has_include(<sodium.h>)
#error "libsodium's headers were not found: run scripts/setup (or make build, which does it)"
#endif

#include <sodium.h>

#if defined(__linux__)
#include <sys/prctl.h>

/// prctl is variadic, which Swift does not import: no core file and no tracing by other processes of the same user.
static inline int chorale_make_undumpable(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }
#else
static inline int chorale_make_undumpable(void) { return 0; }
#endif
