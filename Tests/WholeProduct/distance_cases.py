"""How long groups on hosts of their own take to sign, by each way to a member that there is, and that they sign all the same when links
lose packets and are cut and a process is ended in the middle.

Between proposal and signature lie two round trips, and half of one more until everybody has it. By way of a relay each goes twice as
far. By way of a mailbox each word goes there, the mailbox tells that something has come, and it is fetched.
"""

import collections
import json
import os
import random
import statistics
import threading
import time

from cases import case
from lab import Lab
from network import Nodes, collect
from tool import wait_until

DIRECT, BY_RELAY, BY_MAILBOX = "straight to each other", "one of them by way of a relay only", "one of them by way of a mailbox only"

# What may lie between a proposal and its signature, and its last member's hearing of it: round trips between the farthest two, and seconds.
# For those that are connected it is DESIGN's budget. A word that goes by way of a mailbox takes up to three round trips: it is left on a
# stream of its own, the mailbox tells of it, and it is fetched; and a second where the last look was less than one ago. There are four
# such words, and the end is the fifth.
Promise = collections.namedtuple("Promise", "least signed everywhere pauses")
# The least is what packets take at any rate: less than two where whoever coordinates is the far one, or its relay.
PROMISES = {
    DIRECT: Promise(2, 2.1, 2.6, (0, 0)),
    BY_RELAY: Promise(1.25, 2.1, 2.6, (0, 0)),
    BY_MAILBOX: Promise(6, 12, 15, (4, 5)),
}
# How much farther it is to the farthest: a relay lies between.
STRETCH = {DIRECT: 1, BY_RELAY: 2, BY_MAILBOX: 1}

# Those by way of a mailbox take seconds each.
REQUEST_COUNTS, REQUEST_COUNT_IN_TROUBLE = {DIRECT: 7, BY_RELAY: 7, BY_MAILBOX: 3}, 3
# Of packets, in percent.
LOSS = 2
# How much more than without any distance the work of all nodes, which share this machine's cores, may take: a part of it, and seconds.
WORK_MORE, WORK_MORE_SECONDS = 0.5, 0.01
# In seconds. Beside the pauses of a mailbox all work is little.
WORK_BETWEEN_PAUSES = 0.5
# In seconds, for a request in trouble: what a broken connection holds up takes up to half a minute to come, and a turn two and more.
TIME_LIMIT = 150

POLICY = """chorale-approval 1
network: regtest
group: {}
proposer: any
destination: any
amount-per-request: 1000000 sat
amount-per-day: 100000000 sat
approvals-per-day: 1000
fee: 100000 sat
fee-rate: 100 sat/vB
window: always
delay: 0 s
otherwise: ask
"""


def has_third(signers, way):
    """Whether a node of no group is needed."""
    return way == BY_MAILBOX or (way == BY_RELAY and signers < 7)


class Watcher:
    """Everything that a node tells in this life, each with the time at which it was told here."""

    def __init__(self, nodes, number):
        self.events = []
        reading, writing = os.pipe()
        self.process = nodes.tool.start("request", "watch", "--json", "--after", 0, "--home", nodes.homes[number], stdout=writing)
        os.close(writing)
        self.thread = threading.Thread(target=self.read, args=(reading,))
        self.thread.start()

    def read(self, descriptor):
        with open(descriptor) as lines:
            for line in lines:
                self.events.append((time.monotonic(), json.loads(line)))

    def time(self, request, name):
        """When something of a request was told for the first time; `None` while it was not."""
        return next((at for at, event in list(self.events) if event.get("request") == request and event["event"] == name), None)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.thread.join()


