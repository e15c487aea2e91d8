"""Nodes on hosts of their own, far from each other: every packet takes its time, some are lost, and now and then a host is cut off."""

import random
import time

from cases import case
from lab import Lab
from network import Nodes, check_nonces, collect
from tool import wait_until

REQUEST_COUNT = 8
# Signers, threshold, and how long a packet takes one way, in milliseconds.
DISTANCES = [(4, 3, 25), (3, None, 100)]
# Of packets, in percent.
LOSS = 2
# In seconds. A turn of a coordinator that is cut off lasts two; what a broken connection holds up takes up to half a minute to come.
TIME_LIMIT = 150


def register():
    for signers, threshold, delay in DISTANCES:
        words = f"any {threshold} of {signers} nodes" if threshold else f"{signers} nodes"

        def run(context, signers=signers, threshold=threshold, delay=delay):
            with Lab(signers, delay, context.seed) as lab:
                sign_far_apart(context, lab, context.scene(signers=signers, threshold=threshold), delay)

        case("network", f"{words} on hosts {delay} ms apart sign through loss, cuts and a crash, and no nonce serves twice", slow=True)(run)


def sign_far_apart(context, lab, scene, delay):
    generator = random.Random(context.seed)
    count = len(lab.hosts)
    with Nodes(scene, hosts=lab) as nodes:
        nodes.make_group("world")
        files = []
        for number in range(REQUEST_COUNT + 1):
            files.append(scene.folder / f"payment-{number}.psbt")
            scene.create(files[-1])

        def propose(number):
            made = nodes.json(number % count, "request", "new", "--group", "world", "--psbt", files[number], "--yes")
            return made["request"]

        def approve(place, request):
            nodes.run(place, "request", "approve", request, "--yes")

        def shown(place):
            return {request["request"]: request for request in nodes.json(place, "request", "list")["requests"]}

        # First without trouble: how long it takes from the last approval until everybody has the transaction.
        first = propose(0)
        for place in range(1, count):
            wait_until(lambda place=place: first in shown(place), 30, "the request")
        approvers = list(range(1, scene.threshold or count))
        for place in approvers:
            started = time.monotonic()
            approve(place, first)
        wait_until(lambda: all(shown(place)[first]["state"] == "complete" for place in range(count)), 30, "the first signature")
        took = time.monotonic() - started
        assert took > 2 * delay / 1e3, f"{took} s is less than the packets take"
        context.remark(f"{1e3 * took:.0f} ms from the last approval to the transaction at everybody")

        lab.say("loss", "*", "*", LOSS)
        crashed = generator.randrange(REQUEST_COUNT)
        requests = {first}
        end = time.monotonic() + TIME_LIMIT
        for number in range(1, REQUEST_COUNT + 1):
            requests.add(propose(number))
            victim = generator.randrange(count)
            # Now and then only one link is gone, and the others make no difference.
            lab.say("cut", victim + 1, generator.choice(["*", (victim + 1) % count + 1]))
            if number == crashed + 1:
                nodes.kill(victim)
                nodes.start(victim)
            context.count("cuts")
            pause_until = time.monotonic() + generator.uniform(0.2, 3)
            while time.monotonic() < pause_until:
                approve_all(nodes, count, shown, approve)
            lab.say("heal")
        while True:
            approve_all(nodes, count, shown, approve)
            complete = [sum(request["state"] == "complete" for request in shown(place).values()) for place in range(count)]
            if min(complete) == len(requests):
                break
            assert time.monotonic() < end, f"{complete} of {len(requests)} are complete after {TIME_LIMIT} s"
        collect(context, nodes, sorted(requests))
        nodes.stop()
        databases = nodes.databases()
    signatures = nodes.check_nonces()
    attempts = {(request, attempt) for kept in databases for request, attempt, _ in kept.burned}
    context.remark(f"{LOSS} % lost, {context.counts['cuts']} cuts, {len(requests)} requests, {len(attempts)} attempts, {signatures} signatures sent")


def approve_all(nodes, count, shown, approve):
    for place in range(count):
        for identifier, request in shown(place).items():
            if request["decision"] == "undecided" and request["state"] not in ("complete", "signing"):
                approve(place, identifier)


register()
