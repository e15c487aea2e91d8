"""What two or three peers do with each other: the cases of run_cases.py.

A case is told who plays which part and gets running peers without connections. It waits for what it wants to see, never for a
time to pass; every wait has an end.
"""
import os
import re
import subprocess
import time
from dataclasses import dataclass, field
from typing import Callable

from records import peer_id_of_key, verified_peer_record

MIB = 1 << 20
ALL = {"chorale", "py", "go"}


@dataclass
class Case:
    title: str
    parts: list
    work: Callable
    # Options beside the common ones, by part; "*" for all.
    wants: dict = field(default_factory=dict)
    # Who can play a part, where not everybody can; "*" for all.
    players: dict = field(default_factory=dict)
    only_if: Callable = lambda parts: True
    # The parts whose peers serve one combination alone, because they would remember where others are. (A py-libp2p node takes a second
    # to start, and its commands do not use where others were.)
    fresh: set = field(default_factory=set)

    def options(self, part):
        return [*self.wants.get("*", []), *self.wants.get(part, [])]

    def is_fresh(self, part, implementations):
        """`implementations`: who plays each part."""
        # A py-libp2p relay keeps one circuit a peer, and closes it 0.6 s after the end of that peer's circuit before: by then it may be
        # the next case's. So whoever meets it there is somebody new.
        if part != "relay" and implementations.get("relay") == "py":
            return True
        # With topics, py-libp2p mixes up the end of one connection with the next one to the same peer, so it gets none.
        return part in self.fresh and (implementations[part] != "py" or "--topic" in self.options(part))

    def can_play(self, part, implementation):
        return implementation in self.players.get(part, self.players.get("*", ALL))

    def makes_sense(self, parts):
        return self.only_if(parts)


CASES = []


def case(title, *parts, wants=None, players=None, only_if=None, fresh=()):
    def add(work):
        CASES.append(Case(title, list(parts), work, wants or {}, players or {}, only_if or (lambda parts: True),
                          set(fresh)))
        return work

    return add


def two_kinds(parts):
    return len(set(parts)) <= 2



class Failed(Exception):
    pass


def check(condition, *what):
    if not condition:
        raise Failed(" ".join(map(str, what)))


