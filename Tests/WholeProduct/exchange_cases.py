"""What can happen in and to the shared folder: garbage, replays, a full disk, a folder that vanishes, signers who do not come."""

import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import time

from cases import Skipped, case
from scenes import ALL_SIGNERS, as_owner_of
from tool import wait_until

# --- Files that no signer wrote ----------------------------------------------------------------------------------------


def request_folder_name(context, scene):
    """The folder's name follows from the request alone, so a signer whom nobody joins shows it, with a journal of its own."""
    shared = scene.folder / "elsewhere"
    shared.mkdir()
    waiting = scene.cosign(0, "--journal", scene.folder / "elsewhere.journal", exchange=shared, preload=False)
    wait_until(lambda: list(shared.glob("chorale-*")), what="the request's folder")
    waiting.kill()
    waiting.wait()
    return next(shared.glob("chorale-*")).name


def put_garbage(path, kind, genuine):
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "garbage":
        path.write_bytes(bytes(range(256)) * 3)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        path.write_bytes(genuine[: len(genuine) // 2])
    elif kind == "oversized":
        path.write_bytes(genuine)
        os.truncate(path, 9 << 20)
    elif kind == "link":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()


KINDS = ["garbage", "empty", "truncated", "oversized", "link", "pipe", "folder"]
NAMES = {
    "presence": "presence-{0}.chorale",
    "set": "attempt-0001/set.psbt",
    "nonces": "attempt-0001/nonces-{0}.psbt",
    "partial signatures": "attempt-0001/partials-{0}.psbt",
    "final transaction": "final.tx",
    "evidence": "evidence-{0}.chorale",
}


def register_garbage():
    for what, name in NAMES.items():

        def run(context, what=what, name=name):
            check_garbage(context, what, name)

        case("exchange", f"garbage of any kind under the name of the {what} file stops nobody")(run)


def check_garbage(context, what, pattern):
    for kind in KINDS:
        scene = context.scene(signers=2)
        path = scene.shared / request_folder_name(context, scene) / pattern.format(scene.public[0])
        put_garbage(path, kind, scene.psbt.read_bytes())
        running = [scene.cosign(signer, "--away-after", 2, time_limit=20) for signer in range(2)]
        try:
            if kind == "folder" and what == "partial signatures":
                # A folder cannot be replaced by a file, and it is not ours to remove.
                running[0].expect(1, str(path))
                running[1].kill()
                continue
            for process in running:
                process.expect(0)
                assert process.out.strip() == running[0].out.strip()
        except AssertionError as error:
            raise AssertionError(f"{kind}: {error}") from None
        finally:
            for process in running:
                process.kill()
        scene.released(is_whole=False).check()
        context.collect(scene, running[0].out.strip())


register_garbage()


@case("exchange", "other people's files and folders in the shared folder change nothing")
def other_files(context):
    scene = context.scene(signers=2)
    folder = scene.shared / request_folder_name(context, scene)
    (folder / "attempt-0001" / "notes").mkdir(parents=True)
    for name in ["readme.txt", "not-chorale-0000", "sub/holiday.jpg"]:
        path = scene.shared / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    for name in ["attempt-1/set.psbt", "attempt-00001/set.psbt", "attempt-0000/set.psbt", "presence-.chorale", "final.tx.bak", "x\ny"]:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    os.close(os.open(os.fsencode(folder) + b"/\xff\xfe", os.O_CREAT | os.O_WRONLY))
    running = [scene.cosign(signer) for signer in range(2)]
    for process in running:
        process.expect(0)
    scene.released(is_whole=False).check()
    context.collect(scene)


@case("exchange", "a request's folder that is a file is named, and so is an attempt's")
def file_for_folder(context):
    scene = context.scene(signers=2)
    folder = scene.shared / request_folder_name(context, scene)
    folder.write_text("mine")
    scene.cosign(0, time_limit=5).expect(1, str(folder))
    assert folder.read_text() == "mine"
    folder.unlink()
    folder.mkdir()
    (folder / "attempt-0001").write_text("mine")
    scene.cosign(0, time_limit=5).expect(1, str(folder / "attempt-0001"))
    assert not scene.has("presence-*"), "the presence file was left"


# --- A dishonest signer ------------------------------------------------------------------------------------------------


@case("exchange", "files moved to another signer's name, attempt or request are ignored")
def moved_files(context):
    scene, other = context.scene(signers=2), context.scene(signers=2)
    later = other.folder / "later.psbt"
    other.create(later)
    other.psbt = later
    for process in [other.cosign(signer) for signer in range(2)]:
        process.expect(0)
    folder = scene.shared / request_folder_name(context, scene)
    attempt = folder / "attempt-0001"
    attempt.mkdir(parents=True)
    # Of another request, under the right names.
    for name in [f"nonces-{scene.public[1]}.psbt", f"partials-{scene.public[1]}.psbt"]:
        shutil.copy(other.request_folder / "attempt-0001" / name, attempt / name)
    first = scene.cosign(0, time_limit=30)
    wait_until(lambda: (attempt / f"nonces-{scene.public[0]}.psbt").exists(), what="the first signer's nonces")
    # Of another signer, and of this one in another attempt.
    mine = attempt / f"nonces-{scene.public[0]}.psbt"
    (attempt / f"nonces-{scene.public[1]}.psbt").unlink()
    shutil.copy(mine, attempt / f"nonces-{scene.public[1]}.psbt")
    time.sleep(0.5)
    (attempt / f"nonces-{scene.public[1]}.psbt").unlink()
    second = scene.cosign(1)
    first.expect(0, "about another request", "who has no place here")
    second.expect(0)
    scene.released().check()
    context.collect(scene)


@case("exchange", "nonces exchanged after the others have signed make nobody sign twice")
def swapped_nonces(context):
    scene = context.scene(signers=2, inputs=2)
    nonces = f"attempt-0001/nonces-{scene.public[1]}.psbt"
    # The dishonest signer makes two sets of nonces for one attempt, in two folders.
    elsewhere = scene.folder / "second"
    elsewhere.mkdir()
    copy = scene.folder / "copy.key"
    shutil.copy(scene.key_files[1], copy)
    hidden = scene.cosign(1, exchange=elsewhere, key=copy, preload=False)
    wait_until(lambda: list(elsewhere.glob(f"*/{nonces}")), what="the hidden nonces")
    hidden.kill()
    shown = scene.cosign(1)
    scene.wait_for(nonces)
    shown.kill(signal.SIGSTOP)
    honest = scene.cosign(0)
    scene.wait_for(f"attempt-0001/partials-{scene.public[0]}.psbt")
    replacement = scene.request_folder / "replacement"
    shutil.copy(next(elsewhere.glob(f"*/{nonces}")), replacement)
    replacement.rename(scene.request_folder / nonces)
    time.sleep(0.5)
    assert honest.is_running, honest.wait().err
    honest.kill()
    honest.wait()
    again = scene.cosign(0)
    # With its process gone, the attempt leads nowhere, and a new one is begun in front of the dishonest signer's eyes.
    scene.wait_for("attempt-0002/set.psbt")
    shown.kill()
    honest_end = scene.cosign(1)
    for process in (again, honest_end):
        process.expect(0)
    signatures = [contents for (signer, _), contents in scene.released(is_whole=False).partials.items() if signer.hex() == scene.public[0]]
    assert signatures and all(len(contents) == 1 for contents in signatures), "signed twice in one attempt"
    context.collect(scene)


# --- Disks and folders -------------------------------------------------------------------------------------------------


@case("exchange", "on a full disk who comes is told and who waits goes on, nothing is left half-written, and it works once there is space")
def full_disk(context):
    scene = context.scene(signers=2)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", scene.shared], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    if mounted.returncode != 0:
        raise Skipped("no small disk can be mounted here; the limit on file sizes stands in for it in the next case")
    try:
        filler = scene.shared / "filler"
        first = scene.cosign(0)
        scene.wait_for("attempt-0001/nonces-*")
        scene.wait_for_presence(0)
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(512))
            except OSError:
                pass
        # The one that comes is refused. The one that waits has nonces to lose, and goes on; it only cannot say that it is here.
        scene.cosign(1).expect(1, str(scene.shared), "No space left on device")
        time.sleep(2.5)
        assert first.is_running, first.wait().err
        assert not list(scene.shared.rglob("*.tmp")) and not scene.has(f"*/*-{scene.public[1]}.*"), "something half-written was left"
        filler.unlink()
        for process in [first, scene.cosign(1)]:
            process.expect(0)
        scene.released().check()
        context.collect(scene)
        scene.check_folder_is_clean()
    finally:
        subprocess.run(["umount", "-l", scene.shared])


@case("exchange", "a file that cannot be written to its end is never left in part, wherever the limit falls")
def limited_file_size(context):
    for limit in [10, 200, 400, 700]:
        scene = context.scene(signers=1, inputs=4)
        limited = scene.cosign(0, preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)), preload=False)
        limited.expect(1, "ulimit -f")
        scene.check_folder_is_clean()
        assert not scene.has("*/partials-*"), "a signature left, and its record cannot have been written whole"
        scene.cosign(0, preload=False).expect(0)
        context.collect(scene)


