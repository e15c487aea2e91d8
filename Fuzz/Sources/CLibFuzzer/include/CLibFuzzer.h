#pragma once

#include <stddef.h>
#include <stdint.h>

/// libFuzzer's own entry, for programs with a `main` of their own. `-sanitize=fuzzer` links it.
int LLVMFuzzerRunDriver(int *argument_count, char ***arguments, int (*test_one_input)(const uint8_t *bytes, size_t count));
