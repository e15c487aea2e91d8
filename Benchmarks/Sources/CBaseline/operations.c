#include "group.h"

#include <stdlib.h>

#define REPEAT for (size_t i = 0; i < iterations; i++)

// --- Keys ----------------------------------------------------------------------------------------------------------

int baseline_public_key_parse(baseline_group *group, size_t iterations) {
    int done = 1;
    secp256k1_pubkey key;
    REPEAT done &= secp256k1_ec_pubkey_parse(group->context, &key, group->keys33 + 33 * (i % group->n), 33);
    return done;
}

int baseline_public_key_serialize(baseline_group *group, size_t iterations) {
    int done = 1;
    uint8_t bytes[33];
    REPEAT {
        size_t count = sizeof bytes;
        done &= secp256k1_ec_pubkey_serialize(
            group->context, bytes, &count, &group->keys[i % group->n], SECP256K1_EC_COMPRESSED);
    }
    return done;
}

int baseline_key_aggregation(baseline_group *group, size_t iterations) {
    int done = 1;
    secp256k1_musig_keyagg_cache cache;
    secp256k1_pubkey aggregate;
    REPEAT {
        done &= secp256k1_musig_pubkey_agg(group->context, NULL, &cache, group->key_pointers, group->n);
        done &= secp256k1_musig_pubkey_get(group->context, &aggregate, &cache);
    }
    return done;
}

int baseline_plain_tweak(baseline_group *group, size_t iterations) {
    int done = 1;
    secp256k1_pubkey key;
    REPEAT {
        secp256k1_musig_keyagg_cache cache = group->cache;
        done &= secp256k1_musig_pubkey_ec_tweak_add(group->context, &key, &cache, group->message32);
    }
    return done;
}

int baseline_x_only_tweak(baseline_group *group, size_t iterations) {
    int done = 1;
    secp256k1_pubkey key;
    REPEAT {
        secp256k1_musig_keyagg_cache cache = group->cache;
        done &= secp256k1_musig_pubkey_xonly_tweak_add(group->context, &key, &cache, group->message32);
    }
    return done;
}

int baseline_taproot_tweak(baseline_group *group, size_t iterations) {
    static const char tag[] = "TapTweak";
    int done = 1;
    REPEAT {
        secp256k1_musig_keyagg_cache cache = group->cache;
        secp256k1_xonly_pubkey x_only;
        secp256k1_pubkey key;
        uint8_t bytes[32], tweak[32];
        done &= secp256k1_xonly_pubkey_from_pubkey(group->context, &x_only, NULL, &group->aggregate);
        done &= secp256k1_xonly_pubkey_serialize(group->context, bytes, &x_only);
        done &= secp256k1_tagged_sha256(group->context, tweak, (const uint8_t *)tag, sizeof tag - 1, bytes, sizeof bytes);
        done &= secp256k1_musig_pubkey_xonly_tweak_add(group->context, &key, &cache, tweak);
    }
    return done;
}

// --- Round 1 -------------------------------------------------------------------------------------------------------

static int make_nonce(baseline_group *group, secp256k1_musig_secnonce *secret, secp256k1_musig_pubnonce *nonce) {
    uint8_t random[32];
    baseline_random32(random);
    return secp256k1_musig_nonce_gen(
        group->context, secret, nonce, random, group->secret, &group->keys[group->own], group->message32, &group->cache,
        group->message32);
}

int baseline_nonce_generation(baseline_group *group, size_t iterations) {
    int done = 1;
    secp256k1_musig_secnonce secret;
    secp256k1_musig_pubnonce nonce;
    REPEAT done &= make_nonce(group, &secret, &nonce);
    return done;
}

int baseline_public_nonce_parse(baseline_group *group, size_t iterations) {
    int done = 1;
    secp256k1_musig_pubnonce nonce;
    REPEAT done &= secp256k1_musig_pubnonce_parse(group->context, &nonce, group->nonces66 + 66 * (i % group->n));
    return done;
}

int baseline_public_nonce_serialize(baseline_group *group, size_t iterations) {
    int done = 1;
    uint8_t bytes[66];
    REPEAT done &= secp256k1_musig_pubnonce_serialize(group->context, bytes, &group->nonces[i % group->n]);
    return done;
}