class FarNodes(Nodes):
    """The signers of a scene, one of which, the last, is reached by one way only, on hosts of their own; and what else that takes."""

    def __init__(self, scene, lab, way):
        super().__init__(scene, hosts=lab)
        self.way, self.members = way, range(len(scene.public))
        self.watchers = {}
        # Who is reached in one way, and who gives that way: a relay of seven and more is a member, else it is a node of no group.
        self.far = self.members[-1]
        self.between = len(scene.public) if has_third(len(scene.public), way) else 1

    def __exit__(self, *problem):
        for watcher in self.watchers.values():
            watcher.close()
        super().__exit__(*problem)

    def make(self):
        """The group, each of whose members agrees to everything. Gives the first requests, which have connected them."""
        if self.way == DIRECT:
            self.make_group("far")
        else:
            self.make_with_one_way()
        policy = self.scene.folder / "policy.txt"
        policy.write_text(POLICY.format(self.json(0, "group", "show", "far")["address"]))
        for number in self.members:
            self.run(number, "group", "policy", "far", "--set", policy, "--yes").expect(0)
            self.watchers[number] = Watcher(self, number)
        # Nobody dials whom nothing has to be told: what a member asks connects it to all others. A mailbox is there already, and takes 256
        # words at once from one node, and then four a second.
        proposers = self.members[:1] if self.way == BY_MAILBOX else self.members
        requests = [self.propose(number, f"first-{number}") for number in proposers]
        for request in requests:
            wait_until(lambda request=request: self.is_known_to_all(request), TIME_LIMIT, "the first signatures at everybody")
        wait_until(self.is_connected, 60, "the connections that are to be, and no others")
        return requests

    def make_with_one_way(self):
        """The group, and then nothing leads to the last member any more but by way of the one between: it was never reached in this life."""
        self.own_options[self.between] = ["--serve-relay"] if self.way == BY_RELAY else ["--serve-mailbox"]
        self.start(self.between)
        if self.way == BY_RELAY:
            self.own_options[self.far] = ["--no-listen", "--relay", self.addresses[self.between]]
        else:
            # The far one fetches what it is told from there, and the others what it says.
            for number in self.members:
                self.own_options[number] = ["--mailbox", self.addresses[self.between]]
        for number in self.members:
            if self.running[number] is None:
                self.start(number)
        if self.way == BY_MAILBOX:
            for number in self.members:
                self.run(self.between, "contact", "add", f"member {number}", self.show(number)["contact"]).expect(0)
        else:
            wait_until(lambda: any("/p2p-circuit" in each for each in self.show(self.far)["addresses"]), 30, "a place at the relay")
        # Whoever is reached by way of others says so when the group is made, and to make it, it dials who invites.
        self.make_group("far")
        self.end(self.far)
        self.part()
        self.start(self.far)

    def part(self):
        """Nothing goes between the far one and any other, but for the one that gives the way."""
        self.hosts.say("cut", self.far + 1, "*")
        self.hosts.say("heal", self.far + 1, self.between + 1)

    def ways(self):
        """How each member is connected to each other one, `None` for not at all, beside how it is to be."""
        found = []
        for number in self.members:
            shown = {member["public_key"]: member["by"] for member in self.show(number)["members"]}
            for other in self.members:
                if other != number:
                    found.append((shown[self.scene.public[other]], self.way_between(number, other)))
        return found

    def way_between(self, one, other):
        if self.way == DIRECT or self.far not in (one, other):
            return "direct"
        if self.way == BY_MAILBOX:
            return None
        return "direct" if self.between in (one, other) else "relay"

    def is_connected(self):
        """Whether everybody is connected to everybody, by the ways that there are."""
        are_boxes_there = self.way != BY_MAILBOX or all(self.show(number)["mailboxes"][0]["is_connected"] for number in self.members)
        return are_boxes_there and all(way == expected for way, expected in self.ways())

    def propose(self, number, name):
        """Gives the request's id."""
        payment = self.scene.folder / f"{name}.psbt"
        self.scene.create(payment)
        return self.json(number, "request", "new", "--group", "far", "--psbt", payment, "--yes")["request"]

    def is_known_to_all(self, request):
        """Whether all have the signature. A node that was started anew tells once more what it has."""
        return all(self.watchers[number].time(request, "complete") is not None for number in self.members)


def measure(nodes, name, least):
    """Requests one after the other. Gives their ids, and for each but the first the seconds from the proposal until somebody has the
    signature, and until all have it: not less than `least`."""
    requests, signed, everywhere = [], [], []
    for number in range(REQUEST_COUNTS[nodes.way] + 1):
        asked = time.monotonic()
        request = nodes.propose(0, f"{name}-{number}")
        requests.append(request)
        wait_until(lambda request=request: nodes.is_known_to_all(request), 60, "a signature at everybody")
        # The links have only just become what they are.
        if number == 0:
            continue
        # Asking is agreeing: the proposal leaves with that.
        began = nodes.watchers[0].time(request, "decided")
        times = [nodes.watchers[member].time(request, "complete") for member in nodes.members]
        assert min(times) - asked > least, f"signed after {min(times) - asked} s: that is less than the packets take"
        signed.append(min(times) - began)
        everywhere.append(max(times) - began)
    return requests, signed, everywhere


