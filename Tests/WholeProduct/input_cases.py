"""Wrong PSBTs, keys and words: each refused with a message that says what is wrong, before anything is written."""

import json
import os
import random

from cases import case


def check_refused(scene, code, *texts, **options):
    """One signer alone must be refused; nothing may come into the shared folder."""
    scene.cosign(0, *options.pop("words", []), time_limit=1, **options).expect(code, *texts)
    left = [path for path in scene.shared.rglob("*") if path.is_file()]
    assert not left, f"files were left: {left}"


# --- PSBTs -------------------------------------------------------------------------------------------------------------


@case("input", "a PSBT cut off anywhere is refused, and where it ends is said")
def truncated(context):
    scene = context.scene(signers=2, inputs=2)
    data = scene.psbt.read_bytes()
    source = random.Random(f"{context.seed} cut")
    for length in [0, 4, 5, len(data) - 1, *source.sample(range(6, len(data) - 1), 6)]:
        cut = scene.folder / "cut.psbt"
        cut.write_bytes(data[:length])
        check_refused(scene, 1, str(cut), psbt=cut)


@case("input", "a PSBT with one bit flipped is refused, or asks for what this group cannot be made to sign unseen")
def flipped(context):
    scene = context.scene(signers=1)
    data = scene.psbt.read_bytes()
    source = random.Random(f"{context.seed} flip")
    outcomes = {}
    for position in source.sample(range(len(data)), 12 if context.is_quick else 60):
        changed = bytearray(data)
        changed[position] ^= 1 << source.randrange(8)
        path = scene.folder / "flipped.psbt"
        path.write_bytes(changed)
        done = scene.cosign(0, time_limit=2, psbt=path).wait()
        # Never a crash: a code of its own, with words. A flipped amount or recipient is another payment, and shown as such.
        assert done.code in (0, 1, 2, 3), f"bit {position}: exit code {done.code}\n{done.err}"
        assert done.code == 0 or "chorale: " in done.err, f"bit {position}: {done.err}"
        outcomes[done.code] = outcomes.get(done.code, 0) + 1
        if done.code == 0:
            assert "To be signed" in done.err
    context.remark(f"exit codes {outcomes}")


@case("input", "an oversized PSBT is refused without being read to its end")
def oversized(context):
    scene = context.scene(signers=1)
    path = scene.folder / "large.psbt"
    path.write_bytes(scene.psbt.read_bytes())
    os.truncate(path, 1 << 33)
    check_refused(scene, 1, "is larger than", psbt=path)


@case("input", "what is no PSBT is refused: text, a folder, a device without end, a missing file")
def no_psbt(context):
    scene = context.scene(signers=1)
    text = scene.folder / "text.psbt"
    text.write_text("please sign\n")
    check_refused(scene, 1, str(text), psbt=text)
    check_refused(scene, 1, "is a folder, a device or a link", psbt=scene.folder)
    check_refused(scene, 1, "/dev/zero gives more than", psbt="/dev/zero")
    check_refused(scene, 3, "is not there", psbt=scene.folder / "missing.psbt")


@case("input", "a coin that says another amount than the group's PSBT is another request, and signs nothing here")
def other_request(context):
    scene = context.scene(signers=2)
    other = scene.folder / "other.psbt"
    scene.create(other)
    waiting = scene.cosign(0, time_limit=3)
    scene.wait_for_presence(0)
    scene.cosign(1, time_limit=1, psbt=other).expect(3, "still missing", scene.public[0])
    waiting.expect(3, "still missing", scene.public[1])
    assert not list(scene.shared.glob("*/attempt-*/partials-*")), "somebody signed"


# --- Keys --------------------------------------------------------------------------------------------------------------


@case("input", "a wrong or empty passphrase is refused")
def wrong_passphrase(context):
    scene = context.scene(signers=1)
    check_refused(scene, 1, "passphrase", passphrase="wrong")
    check_refused(scene, 1, "is empty", passphrase="")