def until(condition, what, seconds=15):
    """Asks again until it is so: for what no event tells."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise Failed(f"not so after {seconds} s: {what}")
        time.sleep(0.02)
    return value


def end(peer):
    """It goes for good: whoever is asked afterwards cannot have it from there."""
    peer.send("quit")
    try:
        code = peer.p.wait(10)
    except subprocess.TimeoutExpired:
        raise Failed(f"{peer.name} does not end") from None
    check(code == 0, peer.name, "ends with exit code", code)


def is_connected(one, other):
    return any(peer["peer_id"] == other.id for peer in one.do("peers")["peers"])


def addresses_of(one, other):
    """By what addresses `one` is connected to `other`."""
    return [each for peer in one.do("peers")["peers"] if peer["peer_id"] == other.id for each in peer["addrs"]]


def address(peer, websocket=False):
    return next(a for a in peer.addrs if ("/ws/" in a) == websocket)


def join(one, other, websocket=False):
    """Connects, and returns when both know it."""
    one.do("connect", addr=address(other, websocket))
    until(lambda: is_connected(one, other) and is_connected(other, one), "both know of the connection")


def refused(asked, cmd, **arguments):
    reply = asked.cmd(cmd, **arguments)
    check(not reply["ok"], cmd, arguments, "should have failed and gave", reply)
    return reply["error"]


# --- Connections -----------------------------------------------------------------------------------------------------


@case("connect; both know it", "a", "b")
def connect(a, b):
    join(a, b)


@case("another peer id than the dialled one is refused", "a", "b")
def wrong_peer(a, b):
    # The identity that the address names is not the one that answers.
    other = "12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7"
    refused(a, "connect", addr=address(b).replace(b.id, other), timeout=5)
    check(all(peer["peer_id"] != other for peer in a.do("peers")["peers"]), "there is a connection to a peer that is not there")


@case("ping", "a", "b")
def ping(a, b):
    join(a, b)
    times = a.do("ping", peer=b.id, count=20)["ms"]
    check(len(times) == 20 and all(0 < ms < 5_000 for ms in times), times)
    return f"{sorted(times)[10]:.2f} ms"


@case("identify: agent, protocols, addresses, a signed record that verifies", "a", "b")
def identify(a, b):
    join(a, b)
    said = a.do("identify", peer=b.id)
    agent = {"chorale": r"chorale/\d", "py-libp2p": r"py-libp2p/0\.8\.1", "go-libp2p": r"p2pd/"}[b.impl]
    check(re.match(agent, said["agent"]), "agent", said["agent"])
    for protocol in ("/ipfs/id/1.0.0", "/ipfs/ping/1.0.0", "/echo/1.0.0", "/sink/1.0.0"):
        check(protocol in said["protocols"], protocol, "is not among", said["protocols"])
    check(peer_id_of_key(bytes.fromhex(said["public_key_hex"])) == b.id, "the key is another's")
    bare = {a.rsplit("/p2p/", 1)[0] for a in b.addrs}
    check(bare <= {a.rsplit("/p2p/", 1)[0] for a in said["listen"]}, "addresses", said["listen"], "instead of", b.addrs)
    check(said["observed"].startswith("/ip4/127.0.0.1/tcp/"), "observed", said["observed"])
    record = verified_peer_record(bytes.fromhex(said["signed_peer_record_hex"]))
    check(record.peer_id == b.id, "the record is another's:", record.peer_id)
    check(bare <= {a.rsplit("/p2p/", 1)[0] for a in record.addresses}, "the record's addresses", record.addresses)


# --- Streams ---------------------------------------------------------------------------------------------------------


@case("echo with half-close", "a", "b", players={"*": {"chorale", "py"}})
def echo(a, b):
    join(a, b)
    for size in (0, 1, 65_536, 1_000_003):
        data = os.urandom(size)
        reply = a.do("stream", peer=b.id, proto="/echo/1.0.0", data_hex=data.hex(), expect=-1)
        check(reply["same"] and reply["bytes"] == size, size, "bytes came back as", reply["bytes"])
        b.wait(lambda e: e["event"] == "stream" and e["mode"] == "echo" and e["bytes"] == size and e["peer"] == a.id)


@case("echo", "a", "b", only_if=lambda parts: "go" in parts)
def echo_without_half_close(a, b):
    # Go's daemon ends both directions of a stream at once.
    join(a, b)
    for size in (1, 65_536, 1_000_003):
        reply = a.do("stream", peer=b.id, proto="/echo/1.0.0", data_hex=os.urandom(size).hex())
        check(reply["same"] and reply["bytes"] == size, size, "bytes came back as", reply["bytes"])


@case("32 streams at once", "a", "b")
def many_streams(a, b):
    join(a, b)
    data = {a.send("stream", peer=b.id, proto="/echo/1.0.0", data_hex=bytes([n] * 20_000).hex()): n for n in range(32)}
    for number in data:
        with a.cv:
            check(a.cv.wait_for(lambda: number in a.replies, 20), "no answer to stream", data[number])
        check(a.replies.pop(number).get("same"), "stream", data[number], "is not what was sent")


@case("a protocol that nobody serves is refused, and the connection goes on", "a", "b")
def unknown_protocol(a, b):
    join(a, b)
    refused(a, "stream", peer=b.id, proto="/nobody/serves/this/1.0.0", data="x")
    reply = a.do("stream", peer=b.id, proto=["/nobody/serves/this/1.0.0", "/echo/1.0.0"], data="x")
    check(reply["same"] and reply["proto"] == "/echo/1.0.0", reply)
    check(a.do("ping", peer=b.id, count=1)["ms"], "no ping")


@case("a protocol that is served from now on", "a", "b", players={"*": {"chorale", "py"}})
def later_protocol(a, b):
    join(a, b)
    protocol = f"/chorale/interop/{os.urandom(4).hex()}"
    refused(a, "stream", peer=b.id, proto=protocol, data="x")
    b.do("handle", proto=protocol, mode="echo")
    check(a.do("stream", peer=b.id, proto=protocol, data_hex=os.urandom(1_000).hex())["same"], "echo")


@case("64 MiB to a sink", "a", "b")
def throughput(a, b):
    join(a, b)
    reply = a.do("throughput", peer=b.id, bytes=64 * MIB, timeout=50)
    check(reply["bytes"] == 64 * MIB, reply)
    return f"{reply['MBps']:.0f} MB/s"


@case("WebSocket: ping, echo, 4 MiB", "a", "b", fresh={"a"})
def websocket(a, b):
    join(a, b, websocket=True)
    # The others do not say by which way a connection came.
    for one, other in ((a, b), (b, a)):
        check(one.impl != "chorale" or any("/ws" in each for each in addresses_of(one, other)), "the connection is no WebSocket")
    a.do("ping", peer=b.id, count=3)
    check(a.do("stream", peer=b.id, proto="/echo/1.0.0", data_hex=os.urandom(300_000).hex())["same"], "echo")
    check(a.do("throughput", peer=b.id, bytes=4 * MIB)["bytes"] == 4 * MIB, "sink")


# --- Gossipsub -------------------------------------------------------------------------------------------------------

TOPIC = "chorale/interop"
SUBSCRIBED = {"*": ["--topic", TOPIC]}


def knows_subscriber(one, other):
    return lambda: other.id in one.do("topic_peers", topic=TOPIC)["peers"]


def meshed(publisher, receiver):
    """Publishes until something arrives: a peer's mesh grows with its heartbeat, and not all peers tell theirs."""
    until(knows_subscriber(publisher, receiver), f"{publisher.name} knows that {receiver.name} is subscribed")
    end = time.monotonic() + 15
    while True:
        data = b"probe " + os.urandom(8)
        publisher.do("publish", topic=TOPIC, data_hex=data.hex())
        try:
            receiver.wait(lambda e: e["event"] == "pubsub" and e["data_hex"] == data.hex(), 0.5)
            return
        except TimeoutError:
            check(time.monotonic() < end, "nothing that", publisher.name, "publishes reaches", receiver.name, *(
                f"\n{peer.name} {peer.id} knows of {peer.do('topic_peers', topic=TOPIC)}" for peer in (publisher, receiver)))


