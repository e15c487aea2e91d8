"""chorale demo in its shapes, and what it prints."""

import json
import pathlib
import re
import signal
import time
import xml.etree.ElementTree

from cases import case
from tool import wait_until

FIELDS = [
    "network", "signers", "threshold", "path", "inputs", "txid", "transaction", "prevouts", "aggregate_key", "verified", "timings_ms",
]  # fmt: skip

# What a network adds.
NETWORK_FIELDS = ["transport", "attempts", "blamed", "round_trips"]

SHAPES = {
    "one signer": (1, None, 1),
    "2 of 2 signers": (2, None, 1),
    "3 signers and 20 inputs": (3, None, 20),
    "15 signers": (15, None, 1),
    "any 2 of 3": (3, 2, 1),
    "any 3 of 5 and 7 inputs": (5, 3, 7),
    "any 1 of 2": (2, 1, 1),
    "any 8 of 15": (15, 8, 1),
}

# Signers, threshold, inputs, and what goes wrong.
NETWORK_SHAPES = {
    "3 signers": (3, None, 1, None),
    "7 signers and 3 inputs": (7, None, 3, None),
    "any 2 of 3": (3, 2, 1, None),
    "any 3 of 5 and 7 inputs": (5, 3, 7, None),
    "any 1 of 2": (2, 1, 1, None),
    "2 signers, of whom one is killed,": (2, None, 1, "kill"),
    "4 signers, of whom one is killed,": (4, None, 1, "kill"),
    "any 3 of 4, of whom one is killed,": (4, 3, 2, "kill"),
    "2 signers, of whom one is cut off,": (2, None, 1, "partition"),
    "4 signers, of whom one is cut off,": (4, None, 1, "partition"),
    "any 2 of 3, of whom one is cut off,": (3, 2, 2, "partition"),
    "any 2 of 3, of whom one cheats,": (3, 2, 1, "cheat"),
    "any 4 of 6, of whom one cheats,": (6, 4, 2, "cheat"),
}

# What the picture then shows.
DRAWN = {"kill": ["killed", "started again"], "partition": ["cut off", "back"], "cheat": ["cheats from now on", "proof against 2"]}


def register():
    for shape, (signers, threshold, inputs) in SHAPES.items():

        def run(context, signers=signers, threshold=threshold, inputs=inputs):
            check(context, signers, threshold, inputs)

        # A debug build takes half a minute for the 6,435 sets, fifteen times over.
        case("demo", f"{shape} make a transaction that verifies, and the JSON says all of it", slow=shape == "any 8 of 15")(run)
    for shape, (signers, threshold, inputs, trouble) in NETWORK_SHAPES.items():

        def run_network(context, signers=signers, threshold=threshold, inputs=inputs, trouble=trouble):
            check_network(context, signers, threshold, inputs, trouble)

        case("demo", f"{shape} sign over a network, and every process ends")(run_network)


def check(context, signers, threshold, inputs):
    result = check_result(context, signers, threshold, inputs, "--transport", "folder")
    assert list(result) == FIELDS, list(result)
    context.spends.append(result)


def check_network(context, signers, threshold, inputs, trouble):
    context.folder.mkdir()
    diagram = context.folder / "diagram.svg"
    words = ["--transport", "libp2p", "--diagram", diagram, *([f"--{trouble}"] if trouble else [])]
    result = check_result(context, signers, threshold, inputs, *words, env={"TMPDIR": str(context.folder)})
    assert list(result) == FIELDS + NETWORK_FIELDS, list(result)
    assert result["transport"] == "libp2p" and len(result["blamed"]) == (trouble == "cheat"), result["blamed"]
    # Whoever comes back from a crash costs an attempt or two, where the others had begun without it; so does who cheats.
    assert 1 <= result["attempts"] <= (4 if trouble else 2), result["attempts"]
    context.remark(f"{result['attempts']} attempts, {result['round_trips']} round trips")
    if not trouble and threshold != 1:
        # Half of one less where the coordinator itself agrees last.
        assert result["attempts"] > 1 or result["round_trips"] in (1.5, 2), result["round_trips"]
    assert list(context.folder.iterdir()) == [diagram], "files were left"
    assert not processes_with(str(context.folder)), "a node was left"
    drawn = "".join(xml.etree.ElementTree.parse(diagram).getroot().itertext())
    for text in [f"signer {signers}", "asks, and agrees", "complete", *DRAWN.get(trouble, [])]:
        assert text in drawn, f"no “{text}” in {drawn}"
    assert ("killed" in drawn, "cut off" in drawn) == (trouble == "kill", trouble == "partition")
    context.spends.append(result)


