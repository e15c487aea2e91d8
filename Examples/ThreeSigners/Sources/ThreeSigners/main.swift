import CryptoPrimitives

// Three keys and one signature, three times: with the types of BIP-327 alone, as the spend of a Taproot coin, and as a payment
// whose fee the last signer chooses.

print("A message, signed with the types of MuSig2:")
try signMessage()

print("\nA Taproot coin, spent through signing sessions:")
try spendCoin()

print("\nA payment in two versions, of which the last signer picks one:")
try payInTwoVersions()

// Keys and nonces went with their owners. This is checked here, in a build with optimization, for tests run without it.
let held = try SecretArena.shared.usedSlotCount
guard held == 0 else { preconditionFailure("\(held) secrets outlived their owners") }
print("\nSecrets left in memory: none")
