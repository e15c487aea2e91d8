internal import Signing