def processes_with(text):
    """Command lines of processes that have the text in them."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


def check_result(context, signers, threshold, inputs, *more, env=None):
    """What the JSON of both transports says."""
    words = ["demo", "--json", "--signers", signers, "--inputs", inputs, *(["--threshold", threshold] if threshold else []), *more]
    started = time.monotonic()
    done = context.tool.run(*words, timeout=120, env=env).expect(0)
    context.remark(f"took {time.monotonic() - started:.2f} s")
    result = json.loads(done.out)
    assert (result["network"], result["signers"], result["inputs"]) == ("regtest", signers, inputs)
    assert result["threshold"] == (threshold or signers)
    assert result["path"] == ("script" if threshold and threshold < signers else "key")
    assert result["verified"] is True
    assert len(bytes.fromhex(result["txid"])) == 32 and len(bytes.fromhex(result["aggregate_key"])) == 33
    assert len(result["prevouts"]) == inputs
    assert all(list(prevout) == ["amount", "script_pubkey"] for prevout in result["prevouts"])
    timings = result["timings_ms"]
    assert list(timings) == ["setup", "nonces", "signatures", "total"]
    assert all(value >= 0 for value in timings.values())
    assert timings["total"] + 1 >= timings["setup"] + timings["nonces"] + timings["signatures"]
    # Progress of long work is all that may stand beside the JSON.
    progress = "Computing the k-of-n policy", "The nodes make the group"
    assert all(line.startswith(progress) for line in done.err.splitlines()), done.err
    return result


register()


@case("demo", "it tells the story in words, and leaves nothing behind")
def story(context):
    context.folder.mkdir()
    done = context.tool.run("demo", "--transport", "folder", env={"TMPDIR": str(context.folder)}).expect(
        0, "3 signers, all 3 must sign.", "signer 2", "gives its public nonces", "gives its partial signature", "Verified:"
    )
    assert "\x1b" not in done.out, "colours for a program"
    assert not list(context.folder.iterdir()), "files were left"


@case("demo", "of k-of-n it tells who came in what order, how many were lacking, and who was not needed")
def story_of_a_set(context):
    for signers, threshold in [(8, 5), (3, 1)]:
        done = context.tool.run("demo", "--transport", "folder", "--signers", signers, "--threshold", threshold).expect(0, "for itself before it comes")
        lines = done.out.splitlines()
        assert all(len(line) <= 100 for line in lines), done.out
        place = next(number for number, line in enumerate(lines) if "the set" in line and "is here" not in line)
        members = [int(number) for number in re.findall(r"\d+", lines[place].split(" form ")[0].split(" is ")[0])]
        assert len(members) == threshold, lines[place]
        arrivals = [(number, re.match(r"  signer (\d+) +is here(.*)$", line)) for number, line in enumerate(lines)]
        arrivals = [(number, int(match[1]), match[2]) for number, match in arrivals if match]
        assert len({signer for _, signer, _ in arrivals}) == len(arrivals) >= threshold, done.out
        before, after = [entry for entry in arrivals if entry[0] < place], [entry for entry in arrivals if entry[0] > place]
        assert [text for _, _, text in before[:threshold]] == [f": {count} of {threshold}" for count in range(1, threshold + 1)], done.out
        assert set(members) <= {signer for _, signer, _ in before}, done.out
        assert all(text == ", and the set is complete without it" for _, _, text in after), done.out
        unneeded = {signer for _, signer, _ in before} - set(members)
        assert ("; not needed: " in lines[place]) == bool(unneeded), done.out
        for signer in members:
            steps = [number for number, line in enumerate(lines) if re.match(rf"  signer {signer}  ", line)]
            assert len(steps) == 3 and steps == sorted(steps), done.out
            assert "nonces" in lines[steps[1]] and "partial signature" in lines[steps[2]], done.out


@case("demo", "over a network it tells who said what when, and that a killed node came back")
def story_of_a_network(context):
    context.folder.mkdir()
    done = context.tool.run("demo", "--kill", env={"TMPDIR": str(context.folder)}).expect(
        0, "signer 1   listens at the one address that the others know", "each has worked out the same policy", "Verified:"
    )
    assert "\x1b" not in done.out, "colours for a program"
    steps = re.findall(r"^ +([\d,]+)  signer (\d) +(.*)$", done.out, re.MULTILINE)
    times = [int(milliseconds.replace(",", "")) for milliseconds, _, _ in steps]
    assert times == sorted(times), done.out
    told = [(int(signer), text) for _, signer, text in steps]
    assert told[0] == (1, "asks the group to sign, and agrees")
    killed = next(place for place, (_, text) in enumerate(told) if text.startswith("is killed"))
    victim = told[killed][0]
    again = next(place for place, (_, text) in enumerate(told) if text.startswith("is started again"))
    assert told[again][0] == victim and (victim, "approves it") in told[:killed], done.out
    assert all(signer != victim for signer, _ in told[killed + 1 : again]), done.out
    assert sorted(signer for signer, text in told if text == "has the finished transaction, verified") == [1, 2, 3], done.out
    assert not list(context.folder.iterdir()), "files were left"


@case("demo", "where all have to sign, whoever cheats is named by a proof that anybody can check, and nothing is signed")
def cheated(context):
    context.folder.mkdir()
    words = ["demo", "--signers", 3, "--cheat", "--keep", "--json"]
    done = context.tool.run(*words, env={"TMPDIR": str(context.folder)}, timeout=120).expect(0)
    result = json.loads(done.out)
    assert list(result) == FIELDS + NETWORK_FIELDS, list(result)
    assert result["verified"] is False and len(result["blamed"]) == 1
    assert [result[name] for name in ("txid", "transaction", "aggregate_key", "round_trips")] == [None] * 4
    (folder,) = context.folder.iterdir()
    verdict = json.loads(context.tool.run("audit", "verify", folder / "evidence.chorale", "--json").expect(0).out)
    assert verdict["proved"] is True and verdict["public_key"] == result["blamed"][0], verdict
    assert result["blamed"][0] in (folder / "signer-2.key").read_text()
    context.remark(verdict["fault"])
    # One bit of it, and it proves nothing.
    data = bytearray((folder / "evidence.chorale").read_bytes())
    data[-1] ^= 1
    (folder / "altered.chorale").write_bytes(data)
    assert context.tool.run("audit", "verify", folder / "altered.chorale").wait().code == 1


@case("demo", "of a member that cheats, and of one that is cut off, a demo tells in words what became of it")
def story_of_trouble(context):
    done = context.tool.run("demo", "--signers", 3, "--threshold", 2, "--cheat", timeout=120)
    done.expect(0, "signer 2   cheats:", "has proof that signer 2 is at fault", "The others finished without it", "Verified:")
    done = context.tool.run("demo", "--signers", 2, "--cheat", timeout=120)
    done.expect(0, "signer 2   cheats:", "There is no signature", "At fault: signer 2.", "chorale audit verify")
    assert "Verified" not in done.out
    done = context.tool.run("demo", "--signers", 3, "--threshold", 2, "--partition", timeout=120).expect(0, "Verified:")
    steps = [(int(signer), text) for signer, text in re.findall(r"^ +[\d,]+  signer (\d+) +(.*)$", done.out, re.MULTILINE)]
    cut = next(place for place, (_, text) in enumerate(steps) if text.startswith("is cut off"))
    back = next(place for place, (_, text) in enumerate(steps) if text.startswith("is back"))
    victim = steps[cut][0]
    assert steps[back][0] == victim and all(signer != victim for signer, _ in steps[cut + 1 : back]), done.out
    assert any(f"waits no longer for signer {victim} to coordinate" in text for _, text in steps[cut:back]), done.out
    finished = [(signer, place) for place, (signer, text) in enumerate(steps) if text == "has the finished transaction, verified"]
    assert sorted(signer for signer, _ in finished) == [1, 2, 3], done.out
    assert all(place > back for signer, place in finished if signer == victim) and finished[0][1] < back, done.out


@case("demo", "a demo over a network that is asked to stop ends its nodes")
def interrupted_network(context):
    context.folder.mkdir()
    process = context.tool.start("demo", "--transport", "libp2p", "--signers", 4, env={"TMPDIR": str(context.folder)})
    wait_until(lambda: len(processes_with(f"{context.folder}/")) >= 4, what="the nodes")
    process.kill(signal.SIGINT)
    process.expect(4, "interrupted")
    assert not processes_with(f"{context.folder}/") and not list(context.folder.iterdir()), "something was left"


@case("demo", "with --keep it leaves a folder in which the signers can be played by hand")
def kept(context):
    context.folder.mkdir()
    context.tool.run("demo", "--keep", "--transport", "folder", "--signers", 1, env={"TMPDIR": str(context.folder)}).expect(0, "passphrase.txt")
    (folder,) = context.folder.iterdir()
    passphrase = (folder / "passphrase.txt").read_text().strip()
    again = folder / "again"
    again.mkdir()
    context.tool.run(
        "cosign", "--psbt", folder / "payment.psbt", "--key", folder / "signer-1.key", "--exchange", again, "--yes",
        env={"CHORALE_PASSPHRASE": passphrase},
    ).expect(0)  # fmt: skip
    assert (folder / "passphrase.txt").stat().st_mode & 0o077 == 0


@case("demo", "over a network it leaves with --keep the nodes' homes and the picture of what happened")
def kept_network(context):
    context.folder.mkdir()
    context.tool.run("demo", "--keep", "--signers", 2, env={"TMPDIR": str(context.folder)}).expect(0, "passphrase.txt")
    (folder,) = context.folder.iterdir()
    names = {path.name for path in folder.iterdir()}
    assert names >= {"node-1", "node-2", "signer-1.key", "signer-2.key", "payment.psbt", "diagram.svg"}, names
    assert all((folder / f"node-{number}" / "chorale.db").is_file() for number in (1, 2))


@case("demo", "what cannot be is refused with exit code 2")
def wrong_usage(context):
    for words, text in [
        (["--signers", "0"], "from 1 to 100"),
        (["--signers", "2", "--threshold", "3"], "3 of 2 signers cannot be"),
        (["--inputs", "1001"], "from 1 to 1,000"),
        (["--transport", "pigeon"], "there is libp2p, and there is folder"),
        (["--transport", "libp2p", "--signers", "1"], "2 members or more"),
        (["--kill", "--transport", "folder"], "choose --transport libp2p"),
        (["--cheat", "--transport", "folder"], "choose --transport libp2p"),
        (["--cheat", "--partition"], "choose one of --kill, --cheat and --partition"),
        (["--partition", "--threshold", "1"], "nobody to wait for"),
    ]:
        context.tool.run("demo", *words).expect(2, text)


@case("demo", "a temporary folder that cannot be made is named")
def no_temporary_folder(context):
    missing = pathlib.Path("/nonexistent")
    context.tool.run("demo", env={"TMPDIR": str(missing)}).expect(1, "no temporary folder can be made in /nonexistent")
