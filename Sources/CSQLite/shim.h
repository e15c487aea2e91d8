#pragma once

#if !__has_include(<sqlite3.h>)
#error "SQLite's headers were not found: run scripts/setup (or make build, which does it)"
#endif

#include <sqlite3.h>

// STRICT tables came with 3.37.0 (2021).
#if SQLITE_VERSION_NUMBER < 3037000
#error "SQLite is older than 3.37, which Chorale needs: install a newer one (libsqlite3-dev)"
#endif

/// sqlite3_db_config is variadic, which Swift does not import: switches an option on or off.
static inline int chorale_sqlite_switch(sqlite3 *database, int option, int on) { return sqlite3_db_config(database, option, on, (int *)0); }

// SQLITE_TRANSIENT is a cast of -1 to a function, which Swift does not import: SQLite copies the bytes before it returns.

static inline int chorale_sqlite_bind_text(sqlite3_stmt *statement, int index, const char *text, int byteCount) {
    return sqlite3_bind_text(statement, index, text, byteCount, SQLITE_TRANSIENT);
}

static inline int chorale_sqlite_bind_blob(sqlite3_stmt *statement, int index, const void *bytes, int byteCount) {
    // A null pointer would bind NULL, and an empty array may have one.
    return byteCount == 0 ? sqlite3_bind_zeroblob(statement, index, 0)
                          : sqlite3_bind_blob(statement, index, bytes, byteCount, SQLITE_TRANSIENT);
}
