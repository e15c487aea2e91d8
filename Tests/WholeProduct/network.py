"""Nodes of a group on this machine, and what stands in their databases, read with nothing of Chorale's own code."""

import collections
import json
import shutil
import sqlite3
import time

from psbt import Reader
from tool import wait_until

COMPLETE = 3  # of StoredRequest.State
RECEIVED, SENT = 1, 2  # of TranscriptLine.Kind
APPROVAL, BEGIN, PARTIAL_SIGNATURES = 3, 4, 5  # kinds of coordination messages
BODY_PARTIALS, BODY_APPROVAL, BODY_BEGIN, BODY_AHEAD = 4, 6, 9, 10  # kinds of statements


class Nodes:
    """A `chorale node run` for each key of a scene: the signers, and then others. As a context: whatever happens, none of them is left."""

    def __init__(self, scene, hosts=None, options=(), has_bootstrap=True):
        """`hosts` is a `Lab` with a host for each; without one all run on this machine's loopback. `options` are those of `node run`, and
        `own_options` and `own_environment` are one node's more. With `has_bootstrap` all others know the first one's address."""
        self.scene, self.tool, self.hosts, self.options, self.has_bootstrap = scene, scene.tool, hosts, options, has_bootstrap
        self.homes = [scene.folder / f"node-{number}" for number in range(len(scene.key_files))]
        self.own_options = [[] for _ in self.homes]
        self.own_environment = [{} for _ in self.homes]
        self.running = [None] * len(self.homes)
        self.listen = list(hosts.listen) if hosts else ["/ip4/127.0.0.1/tcp/0"] * len(self.homes)
        self.addresses = [None] * len(self.homes)
        self.lives = 0
        # Of each life that was killed: which node it was, and its database.
        self.left = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.running:
            if process:
                process.popen.kill()
                process.popen.wait()

    def start(self, number):
        """Starts a node, and waits until it is ready."""
        self.lives += 1
        output = self.scene.folder / f"node-{number}-{self.lives}.out"
        bootstrap = ["--bootstrap", self.addresses[0]] if self.has_bootstrap and number and self.addresses[0] else []
        listen = [] if "--no-listen" in self.own_options[number] else ["--listen", self.listen[number]]
        environment = {"CHORALE_PASSPHRASE": self.scene.passphrase, **self.own_environment[number]}
        with open(output, "w") as file:
            self.running[number] = self.tool.start(
                "node", "run", "--home", self.homes[number], "--key", self.scene.key_files[number], *listen, "--json", *self.options,
                *self.own_options[number], *bootstrap, env=environment, stdout=file, stderr=file,
                through=self.hosts.through(number) if self.hosts else (),
            )  # fmt: skip

        def ready():
            assert self.running[number].is_running, f"node {number} ended: {output.read_text()}"
            return output.read_text().partition("\n")[1]

        wait_until(ready, 30, f"node {number}")
        if listen:
            self.addresses[number] = next(a for a in json.loads(output.read_text().splitlines()[0])["addresses"] if self.is_outer(a))
            self.listen[number] = self.addresses[number].partition("/p2p/")[0]

    def is_outer(self, address):
        """Whether others reach it: a host's own loopback is nobody else's."""
        return not self.hosts or "/127.0.0.1/" not in address

    def kill(self, number):
        """Ends a node in the middle of whatever it does. What that life of it left on the disk is laid by."""
        self.running[number].popen.kill()
        self.running[number].popen.wait()
        left = self.scene.folder / f"left-{number}-{len(self.left)}"
        left.mkdir()
        for path in self.homes[number].glob("chorale.db*"):
            shutil.copy(path, left)
        self.left.append((number, left / "chorale.db"))

    def end(self, number):
        """Asks a node to end, and waits until it has."""
        self.running[number].popen.terminate()
        self.running[number].popen.wait(30)

    def run(self, number, *words, timeout=30):
        return self.tool.run(*words, "--home", self.homes[number], timeout=timeout)

    def start_command(self, number, *words):
        return self.tool.start(*words, "--home", self.homes[number])

    def json(self, number, *words):
        ended = self.run(number, *words, "--json").expect(0)
        try:
            return json.loads(ended.out)
        except ValueError as error:
            took = time.monotonic() - ended.started
            raise AssertionError(f"no JSON after {took:.3f} s: {error}: {ended.words}: {ended.out!r}, {ended.err!r}") from None

    def make_group(self, name):
        """Starts all nodes that do not run yet, and makes the signers' group by invitations. Gives its policy digest, which is the same
        everywhere."""
        for number in range(len(self.homes)):
            if self.running[number] is None:
                self.start(number)
        signers = range(len(self.scene.public))
        shape = ["--threshold", self.scene.threshold, "--owner-unspendable"] if self.scene.threshold else []
        invitations = self.json(0, "group", "invite", "--name", name, "--members", len(signers), *shape)["invitations"]
        joining = [self.start_command(number, "group", "join", invitation, "--yes") for number, invitation in zip(signers[1:], invitations)]
        for process in joining:
            process.wait(60).expect(0)
        shown = [wait_until(lambda number=number: self.made(number, name), what="the group") for number in signers]
        assert len({group["policy_digest"] for group in shown}) == 1, shown
        return shown[0]["policy_digest"]

    def made(self, number, name):
        group = self.json(number, "group", "show", name)
        return group if group["state"] == "made" else None

    def show(self, number):
        return self.json(number, "node", "show")

    def knows(self, number, request):
        """What a node knows of a request; `None` while it has not heard of it."""
        return next((known for known in self.json(number, "request", "list")["requests"] if known["request"] == request), None)

    def stop(self):
        """Asks all to end, and waits: then their databases can be read."""
        for process in self.running:
            process.popen.terminate()
        for process in self.running:
            process.popen.wait(30)

    def databases(self):
        """Those of the signers."""
        return [Kept(home / "chorale.db") for home in self.homes[: len(self.scene.public)]]

    def check_nonces(self):
        """No nonce served two transcripts, by what each life of each signer's node left on its disk. Gives how many signatures left."""
        kept = self.databases()
        former = [(number, Kept(path)) for number, path in self.left if number < len(kept)]
        check_lives(kept, former)
        return check_nonces(kept + [each for _, each in former], self.scene.public)


