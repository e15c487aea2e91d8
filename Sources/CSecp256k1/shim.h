#pragma once

#if !__has_include(<secp256k1_musig.h>)
#error "libsecp256k1 with its musig module was not found: run scripts/setup and set PKG_CONFIG_PATH to .deps/lib/pkgconfig (make does both)"
#endif

#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_musig.h>
#include <secp256k1_schnorrsig.h>
