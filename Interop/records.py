"""Checks what peers say of themselves, by the specifications and without any libp2p: keys, peer ids, signed records.

Sources: libp2p's peer-ids.md, RFC 0002 (signed envelopes) and RFC 0003 (peer records).
"""
from dataclasses import dataclass

from multiaddr import Multiaddr
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from go_peer import fields, peer_text, varint

DOMAIN = b"libp2p-peer-record"
# /libp2p-peer-record of the multicodec table, as implementations write it: two bytes, which are no varint.
PAYLOAD_TYPE = b"\x03\x01"


@dataclass
class PeerRecord:
    peer_id: str
    sequence: int
    addresses: list


def ed25519_key(protobuf):
    """The 32 bytes of a public key in libp2p's protobuf."""
    key = fields(protobuf)
    if key.get(1) != [1] or len(key[2][0]) != 32:
        raise ValueError(f"no Ed25519 key: {protobuf.hex()}")
    return key[2][0]


def peer_id_of_key(protobuf):
    """Keys of at most 42 bytes stand in the id themselves, behind the code of the identity hash."""
    ed25519_key(protobuf)
    return peer_text(b"\x00" + varint(len(protobuf)) + protobuf)


def verified_peer_record(envelope):
    """The record in a signed envelope; an error if its signature is none, or the record is not the signer's."""
    parts = fields(envelope)
    key, kind, payload, signature = (parts[number][0] for number in (1, 2, 3, 5))
    if kind != PAYLOAD_TYPE:
        raise ValueError(f"payload type {kind.hex()}")
    message = b"".join(varint(len(part)) + part for part in (DOMAIN, kind, payload))
    try:
        VerifyKey(ed25519_key(key)).verify(message, signature)
    except BadSignatureError:
        raise ValueError("the envelope's signature is wrong") from None
    record = fields(payload)
    peer_id = peer_text(record[1][0])
    if peer_id != peer_id_of_key(key):
        raise ValueError(f"{peer_id_of_key(key)} signed a record of {peer_id}")
    addresses = [str(Multiaddr(fields(info)[1][0])) for info in record.get(3, [])]
    return PeerRecord(peer_id, record.get(2, [0])[0], addresses)
