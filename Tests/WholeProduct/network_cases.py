"""Nodes that sign over a network of real processes, and are killed at it."""

import copy
import random
import time

from cases import case
from network import COMPLETE, Nodes, check_lives, check_nonces, collect
from tool import wait_until

# Signers, threshold, and how many requests: in every run, and in a long one, 200 in all. Of three, members give each other nonces ahead.
GROUPS = {
    "a group of three": (3, None, 20, 50),
    "any two of three": (3, 2, 20, 50),
    "a group of seven": (7, None, 6, 30),
    "any five of seven": (7, 5, 6, 30),
    "a group of fifteen": (15, None, 3, 20),
    "any thirteen of fifteen": (15, 13, 3, 20),
}


NONCES_AHEAD = ("--nonce-pool", 4)


class Crowd:
    """Nodes with one group, and requests that are under way at the same time."""

    def __init__(self, context, nodes, generator):
        self.context, self.nodes, self.generator = context, nodes, generator
        self.files = []
        # Requests whose proposer was told their id.
        self.kept = set()
        self.is_kill_due = False
        # Before so many approvals more, nobody is killed.
        self.spared = 0
        self.kills = 0

    def note(self, number):
        return f"number {number}"

    def propose(self, number):
        """Asks at the node that is this request's proposer, which may be killed at it."""
        place = number % len(self.nodes.homes)
        process = self.nodes.start_command(
            place, "request", "new", "--group", "crowd", "--psbt", self.files[number], "--note", self.note(number), "--yes"
        )
        if self.is_kill_due and self.generator.random() < 0.25:
            time.sleep(self.generator.uniform(0, 0.03))
            self.kill(place)
            process.wait()
        else:
            process.expect(0)
        if process.code == 0:
            self.kept.add(number)

    def approve(self, place, identifier):
        process = self.nodes.start_command(place, "request", "approve", identifier, "--yes")
        self.spared -= 1
        if self.is_kill_due and self.spared < 0:
            # Some node, itself perhaps, before, in or after its approval, the beginning, its signature, the end.
            time.sleep(self.generator.uniform(0, 0.03))
            self.kill()
            process.wait()
        elif process.wait().code != 0:
            # Enough others may have agreed meanwhile, where not all have to.
            assert self.nodes.scene.threshold and "complete" in process.err, process.expect(0)

    def threaten(self):
        """Somebody is to be killed: at any approval, and at the last one, upon which all is signed, as often as at all others."""
        last = (self.nodes.scene.threshold or len(self.nodes.homes)) - 2
        self.is_kill_due, self.spared = True, self.generator.choice([self.generator.randint(0, last), last])

    def kill(self, victim=None):
        victim = self.generator.randrange(len(self.nodes.homes)) if victim is None else victim
        self.nodes.kill(victim)
        time.sleep(self.generator.choice([0, self.generator.uniform(0, 0.2)]))
        self.nodes.start(victim)
        self.is_kill_due = False
        self.kills += 1

    def look(self, count):
        """Approves at each node what is not decided there; proposes again what its proposer does not know. Gives how many of `count`
        requests are complete at each."""
        complete = []
        for place in self.generator.sample(range(len(self.nodes.homes)), len(self.nodes.homes)):
            known = self.nodes.json(place, "request", "list")["requests"]
            for request in known:
                if request["decision"] == "undecided" and request["state"] != "complete":
                    self.approve(place, request["request"])
            notes = [request["note"] for request in known]
            assert len(set(notes)) == len(notes), f"a request stands twice: {notes}"
            for number in range(count):
                if number % len(self.nodes.homes) == place and self.note(number) not in notes:
                    assert number not in self.kept, f"a request whose id was told is gone: {self.note(number)}"
                    self.context.count("proposals that were cut off")
                    self.propose(number)
            complete.append(sum(request["state"] == "complete" for request in known))
        return complete


def register():
    for words, (signers, threshold, count, count_if_long) in GROUPS.items():

        def run(context, signers=signers, threshold=threshold, count=count, count_if_long=count_if_long):
            killed_at_random(context, signers, threshold, count_if_long if context.is_long else count)

        sentence = f"nodes of {words} that are killed at random complete every request, and no nonce serves twice"
        case("network", sentence, slow=signers > 7)(run)