@case("exchange", "a folder that vanishes and comes back is waited for, and the nonces live on")
def vanishing_folder(context):
    scene = context.scene(signers=2)
    first = scene.cosign(0)
    scene.wait_for(f"attempt-0001/nonces-{scene.public[0]}.psbt")
    away = scene.folder / "away"
    for pause in (0.3, 2.5):
        scene.shared.rename(away)
        time.sleep(pause)
        away.rename(scene.shared)
        time.sleep(0.4)
    second = scene.cosign(1)
    first.expect(0, "has vanished; waiting for it to come back", "is back")
    second.expect(0)
    assert not scene.has("attempt-0002"), "the nonces did not live on"
    scene.released().check()
    context.collect(scene)


@case("exchange", "a folder that comes and goes all the time costs patience and nothing else")
def flickering_folder(context):
    for number in range(1 if context.is_quick else 4):
        source = random.Random(f"{context.seed} flicker {number}")
        scene = context.scene(signers=3, inputs=2)
        away = scene.folder / "away"
        running = [scene.cosign(signer) for signer in range(3)]
        # A folder that is not there at the start is refused; after that it may go.
        wait_until(lambda: all(scene.has(f"presence-{key}.chorale") for key in scene.public) or scene.has("final.tx"), what="all to come")
        while any(process.is_running for process in running) and all(process.popen.poll() in (None, 0) for process in running):
            scene.shared.rename(away)
            time.sleep(source.expovariate(1 / 0.005))
            away.rename(scene.shared)
            time.sleep(source.expovariate(1 / 0.005))
        for process in sorted(running, key=lambda process: process.is_running):
            process.expect(0)
        scene.released(is_whole=False).check()
        context.collect(scene)


