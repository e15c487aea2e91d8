"""Nodes that sign over a network of real processes, and are killed at it."""

import random
import time

from cases import case
from network import COMPLETE, Nodes, check_nonces

REQUEST_COUNT = 20
# For the whole case, in seconds; it takes about a third of it on two cores.
TIME_LIMIT = 60


class Crowd:
    """Three nodes with one group, and requests that are under way at the same time."""

    def __init__(self, context, nodes, generator):
        self.context, self.nodes, self.generator = context, nodes, generator
        self.files = []
        # Requests whose proposer was told their id.
        self.kept = set()
        self.is_kill_due = False
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
        if self.is_kill_due and self.generator.random() < 0.6:
            # Some node, itself perhaps, before, in or after its approval, the beginning, its signature, the end.
            time.sleep(self.generator.uniform(0, 0.03))
            self.kill()
            process.wait()
        elif process.wait().code != 0:
            # Enough others may have agreed meanwhile, where not all have to.
            assert self.nodes.scene.threshold and "complete" in process.err, process.expect(0)

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
                    self.approve(place, request["id"])
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
    for words, shape in {"a group of three": dict(signers=3), "any two of three": dict(signers=3, threshold=2)}.items():

        def run(context, shape=shape):
            killed_at_random(context, shape)

        case("network", f"nodes that are killed at random complete 20 requests of {words}, and no nonce serves twice")(run)


def killed_at_random(context, shape):
    generator = random.Random(context.seed)
    end = time.monotonic() + TIME_LIMIT
    scene = context.scene(**shape)
    with Nodes(scene) as nodes:
        nodes.make_group("crowd")
        crowd = Crowd(context, nodes, generator)
        for number in range(REQUEST_COUNT):
            crowd.files.append(scene.folder / f"payment-{number}.psbt")
            scene.create(crowd.files[-1], inputs=1 + number % 2)
        for number in range(REQUEST_COUNT):
            crowd.is_kill_due = True
            crowd.propose(number)
            crowd.look(number + 1)
            if crowd.is_kill_due:
                crowd.kill()
        while min(complete := crowd.look(REQUEST_COUNT)) < REQUEST_COUNT:
            assert time.monotonic() < end, f"{complete} of {REQUEST_COUNT} are complete after {TIME_LIMIT} s"
            time.sleep(0.05)
        transactions = [
            {request["id"]: nodes.json(place, "request", "show", request["id"]) for request in nodes.json(place, "request", "list")["requests"]}
            for place in range(3)
        ]
        nodes.stop()
        databases = nodes.databases()
    assert len(transactions[0]) == REQUEST_COUNT and all(set(each) == set(transactions[0]) for each in transactions)
    for identifier, shown in transactions[0].items():
        assert all(each[identifier]["transaction"] == shown["transaction"] for each in transactions)
        prevouts = [{"amount": coin["amount"], "script_pubkey": coin["script_pubkey"]} for coin in shown["inputs"]]
        context.spends.append({"transaction": shown["transaction"], "prevouts": prevouts})
    for kept in databases:
        assert sorted(kept.states.values()) == [COMPLETE] * REQUEST_COUNT, kept.states
    signatures = check_nonces(databases, scene.public)
    # All of a set but the coordinator, if it is one of them, send theirs.
    assert signatures >= ((scene.threshold or 3) - 1) * REQUEST_COUNT, f"{signatures} signatures are in the transcripts of {REQUEST_COUNT} requests"
    attempts = {(request, attempt) for kept in databases for request, attempt, _ in kept.burned}
    context.remark(f"{crowd.kills} kills, {len(attempts)} attempts signed, {signatures} signatures sent")
    if cut := context.counts.get("proposals that were cut off"):
        context.remark(f"{cut} proposals cut off, and made again")


register()


@case("network", "the checker of nonces sees a nonce that served twice, and a signature that no journal knows")
def checker_bites(context):
    scene = context.scene(signers=2)
    with Nodes(scene) as nodes:
        nodes.make_group("pair")
        identifier = nodes.json(0, "request", "new", "--group", "pair", "--psbt", scene.psbt, "--yes")["id"]
        deadline = time.monotonic() + 30
        while nodes.run(1, "request", "approve", identifier, "--yes").code != 0:
            assert time.monotonic() < deadline
        for place in (0, 1):
            nodes.run(place, "request", "watch", "--request", identifier, "--time-limit", 30).expect(0)
        nodes.stop()
        databases = nodes.databases()
    assert check_nonces(databases, scene.public) >= 1
    kept = next(kept for kept in databases if kept.burned)
    decision = next(iter(kept.burned))
    transcript, partials = kept.burned[decision]
    again = (decision[0], decision[1] + 1, decision[2])
    kept.burned[again], kept.burned_nonces[again] = (bytes(32), partials), kept.burned_nonces[decision]
    expect_refusal(databases, scene, "served two transcripts")
    for kept in databases:
        kept.burned, kept.burned_nonces = {}, {}
    expect_refusal(databases, scene, "in no journal")


def expect_refusal(databases, scene, text):
    try:
        check_nonces(databases, scene.public)
    except AssertionError as error:
        assert text in str(error), error
    else:
        raise AssertionError(f"no word of “{text}”")
