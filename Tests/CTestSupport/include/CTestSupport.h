#pragma once

/// Calls `body` in a child made by `fork`, which Swift does not import, and returns what it returned (0 to 255).
///
/// The child leaves by `_exit` at once and is killed if it takes longer than 20 s; then, or without a child, the result is -1.
int chorale_test_in_forked_child(int (*body)(const void *context), const void *context);

/// Linux's PR_GET_DUMPABLE (`prctl` is variadic, which Swift does not import); -1 elsewhere.
int chorale_test_is_dumpable(void);
