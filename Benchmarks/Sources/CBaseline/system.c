#include "CBaseline.h"

#include <sodium.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int baseline_sha256(const uint8_t *bytes, size_t count, size_t iterations, uint8_t *digest32) {
    int done = 1;
    for (size_t i = 0; i < iterations; i++) done &= crypto_hash_sha256(digest32, bytes, count) == 0;
    return done;
}

int baseline_chacha20poly1305(const uint8_t *bytes, size_t count, const uint8_t *key32, size_t iterations, uint8_t *target) {
    int done = 1;
    for (size_t i = 0; i < iterations; i++) {
        uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES] = {0};
        for (size_t place = 0; place < 8; place++) nonce[4 + place] = (uint8_t)(i >> (8 * place));
        done &= crypto_aead_chacha20poly1305_ietf_encrypt(target, NULL, bytes, count, NULL, 0, NULL, nonce, key32) == 0;
    }
    return done;
}

static uint64_t nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t baseline_thread_nanoseconds(void) { return nanoseconds(CLOCK_THREAD_CPUTIME_ID); }
uint64_t baseline_process_nanoseconds(void) { return nanoseconds(CLOCK_PROCESS_CPUTIME_ID); }
uint64_t baseline_wall_nanoseconds(void) { return nanoseconds(CLOCK_MONOTONIC); }

uint64_t baseline_resident_byte_count(void) {
    unsigned long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file) return 0;
    int fields = fscanf(file, "%lu %lu", &pages, &resident);
    fclose(file);
    return fields == 2 ? (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

const char *baseline_sodium_version(void) { return sodium_version_string(); }
