// The MuSig2 operations as a C programmer writes them: libsecp256k1's calls, in loops of their own, on the same public data as
// the Swift side. Every function returns 1 when all its calls succeeded.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// What a group of n signers has after both rounds, in libsecp256k1's structures.
typedef struct baseline_group baseline_group;

/// Arrays lie end to end, one item a signer. `secret` is the last signer's key: it is he who signs. NULL when anything is not valid.
baseline_group *baseline_group_create(
    size_t n, const uint8_t *keys33, const uint8_t *nonces66, const uint8_t *partials32, const uint8_t *message32,
    const uint8_t *secret32);
void baseline_group_destroy(baseline_group *group);

// Keys
int baseline_public_key_parse(baseline_group *group, size_t iterations);
int baseline_public_key_serialize(baseline_group *group, size_t iterations);
int baseline_key_aggregation(baseline_group *group, size_t iterations);
int baseline_plain_tweak(baseline_group *group, size_t iterations);
int baseline_x_only_tweak(baseline_group *group, size_t iterations);
int baseline_taproot_tweak(baseline_group *group, size_t iterations);

// Round 1. The random bytes of a nonce come from the system, as they do on the Swift side.
int baseline_nonce_generation(baseline_group *group, size_t iterations);
int baseline_public_nonce_parse(baseline_group *group, size_t iterations);
int baseline_public_nonce_serialize(baseline_group *group, size_t iterations);
int baseline_nonce_aggregation(baseline_group *group, size_t iterations);
int baseline_aggregate_nonce_parse(baseline_group *group, size_t iterations);
int baseline_aggregate_nonce_serialize(baseline_group *group, size_t iterations);

// Round 2
int baseline_context(baseline_group *group, size_t iterations);
int baseline_context_of_aggregate(baseline_group *group, size_t iterations);
/// Makes the secret nonces that the next `baseline_sign` of as many iterations spends, and a session with each.
int baseline_sign_prepare(baseline_group *group, size_t iterations);
/// Signs, and verifies the own partial signature.
int baseline_sign(baseline_group *group, size_t iterations);
int baseline_partial_verify(baseline_group *group, size_t iterations);
int baseline_partial_parse(baseline_group *group, size_t iterations);
int baseline_partial_serialize(baseline_group *group, size_t iterations);

// The end
int baseline_aggregate(baseline_group *group, size_t iterations);
/// Aggregates and verifies the signature once.
int baseline_finish(baseline_group *group, size_t iterations);
int baseline_verify_all(baseline_group *group, size_t threads);

/// Everything that one signer computes: nonce, the others' 66 bytes parsed, context, partial signature with its verification,
/// the others' 32 bytes parsed, aggregate, one Schnorr verification.
int baseline_session(baseline_group *group, size_t iterations);

// Schnorr
int baseline_schnorr_verify(baseline_group *group, size_t iterations);
/// Signs with fresh auxiliary randomness and verifies, as BIP-340 recommends.
int baseline_schnorr_sign(baseline_group *group, size_t iterations);

/// The x-only aggregates of all k-subsets of the group's keys, 32 bytes each, on `threads` threads.
int baseline_subsets(baseline_group *group, size_t k, size_t threads, uint8_t *aggregates32);

/// SHA-256 of `count` bytes.
int baseline_sha256(const uint8_t *bytes, size_t count, size_t iterations, uint8_t *digest32);

/// ChaCha20-Poly1305 of `count` bytes, with nonces from 0 on as Noise counts them; `target` has 16 bytes more.
int baseline_chacha20poly1305(const uint8_t *bytes, size_t count, const uint8_t *key32, size_t iterations, uint8_t *target);

/// CPU time of this thread, in nanoseconds.
uint64_t baseline_thread_nanoseconds(void);
/// CPU time of all threads of this process, in nanoseconds.
uint64_t baseline_process_nanoseconds(void);
/// Time on the wall, in nanoseconds.
uint64_t baseline_wall_nanoseconds(void);
/// Bytes of this process that are in memory; 0 where the system does not say.
uint64_t baseline_resident_byte_count(void);
const char *baseline_sodium_version(void);
