"""What a nonce mistake would look like, looked for in everything that ever got a name in an exchange folder.

The log holds a copy of every file, even of one that was replaced or removed a moment later (kill_shim.c). A copy that ends in .about
was made by a process that was killed while it gave the file its name: it counts if the file lies in the folder.
"""

import collections
import pathlib
import re

from psbt import MUSIG2_PARTIAL_SIGNATURE, MUSIG2_PUBLIC_NONCE, PSBT

NAME = re.compile(r"\d+-\d+-chorale-[0-9a-f]{16}\+attempt-(\d{4})\+(nonces|partials)-([0-9a-f]{66})\.psbt")


class Released:
    def __init__(self, folder, contents=frozenset()):
        """`contents` are the bytes of all files that lie in the exchange folder."""
        self.nonces = collections.defaultdict(set)  # (signer, attempt): sets of ((input, label, nonce), …)
        self.partials = collections.defaultdict(set)  # (signer, attempt): (transcript, ((input, label, partial), …))
        for path in sorted(pathlib.Path(folder).iterdir()):
            if path.name.endswith(".about") and path.read_bytes() not in contents:
                continue
            if match := NAME.fullmatch(path.name.removesuffix(".about")):
                self.take(path.read_bytes(), int(match[1]), match[2], bytes.fromhex(match[3]))

    def take(self, data, attempt, kind, signer):
        psbt = PSBT(data)
        statement = psbt.statement()
        assert (statement.attempt, statement.kind, statement.sender) == (attempt, kind, signer), "a file's name and content disagree"
        nonces, partials = psbt.contributions(MUSIG2_PUBLIC_NONCE), psbt.contributions(MUSIG2_PARTIAL_SIGNATURE)
        assert all(label[:33] == signer for _, label, _ in nonces + partials), "a contribution in another signer's name"
        assert not (nonces and partials) and (nonces or partials), "a file holds one round"
        if kind == "nonces":
            self.nonces[signer, attempt].add(tuple(nonces))
        else:
            self.partials[signer, attempt].add((statement.transcript, tuple(partials)))

    def check(self, sign_alike=True):
        """No nonce serves two transcripts, none stands under two labels, nobody says two things under one name.

        With `sign_alike`, which holds for honest signers, all signers of an attempt sign one transcript.
        """
        places = {}
        for (signer, attempt), contents in self.nonces.items():
            assert len(contents) == 1, f"{signer.hex()} released {len(contents)} different sets of nonces in attempt {attempt}"
            for index, label, nonce in next(iter(contents)):
                place = (signer, attempt, index, label)
                assert places.setdefault(nonce, place) == place, f"the nonce {nonce.hex()} stands in two places"
        transcripts = collections.defaultdict(set)
        for (signer, attempt), contents in self.partials.items():
            assert len(contents) == 1, f"{signer.hex()} released {len(contents)} different signatures in attempt {attempt}"
            ((transcript, partials),) = contents
            transcripts[attempt].add(transcript)
            nonces = self.nonces.get((signer, attempt))
            assert nonces, f"{signer.hex()} signed in attempt {attempt} without having released nonces"
            given = {(index, label) for index, label, _ in next(iter(nonces))}
            assert {(index, label) for index, label, _ in partials} == given, "signatures under other labels than the nonces"
        if sign_alike:
            assert all(len(found) == 1 for found in transcripts.values()), "one attempt, two transcripts"
        # The same transcript in two attempts would bind the same nonces twice.
        everywhere = [transcript for found in transcripts.values() for transcript in found]
        assert len(everywhere) == len(set(everywhere)), "one transcript in two attempts"

    @property
    def attempt_count(self):
        return len({attempt for _, attempt in self.nonces})
