"""What a person sees before and while signing, and what becomes of the answers."""

import json

from cases import case
from psbt import PSBT, with_times
from tool import Terminal


def amount(satoshi):
    return f"{satoshi // 100_000_000}.{satoshi % 100_000_000:08} BTC ({satoshi:,} sat)"


def shown_by(process):
    """What a process without a terminal said, with one space between any two words."""
    return " ".join(process.err.split())


def expect_words(text, *parts):
    """Asserts that the parts stand in the text, in this order."""
    end = 0
    for part in parts:
        found = text.find(part, end)
        assert found >= 0, f"“{part}” expected behind “{text[:end][-60:]}”, in: {text}"
        end = found + len(part)


def expect_nothing_signed(scene):
    left = [path for path in scene.shared.rglob("*") if path.is_file()]
    assert not left, f"files were left: {left}"
    assert not list(scene.folder.glob("*.journal")), "a journal was begun"


def lines_of(psbt, created, paid, *sizes):
    """What must be shown of a payment: every coin and output with its address, amounts, fee and its rate at these sizes."""
    rates = [created["fee"] * 100 // size for size in sizes or [created["virtual_size"]]]
    coins = []
    for number, (value, _) in enumerate(PSBT(psbt.read_bytes()).prevouts()):
        coins += [f"{number} {amount(value)}", created["group_address"], "(this group's coin)"]
    spent = sum(value for value, _ in PSBT(psbt.read_bytes()).prevouts())
    change = spent - created["fee"] - sum(value for _, value in paid)
    outputs = {number: (address, value) for number, (address, value) in enumerate(paid)}
    outputs = {(number if number < created["change_index"] else number + 1): output for number, output in outputs.items()}
    outputs[created["change_index"]] = (created["group_address"], change)
    return [
        f"To be signed: transaction {created['txid']} on regtest",
        "Spends",
        *coins,
        "Pays",
        *(
            word
            for number, (address, value) in sorted(outputs.items())
            for word in [f"{number} {amount(value)}", address + (" (back to this group)" if number == created["change_index"] else "")]
        ),
        f"Fee {amount(created['fee'])}",
        *(f"{rate // 100}.{rate % 100:02} sat/vB" for rate in rates),
    ]


@case("person", "cosign shows coins, recipients, amounts, fee and signers; any answer but yes signs nothing, and yes signs")
def asks(context):
    scene = context.scene(signers=2)
    recipient = context.scene(signers=3).created["group_address"]
    psbt = scene.folder / "pay.psbt"
    created = scene.create(psbt, 3, "--pay", f"{recipient}:150000", fee_rate="3.5")
    payment = lines_of(psbt, created, [(recipient, 150_000)])

    def shown_to(signer):
        label = json.loads(context.tool.run("key", "show", scene.key_files[signer], "--json").expect(0).out)["label"]
        signers = [f"{key} {label}, you" if key == scene.public[signer] else key for key in sorted(scene.public)]
        return [*payment, "Signers all 2", *signers]

    def sit_down():
        terminal = Terminal(lambda **options: scene.cosign(0, psbt=psbt, is_asked=True, **options))
        terminal.wait_for("Sign this? [y/N] ")
        expect_words(terminal.words, *shown_to(0), "Sign this? [y/N]")
        return terminal

    for answer in ["n", "", "no", "yesno", "ja"]:
        terminal = sit_down()
        terminal.type(f"{answer}\n")
        assert "not signed" in terminal.expect(1).words, f"{answer}: {terminal.screen}"
        expect_nothing_signed(scene)
    # Leaving is an answer, too.
    terminal = sit_down()
    terminal.type("\x03")
    terminal.expect(4)
    expect_nothing_signed(scene)
    for answer in ["y", " YES "]:
        terminal = sit_down()
        terminal.type(f"{answer}\n")
        other = scene.cosign(1, psbt=psbt).expect(0)
        terminal.expect(0)
        assert terminal.process.out.strip() == other.out.strip()
        # Who says yes without being asked is shown the same.
        expect_words(shown_by(other), *shown_to(1))
    scene.psbt = psbt
    context.collect(scene)


@case("person", "of a k-of-n group cosign shows how many sign, or who where that is given")
def shows_set(context):
    scene = context.scene(signers=3, threshold=2)
    recipient = context.scene(signers=2).created["group_address"]
    psbt = scene.folder / "pay.psbt"
    created = scene.create(psbt, 1, "--pay", f"{recipient}:40000")
    # Three leaves: the last set's stands alone on its side of the tree, 32 bytes of witness nearer to the root, and costs least.
    first, second, third = sorted(scene.public)
    deep, shallow = created["virtual_size"], created["virtual_size"] - 8
    alone = scene.cosign(0, psbt=psbt, time_limit=1).expect(3)
    expect_words(shown_by(alone), *lines_of(psbt, created, [(recipient, 40_000)], shallow, deep), "Signers any 2 of 3")
    assert all(key in alone.err for key in scene.public), alone.err
    for members, size in [((third, first), deep), ((third, second), shallow)]:
        signer = scene.public.index(third)
        chosen = scene.cosign(signer, "--set", ",".join(members), psbt=psbt, time_limit=1).expect(3)
        expect_words(shown_by(chosen), *lines_of(psbt, created, [(recipient, 40_000)], size), "Signers these 2 of 3")
        report = chosen.err[: chosen.err.index("waiting")]
        assert all((key in report) == (key in members) for key in scene.public), chosen.err


@case("person", "an unusually high fee is refused with --yes unless --high-fee says so too, and is warned of where somebody is asked")
def high_fee(context):
    scene = context.scene(signers=2)
    psbt = scene.folder / "costly.psbt"
    created = scene.create(psbt, 1, fee_rate=500)
    assert created["fee"] > 10_000, created
    warning = "Careful: the fee is unusually high."
    for _ in range(2):
        refused = scene.cosign(0, psbt=psbt).expect(1, warning, f"the fee of {created['fee']:,} sat is unusually high", "--high-fee")
        assert "Is a change output missing?" not in refused.err, refused.err
        expect_nothing_signed(scene)
    terminal = Terminal(lambda **options: scene.cosign(0, psbt=psbt, is_asked=True, **options))
    terminal.wait_for("Sign this? [y/N] ")
    assert warning in terminal.words, terminal.screen
    terminal.type("y\n")
    other = scene.cosign(1, "--high-fee", psbt=psbt).expect(0, warning)
    terminal.expect(0)
    assert terminal.process.out.strip() == other.out.strip()
    scene.psbt = psbt
    context.collect(scene)
    # A usual fee is no reason for a word, whatever flags are given.
    usual = context.scene(signers=1)
    assert "unusually" not in usual.cosign(0, "--high-fee").expect(0).err


@case("person", "times before which a transaction cannot be mined are shown, and those that do not bind are not")
def lock_times(context):
    scene = context.scene(signers=1, inputs=2)
    data = scene.psbt.read_bytes()
    psbt = scene.folder / "locked.psbt"
    free, final = 0xFFFF_FFFD, 0xFFFF_FFFF
    for lock_time, sequences, texts in [
        (0, [free, final], []),
        (840_000, [free, final], ["not before block 840,000"]),
        (840_000, [final, final], []),
        (1_893_456_000, [final, free], ["not before Unix time 1893456000"]),
        (0, [final, 144], ["until the coin of input 1 is 144 blocks old"]),
        (0, [0x40_0002, 7], ["until the coin of input 1 is 7 blocks old", "until the coin of input 0 is 1,024 seconds old"]),
        (0, [0x8000_0007, 0], []),
    ]:
        psbt.write_bytes(with_times(data, lock_time, sequences))
        done = scene.cosign(0, psbt=psbt).expect(0)
        shown = [line.split("Locked")[1].strip() for line in done.err.splitlines() if "Locked" in line]
        assert shown == texts, (lock_time, sequences, done.err)


@case("person", "while it waits, the line at the terminal names who is missing, and for what and how long")
def live_line(context):
    scene = context.scene(signers=3)
    terminal = Terminal(lambda **options: scene.cosign(0, time_limit=60, **options))
    missing = [f"{key[:10]}…" for key in scene.public]
    wait = "waiting for nonces from "
    terminal.wait_for(wait)
    first = terminal.look().split(wait)[-1]
    terminal.wait_for("  2 s")
    line = terminal.look().split("\x1b[K")[-1]
    assert wait in line and missing[1] in line and missing[2] in line and missing[0] not in line, (first, line)
    second = scene.cosign(1)
    terminal.wait_for(f"{wait}{missing[2]}  ")
    third = scene.cosign(2)
    terminal.expect(0)
    for process in (second, third):
        process.expect(0)
    # The line is taken away before the shell's prompt comes.
    assert "waiting" not in terminal.screen.split("\x1b[K")[-1], terminal.screen
    context.collect(scene)
    delegated = context.scene(signers=3, threshold=2)
    terminal = Terminal(lambda **options: delegated.cosign(1, time_limit=3, **options))
    wait = "waiting for signers: 1 more of "
    terminal.wait_for(wait)
    line = terminal.screen.split(wait)[1].split(" s")[0]
    assert all((key[:10] in line) == (key != delegated.public[1]) for key in delegated.public), line
    terminal.expect(3)
