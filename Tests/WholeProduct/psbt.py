"""Reads PSBTs and the statements in them, with nothing of Chorale's own code: what the tests check rests on the formats alone.

BIP-174 for the maps, BIP-373 for nonces (0x1b) and partial signatures (0x1c), and the proprietary field of Chorale.
"""

import struct

MUSIG2_PUBLIC_NONCE = 0x1B
MUSIG2_PARTIAL_SIGNATURE = 0x1C
WITNESS_UTXO = 0x01
PROPRIETARY = 0xFC
STATEMENT_KEY = bytes([PROPRIETARY, 7]) + b"chorale" + bytes([1])

# Version, network, signer key, identity, version, expiry, two signatures.
ENROLMENT_LENGTH = 1 + 1 + 33 + 32 + 4 + 8 + 64 + 64


class Reader:
    def __init__(self, data):
        self.data, self.offset = data, 0

    def take(self, count):
        piece = self.data[self.offset : self.offset + count]
        if len(piece) != count:
            raise ValueError(f"ends at {len(self.data)}, inside of something that begins at {self.offset}")
        self.offset += count
        return piece

    def take_size(self):
        first = self.take(1)[0]
        return first if first < 0xFD else int.from_bytes(self.take({0xFD: 2, 0xFE: 4, 0xFF: 8}[first]), "little")

    def take_bytes(self):
        return self.take(self.take_size())

    @property
    def is_at_end(self):
        return self.offset == len(self.data)


def read_maps(data):
    """All key-value maps of a PSBT: the global one, then one for each input and output."""
    reader = Reader(data)
    if reader.take(5) != b"psbt\xff":
        raise ValueError("no PSBT")
    maps = []
    while not reader.is_at_end:
        fields = {}
        while key := reader.take_bytes():
            if key in fields:
                raise ValueError("a key stands twice")
            fields[key] = reader.take_bytes()
        maps.append(fields)
    return maps


def write_maps(maps):
    def sized(data):
        count = len(data)
        if count < 0xFD:
            return bytes([count]) + data
        return (b"\xfd" + struct.pack("<H", count) if count < 1 << 16 else b"\xfe" + struct.pack("<I", count)) + data

    return b"psbt\xff" + b"".join(b"".join(sized(key) + sized(fields[key]) for key in fields) + b"\x00" for fields in maps)


def with_times(data, lock_time, sequences):
    """The PSBT with another lock time and other sequence numbers in its transaction."""
    maps = read_maps(data)
    transaction = bytearray(maps[0][b"\x00"])
    transaction[-4:] = struct.pack("<I", lock_time)
    # Version, number of inputs; then for each: the coin, an empty script, the sequence number.
    offset = 4 + 1
    assert transaction[4] == len(sequences) < 0xFD
    for sequence in sequences:
        transaction[offset + 37 : offset + 41] = struct.pack("<I", sequence)
        offset += 41
    maps[0][b"\x00"] = bytes(transaction)
    return write_maps(maps)


def input_count(transaction):
    reader = Reader(transaction)
    reader.take(4)
    return reader.take_size()


class PSBT:
    def __init__(self, data):
        self.globals, *maps = read_maps(data)
        self.transaction = self.globals[b"\x00"]
        self.inputs = maps[: input_count(self.transaction)]

    def prevouts(self):
        """(amount, script) of each input, from its witness UTXO field."""
        found = []
        for fields in self.inputs:
            reader = Reader(fields[bytes([WITNESS_UTXO])])
            amount = int.from_bytes(reader.take(8), "little")
            found.append((amount, reader.take_bytes()))
        return found

    def contributions(self, kind):
        """[(input, label, value)]: the label is participant, aggregate key and leaf hash, as the key of the field holds them."""
        return [
            (index, key[1:], value)
            for index, fields in enumerate(self.inputs)
            for key, value in sorted(fields.items())
            if key[0] == kind
        ]

    def statement(self):
        # Behind the subtype the key names the kind of statement and its sender.
        (value,) = [value for key, value in self.globals.items() if key.startswith(STATEMENT_KEY)]
        return Statement(value)


class Statement:
    """What a signer says: `sender`, `attempt`, `kind`, and the transcript of round 2."""

    KINDS = {1: "presence", 2: "set", 3: "nonces", 4: "partials"}

    def __init__(self, data):
        reader = Reader(data)
        if reader.take(1) != b"\x01":
            raise ValueError("a statement of another version")
        enrolment = reader.take(ENROLMENT_LENGTH)
        self.sender = enrolment[2:35]
        self.request = reader.take(32)
        (self.attempt,) = struct.unpack("<I", reader.take(4))
        self.kind = self.KINDS[reader.take(1)[0]]
        self.transcript = reader.take(32) if self.kind == "partials" else None
        self.incarnation = reader.take(16) if self.kind == "nonces" else None
