public import Secp256k1
