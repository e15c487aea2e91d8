// Three keys and one signature, twice: first with the types of BIP-327 alone, then as the spend of a Taproot coin.

print("A message, signed with the types of MuSig2:")
try signMessage()

print("\nA Taproot coin, spent through signing sessions:")
try spendCoin()