@case("exchange", "a folder that does not come back is reported at the time limit, with exit code 3")
def vanished_folder(context):
    scene = context.scene(signers=2)
    first = scene.cosign(0, time_limit=3)
    scene.wait_for_presence(0)
    scene.shared.rename(scene.folder / "away")
    first.expect(3, str(scene.shared), "has vanished; waiting", "mount the drive again", "nothing is lost")
    (scene.folder / "away").rename(scene.shared)
    for process in [scene.cosign(signer) for signer in range(2)]:
        process.expect(0)
    context.collect(scene)


@case("exchange", "a folder that was never there is named, and not made")
def missing_folder(context):
    scene = context.scene(signers=2)
    missing = scene.folder / "nowhere"
    scene.cosign(0, exchange=missing).expect(3, f"there is no folder {missing}")
    assert not missing.exists()


@case("exchange", "a folder that keeps no files, such as /proc, is said to be none, and not to have vanished")
def no_folder_for_files(context):
    if not pathlib.Path("/proc/self/fd").exists():
        raise Skipped("there is no /proc")
    scene = context.scene(signers=2)
    for folder in ("/proc", "/proc/self/fd"):
        refused = scene.cosign(0, exchange=folder, preload=False).expect(1, f"nothing can be written in the folder {folder}", "--exchange")
        assert "vanished" not in refused.err, refused.err


