#include "group.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

void baseline_random32(uint8_t *bytes) { randombytes_buf(bytes, 32); }

static void *copied(const void *bytes, size_t count) {
    void *copy = malloc(count);
    if (copy) memcpy(copy, bytes, count);
    return copy;
}

static int filled(baseline_group *group, const uint8_t *keys33, const uint8_t *nonces66, const uint8_t *partials32,
                  const uint8_t *message32, const uint8_t *secret32) {
    size_t n = group->n;
    secp256k1_context *context = group->context;
    group->keys33 = copied(keys33, n * 33);
    group->nonces66 = copied(nonces66, n * 66);
    group->partials32 = copied(partials32, n * 32);
    group->message32 = copied(message32, 32);
    memcpy(group->secret, secret32, 32);
    group->keys = calloc(n, sizeof *group->keys);
    group->key_pointers = calloc(n, sizeof *group->key_pointers);
    group->nonces = calloc(n, sizeof *group->nonces);
    group->nonce_pointers = calloc(n, sizeof *group->nonce_pointers);
    group->partials = calloc(n, sizeof *group->partials);
    group->partial_pointers = calloc(n, sizeof *group->partial_pointers);
    for (size_t i = 0; i < n; i++) {
        if (!secp256k1_ec_pubkey_parse(context, &group->keys[i], keys33 + 33 * i, 33)) return 0;
        if (!secp256k1_musig_pubnonce_parse(context, &group->nonces[i], nonces66 + 66 * i)) return 0;
        if (!secp256k1_musig_partial_sig_parse(context, &group->partials[i], partials32 + 32 * i)) return 0;
        group->key_pointers[i] = &group->keys[i];
        group->nonce_pointers[i] = &group->nonces[i];
        group->partial_pointers[i] = &group->partials[i];
    }
    return secp256k1_keypair_create(context, &group->key_pair, secret32)
        && secp256k1_musig_pubkey_agg(context, &group->aggregate_x_only, &group->cache, group->key_pointers, n)
        && secp256k1_musig_pubkey_get(context, &group->aggregate, &group->cache)
        && secp256k1_musig_nonce_agg(context, &group->aggregate_nonce, group->nonce_pointers, n)
        && secp256k1_musig_aggnonce_serialize(context, group->aggregate_nonce66, &group->aggregate_nonce)
        && secp256k1_musig_nonce_process(context, &group->session, &group->aggregate_nonce, message32, &group->cache)
        && secp256k1_musig_partial_sig_agg(context, group->signature, &group->session, group->partial_pointers, n)
        && secp256k1_schnorrsig_verify(context, group->signature, message32, 32, &group->aggregate_x_only);
}

baseline_group *baseline_group_create(
    size_t n, const uint8_t *keys33, const uint8_t *nonces66, const uint8_t *partials32, const uint8_t *message32,
    const uint8_t *secret32) {
    baseline_group *group = calloc(1, sizeof *group);
    if (!group) return NULL;
    group->n = n;
    group->own = n - 1;
    group->context = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    uint8_t seed[32];
    if (sodium_init() < 0) return NULL;
    baseline_random32(seed);
    if (!secp256k1_context_randomize(group->context, seed)
        || !filled(group, keys33, nonces66, partials32, message32, secret32)) {
        baseline_group_destroy(group);
        return NULL;
    }
    return group;
}

void baseline_group_destroy(baseline_group *group) {
    secp256k1_context_destroy(group->context);
    void *owned[] = {group->keys33, group->nonces66, group->partials32, group->message32, group->keys, group->key_pointers,
                     group->nonces, group->nonce_pointers, group->partials, group->partial_pointers, group->secret_nonces,
                     group->own_nonces, group->sessions};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
    sodium_memzero(group, sizeof *group);
    free(group);
}
