#pragma once

#if !__has_include(<sodium.h>)
#error "libsodium's headers were not found: run scripts/setup (or make build, which does it)"
#endif

#include <sodium.h>
