"""A signer's process is ended at every durable step, and at any moment, and started again."""

import random
import signal
import time

from cases import Skipped, case
from psbt import PSBT
from tool import wait_until

# More steps than any run has; a run that goes on longer never ends.
STEP_MAX = 150

SHAPES = {
    "3-of-3 with 2 inputs": dict(signers=3, inputs=2),
    "2-of-3": dict(signers=3, threshold=2),
}
POSITIONS = {"first": 0, "middle": 1, "last": 2}


def play(context, shape, position, kills, is_set_given=False):
    """One signing, whose signer at `position` (in the order of starting) is killed as each of `kills` says, one process after
    another. Gives how many of the kills came about. With `is_set_given`, all agree beforehand on a set with that signer in it."""
    scene = context.scene(**SHAPES[shape])
    running = []
    words = []
    if is_set_given:
        words = ["--set", ",".join(scene.public[(position + place) % 3] for place in range(scene.threshold))]
    for signer in range(position):
        running.append(scene.cosign(signer, *words))
        scene.wait_for_presence(signer)
    victim = scene.cosign(position, *words, kill=kills[0], kill_log=context.kill_log)
    running += [scene.cosign(signer, *words) for signer in range(position + 1, 3)]
    hits = 0
    for kill in [*kills[1:], None]:
        if victim.wait().code != -signal.SIGKILL:
            break
        hits += 1
        victim = scene.cosign(position, *words, kill=kill, kill_log=context.kill_log)
    for process in [victim, *running]:
        process.expect(0)
    transaction = scene.final()
    assert all(process.out.strip() == transaction for process in [victim, *running]), "the signers' transactions differ"
    released = scene.released()
    released.check()
    context.collect(scene)
    context.count("kills", hits)
    context.count("attempts", released.attempt_count)
    scene.remove()
    return hits


def kill_at_every_step(context, shape, position, how):
    if context.tool.shim is None:
        raise Skipped("there is no C compiler to make the library that kills")
    stride = 5 if context.is_quick else 1
    # One run has a few steps more than another, by what it happens to see first. A kill in the middle of a write comes about at
    # steps that are writes only, which lie apart.
    # Of 2-of-3, whoever is killed before the set is chosen may find itself replaced and do less.
    missed, missed_max = 0, 16 if how == "half" else 2 if is_always_member(shape) else 4
    hits = []
    for step in range(1, STEP_MAX, stride):
        if play(context, shape, position, [(step, how)]):
            hits.append(step)
            missed = 0
        else:
            missed += 1
        if missed == missed_max:
            break
    else:
        raise AssertionError(f"still killed at step {STEP_MAX}: it never ends")
    killed_at = context.kill_log.read_text().splitlines() if context.kill_log.exists() else []
    context.remark(f"{len(hits)} kills, {context.counts['attempts']} attempts")
    assert len(killed_at) == len(hits), f"{len(hits)} processes were killed, and {len(killed_at)} say so"
    if not context.is_quick:
        check_kills(hits, killed_at, shape, how)


def is_always_member(shape):
    return SHAPES[shape].get("threshold") is None


def check_kills(hits, killed_at, shape, how):
    """Without kills the case would prove nothing, however green it is."""
    # Who is not needed in the end does little more than to say that it is here.
    least = (4 if is_always_member(shape) else 1) if how == "half" else (20 if is_always_member(shape) else 8)
    assert len(hits) >= least, f"{len(hits)} kills, and at least {least} were to be: {killed_at}"
    if how != "half":
        assert hits[:least] == list(range(1, least + 1)), f"steps were left out: {hits}"


def register():
    for shape in SHAPES:
        for name, position in POSITIONS.items():
            for how, place in {"before": "right before", "after": "right after", "half": "in the middle of"}.items():
                sentence = f"{shape}: the {name} signer to start may be killed {place} any durable step"

                def run(context, shape=shape, position=position, how=how):
                    kill_at_every_step(context, shape, position, how)

                case("crash", sentence)(run)


register()

# The steps by which a signer's part becomes known or durable: call, a text in the path, and which of them. The journal's first write
# is its header, the second the decision to sign. Files are written before they have a name, or under another.
NAMED_STEPS = [
    ("rename /presence-", 1),
    ("link /nonces-", 1),
    ("pwrite .key.journal", 2),
    ("fdatasync .key.journal", 2),
    ("pwrite /attempt-0001/", 1),
    ("pwrite /attempt-0001/", 2),
    ("rename /partials-", 1),
    ("unlink /presence-", 1),
]


def register_named():
    for shape in SHAPES:

        def run(context, shape=shape):
            kill_at_named_steps(context, shape)

        case("crash", f"{shape}: each member is killed before, in and after the steps that show its nonces, record its decision, give it")(run)


def kill_at_named_steps(context, shape):
    if context.tool.shim is None:
        raise Skipped("there is no C compiler to make the library that kills")
    for step, number in NAMED_STEPS:
        for how in ["before", "after", *(["half"] if step.startswith("pwrite") else [])]:
            for position in POSITIONS.values():
                hits = play(context, shape, position, [(number, how, step)], is_set_given=not is_always_member(shape))
                assert hits == 1, f"no kill {how} number {number} of “{step}”, of the signer at {position}"
    context.remark(f"{context.counts['kills']} kills, {context.counts['attempts']} attempts")


register_named()