def collect(context, nodes, requests):
    """All signers have these requests complete, with the same transaction. Two attempts may have completed, in different places: then its
    signatures differ. Whatever anybody holds goes to the consensus check."""
    for request in requests:
        shown = [nodes.json(number, "request", "show", request) for number in range(len(nodes.scene.public))]
        assert all(each["state"] == "complete" for each in shown), [each["state"] for each in shown]
        assert len({each["txid"] for each in shown}) == 1, shown
        prevouts = [{"amount": coin["amount"], "script_pubkey": coin["script_pubkey"]} for coin in shown[0]["inputs"]]
        for transaction in sorted({each["transaction"] for each in shown}):
            context.spends.append({"transaction": transaction, "prevouts": prevouts})


Partials = collections.namedtuple("Partials", "request attempt signer transcript values")
Nonces = collections.namedtuple("Nonces", "request signer incarnation counter values")
Begin = collections.namedtuple("Begin", "request attempt signer incarnation transcript nonces")


class Kept:
    """What one node's database holds. The formats are those that ARCHITECTURE.md states."""

    def __init__(self, path):
        # Not for reading alone: what a life that was killed wrote last stands in a file beside, and belongs to it.
        connection = sqlite3.connect(path)
        try:
            self.states = dict(connection.execute("SELECT id, state FROM request").fetchall())
            # Decisions to sign: what this node's own signer may ever have released.
            self.burned = {}
            self.burned_nonces = {}
            for request, attempt, signer, record in connection.execute("SELECT request, attempt, signer, record FROM burn"):
                reader = Reader(record)
                assert reader.take(1) == b"\x01" and reader.take(32) == request
                assert int.from_bytes(reader.take(4), "little") == attempt and reader.take(33) == signer
                transcript = reader.take(32)
                pairs = [(reader.take(66), reader.take(32)) for _ in range(int.from_bytes(reader.take(2), "little"))]
                assert reader.is_at_end
                self.burned[request, attempt, signer] = (transcript, tuple(partial for _, partial in pairs))
                self.burned_nonces[request, attempt, signer] = tuple(nonce for nonce, _ in pairs)
            # What it said and heard.
            self.partials, self.nonces, self.begins = [], [], []
            members = dict(connection.execute("SELECT number, id FROM request").fetchall())
            entries = connection.execute("SELECT request, kind, bytes FROM transcript_entry ORDER BY request, sequence").fetchall()
        finally:
            connection.close()
        for number, kind, data in entries:
            if kind in (RECEIVED, SENT):
                self.take(members[number], data[32 if kind == RECEIVED else 33 :])

    def take(self, request, message):
        reader = Reader(message)
        assert reader.take(1) == b"\x02" and reader.take(32) == request, "a message of another request"
        reader.take(16)  # incarnation
        reader.take_size(), reader.take_size()  # epoch, number
        if count := reader.take_size():
            for _ in range(count):
                reader.take_size()
            reader.take(16)
            reader.take_size()
        kind = reader.take(1)[0]
        if kind == APPROVAL:
            reader.take_size(), reader.take_size()  # turn, highest attempt
            self.statement(request, reader)
        elif kind == PARTIAL_SIGNATURES:
            self.statement(request, reader)
        elif kind == BEGIN:
            place, attempt, (incarnation, transcript) = self.statement(request, reader)
            approvals = [self.statement(request, reader) for _ in range(reader.take_size())]
            self.begins.append(
                Begin(request, attempt, place, incarnation, transcript, tuple((signer, *names) for signer, _, names in approvals))
            )

    def statement(self, request, reader):
        """A compact statement: its sender's place, its attempt, and what matters of its body."""
        place, _, attempt = (reader.take_size() for _ in range(3))
        kind = reader.take(1)[0]
        if kind == BODY_PARTIALS:
            transcript = reader.take(32)
            values = tuple(reader.take_bytes() for _ in range(reader.take_size()))
            self.partials.append(Partials(request, attempt, place, transcript, values))
            body = transcript, values
        elif kind in (BODY_APPROVAL, BODY_AHEAD):
            # The number of the decision, or the time until which nonces ahead are good.
            reader.take(4 if kind == BODY_APPROVAL else 8)
            body = reader.take(16), reader.take(4), tuple(reader.take_bytes() for _ in range(reader.take_size()))
            # Nonces ahead are about no request: a proposer that was killed is given them again, and whichever begin comes first has them.
            self.nonces.append(Nonces(request if kind == BODY_APPROVAL else None, place, *body))
        elif kind == BODY_BEGIN:
            body = reader.take(16), reader.take(32)
        else:
            raise AssertionError(f"a statement of kind {kind}")
        reader.take(64)
        return place, attempt, body