@case("exchange", "a folder or a journal that may not be written is named, with exit code 1")
def unwritable_folder(context):
    scene = context.scene(signers=2)
    options = as_owner_of(scene)
    if options is None:
        raise Skipped("no other user can start an executable in the temporary folder")
    scene.shared.chmod(0o555)
    scene.cosign(0, preload=False, **options).expect(1, str(scene.shared), "Permission denied")
    scene.shared.chmod(0o755)
    scene.folder.chmod(0o555)
    scene.cosign(0, preload=False, **options).expect(1, "0.key.journal")
    scene.folder.chmod(0o755)
    for process in [scene.cosign(signer, preload=False, **options) for signer in range(2)]:
        process.expect(0)
    context.collect(scene)


# --- Signers who do not come, or come twice ----------------------------------------------------------------------------


@case("exchange", "a signer who never comes is named when the time is up, with exit code 3")
def never_comes(context):
    scene = context.scene(signers=3)
    running = [scene.cosign(signer, time_limit=2) for signer in range(2)]
    for process in running:
        process.expect(3, "the time limit was reached while waiting for nonces", scene.public[2], "nothing is lost")
        assert scene.public[0] not in process.err.split("still missing")[1], process.err
    scene.check_folder_is_clean()
    delegated = context.scene(signers=3, threshold=2)
    delegated.cosign(0, time_limit=2).expect(
        3, "waiting for signers: 1 more of 0", "while waiting for signers; 1 more of these is needed: ", delegated.public[1], delegated.public[2]
    )


@case("exchange", "signers are called as the own key file and the own list call them, and never as the folder does")
def names(context):
    scene = context.scene(signers=3)
    book = scene.folder / "book.txt"
    book.write_text(f"{scene.public[1]}  # Bob\x1b[31m of Bern\n{scene.public[2]}\n")
    label = json.loads(context.tool.run("key", "show", scene.key_files[0], "--json").expect(0).out)["label"]
    waiting = scene.cosign(0, "--signers", book, time_limit=2)
    scene.wait_for("attempt-0001/set.psbt")
    # A list in the folder, as a stranger would put it there.
    for folder in (scene.shared, scene.request_folder):
        (folder / "signers.txt").write_text(f"{scene.public[2]}  # Mallory\n")
    bob, third = f"Bob\\u{{1b}}[31m of Bern ({scene.public[1]})", scene.public[2]
    waiting.expect(
        3, f"{scene.public[0]}  {label}, you", f"{scene.public[1]}  Bob", "waiting for nonces from ",
        f"Bob\\u{{1b}}[31m of Bern ({scene.public[1][:10]}…)"
    )
    missing = waiting.err.split("still missing: ")[1]
    assert bob in missing and third in missing and label not in missing and "Mallory" not in waiting.err, waiting.err
    # Somebody else's list is refused rather than ignored.
    book.write_text(f"{context.keys.public[5]}  # Eve\n")
    scene.cosign(0, "--signers", book).expect(1, str(scene.psbt), "none of its signers stands in", str(book))


@case("exchange", "a key outside the group is named with its file, and so are those who must sign")
def outside_the_group(context):
    for shape in ({"signers": 2, "inputs": 2}, {"signers": 3, "threshold": 2}):
        scene = context.scene(**shape)
        key, file = context.keys.public[5], context.keys.files[5]
        scene.cosign(0, key=file).expect(1, str(file), key, str(scene.psbt), *scene.public, "inputs 0, 1" if "inputs" in shape else "k-of-n policy")
        assert not list(scene.shared.iterdir()), "a folder was made"


@case("exchange", "two processes with one key and one journal: the second is refused at once")
def same_journal(context):
    scene = context.scene(signers=2)
    first = scene.cosign(0)
    scene.wait_for_presence(0)
    scene.cosign(0).expect(1, "0.key.journal", "another process")
    scene.cosign(1).expect(0)
    first.expect(0)
    scene.released().check()
    context.collect(scene)


@case("exchange", "two processes with one key and two journals: at least one stops and says why, and no nonce signs twice")
def copied_key(context):
    stops = 0
    for pause in [0, 0, 0, 0.02, 0.05, 0.5]:
        scene = context.scene(signers=2)
        copy = scene.folder / "copy.key"
        shutil.copy(scene.key_files[0], copy)
        running = [scene.cosign(0)]
        time.sleep(pause)
        running.append(scene.cosign(0, key=copy))
        wait_until(lambda: not all(process.is_running for process in running), what="one of the two to stop")
        for process in running:
            if not process.is_running:
                process.expect(1, "another process signs with the key", scene.public[0])
                stops += 1
        if not any(process.is_running for process in running):
            running = [scene.cosign(0)]
        other = scene.cosign(1)
        finished = [process for process in running if process.wait(90).code == 0]
        if not finished:
            # Both stopped after all, which costs a start and nothing else.
            scene.cosign(0).expect(0)
        other.expect(0)
        scene.released().check()
        context.collect(scene)
    context.remark(f"{stops} stopped in 6 rounds")