int baseline_nonce_aggregation(baseline_group *group, size_t iterations) {
    int done = 1;
    secp256k1_musig_aggnonce aggregate;
    REPEAT done &= secp256k1_musig_nonce_agg(group->context, &aggregate, group->nonce_pointers, group->n);
    return done;
}

int baseline_aggregate_nonce_parse(baseline_group *group, size_t iterations) {
    int done = 1;
    secp256k1_musig_aggnonce aggregate;
    REPEAT done &= secp256k1_musig_aggnonce_parse(group->context, &aggregate, group->aggregate_nonce66);
    return done;
}

int baseline_aggregate_nonce_serialize(baseline_group *group, size_t iterations) {
    int done = 1;
    uint8_t bytes[66];
    REPEAT done &= secp256k1_musig_aggnonce_serialize(group->context, bytes, &group->aggregate_nonce);
    return done;
}

// --- Round 2 -------------------------------------------------------------------------------------------------------

int baseline_context(baseline_group *group, size_t iterations) {
    int done = 1;
    secp256k1_musig_aggnonce aggregate;
    secp256k1_musig_session session;
    REPEAT {
        done &= secp256k1_musig_nonce_agg(group->context, &aggregate, group->nonce_pointers, group->n);
        done &= secp256k1_musig_nonce_process(group->context, &session, &aggregate, group->message32, &group->cache);
    }
    return done;
}

int baseline_context_of_aggregate(baseline_group *group, size_t iterations) {
    int done = 1;
    secp256k1_musig_session session;
    REPEAT done &= secp256k1_musig_nonce_process(
        group->context, &session, &group->aggregate_nonce, group->message32, &group->cache);
    return done;
}

int baseline_sign_prepare(baseline_group *group, size_t iterations) {
    int done = 1;
    free(group->secret_nonces);
    free(group->own_nonces);
    group->secret_nonces = calloc(iterations, sizeof *group->secret_nonces);
    free(group->sessions);
    group->own_nonces = calloc(iterations, sizeof *group->own_nonces);
    group->sessions = calloc(iterations, sizeof *group->sessions);
    const secp256k1_musig_pubnonce **own_place = &group->nonce_pointers[group->own], *standing = *own_place;
    REPEAT {
        secp256k1_musig_aggnonce aggregate;
        done &= make_nonce(group, &group->secret_nonces[i], &group->own_nonces[i]);
        *own_place = &group->own_nonces[i];
        done &= secp256k1_musig_nonce_agg(group->context, &aggregate, group->nonce_pointers, group->n);
        done &= secp256k1_musig_nonce_process(
            group->context, &group->sessions[i], &aggregate, group->message32, &group->cache);
    }
    *own_place = standing;
    return done;
}

int baseline_sign(baseline_group *group, size_t iterations) {
    int done = 1;
    secp256k1_musig_partial_sig partial;
    REPEAT {
        done &= secp256k1_musig_partial_sign(
            group->context, &partial, &group->secret_nonces[i], &group->key_pair, &group->cache, &group->sessions[i]);
        done &= secp256k1_musig_partial_sig_verify(
            group->context, &partial, &group->own_nonces[i], &group->keys[group->own], &group->cache, &group->sessions[i]);
    }
    return done;
}

int baseline_partial_verify(baseline_group *group, size_t iterations) {
    int done = 1;
    REPEAT {
        size_t signer = i % group->n;
        done &= secp256k1_musig_partial_sig_verify(
            group->context, &group->partials[signer], &group->nonces[signer], &group->keys[signer], &group->cache,
            &group->session);
    }
    return done;
}

int baseline_partial_parse(baseline_group *group, size_t iterations) {
    int done = 1;
    secp256k1_musig_partial_sig partial;
    REPEAT done &= secp256k1_musig_partial_sig_parse(group->context, &partial, group->partials32 + 32 * (i % group->n));
    return done;
}

int baseline_partial_serialize(baseline_group *group, size_t iterations) {
    int done = 1;
    uint8_t bytes[32];
    REPEAT done &= secp256k1_musig_partial_sig_serialize(group->context, bytes, &group->partials[i % group->n]);
    return done;
}

