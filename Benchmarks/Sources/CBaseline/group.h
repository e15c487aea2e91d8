// What the files of the baseline share.
#pragma once

#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_musig.h>
#include <secp256k1_schnorrsig.h>

#include "CBaseline.h"

struct baseline_group {
    secp256k1_context *context;
    size_t n;
    // The signer whose secret is known: the last, whom a search through the group finds last.
    size_t own;
    uint8_t *keys33, *nonces66, *partials32, *message32;
    uint8_t aggregate_nonce66[66];
    uint8_t secret[32];
    uint8_t signature[64];
    secp256k1_keypair key_pair;
    secp256k1_pubkey *keys;
    const secp256k1_pubkey **key_pointers;
    secp256k1_musig_pubnonce *nonces;
    const secp256k1_musig_pubnonce **nonce_pointers;
    secp256k1_musig_partial_sig *partials;
    const secp256k1_musig_partial_sig **partial_pointers;
    secp256k1_musig_keyagg_cache cache;
    secp256k1_musig_aggnonce aggregate_nonce;
    secp256k1_musig_session session;
    secp256k1_pubkey aggregate;
    secp256k1_xonly_pubkey aggregate_x_only;
    // What `baseline_sign_prepare` made.
    secp256k1_musig_secnonce *secret_nonces;
    secp256k1_musig_pubnonce *own_nonces;
    secp256k1_musig_session *sessions;
};

/// 32 fresh bytes of the system's randomness.
void baseline_random32(uint8_t *bytes);