@case("crash", "a signer may be killed again and again, each time at another step")
def killed_in_a_row(context):
    if context.tool.shim is None:
        raise Skipped("there is no C compiler to make the library that kills")
    source = random.Random(f"{context.seed} in a row")
    for _ in range(3 if context.is_quick else 12):
        kills = [(source.randint(4, 24), source.choice(["before", "after", "half"])) for _ in range(4)]
        play(context, source.choice(list(SHAPES)), source.randrange(3), kills)
    context.remark(f"{context.counts['kills']} kills")
    assert context.counts["kills"] >= (1 if context.is_quick else 6), context.counts


@case("crash", "any signers may be killed at any moment, several times")
def killed_at_random(context):
    shapes = [dict(signers=3, inputs=2), dict(signers=3, threshold=2), dict(signers=5, threshold=3), dict(signers=2, inputs=5)]
    rounds, wanted = (4, 5) if context.is_quick else (30, 40)
    number = -1
    # Processes that have signed and gone can be killed no more: on a quick machine it takes more rounds until enough were caught.
    while (number := number + 1) < rounds or (context.counts["kills"] < wanted and number < 4 * rounds):
        source = random.Random(f"{context.seed} moment {number}")
        scene = context.scene(**shapes[number % len(shapes)])
        count = len(scene.public)
        running = {signer: scene.cosign(signer) for signer in source.sample(range(count), count)}
        for _ in range(source.randint(3, 8)):
            time.sleep(source.expovariate(1 / 0.03))
            signer = source.randrange(count)
            running[signer].kill()
            running[signer].wait()
            context.count("kills", running[signer].code == -signal.SIGKILL)
            running[signer] = scene.cosign(signer)
        for process in running.values():
            try:
                process.expect(0)
            except AssertionError as error:
                raise AssertionError(f"round {number}: {error}") from None
        scene.released().check()
        context.collect(scene)
        scene.remove()
    context.remark(f"{context.counts['kills']} kills")
    assert context.counts["kills"] >= wanted, context.counts


@case("crash", "a whole group may be killed at once, and signs when all are back")
def all_killed(context):
    for number in range(2 if context.is_quick else 6):
        source = random.Random(f"{context.seed} all {number}")
        scene = context.scene(signers=3, inputs=2)
        for _ in range(3):
            running = [scene.cosign(signer) for signer in range(3)]
            time.sleep(source.uniform(0.005, 0.06))
            for process in running:
                process.kill()
            for process in running:
                process.wait()
                context.count("kills", process.code == -signal.SIGKILL)
        for process in [scene.cosign(signer) for signer in range(3)]:
            process.expect(0)
        scene.released().check()
        context.collect(scene)
        scene.remove()
    context.remark(f"{context.counts['kills']} kills")
    assert context.counts["kills"] >= (2 if context.is_quick else 6), context.counts


@case("crash", "the checks themselves notice a nonce in two attempts, and a second signature in one")
def checks_have_teeth(context):
    if context.tool.shim is None:
        raise Skipped("there is no C compiler to make the library that keeps the log")
    scene = context.scene(signers=2)
    for process in [scene.cosign(signer) for signer in range(2)]:
        process.expect(0)
    scene.released().check()
    request = next(iter(scene.log.glob("*+attempt-0001+nonces-*")))
    statement = PSBT(request.read_bytes()).statement()
    # Nobody verifies signatures here, so a forgery of a few bytes looks like a signer's own file.
    attempt = statement.request + (1).to_bytes(4, "little")
    forged = scene.log / request.name.replace("attempt-0001", "attempt-0002")
    forged.write_bytes(request.read_bytes().replace(attempt, statement.request + (2).to_bytes(4, "little")))
    expect_alarm(scene, "stands in two places")
    forged.unlink()
    partials = next(iter(scene.log.glob("*+attempt-0001+partials-*")))
    transcript = PSBT(partials.read_bytes()).statement().transcript
    (scene.log / f"1{partials.name}").write_bytes(partials.read_bytes().replace(transcript, bytes(32)))
    expect_alarm(scene, "2 different signatures")


def expect_alarm(scene, text):
    try:
        scene.released().check()
    except AssertionError as error:
        assert text in str(error), error
    else:
        raise AssertionError(f"no alarm: {text}")


@case("crash", "what was signed before a crash is given again byte for byte, and the journal is not asked twice")
def repeated_signature(context):
    if context.tool.shim is None:
        raise Skipped("there is no C compiler to make the library that kills")
    scene = context.scene(signers=2)
    partials = f"attempt-0001/partials-{scene.public[0]}.psbt"
    first = scene.cosign(0)
    scene.wait_for(f"attempt-0001/nonces-{scene.public[0]}.psbt")
    second = scene.cosign(1)
    scene.wait_for(partials)
    first.kill()
    for process in (first, second):
        process.wait()
    given = (scene.request_folder / partials).read_bytes()
    # As if the folder had lost the last files: the finished transaction and the first signer's part.
    (scene.request_folder / "final.tx").unlink(missing_ok=True)
    (scene.request_folder / partials).unlink()
    again = scene.cosign(0, "--no-wait").expect(0)
    wait_until(lambda: scene.has(partials), what="the signature")
    assert (scene.request_folder / partials).read_bytes() == given, "the signature is another one"
    assert "given again" in again.err, again.err
    scene.released().check()