@case("network", "nodes that give each other nonces ahead sign in the attempt that goes out with the proposal")
def nonces_ahead(context):
    scene = context.scene(signers=3)
    with Nodes(scene, options=NONCES_AHEAD) as nodes:
        nodes.make_group("crowd")

        def have_given():
            # Four entries of two nonces for each of two others.
            return all(nodes.json(place, "node", "show")["health"]["secret_nonces"] == 16 for place in range(3))

        wait_until(have_given, 30, "nonces given to all")
        identifier = nodes.json(0, "request", "new", "--group", "crowd", "--psbt", scene.psbt, "--yes")["request"]
        for place in (1, 2):
            wait_until(lambda: nodes.json(place, "request", "list")["requests"], 30, f"the request at {place}")
            nodes.run(place, "request", "approve", identifier, "--yes").expect(0)
        for place in range(3):
            wait_until(lambda: nodes.json(place, "request", "show", identifier)["state"] == "complete", 30, f"the end at {place}")
        nodes.stop()
        databases = nodes.databases()
    check_nonces(databases, scene.public)
    assert {attempt for kept in databases for _, attempt, _ in kept.burned} == {1}


def killed_at_random(context, signers, threshold, count):
    generator = random.Random(context.seed)
    # In seconds; it takes about a third of it on two cores.
    limit = 40 + count * (1 + signers / 2)
    started = time.monotonic()
    scene = context.scene(signers=signers, threshold=threshold)
    with Nodes(scene, options=NONCES_AHEAD if signers == 3 else ()) as nodes:
        nodes.make_group("crowd")
        crowd = Crowd(context, nodes, generator)
        for number in range(count):
            crowd.files.append(scene.folder / f"payment-{number}.psbt")
            scene.create(crowd.files[-1], inputs=1 + number % 2)
        for number in range(count):
            crowd.threaten()
            crowd.propose(number)
            crowd.look(number + 1)
            if crowd.is_kill_due:
                crowd.kill()
        while min(complete := crowd.look(count)) < count:
            assert time.monotonic() < started + limit, f"{complete} of {count} are complete after {limit} s"
            time.sleep(0.05)
        known = [[request["request"] for request in nodes.json(place, "request", "list")["requests"]] for place in range(signers)]
        assert all(len(each) == count and set(each) == set(known[0]) for each in known), known
        collect(context, nodes, known[0])
        nodes.stop()
        databases = nodes.databases()
    for kept in databases:
        assert sorted(kept.states.values()) == [COMPLETE] * count, kept.states
    signatures = nodes.check_nonces()
    assert len(nodes.left) == crowd.kills >= count, f"{crowd.kills} kills in {count} requests"
    # All of a set but the coordinator, if it is one of them, send theirs.
    assert signatures >= ((threshold or signers) - 1) * count, f"{signatures} signatures are in the transcripts of {count} requests"
    attempts = {(request, attempt) for kept in databases for request, attempt, _ in kept.burned}
    context.remark(f"{count} requests, {crowd.kills} kills, {len(attempts)} attempts signed, {signatures} signatures sent")
    if cut := context.counts.get("proposals that were cut off"):
        context.remark(f"{cut} proposals cut off, and made again")


register()


@case("network", "the checker of nonces sees a nonce that served twice, a signature that no journal knows, and a journal that lost one")
def checker_bites(context):
    scene = context.scene(signers=2)
    with Nodes(scene) as nodes:
        nodes.make_group("pair")
        identifier = nodes.json(0, "request", "new", "--group", "pair", "--psbt", scene.psbt, "--yes")["request"]
        deadline = time.monotonic() + 30
        while nodes.run(1, "request", "approve", identifier, "--yes").code != 0:
            assert time.monotonic() < deadline
        for place in (0, 1):
            nodes.run(place, "request", "watch", "--request", identifier, "--time-limit", 30).expect(0)
        nodes.stop()
        databases = nodes.databases()
    assert check_nonces(databases, scene.public) >= 1
    number, kept = next((number, kept) for number, kept in enumerate(databases) if kept.burned)
    former = copy.deepcopy(kept)
    check_lives(databases, [(number, former)])
    decision = next(iter(kept.burned))
    transcript, partials = kept.burned[decision]
    again = (decision[0], decision[1] + 1, decision[2])
    kept.burned[again], kept.burned_nonces[again] = (bytes(32), partials), kept.burned_nonces[decision]
    expect_refusal(databases, scene, "served two transcripts")
    for kept in databases:
        kept.burned, kept.burned_nonces = {}, {}
    expect_refusal(databases, scene, "in no journal")
    expect_refusal(databases, scene, "has forgotten what it signed", [(number, former)])


def expect_refusal(databases, scene, text, former=()):
    try:
        check_lives(databases, former)
        check_nonces(databases, scene.public)
    except AssertionError as error:
        assert text in str(error), error
    else:
        raise AssertionError(f"no word of “{text}”")
