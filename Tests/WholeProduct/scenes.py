"""Groups of signers with their keys, a payment to sign, and the folder that they share."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess

from psbt import PSBT
from released import Released
from tool import wait_until

NETWORK = "regtest"

# In place of an owner's key: all signers together, by the key path.
ALL_SIGNERS = "all signers"

# The user and group that own nothing.
NOBODY = 65534


class Keys:
    """Key files with their public keys, made by a demo: its keys are cheap to unlock, and guard nothing."""

    def __init__(self, tool, folder, count):
        words = ["demo", "--transport", "folder", "--keep", "--signers", count]
        done = tool.run(*words, env={"TMPDIR": str(folder)}, timeout=120).expect(0, "Everything is left in")
        self.folder = pathlib.Path(re.search(r"Everything is left in (\S+)\.", done.out + done.err)[1])
        self.passphrase = (self.folder / "passphrase.txt").read_text().strip()
        self.files = [self.folder / f"signer-{number}.key" for number in range(1, count + 1)]
        self.public = [json.loads(tool.run("key", "show", file, "--json").expect(0).out)["public_key"] for file in self.files]


class Scene:
    """A group whose signers are numbered from 0, in a folder of its own.

    `threshold` None means that all sign, by the key path. After the signers' key files come those of `others`, who are no members.
    """

    def __init__(self, tool, keys, folder, signers, threshold=None, inputs=1, owner=None, first_key=0, others=0):
        self.tool, self.folder, self.threshold = tool, pathlib.Path(folder), threshold
        self.folder.mkdir(parents=True)
        self.shared = self.folder / "shared"
        self.shared.mkdir()
        self.log = self.folder / "released"
        self.log.mkdir()
        self.passphrase = keys.passphrase
        self.public = keys.public[first_key : first_key + signers]
        self.key_files = []
        for number in range(signers + others):
            self.key_files.append(self.folder / f"{number}.key")
            shutil.copy(keys.files[first_key + number], self.key_files[-1])
        self.signers_file = self.folder / "signers.txt"
        self.signers_file.write_text("".join(f"{key}\n" for key in self.public))
        self.policy = ["--signers", self.signers_file]
        if threshold:
            of_owner = ["--owner-aggregate"] if owner == ALL_SIGNERS else ["--owner", owner] if owner else ["--owner-unspendable"]
            self.policy += ["--threshold", threshold, *of_owner]
        self.psbt = self.folder / "payment.psbt"
        self.created = self.create(self.psbt, inputs)

    def create(self, path, inputs=1, *more, fee_rate=2):
        coins = []
        for number in range(inputs):
            txid = hashlib.sha256(f"{path.name} {number}".encode()).hexdigest()
            coins += ["--spend", f"{txid}:{number}:{100_000 + number}"]
        words = ["psbt", "create", "--network", NETWORK, *self.policy, *coins, "--fee-rate", fee_rate, "--out", path, "--json", *more]
        return json.loads(self.tool.run(*words).expect(0).out)

    def cosign(
        self, signer, *more, kill=None, kill_log=None, clock_jump=None, is_asked=False, passphrase=None, preload=True, time_limit=60,
        key=None, psbt=None, exchange=None, **options,
    ):  # fmt: skip
        """Starts one signer. `kill` is (number, how) or (number, how, step) of kill_shim.c, `kill_log` a file that tells what it was killed at, and `clock_jump`
        a file that sets the process's time of day an hour ahead while it exists."""
        env = {"CHORALE_PASSPHRASE": self.passphrase if passphrase is None else passphrase}
        if preload and self.tool.shim:
            env |= {"LD_PRELOAD": self.tool.shim, "RELEASE_LOG": str(self.log)}
            if kill:
                env |= dict(zip(["KILL_AT", "KILL_HOW", "KILL_STEP"], map(str, kill))) | {"KILL_LOG": str(kill_log or "")}
            if clock_jump:
                env |= {"CLOCK_JUMP": str(clock_jump)}
        return self.tool.start(
            "cosign", "--psbt", psbt or self.psbt, "--key", key or self.key_files[signer], "--exchange", exchange or self.shared,
            *([] if is_asked else ["--yes"]), "--time-limit", time_limit, *more, env=env, **options,
        )  # fmt: skip

    @property
    def request_folder(self):
        """The folder of the request, `None` before anybody has made it."""
        return next(iter(sorted(self.shared.glob("chorale-*"))), None)

    def has(self, name):
        """Whether a file whose name matches is in the exchange."""
        return self.request_folder is not None and any(self.request_folder.glob(name))

    def wait_for(self, name, timeout=30):
        wait_until(lambda: self.has(name), timeout, f"the file {name}")

    def wait_for_presence(self, signer):
        """Until the signer has come; when the others have finished without it, it has come and gone."""
        name = f"presence-{self.public[signer]}.chorale"
        wait_until(lambda: self.has(name) or self.has("final.tx"), 30, f"the file {name}")

    def final(self):
        """The finished transaction in the folder, in hex."""
        return (self.request_folder / "final.tx").read_text().strip()

    def spend(self, transaction=None):
        """What an independent implementation needs to judge the transaction."""
        return {
            "txid": self.created["txid"],
            "transaction": transaction or self.final(),
            "prevouts": [{"amount": amount, "script_pubkey": script.hex()} for amount, script in PSBT(self.psbt.read_bytes()).prevouts()],
        }

    def released(self, is_whole=True):
        """What was ever released; as a whole it is at least what lies in the folder now."""
        folder = self.request_folder
        contents = {path: path.read_bytes() for path in folder.glob("attempt-*/*.psbt") if path.is_file()} if folder else {}
        if is_whole:
            kept = {path.read_bytes() for path in self.log.iterdir()}
            for path, data in contents.items():
                assert data in kept, f"{path} is not in the log of what was released"
        return Released(self.log, set(contents.values()))

    def check_folder_is_clean(self):
        """Nothing half-written under any name of the protocol, and nobody claims to be here any more."""
        left = [str(path.relative_to(self.shared)) for path in self.shared.rglob("*") if path.is_file()]
        assert not [name for name in left if "presence-" in name], f"presence files were left: {left}"
        assert not [name for name in left if name.endswith(".tmp")], f"half-written files were left: {left}"

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def as_owner_of(scene):
    """The options that start a process as somebody whom permissions bind: where the tests run as root, another user, who is given
    the scene's files and a copy of the executable. `None` where that user cannot run it all the same."""
    if os.geteuid() != 0:
        return {}
    executable = scene.folder / "chorale"
    shutil.copy(scene.tool.executable, executable)
    # From the folder of all cases on downwards.
    for path in [scene.tool.work_folder, scene.folder.parent, scene.folder, executable]:
        path.chmod(0o755)
    for path in [scene.folder, *scene.folder.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
    options = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "executable": str(executable)}
    try:
        can_run = subprocess.run(["chorale", "--version"], stdout=subprocess.DEVNULL, **options).returncode == 0
    except OSError:
        can_run = False
    return options if can_run else None


def free_name(folder, name):
    """A path in the folder that no other case uses."""
    number = 0
    while (path := pathlib.Path(folder) / f"{name}-{number}").exists():
        number += 1
    os.makedirs(folder, exist_ok=True)
    return path