@case("exchange", "a copied key file that signs from another home costs few attempts, one of the two says so, and the signature comes out")
def copied_key_while_others_wait(context):
    for threshold, pause in ((None, 0.3),) if context.is_quick else ((None, 0.3), (None, 2.1), (3, 0)):
        scene = context.scene(signers=4 if threshold else 3, threshold=threshold)
        home = scene.folder / "other-home"
        home.mkdir()
        shutil.copy(scene.key_files[0], home / "signer.key")
        both = [scene.cosign(0)]
        time.sleep(pause)
        both.append(scene.cosign(0, key=home / "signer.key"))
        other = scene.cosign(1)
        wait_until(lambda: not all(process.is_running for process in both), 10, "one of the two to stop")
        # Long enough for attempts to race, if they did.
        time.sleep(6)
        stopped = [process for process in both if not process.is_running]
        for process in stopped:
            process.expect(1, "another process signs with the key", scene.public[0], "end one of the two")
        attempts = len(list(scene.request_folder.glob("attempt-*")))
        assert attempts <= 4, f"{attempts} attempts"
        running = [process for process in both if process.is_running] or [scene.cosign(0)]
        for process in [*running, other, scene.cosign(2)]:
            process.expect(0)
        attempts = len(list(scene.request_folder.glob("attempt-*")))
        assert attempts <= 5, f"{attempts} attempts"
        scene.released().check()
        context.collect(scene)
        context.remark(f"{attempts} attempts, {len(stopped)} stopped")


# --- Leaving -----------------------------------------------------------------------------------------------------------


@case("exchange", "Ctrl-C while waiting ends with exit code 4, takes the presence away, and a new start completes")
def interrupted(context):
    scene = context.scene(signers=2)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        waiting = scene.cosign(0)
        scene.wait_for("attempt-*/nonces-*")
        scene.wait_for_presence(0)
        waiting.kill(number)
        waiting.expect(4)
        assert not scene.has("presence-*"), "the presence file was left"
    for process in [scene.cosign(signer) for signer in range(2)]:
        process.expect(0)
    scene.released().check()
    context.collect(scene)


@case("exchange", "the last signer may leave at once with --no-wait, and the others finish")
def no_wait(context):
    scene = context.scene(signers=2)
    first = scene.cosign(0)
    scene.wait_for(f"attempt-0001/nonces-{scene.public[0]}.psbt")
    first.kill(signal.SIGSTOP)
    left = scene.cosign(1, "--no-wait", "--json").expect(0, "Your signature is in the folder")
    told = json.loads(left.out)
    assert told["complete"] is False and sorted(told["set"]) == sorted(scene.public), told
    assert not scene.has(f"presence-{scene.public[1]}.chorale")
    first.kill(signal.SIGCONT)
    first.expect(0)
    scene.released().check()
    context.collect(scene)


@case("exchange", "a member of a k-of-n set that stops or dies is replaced, and gets the transaction if it comes back")
def replaced_member(context):
    for number in (signal.SIGSTOP, signal.SIGKILL):
        scene = context.scene(signers=3, threshold=2)
        gone = scene.cosign(0, "--away-after", 3)
        scene.wait_for_presence(0)
        gone.kill(number)
        running = [scene.cosign(1, "--away-after", 3)]
        scene.wait_for("attempt-0001/nonces-*")
        running.append(scene.cosign(2, "--away-after", 3))
        for process in running:
            process.expect(0, "attempt 2")
        if number == signal.SIGSTOP:
            gone.kill(signal.SIGCONT)
            gone.expect(0)
        scene.released().check()
        assert not scene.has(f"attempt-0002/nonces-{scene.public[0]}.psbt")
        context.collect(scene)