def check_lives(databases, former):
    """What one life has decided to sign the later ones still know, as it was. `former` are the places of nodes that were killed, each with
    what that life left."""
    for number, left in former:
        for decision, signed in left.burned.items():
            assert databases[number].burned.get(decision) == signed, f"node {number} has forgotten what it signed before it was killed"


def check_nonces(databases, public):
    """No nonce served two transcripts: neither by what was decided, nor by what ever left a process. Gives how many signatures left.

    `public` are the members' keys in hex; sorted, they have the places by which messages name them.
    """
    members = [bytes.fromhex(key) for key in sorted(public)]
    burned, served = {}, {}
    for kept in databases:
        for decision, (transcript, partials) in kept.burned.items():
            assert burned.setdefault(decision, (transcript, partials)) == (transcript, partials)
            for nonce in kept.burned_nonces[decision]:
                assert served.setdefault(nonce, transcript) == transcript, f"{nonce.hex()} served two transcripts"
    names, nonces = {}, {}
    for kept in databases:
        for said in kept.nonces:
            name = (said.signer, said.incarnation, said.counter)
            assert names.setdefault(name, (said.request, said.values)) == (said.request, said.values), "two contents under one name"
            for nonce in said.values:
                assert nonces.setdefault(nonce, name) == name, f"{nonce.hex()} stands under two names"
    released = {}
    for kept in databases:
        for said in kept.partials:
            decision = (said.request, said.attempt, members[said.signer])
            assert released.setdefault(decision, (said.transcript, said.values)) == (said.transcript, said.values)
            assert burned.get(decision) == (said.transcript, said.values), "a signature left that stands in no journal"
    # The nonces of each begin whose transcript was signed served in that one.
    by_transcript = {}
    for kept in databases:
        for begin in kept.begins:
            for signer, incarnation, counter, values in begin.nonces:
                by_transcript.setdefault((begin.transcript, members[signer]), values)
    for (request, attempt, signer), (transcript, partials) in released.items():
        values = by_transcript.get((transcript, signer))
        if values:
            # Of nonces ahead there may be more than inputs: the first ones serve.
            for nonce in values[: len(partials)]:
                assert served.get(nonce) == transcript, "a signature's nonce is not that of its begin"
    return len(released)
