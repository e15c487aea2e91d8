import CryptoPrimitives

// Three keys and one signature, twice: first with the types of BIP-327 alone, then as the spend of a Taproot coin.

print("A message, signed with the types of MuSig2:")
try signMessage()

print("\nA Taproot coin, spent through signing sessions:")
try spendCoin()

// Keys and nonces went with their owners. This is checked here, in a build with optimization, for tests run without it.
let held = try SecretArena.shared.usedSlotCount
guard held == 0 else { preconditionFailure("\(held) secrets outlived their owners") }
print("\nSecrets left in memory: none")
