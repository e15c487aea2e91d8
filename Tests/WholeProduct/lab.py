"""Hosts of their own for nodes, with delay, loss and cuts between them: scripts/delay-lab, held from a case."""

import pathlib
import subprocess

from cases import Skipped

DELAY_LAB = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "delay-lab"
# What delay-lab exits with where a machine cannot make hosts.
CANNOT = 77
PORT = 4001


class Lab:
    """As a context: whatever happens, the hosts are gone afterwards, for they go when the standard input of what holds them ends."""

    def __init__(self, host_count, delay, seed):
        self.count = host_count
        # What holds them tells their names, and then waits.
        hold = 'for name in $(compgen -v LAB_); do echo "$name=${!name}"; done; echo; exec cat'
        self.process = subprocess.Popen(
            [DELAY_LAB, "--hosts", str(host_count), "--delay", str(delay), "--seed", str(seed), "--", "bash", "-c", hold],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        names = {}
        while line := self.process.stdout.readline().strip():
            name, _, value = line.partition("=")
            names[name] = value
        if not names:
            problem = self.process.communicate()[1].strip()
            if self.process.returncode == CANNOT:
                raise Skipped(problem.removeprefix("delay-lab: "))
            raise AssertionError(f"there are no hosts: {problem}")
        numbers = range(1, host_count + 1)
        self.hosts = [names[f"LAB_{number}"] for number in numbers]
        self.addresses = [names[f"LAB_ADDR_{number}"] for number in numbers]
        self.listen = [f"/ip4/{address}/tcp/{PORT}" for address in self.addresses]
        self.pipe = open(names["LAB_CONTROL"], "w")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pipe.close()
        problems = self.process.communicate()[1]
        assert self.process.returncode == 0 and not problems, f"delay-lab ended with {self.process.returncode}: {problems}"

    def say(self, *words):
        """`cut 1 *`, `loss * * 2`, `heal`: see scripts/delay-lab."""
        print(*words, file=self.pipe, flush=True)

    def through(self, number):
        """What a command begins with that runs on a host, the first being 0."""
        return ["ip", "netns", "exec", self.hosts[number]]