@case("exchange", "an owner's key spends alone, and signers who wait see that it is done")
def owner(context):
    owner_key = context.keys.public[5]
    scene = context.scene(signers=3, threshold=2, owner=owner_key)
    waiting = scene.cosign(0)
    scene.wait_for_presence(0)
    done = scene.cosign(0, key=context.keys.files[5], preload=False).expect(0)
    waiting.expect(0)
    assert waiting.out.strip() == done.out.strip()
    context.collect(scene, path="key")
    # And without the owner any two of them.
    group = context.scene(signers=3, threshold=2, owner=owner_key)
    for process in [group.cosign(signer) for signer in (1, 2)]:
        process.expect(0)
    context.collect(group, path="script")


@case("exchange", "where all together are the owner, all spend by the key path, and any two by theirs")
def owner_aggregate(context):
    scene = context.scene(signers=3, threshold=2, owner=ALL_SIGNERS, inputs=3)
    everybody = ",".join(scene.public)
    for process in [scene.cosign(signer, "--set", everybody) for signer in range(3)]:
        process.expect(0)
    scene.released().check()
    context.collect(scene, path="key")
    group = context.scene(signers=3, threshold=2, owner=ALL_SIGNERS)
    for process in [group.cosign(signer) for signer in (0, 2)]:
        process.expect(0)
    group.released().check()
    context.collect(group, path="script")


@case("exchange", "a signer who comes after the end gets the transaction; --out writes it, and never over a file unasked")
def after_the_end(context):
    scene = context.scene(signers=2)
    out = scene.folder / "done.tx"
    running = [scene.cosign(0, "--out", out), scene.cosign(1)]
    for process in running:
        process.expect(0)
    assert out.read_text().strip() == scene.final()
    scene.cosign(1, "--out", out).expect(1, "exists already", "--force")
    late = scene.cosign(1, "--out", out, "--force", "--json").expect(0)
    assert json.loads(late.out)["transaction"] == scene.final()
    context.collect(scene)


@case("exchange", "a reader of standard output that has gone changes nothing: the work is done, and the exit code is 0")
def closed_output(context):
    scene = context.scene(signers=2)
    reading, writing = os.pipe()
    os.close(reading)
    running = [scene.cosign(0, stdout=writing), scene.cosign(1, stdout=subprocess.DEVNULL)]
    os.close(writing)
    for process in running:
        process.wait()
        assert process.code == 0, process.err
    context.collect(scene)


@case("exchange", "a signer whose folder was emptied after it signed begins a new attempt")
def emptied_folder(context):
    scene = context.scene(signers=2)
    for process in [scene.cosign(signer) for signer in range(2)]:
        process.expect(0)
    shutil.rmtree(scene.request_folder)
    running = [scene.cosign(signer, time_limit=20) for signer in range(2)]
    for process in running:
        process.expect(0)
    scene.released(is_whole=False).check()
    context.collect(scene)


@case("exchange", "the JSON of a finished signing says attempt, set and transaction")
def finished_json(context):
    scene = context.scene(signers=3, threshold=2)
    running = [scene.cosign(signer, "--json") for signer in (0, 2)]
    for process in running:
        result = json.loads(process.expect(0).out)
        assert list(result) == ["txid", "attempt", "complete", "set", "transaction"], list(result)
        assert result["txid"] == scene.created["txid"] and result["complete"] is True
        assert result["attempt"] == 1, result["attempt"]
        assert sorted(result["set"]) == sorted([scene.public[0], scene.public[2]]), result["set"]


@case("exchange", "waiting costs next to no processor time")
def idle_cost(context):
    scene = context.scene(signers=2)
    waiting = scene.cosign(0, time_limit=30)
    scene.wait_for_presence(0)
    time.sleep(1)

    def seconds():
        fields = pathlib.Path(f"/proc/{waiting.popen.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    if not pathlib.Path("/proc/self/stat").exists():
        waiting.kill()
        raise Skipped("there is no /proc")
    before = seconds()
    time.sleep(4)
    used = seconds() - before
    waiting.kill(signal.SIGTERM)
    waiting.expect(4)
    assert used < 0.4, f"{used:.2f} s of processor time in 4 s of waiting"
    context.remark(f"{used * 250:.0f} ms a second")