def sign_undisturbed(context, nodes, delay):
    """What the network costs, by the middle of several requests, if the work of all is known from what they cost without any distance. Gives
    their ids."""
    nodes.hosts.say("delay", "*", "*", 0)
    near, near_signed, near_everywhere = measure(nodes, "near", 0)
    nodes.hosts.say("delay", "*", "*", delay)
    round_trip, promise = 2 * delay * STRETCH[nodes.way] / 1e3, PROMISES[nodes.way]
    far, far_signed, far_everywhere = measure(nodes, "far", promise.least * round_trip)
    context.remark(f"round trips of {1e3 * round_trip:.0f} ms")
    for what, without, times, most, pauses in [
        ("signed", near_signed, far_signed, promise.signed, promise.pauses[0]),
        ("known to all", near_everywhere, far_everywhere, promise.everywhere, promise.pauses[1]),
    ]:
        middle, work = statistics.median(times), statistics.median(without)
        if pauses:
            allowed, trips, promised = pauses + WORK_BETWEEN_PAUSES, middle / round_trip, f"{most} and {pauses} s promised"
        else:
            allowed, trips, promised = (1 + WORK_MORE) * work + WORK_MORE_SECONDS, (middle - work) / round_trip, f"{most} promised"
        context.remark(
            f"{what} after {1e3 * min(times):.0f}–{1e3 * middle:.0f}–{1e3 * max(times):.0f} ms, {1e3 * work:.0f} without distance:"
            f" {trips:.2f} round trips, {promised}"
        )
        assert middle < most * round_trip + allowed, f"{what} after {times}, without distance {without}"
    return near + far


def sign_in_trouble(context, nodes, generator):
    """Packets are lost, somebody is cut off in each request, and in the middle of one a process is ended. Gives the requests' ids."""
    nodes.hosts.say("loss", "*", "*", LOSS)
    crash = generator.randrange(REQUEST_COUNT_IN_TROUBLE)
    requests, took = [], []
    for number in range(REQUEST_COUNT_IN_TROUBLE):
        proposer, victim = generator.sample(nodes.members, 2)
        started = time.monotonic()
        request = nodes.propose(proposer, f"trouble-{number}")
        requests.append(request)
        if number == crash:
            # By now others may have its nonces, or its signature, and its secrets are gone.
            time.sleep(generator.uniform(0, 0.3))
            nodes.watchers[victim].close()
            nodes.kill(victim)
            nodes.start(victim)
            nodes.watchers[victim] = Watcher(nodes, victim)
        else:
            nodes.hosts.say("cut", victim + 1, "*")
            time.sleep(generator.uniform(0.5, 3))
            nodes.hosts.say("heal", victim + 1, "*")
            if nodes.way != DIRECT:
                nodes.part()

        what = f"request {number} in trouble, whose victim is {victim}, at everybody"
        wait_until(lambda request=request: nodes.is_known_to_all(request), TIME_LIMIT, what)
        took.append(time.monotonic() - started)
    nodes.hosts.say("loss", "*", "*", 0)
    context.remark(f"with {LOSS} % lost, a host cut off in each and one crash: " + ", ".join(f"{seconds:.1f}" for seconds in took) + " s")
    return requests


def sign_from_afar(context, signers, delay, way):
    generator = random.Random(context.seed)
    others = int(has_third(signers, way))
    scene = context.scene(signers=signers, others=others)
    with Lab(signers + others, delay, context.seed) as lab, FarNodes(scene, lab, way) as nodes:
        requests = nodes.make()
        requests += sign_undisturbed(context, nodes, delay)
        requests += sign_in_trouble(context, nodes, generator)
        assert all(way in (None, expected) for way, expected in nodes.ways()), "somebody was reached in another way"
        collect(context, nodes, requests)
        nodes.stop()
    signatures = nodes.check_nonces()
    assert signatures >= (signers - 1) * len(requests), f"{signatures} signatures of {len(requests)} requests were sent"


# In every run; all others only in a long one.
USUAL = [(3, 25, BY_RELAY), (3, 25, BY_MAILBOX)]


def register():
    for signers in (3, 7, 15):
        for delay in (25, 100):
            for way in (DIRECT, BY_RELAY, BY_MAILBOX):

                def run(context, signers=signers, delay=delay, way=way):
                    sign_from_afar(context, signers, delay, way)

                sentence = f"{signers} nodes on hosts {delay} ms apart, connected {way}, sign in the promised round trips, and in trouble"
                case("network", sentence, slow=True, is_only_long=(signers, delay, way) not in USUAL)(run)


register()
