"""Drives interop peers from a test: starts them, sends commands, awaits replies and events (the contract: README.md)."""
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class CommandFailed(Exception):
    """A peer answered a command with `ok: false`."""


def brief(arguments):
    """A command's arguments for a person, who does not want to read 64 KiB of hex."""
    return {name: f"{text[:40]}… ({len(text)} characters)" if len(text := str(value)) > 100 else value
            for name, value in arguments.items()}


class Peer:
    """One running peer.

    `script` is a peer beside this file ("interop_peer.py"), run by `python`, or a command (a list) that obeys the contract.
    """

    START_SECONDS = 40

    def __init__(self, script, *arguments, python=None, name=None):
        if isinstance(script, (list, tuple)):
            head = [str(word) for word in script]
        else:
            head = [str(python or sys.executable), os.path.join(HERE, script)]
        self.name = name or os.path.basename(head[-1])
        self.err = tempfile.NamedTemporaryFile(prefix=f"{self.name}-", suffix=".err")
        self.p = subprocess.Popen([*head, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.err, text=True,
                                  bufsize=1)
        self.events, self.replies, self.cv, self.n = [], {}, threading.Condition(), 0
        threading.Thread(target=self._read, daemon=True).start()
        try:
            ready = self.wait(lambda event: event["event"] == "ready", self.START_SECONDS)
        except TimeoutError as error:
            self.p.kill()
            raise TimeoutError(f"{error}\n{self.errors()}") from None
        self.impl, self.id, self.addrs = ready["impl"], ready["peer_id"], ready["addrs"]

    def _read(self):
        for line in self.p.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            with self.cv:
                if event["event"] == "reply":
                    self.replies[event["id"]] = event
                else:
                    self.events.append(event)
                self.cv.notify_all()
        with self.cv:
            self.cv.notify_all()

    def wait(self, matches, timeout=15, since=0):
        """The first event from the `since`-th on that matches. It may have come before the call."""
        end = time.monotonic() + timeout
        with self.cv:
            while True:
                for event in self.events[since:]:
                    if matches(event):
                        return event
                left = end - time.monotonic()
                if left <= 0 or self.p.poll() is not None:
                    raise TimeoutError(f"{self.name} (exit code {self.p.poll()}): no such event; the last are {self.events[-5:]}")
                self.cv.wait(min(left, 1))

    def send(self, cmd, **arguments):
        """Sends a command and returns its number."""
        self.n += 1
        self.p.stdin.write(json.dumps({"id": self.n, "cmd": cmd, **arguments}) + "\n")
        self.p.stdin.flush()
        return self.n

    def cmd(self, cmd, timeout=30, **arguments):
        """Sends a command and waits for its reply, whatever it says."""
        number = self.send(cmd, **arguments)
        end = time.monotonic() + timeout
        with self.cv:
            while number not in self.replies:
                left = end - time.monotonic()
                if left <= 0 or self.p.poll() is not None:
                    raise TimeoutError(f"{self.name} (exit code {self.p.poll()}): no reply to {cmd} {brief(arguments)}")
                self.cv.wait(min(left, 1))
            return self.replies.pop(number)

    def do(self, cmd, timeout=30, **arguments):
        """Sends a command that must succeed, and returns its reply."""
        reply = self.cmd(cmd, timeout, **arguments)
        if not reply["ok"]:
            raise CommandFailed(f"{self.name}: {cmd} {brief(arguments)}: {reply.get('error')}")
        return reply

    def errors(self):
        """What the peer wrote on standard error, its last lines."""
        with open(self.err.name, encoding="utf8", errors="replace") as file:
            return "\n".join(file.read().splitlines()[-15:])

    def close(self):
        try:
            self.send("quit")
            self.p.wait(6)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            self.p.kill()
            self.p.wait()
        try:
            self.p.stdin.close()
        except OSError:
            pass
        self.err.close()