def delivered(publisher, receivers, data):
    marks = [len(receiver.events) for receiver in receivers]
    publisher.do("publish", topic=TOPIC, data_hex=data.hex())
    for receiver, mark in zip(receivers, marks):
        event = receiver.wait(lambda e: e["event"] == "pubsub" and e["data_hex"] == data.hex(), 15, mark)
        check(event["from"] == publisher.id and event["topic"] == TOPIC and event["signed"], event)


@case("gossipsub both ways, small and large", "a", "b", wants=SUBSCRIBED, fresh={"a", "b"})
def gossip(a, b):
    join(a, b)
    meshed(a, b)
    meshed(b, a)
    for publisher, receiver in ((a, b), (b, a)):
        for size in (1, 1_000, 300_000):
            delivered(publisher, [receiver], os.urandom(size))


@case("gossipsub both ways, one side of version 1.0", "old", "b", fresh={"old", "b"}, players={"*": {"chorale", "py"}},
      wants={"old": ["--topic", TOPIC, "--meshsub", "/meshsub/1.0.0"], "b": ["--topic", TOPIC]})
def gossip_with_old(old, b):
    gossip(old, b)


@case("gossipsub through a third node, each end publishing", "a", "middle", "b", wants=SUBSCRIBED, fresh={"a", "middle", "b"},
      only_if=lambda parts: parts[0] <= parts[2])
def gossip_through(a, middle, b):
    join(a, middle)
    join(b, middle)
    for one, other in ((a, middle), (middle, a), (b, middle), (middle, b)):
        meshed(one, other)
    for publisher, receivers in ((a, [middle, b]), (b, [middle, a]), (middle, [a, b])):
        for size in (100, 20_000):
            delivered(publisher, receivers, os.urandom(size))


@case("gossipsub: subscribe, publish again with a prefix, unsubscribe", "a", "b", fresh={"a", "b"}, players={"*": {"chorale", "py"}},
      wants={"*": ["--republish", "re: ", "--heartbeat", "0.5", "--d", "3", "--dlo", "2", "--dhi", "4", "--px"]})
def gossip_commands(a, b):
    join(a, b)
    for one in (a, b):
        one.do("subscribe", topic=TOPIC)
        check(one.do("topics")["topics"] == [TOPIC], one.name, "is subscribed to", one.do("topics"))
    meshed(a, b)
    meshed(b, a)
    a.do("publish", topic=TOPIC, data="said once")
    event = a.wait(lambda e: e["event"] == "pubsub" and e.get("text") == "re: said once" and e["from"] == b.id)
    check(event["signed"], event)
    a.do("unsubscribe", topic=TOPIC)
    check(a.do("topics")["topics"] == [], a.do("topics"))
    until(lambda: not knows_subscriber(b, a)(), f"{b.name} knows that {a.name} is gone from the topic")


# --- The hash table --------------------------------------------------------------------------------------------------

SERVING = {"*": ["--dht", "server", "--namespace", "musig", "--namespace", "pk"]}


def in_table(one, other):
    """`one` takes `other` into its routing table, as soon as it knows that it serves the table."""
    until(lambda: one.do("dht_add", peer=other.id)["added"] or one.impl == "py-libp2p" and has(one, other),
          f"{other.name} is in the table of {one.name}")


def has(one, other):
    return one.do("dht_add", peer=other.id)["size"] > 0


