"""Runs chorale processes, as a shell would."""

import os
import pathlib
import signal
import subprocess
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
        for compiler in ("clang", "cc", "gcc"):
            try:
                command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", target, HERE / "kill_shim.c", "-ldl"]
                if subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0:
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
            [executable, *self.words],
            env=environment,
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=subprocess.PIPE,
            text=True,
            # Without a terminal to ask at, whatever the tests are run from.
            start_new_session=True,
            **options,
        )
        self.code = self.out = self.err = None

    def wait(self, timeout=60):
        if self.code is None:
            try:
                self.out, self.err = self.popen.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                self.popen.kill()
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
        printed = self.out + self.err
        said = f"{' '.join(self.words)}\nexit code {self.code}, and it said:\n{printed}"
        assert self.code == code, f"exit code {code} expected: {said}"
        for text in texts:
            assert text in printed, f"“{text}” expected: {said}"
        return self


def wait_until(condition, timeout=30, what="a condition"):
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {timeout} s in vain for {what}"
        time.sleep(0.005)
    return value
