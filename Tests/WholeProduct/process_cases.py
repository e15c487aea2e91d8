"""What a process that holds secrets does for itself: no core dump, nobody who reads along, no nonces that outlive a jump of the clocks."""

import os
import pathlib
import resource
import time

from cases import Skipped, case
from psbt import PSBT
from scenes import NOBODY, as_owner_of
from tool import wait_until


def allow_core_dumps():
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))


def core_limits(process):
    (line,) = [line for line in pathlib.Path(f"/proc/{process.popen.pid}/limits").read_text().splitlines() if "core file size" in line]
    return line.split()[4:6]


def can_be_read_by_owner(process):
    """The kernel gives a process's files in /proc to root as soon as nobody may dump or trace it (proc(5))."""
    return os.stat(f"/proc/{process.popen.pid}/environ").st_uid == (os.geteuid() or NOBODY)


@case("process", "cosign and key new forbid core dumps and tracing before they ask for a passphrase, and for as long as they run")
def hardened(context):
    if not pathlib.Path("/proc/self/limits").exists():
        raise Skipped("there is no /proc that tells a process's limits")
    scene = context.scene(signers=2)
    options = as_owner_of(scene)
    if options is None:
        raise Skipped("no other user can start an executable in the temporary folder")
    reading, writing = os.pipe()
    started = [
        # Both wait for a passphrase that does not come yet.
        context.tool.start(
            "key", "new", "--network", "regtest", "--out", scene.folder / "new.key", "--passphrase-fd", reading,
            preexec_fn=allow_core_dumps, pass_fds=[reading], **options,
        ),
        context.tool.start(
            "cosign", "--psbt", scene.psbt, "--key", scene.key_files[1], "--exchange", scene.shared, "--yes",
            "--passphrase-fd", reading, preexec_fn=allow_core_dumps, pass_fds=[reading], **options,
        ),
        # And this one for the others, with nonces in its memory.
        scene.cosign(0, preload=False, preexec_fn=allow_core_dumps, **options),
    ]  # fmt: skip
    try:
        scene.wait_for(f"attempt-0001/nonces-{scene.public[0]}.psbt")
        for process in started:
            wait_until(lambda process=process: not can_be_read_by_owner(process), 10, "the process to close itself")
            assert core_limits(process) == ["0", "0"], process.words
            assert process.is_running, process.wait().err
        # Whether the check would see it: a command without secrets stays open.
        open_reading, open_writing = os.pipe()
        control = context.tool.start("psbt", "show", "-", stdin=open_reading, preexec_fn=allow_core_dumps, **options)
        os.close(open_reading)
        time.sleep(0.5)
        assert control.is_running and can_be_read_by_owner(control), "the check sees no difference"
        os.close(open_writing)
        control.wait()
    finally:
        for process in started:
            process.kill()
            process.wait()
        os.close(reading)
        os.close(writing)
    assert not (scene.folder / "new.key").exists()


@case("process", "when the clocks of the machine jump, nonces are thrown away unused, and a new attempt is begun with fresh ones")
def clock_jump(context):
    if context.tool.shim is None:
        raise Skipped("there is no C compiler to make the library that sets the clock")
    scene = context.scene(signers=2)
    jump = scene.folder / "jump"
    first = scene.cosign(0, clock_jump=jump)
    # An hour forwards, and the same back.
    for attempt, turn in [(1, jump.touch), (2, jump.unlink)]:
        scene.wait_for(f"attempt-{attempt:04}/nonces-{scene.public[0]}.psbt")
        # The process looks at its clocks before it can notice that they jump.
        time.sleep(0.6)
        turn()
    scene.wait_for(f"attempt-0003/nonces-{scene.public[0]}.psbt")
    second = scene.cosign(1)
    first.expect(0, "attempt 2: fresh nonces", "attempt 3: fresh nonces")
    second.expect(0)
    for attempt in (1, 2):
        assert not scene.has(f"attempt-{attempt:04}/partials-*"), "nonces from before the jump were used"
    assert len({PSBT(path.read_bytes()).statement().incarnation for path in scene.request_folder.glob(f"*/nonces-{scene.public[0]}.*")}) == 3
    released = scene.released()
    released.check()
    assert released.attempt_count == 3, released.attempt_count
    context.collect(scene)