def know_each_other(one, other):
    """Each has the other in its routing table."""
    join(one, other)
    in_table(one, other)
    in_table(other, one)


def kept_without(a, b, c, key, value):
    """`b` has the value once who put it is gone, and `c`, which comes later, gets it from there."""
    # What was sent before this came before it.
    a.do("ping", peer=b.id, count=1)
    end(a)
    know_each_other(c, b)
    for one in (b, c):
        until(lambda: one.cmd("dht_get", key_hex=key.hex()).get("value_hex") == value.hex(), f"{one.name} has the value, without {a.name}")


@case("kad: a puts under a custom namespace and ends, b keeps, c gets from b", "a", "b", "c", wants=SERVING, fresh={"c"},
      players={"*": {"chorale", "py"}})
def kad_values(a, b, c):
    know_each_other(a, b)
    key, value = f"/musig/{os.urandom(8).hex()}".encode(), os.urandom(100)
    until(lambda: a.cmd("dht_put", key_hex=key.hex(), value_hex=value.hex())["ok"], "a puts", 20)
    kept_without(a, b, c, key, value)


@case("kad: a puts its public key and ends, b keeps, c gets from b", "a", "b", "c", wants=SERVING, fresh={"c"},
      players={"*": {"chorale", "go"}})
def kad_public_keys(a, b, c):
    from go_peer import peer_bytes

    know_each_other(a, b)
    key, value = b"/pk/" + peer_bytes(a.id), peer_bytes(a.id)[2:]
    # Go's daemon does not say when it has b in its table.
    until(lambda: a.cmd("dht_put", key_hex=key.hex(), value_hex=value.hex())["ok"], "a puts")
    kept_without(a, b, c, key, value)


@case("kad: a provides; c, which comes later, finds where a is; a ends, and c finds who provided", "a", "b", "c", wants=SERVING,
      fresh={"c"}, only_if=two_kinds)
def kad_providers(a, b, c):
    know_each_other(a, b)
    data = os.urandom(16).hex()
    until(lambda: a.cmd("dht_provide", data_hex=data)["ok"], "a provides")
    a.do("ping", peer=b.id, count=1)
    know_each_other(c, b)
    peer = until(lambda: c.cmd("dht_find_peer", peer=a.id).get("peer"), "c finds the peer")
    bare = {address.rsplit("/p2p/", 1)[0] for address in a.addrs}
    check({address.rsplit("/p2p/", 1)[0] for address in peer["addrs"]} & bare, "a is found where it is not:", peer)
    end(a)
    found = until(lambda: [p for p in c.cmd("dht_providers", data_hex=data).get("providers", []) if p["peer_id"] == a.id],
                  "c finds the provider")
    check(found[0]["peer_id"] == peer["peer_id"] == a.id, found, peer)


@case("kad under a protocol id of its own: put, get, and nothing under the public one", "a", "b",
      wants={"*": ["--dht", "server", "--namespace", "musig", "--kad-protocol", "/chorale/kad/1.0.0"]},
      players={"*": {"chorale", "py"}}, only_if=lambda parts: len(set(parts)) == 2)
def kad_own_protocol(a, b):
    join(a, b)
    protocols = a.do("identify", peer=b.id)["protocols"]
    check("/chorale/kad/1.0.0" in protocols and "/ipfs/kad/1.0.0" not in protocols, protocols)
    refused(a, "stream", peer=b.id, proto="/ipfs/kad/1.0.0", data="x")
    in_table(a, b)
    in_table(b, a)
    key, value = f"/musig/{os.urandom(8).hex()}", os.urandom(50)
    until(lambda: a.cmd("dht_put", key=key, value_hex=value.hex())["ok"], "a puts", 20)
    a.do("ping", peer=b.id, count=1)
    end(a)
    until(lambda: b.cmd("dht_get", key=key).get("value_hex") == value.hex(), "b keeps")


# --- Relays ----------------------------------------------------------------------------------------------------------

RELAYING = {
    "relay": ["--relay", "hop", "--no-pubsub"],
    "reserver": ["--relay", "client", "--dcutr", "--no-pubsub"],
    "stranger": ["--relay", "client", "--dcutr", "--no-pubsub"],
    "dialler": ["--relay", "client", "--dcutr", "--no-pubsub"],
}


# Without DCUtR: py-libp2p makes each relayed connection direct by itself, within two seconds.
CARRYING = {part: [option for option in options if option != "--dcutr"] for part, options in RELAYING.items()}


def is_relayed(one, other):
    return any("/p2p-circuit" in each for each in addresses_of(one, other))


def is_direct(one, other):
    return any("/p2p-circuit" not in each for each in addresses_of(one, other))


