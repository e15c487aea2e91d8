internal import CSecp256k1
