// The work that is spread over cores: workers take the next piece from a common counter.
#include "group.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef struct {
    baseline_group *group;
    atomic_size_t next, failures;
    size_t count, piece;
    // For subsets only
    size_t k;
    uint8_t *aggregates32;
} work;

static int run(work *work, void *(*worker)(void *), size_t threads) {
    pthread_t *others = calloc(threads, sizeof *others);
    for (size_t i = 1; i < threads; i++) pthread_create(&others[i], NULL, worker, work);
    worker(work);
    for (size_t i = 1; i < threads; i++) pthread_join(others[i], NULL);
    free(others);
    return atomic_load(&work->failures) == 0;
}

static size_t end_of_piece(const work *work, size_t start) {
    return start + work->piece < work->count ? start + work->piece : work->count;
}

static void *verify_pieces(void *argument) {
    work *work = argument;
    baseline_group *group = work->group;
    size_t start;
    while ((start = atomic_fetch_add(&work->next, work->piece)) < work->count) {
        for (size_t i = start; i < end_of_piece(work, start); i++) {
            if (!secp256k1_musig_partial_sig_verify(
                    group->context, &group->partials[i], &group->nonces[i], &group->keys[i], &group->cache, &group->session))
                atomic_fetch_add(&work->failures, 1);
        }
    }
    return NULL;
}

int baseline_verify_all(baseline_group *group, size_t threads) {
    work work = {.group = group, .count = group->n, .piece = 16};
    return run(&work, verify_pieces, threads);
}

// --- Subsets -------------------------------------------------------------------------------------------------------

static size_t binomial(size_t n, size_t k) {
    size_t result = 1;
    for (size_t i = 1; i <= k; i++) result = result * (n - k + i) / i;
    return result;
}

/// The subset at a position of the lexicographic list.
static void subset_at(size_t rank, size_t n, size_t k, size_t *subset) {
    size_t candidate = 0;
    for (size_t place = 0; place < k; place++, candidate++) {
        size_t ways;
        while (rank >= (ways = binomial(n - candidate - 1, k - place - 1))) {
            rank -= ways;
            candidate++;
        }
        subset[place] = candidate;
    }
}

static void advance(size_t n, size_t k, size_t *subset) {
    size_t place = k;
    while (place > 0 && subset[place - 1] == n - k + place - 1) place--;
    if (place == 0) return;
    subset[place - 1]++;
    for (; place < k; place++) subset[place] = subset[place - 1] + 1;
}

static void *aggregate_pieces(void *argument) {
    work *work = argument;
    baseline_group *group = work->group;
    size_t k = work->k, start;
    size_t *subset = calloc(k, sizeof *subset);
    const secp256k1_pubkey **members = calloc(k, sizeof *members);
    while ((start = atomic_fetch_add(&work->next, work->piece)) < work->count) {
        subset_at(start, group->n, k, subset);
        for (size_t i = start; i < end_of_piece(work, start); i++) {
            secp256k1_xonly_pubkey aggregate;
            for (size_t place = 0; place < k; place++) members[place] = &group->keys[subset[place]];
            if (!secp256k1_musig_pubkey_agg(group->context, &aggregate, NULL, members, k)
                || !secp256k1_xonly_pubkey_serialize(group->context, work->aggregates32 + 32 * i, &aggregate))
                atomic_fetch_add(&work->failures, 1);
            advance(group->n, k, subset);
        }
    }
    free(subset);
    free(members);
    return NULL;
}

int baseline_subsets(baseline_group *group, size_t k, size_t threads, uint8_t *aggregates32) {
    work work = {.group = group, .count = binomial(group->n, k), .piece = 700 / k + 1, .k = k, .aggregates32 = aggregates32};
    return run(&work, aggregate_pieces, threads);
}