def relayed(relay, reserver, dialler):
    """Connects the dialler with the reserver through the relay."""
    join(reserver, relay)
    reservation = reserver.do("relay_reserve", peer=relay.id)
    check(reservation["reserved"] and reservation["expire"] > time.time(), reservation)
    dialler.do("relay_dial", addr=address(relay), peer=reserver.id)
    for one, other in ((dialler, reserver), (reserver, dialler)):
        # py-libp2p shows the relay's address for a relayed connection.
        until(lambda: one.impl == "py-libp2p" or is_relayed(one, other), f"{one.name} has a relayed connection")
    return reservation


@case("relay: reserve, dial, echo, and no more than a relay carries", "relay", "reserver", "dialler", only_if=two_kinds, fresh={"dialler"},
      wants=CARRYING)
def relay_roles(relay, reserver, dialler):
    relayed(relay, reserver, dialler)
    for size in (1, 30_000):
        reply = dialler.do("stream", peer=reserver.id, proto="/echo/1.0.0", data_hex=os.urandom(size).hex())
        check(reply["same"] and reply["bytes"] == size, reply)
    dialler.do("ping", peer=reserver.id, count=3)
    breaks_off(reserver, dialler, carried=20_000, too_much=200_000)


def breaks_off(reserver, dialler, carried, too_much):
    """So it was the relay that carried it: `too_much` ends the connection, and less did not."""
    check(dialler.do("stream", peer=reserver.id, proto="/echo/1.0.0", data_hex=os.urandom(carried).hex())["same"], "echo")
    check(not dialler.cmd("stream", peer=reserver.id, proto="/echo/1.0.0", data_hex=os.urandom(too_much).hex()).get("same"),
          "the circuit carries more than its relay's limit")
    for one, other in ((dialler, reserver), (reserver, dialler)):
        # The others may keep a connection in their lists for a while.
        until(lambda: one.impl != "chorale" or not is_connected(one, other), f"{one.name} has lost the connection")


@case("relay: who has not reserved cannot be dialled", "relay", "stranger", "dialler", wants=RELAYING, fresh={"dialler"},
      only_if=lambda parts: parts[1] == parts[2])
def relay_without_reservation(relay, stranger, dialler):
    join(stranger, relay)
    refused(dialler, "relay_dial", addr=address(relay), peer=stranger.id)


@case("DCUtR: a relayed connection becomes a direct one", "relay", "reserver", "dialler", wants=RELAYING,
      players={"relay": ALL, "*": {"chorale", "py"}}, only_if=two_kinds, fresh={"dialler"})
def dcutr(relay, reserver, dialler):
    relayed(relay, reserver, dialler)
    # Who was dialled begins. py-libp2p has no addresses to offer before it has identified the other side, and does not wait for that; and
    # a connection that came in while it dialled it may take for none, so that chorale's word counts where it has one.
    def upgrade():
        reply = reserver.do("dcutr", peer=dialler.id, timeout=45)
        return reply if reply["upgraded"] or dialler.impl == "chorale" and is_direct(dialler, reserver) else None

    reply = until(upgrade, "upgraded", 30 if reserver.impl == "py-libp2p" else 0)
    # Other implementations may begin by themselves before.
    check({reserver.impl, dialler.impl} != {"chorale"} or reply["attempts"] > 0, "no exchange of DCUtR:", reply)
    for one, other in ((dialler, reserver), (reserver, dialler)):
        # The list of py-libp2p does not show it every time.
        until(lambda: one.impl == "py-libp2p" or is_direct(one, other), f"{one.name} has a direct connection")
    # More than a relay carries. What py-libp2p sends before it has noticed its direct connection goes by the relay, and breaks off there.
    much = os.urandom(200_000).hex()
    until(lambda: dialler.cmd("stream", peer=reserver.id, proto="/echo/1.0.0", data_hex=much).get("same"), "echo",
          15 if dialler.impl == "py-libp2p" else 0)


# An option of its own for each, so that no peer here serves another case: py-libp2p would know a way by that one's relay.
LIMITED = {part: [*options, "--relay-data", "40000"] for part, options in CARRYING.items()}


@case("relay: it ends a circuit that takes more than it gives", "relay", "reserver", "dialler", fresh={"relay", "reserver", "dialler"},
      wants=LIMITED,
      players={"relay": {"chorale"}, "*": {"chorale", "py"}}, only_if=lambda parts: parts[1] == parts[2])
def relay_limits(relay, reserver, dialler):
    relayed(relay, reserver, dialler)
    breaks_off(reserver, dialler, carried=12_000, too_much=60_000)
