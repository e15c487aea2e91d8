"""chorale demo in its shapes, and what it prints."""

import json
import pathlib
import re
import time

from cases import case

FIELDS = [
    "network", "signers", "threshold", "path", "inputs", "txid", "transaction", "prevouts", "aggregate_key", "verified", "timings_ms",
]  # fmt: skip

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


def register():
    for shape, (signers, threshold, inputs) in SHAPES.items():

        def run(context, signers=signers, threshold=threshold, inputs=inputs):
            check(context, signers, threshold, inputs)

        # A debug build takes half a minute for the 6,435 sets, fifteen times over.
        case("demo", f"{shape} make a transaction that verifies, and the JSON says all of it", slow=shape == "any 8 of 15")(run)


def check(context, signers, threshold, inputs):
    words = ["demo", "--json", "--signers", signers, "--inputs", inputs, *(["--threshold", threshold] if threshold else [])]
    started = time.monotonic()
    done = context.tool.run(*words, timeout=120).expect(0)
    context.remark(f"took {time.monotonic() - started:.2f} s")
    result = json.loads(done.out)
    assert list(result) == FIELDS, list(result)
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
    assert all(line.startswith("Computing the k-of-n policy") for line in done.err.splitlines()), done.err
    context.spends.append(result)


register()


@case("demo", "it tells the story in words, and leaves nothing behind")
def story(context):
    context.folder.mkdir()
    done = context.tool.run("demo", env={"TMPDIR": str(context.folder)}).expect(
        0, "3 signers, all 3 must sign.", "signer 2", "gives its public nonces", "gives its partial signature", "Verified:"
    )
    assert "\x1b" not in done.out, "colours for a program"
    assert not list(context.folder.iterdir()), "files were left"


@case("demo", "of k-of-n it tells who came in what order, how many were lacking, and who was not needed")
def story_of_a_set(context):
    for signers, threshold in [(8, 5), (3, 1)]:
        done = context.tool.run("demo", "--signers", signers, "--threshold", threshold).expect(0, "for itself before it comes")
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


@case("demo", "with --keep it leaves a folder in which the signers can be played by hand")
def kept(context):
    context.folder.mkdir()
    context.tool.run("demo", "--keep", "--signers", 1, env={"TMPDIR": str(context.folder)}).expect(0, "passphrase.txt")
    (folder,) = context.folder.iterdir()
    passphrase = (folder / "passphrase.txt").read_text().strip()
    again = folder / "again"
    again.mkdir()
    context.tool.run(
        "cosign", "--psbt", folder / "payment.psbt", "--key", folder / "signer-1.key", "--exchange", again, "--yes",
        env={"CHORALE_PASSPHRASE": passphrase},
    ).expect(0)  # fmt: skip
    assert (folder / "passphrase.txt").stat().st_mode & 0o077 == 0


@case("demo", "what cannot be is refused with exit code 2")
def wrong_usage(context):
    for words, text in [
        (["--signers", "0"], "from 1 to 100"),
        (["--signers", "2", "--threshold", "3"], "3 of 2 signers cannot be"),
        (["--inputs", "1001"], "from 1 to 1,000"),
        (["--transport", "pigeon"], "the one transport"),
    ]:
        context.tool.run("demo", *words).expect(2, text)


@case("demo", "a temporary folder that cannot be made is named")
def no_temporary_folder(context):
    missing = pathlib.Path("/nonexistent")
    context.tool.run("demo", env={"TMPDIR": str(missing)}).expect(1, "no temporary folder can be made in /nonexistent")