@case("input", "without a terminal, cosign says how to give the passphrase and --yes")
def no_terminal(context):
    scene = context.scene(signers=1)
    words = ["cosign", "--psbt", scene.psbt, "--key", scene.key_files[0], "--exchange", scene.shared]
    context.tool.run(*words, "--yes").expect(1, "there is no terminal to ask for the passphrase", "--passphrase-fd")
    context.tool.run(*words, env={"CHORALE_PASSPHRASE": scene.passphrase}).expect(2, "there is no terminal to ask at", "--yes")


@case("input", "a key that is no signer of the group is refused by its name")
def stranger(context):
    scene = context.scene(signers=2)
    other = context.scene(signers=1, first_key=2)
    check_refused(scene, 1, other.public[0], key=other.key_files[0])
    delegated = context.scene(signers=3, threshold=2)
    outsider = context.scene(signers=1, first_key=3)
    check_refused(delegated, 1, outsider.public[0], key=outsider.key_files[0])


@case("input", "a damaged key file is refused: cut off, altered, of another kind, missing")
def damaged_key(context):
    scene = context.scene(signers=1)
    text = scene.key_files[0].read_text()
    damaged = scene.folder / "damaged.key"
    for content in [text[: len(text) // 2], "", "hello\n", text.replace("regtest", "mainnet"), text[:-20] + "AAAA" + text[-16:]]:
        damaged.write_text(content)
        check_refused(scene, 1, str(damaged), key=damaged)
    check_refused(scene, 3, "is not there", key=scene.folder / "missing.key")


@case("input", "who comes with a key file of another network stops and names both, and with --network the key signs all the same")
def other_network(context):
    scene = context.scene(signers=2)
    foreign = scene.folder / "foreign.key"
    passphrase = {"CHORALE_PASSPHRASE": "x"}
    public = json.loads(context.tool.run("key", "new", "--network", "signet", "--out", foreign, "--json", env=passphrase).expect(0).out)
    scene.signers_file.write_text(f"{scene.public[0]}\n{public['public_key']}\n")
    mixed = scene.folder / "mixed.psbt"
    scene.create(mixed)
    first = scene.cosign(0, psbt=mixed)
    scene.wait_for_presence(0)
    second = scene.cosign(1, psbt=mixed, key=foreign, passphrase="x")
    second.expect(1, scene.public[0], "signs on regtest, and this process on signet", "--network")
    assert first.is_running, first.wait().err
    again = scene.cosign(1, "--network", "regtest", psbt=mixed, key=foreign, passphrase="x")
    again.expect(0, "was made for signet, and --network says regtest")
    first.expect(0)


# --- The set -----------------------------------------------------------------------------------------------------------


@case("input", "--set with a stranger, with too few or too many, twice the same, or no key is refused")
def wrong_set(context):
    scene = context.scene(signers=3, threshold=2)
    outsider = context.scene(signers=1, first_key=3).public[0]
    a, b, c = scene.public
    check_refused(scene, 1, outsider, words=["--set", f"{a},{outsider}"])
    check_refused(scene, 1, "payment.psbt", words=["--set", a])
    check_refused(scene, 1, "payment.psbt", words=["--set", f"{a},{b},{c}"])
    check_refused(scene, 1, "payment.psbt", words=["--set", f"{a},{a}"])
    check_refused(scene, 2, "--set cannot be", words=["--set", f"{a},"])
    check_refused(scene, 2, "--set cannot be", words=["--set", "ff" * 33])
    group = context.scene(signers=3)
    check_refused(group, 1, "all 3 signers", words=["--set", f"{a},{b}"])


@case("input", "--set names who signs, in any order; who is not in it watches and gets the transaction too")
def given_set(context):
    scene = context.scene(signers=3, threshold=2)
    chosen = f"{scene.public[2]},{scene.public[0]}"
    watching = scene.cosign(1, "--set", chosen)
    scene.wait_for_presence(1)
    running = [watching, *(scene.cosign(signer, "--set", chosen) for signer in (0, 2))]
    for process in running:
        process.expect(0)
    assert not scene.has(f"attempt-*/nonces-{scene.public[1]}.psbt"), "a nonce of one who is not in the set"
    scene.released().check()
    context.collect(scene)


# --- Making a PSBT -----------------------------------------------------------------------------------------------------


@case("input", "psbt create pays whom it is told, and the rest goes back to the group less the fee of the asked rate")
def create(context):
    scene = context.scene(signers=2, inputs=3)
    address = context.scene(signers=3, threshold=2).created["group_address"]
    path = scene.folder / "pay.psbt"
    made = scene.create(path, 3, "--pay", f"{address}:150000")
    shown = json.loads(context.tool.run("psbt", "show", path, "--network", "regtest", "--json").expect(0).out)
    outputs = {output["address"]: output["amount"] for output in shown["outputs"]}
    assert outputs == {address: 150_000, made["group_address"]: 300_003 - 150_000 - made["fee"]}, outputs
    running = [scene.cosign(signer, psbt=path) for signer in range(2)]
    transaction = [process.expect(0).out.strip() for process in running][0]
    weighed = json.loads(context.tool.run("tx", "show", transaction, "--json").expect(0).out)
    assert weighed["virtual_size"] == made["virtual_size"] and made["fee"] == 2 * made["virtual_size"], (weighed, made)


@case("input", "psbt create counts the fee of a k-of-n group for its most expensive set")
def create_delegated(context):
    scene = context.scene(signers=3, threshold=2)
    sizes = set()
    for first, second in [(0, 1), (0, 2), (1, 2)]:
        scene.remove()
        scene = context.scene(signers=3, threshold=2)
        chosen = f"{scene.public[first]},{scene.public[second]}"
        running = [scene.cosign(signer, "--set", chosen) for signer in (first, second)]
        transaction = [process.expect(0).out.strip() for process in running][0]
        context.collect(scene, transaction)
        sizes.add(json.loads(context.tool.run("tx", "show", transaction, "--json").expect(0).out)["virtual_size"])
    assert max(sizes) == scene.created["virtual_size"], (sizes, scene.created)


@case("input", "psbt create refuses what cannot be, and writes nothing")
def create_refused(context):
    scene = context.scene(signers=2)
    out = scene.folder / "refused.psbt"
    coin = f"{'ab' * 32}:0:1000"
    good = ["--network", "regtest", "--signers", scene.signers_file, "--fee-rate", "1", "--out", out]
    mainnet = "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"
    twice = scene.folder / "twice.txt"
    twice.write_text(f"{scene.public[0]}\n{scene.public[0]}\n")
    for words, code, text in [
        (good, 2, "--spend"),
        ([*good, "--spend", "ab:0:1000"], 2, "64 hex digits"),
        ([*good, "--spend", f"{'ab' * 32}:0"], 2, "TXID:OUTPUT:AMOUNT"),
        ([*good, "--spend", f"{'ab' * 32}:-1:5"], 2, "number of an output"),
        ([*good, "--spend", f"{'ab' * 32}:0:+5"], 2, "whole number of satoshi"),
        ([*good, "--spend", f"{'ab' * 32}:0:2100000000000001"], 2, "whole number of satoshi"),
        ([*good, "--spend", coin, "--spend", coin], 2, "twice: name it once"),
        ([*good, "--spend", coin, "--pay", f"{mainnet}:500"], 2, "--pay cannot be"),
        ([*good, "--spend", coin, "--pay", "nonsense:500"], 2, "--pay cannot be"),
        ([*good, "--spend", coin, "--pay", "500"], 2, "ADDRESS:AMOUNT"),
        ([*good, "--spend", coin, "--change", mainnet], 2, "--change cannot be"),
        ([*good, "--spend", coin, "--pay", f"{scene.created['group_address']}:5000"], 1, "the coins hold 1000 sat"),
        ([*good, "--spend", coin, "--pay", f"{scene.created['group_address']}:5"], 2, "330"),
        ([*good, "--spend", coin, "--threshold", "2"], 2, "--owner-unspendable"),
        ([*good, "--spend", coin, "--owner-aggregate"], 2, "add --threshold"),
        ([*good, "--spend", coin, "--threshold", "3", "--owner-unspendable"], 2, "from 1 to 2"),
        (["--signers", twice, *good[:2], *good[4:], "--spend", coin], 1, "line 2"),
    ]:
        context.tool.run("psbt", "create", *words).expect(code, text)
        assert not out.exists(), words
    out.write_text("mine")
    context.tool.run("psbt", "create", *good, "--spend", coin).expect(1, "exists already")
    assert out.read_text() == "mine"
