"""Runs chorale processes, as a shell would."""

import fcntl
import os
import pathlib
import pty
import re
import signal
import subprocess
import termios
import time

HERE = pathlib.Path(__file__).resolve().parent


class Tool:
    def __init__(self, executable, work_folder):
        self.executable = str(executable)
        self.work_folder = pathlib.Path(work_folder)
        self.shim = self.compile_shim()

    def compile_shim(self):
        """The library that ends a process at a durable step; `None` where this machine cannot make or load it."""
        target = self.work_folder / "kill_shim.so"
        # Continuous integration's warnings are errors, and are told.
        is_strict = "CHORALE_STRICT" in os.environ
        flags = ["-Wall", "-Werror"] if is_strict else ["-Wall"]
        for compiler in ("clang", "cc", "gcc"):
            try:
                command = [compiler, "-shared", "-fPIC", "-O1", *flags, "-o", target, HERE / "kill_shim.c", "-ldl"]
                if subprocess.run(command, stderr=None if is_strict else subprocess.DEVNULL).returncode == 0:
                    return str(target)
            except FileNotFoundError:
                continue
        return None

    def start(self, *words, env=None, output=None, **options):
        return Process(self.executable, words, env or {}, output, options)

    def run(self, *words, env=None, timeout=60, **options):
        return self.start(*words, env=env, **options).wait(timeout)


class Process:
    """One process. `wait` gives it back with `code`, `out` and `err`."""

    def __init__(self, executable, words, env, output, options):
        environment = {"PATH": os.environ.get("PATH", ""), "NO_COLOR": "1", **env}
        self.words = [str(word) for word in words]
        self.started = time.monotonic()
        self.popen = subprocess.Popen(
            # `through` is what starts it: `ip netns exec HOST` for one.
            [*options.pop("through", ()), executable, *self.words],
            env=environment,
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=options.pop("stderr", subprocess.PIPE),
            text=True,
            # Without a terminal to ask at, whatever the tests are run from; `Terminal` gives one.
            start_new_session=True,
            **options,
        )
        self.code = self.out = self.err = None

    def wait(self, timeout=60):
        if self.code is None:
            try:
                self.out, self.err = self.popen.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                # With whatever it started: a process here leads a group of its own.
                os.killpg(self.popen.pid, signal.SIGKILL)
                self.out, self.err = self.popen.communicate()
                raise AssertionError(f"still running after {timeout} s: {' '.join(self.words)}\n{self.err}") from None
            self.code = self.popen.returncode
        return self

    @property
    def is_running(self):
        return self.popen.poll() is None

    def kill(self, number=signal.SIGKILL):
        if self.is_running:
            self.popen.send_signal(number)

    def expect(self, code, *texts):
        """Asserts the exit code, and that each text stands in what was printed."""
        self.wait()
        printed = (self.out or "") + (self.err or "")
        said = f"{' '.join(self.words)}\nexit code {self.code}, and it said:\n{printed}"
        assert self.code == code, f"exit code {code} expected: {said}"
        for text in texts:
            assert text in printed, f"“{text}” expected: {said}"
        return self


class Terminal:
    """A process with a terminal of its own, at which a person sits: `screen` is everything that it has shown."""

    def __init__(self, start):
        """`start` starts the process, given the options of `Tool.start`."""
        self.keyboard, line = pty.openpty()
        os.set_blocking(self.keyboard, False)
        fcntl.ioctl(line, termios.TIOCSWINSZ, b"\x28\x00\xc8\x00\x00\x00\x00\x00")  # 40 rows, 200 columns
        self.process = start(stdin=line, stderr=line, preexec_fn=lambda: fcntl.ioctl(line, termios.TIOCSCTTY, 0))
        os.close(line)
        self.screen = ""

    def look(self):
        try:
            while data := os.read(self.keyboard, 65536):
                self.screen += data.decode(errors="replace")
        except OSError:
            # Nothing to read right now, or nobody at the other end any more.
            pass
        return self.screen

    @property
    def words(self):
        """What was shown, with one space between any two words."""
        return " ".join(re.sub(r"\x1b\[[0-9;]*[A-Za-z]", " ", self.look()).split())

    def wait_for(self, text, timeout=30):
        wait_until(lambda: text in self.look(), timeout, f"“{text}” on the terminal, which shows: {self.screen}")

    def type(self, text):
        os.write(self.keyboard, text.encode())

    def expect(self, code, timeout=60):
        """Waits for the end, and looks all the while: a full terminal would stop the process."""
        wait_until(lambda: (self.look(), not self.process.is_running)[1], timeout, "the process at the terminal to end")
        self.look()
        os.close(self.keyboard)
        self.process.wait()
        assert self.process.code == code, f"exit code {code} expected, not {self.process.code}: {self.screen}"
        return self


def wait_until(condition, timeout=30, what="a condition"):
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {timeout} s in vain for {what}"
        time.sleep(0.005)
    return value