// --- The end -------------------------------------------------------------------------------------------------------

int baseline_aggregate(baseline_group *group, size_t iterations) {
    int done = 1;
    uint8_t signature[64];
    REPEAT done &= secp256k1_musig_partial_sig_agg(
        group->context, signature, &group->session, group->partial_pointers, group->n);
    return done;
}

int baseline_finish(baseline_group *group, size_t iterations) {
    int done = 1;
    uint8_t signature[64];
    REPEAT {
        done &= secp256k1_musig_partial_sig_agg(
            group->context, signature, &group->session, group->partial_pointers, group->n);
        done &= secp256k1_schnorrsig_verify(group->context, signature, group->message32, 32, &group->aggregate_x_only);
    }
    return done;
}

int baseline_session(baseline_group *group, size_t iterations) {
    int done = 1;
    size_t n = group->n;
    secp256k1_musig_pubnonce *nonces = calloc(n, sizeof *nonces);
    const secp256k1_musig_pubnonce **nonce_pointers = calloc(n, sizeof *nonce_pointers);
    secp256k1_musig_partial_sig *partials = calloc(n, sizeof *partials);
    const secp256k1_musig_partial_sig **partial_pointers = calloc(n, sizeof *partial_pointers);
    for (size_t signer = 0; signer < n; signer++) {
        nonce_pointers[signer] = &nonces[signer];
        partial_pointers[signer] = &partials[signer];
    }
    REPEAT {
        secp256k1_musig_secnonce secret;
        secp256k1_musig_aggnonce aggregate;
        secp256k1_musig_session session;
        uint8_t own_nonce[66], own_partial[32], signature[64];
        done &= make_nonce(group, &secret, &nonces[group->own]);
        done &= secp256k1_musig_pubnonce_serialize(group->context, own_nonce, &nonces[group->own]);
        for (size_t signer = 0; signer < group->own; signer++)
            done &= secp256k1_musig_pubnonce_parse(group->context, &nonces[signer], group->nonces66 + 66 * signer);
        done &= secp256k1_musig_nonce_agg(group->context, &aggregate, nonce_pointers, n);
        done &= secp256k1_musig_nonce_process(group->context, &session, &aggregate, group->message32, &group->cache);
        done &= secp256k1_musig_partial_sign(
            group->context, &partials[group->own], &secret, &group->key_pair, &group->cache, &session);
        done &= secp256k1_musig_partial_sig_verify(
            group->context, &partials[group->own], &nonces[group->own], &group->keys[group->own], &group->cache, &session);
        done &= secp256k1_musig_partial_sig_serialize(group->context, own_partial, &partials[group->own]);
        for (size_t signer = 0; signer < group->own; signer++)
            done &= secp256k1_musig_partial_sig_parse(group->context, &partials[signer], group->partials32 + 32 * signer);
        done &= secp256k1_musig_partial_sig_agg(group->context, signature, &session, partial_pointers, n);
        // The others' contributions belong to another nonce of ours, so this comes out false after doing all of its work.
        done &= !secp256k1_schnorrsig_verify(group->context, signature, group->message32, 32, &group->aggregate_x_only);
    }
    free(nonces);
    free(nonce_pointers);
    free(partials);
    free(partial_pointers);
    return done;
}

// --- Schnorr -------------------------------------------------------------------------------------------------------

int baseline_schnorr_verify(baseline_group *group, size_t iterations) {
    int done = 1;
    REPEAT done &= secp256k1_schnorrsig_verify(
        group->context, group->signature, group->message32, 32, &group->aggregate_x_only);
    return done;
}

int baseline_schnorr_sign(baseline_group *group, size_t iterations) {
    int done = 1;
    uint8_t signature[64], auxiliary[32];
    secp256k1_xonly_pubkey key;
    done &= secp256k1_xonly_pubkey_from_pubkey(group->context, &key, NULL, &group->keys[group->own]);
    REPEAT {
        baseline_random32(auxiliary);
        done &= secp256k1_schnorrsig_sign32(group->context, signature, group->message32, &group->key_pair, auxiliary);
        done &= secp256k1_schnorrsig_verify(group->context, signature, group->message32, 32, &key);
    }
    return done;
}
