#!/usr/bin/env python3
"""Tests the executable as people and their machines use it: real processes, a real folder, real kills.

    run.py [--quick | --long] [--list] [--only TEXT] [--seed N] [--jobs N] [--keep] [--skips FILE]

CHORALE names the executable (default: .build/release/chorale). Prints one line a case, and exits with 1 when one failed.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import cases
import crash_cases  # noqa: F401  (each registers its cases)
import delay_cases  # noqa: F401
import demo_cases  # noqa: F401
import distance_cases  # noqa: F401
import exchange_cases  # noqa: F401
import input_cases  # noqa: F401
import mailbox_cases  # noqa: F401
import network_cases  # noqa: F401
import person_cases  # noqa: F401
import process_cases  # noqa: F401
import visit_cases  # noqa: F401
from scenes import Keys
from tool import Tool

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Of fifteen signers, and a node that is none.
KEY_COUNT = 16


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--quick", action="store_true", help="leave slow cases out, and fewer rounds of the others")
    extent.add_argument("--long", action="store_true", help="many more rounds where nodes are killed, and larger groups far apart")
    parser.add_argument("--list", action="store_true", help="tell what would run, and run nothing")
    parser.add_argument("--only", default="", help="only cases whose group or sentence holds this text")
    parser.add_argument("--seed", type=int, default=2, help="what is random follows from it")
    parser.add_argument("--jobs", type=int, default=max(3, (os.cpu_count() or 1) + 1), help="how many cases run at once")
    parser.add_argument("--keep", action="store_true", help="leave the folders of cases that failed")
    parser.add_argument("--skips", help="append a line to this file for each case that was skipped: its name, and why")
    return parser.parse_args()


def is_chosen(case, arguments):
    if (case.slow and arguments.quick) or (case.is_only_long and not arguments.long):
        return False
    return arguments.only in f"{case.group}: {case.sentence}"


class Runner:
    def __init__(self, arguments, tool, keys, folder):
        self.arguments, self.tool, self.keys, self.folder = arguments, tool, keys, folder
        self.lock = threading.Lock()
        self.spends, self.passed, self.failed, self.skipped = [], 0, 0, []

    def run(self, number, group, sentence, function):
        started = time.monotonic()
        context = cases.Context(
            self.tool, self.keys, self.folder / f"case-{number}", self.arguments.seed, self.arguments.quick, self.arguments.long,
            self.spends,
        )
        problem = skipped = None
        try:
            function(context)
        except cases.Skipped as reason:
            skipped = reason
        except Exception:
            problem = traceback.format_exc()
        if not (problem and self.arguments.keep):
            context.clean()
        with self.lock:
            word = "SKIPPED" if skipped else "FAILED" if problem else "ok"
            remarks = "; ".join([f"{time.monotonic() - started:.1f} s", *context.remarks, *([str(skipped)] if skipped else [])])
            print(f"{word:7} {group}: {sentence} ({remarks})", flush=True)
            if problem:
                print("".join(f"        {line}\n" for line in problem.splitlines()), end="", flush=True)
            self.passed += word == "ok"
            self.failed += word == "FAILED"
            if skipped:
                self.skipped.append(f"{group}: {sentence}: {skipped}")

    def check_consensus(self):
        """Every finished transaction before libbitcoinkernel."""
        if not self.spends:
            return
        made = subprocess.run([ROOT / "scripts/python-environment", "consensus"], capture_output=True, text=True)
        if made.returncode != 0:
            self.skipped.append(f"consensus: libbitcoinkernel accepts every finished transaction: {made.stderr.strip()}")
            print(f"SKIPPED {self.skipped[-1]}")
            return
        command = [made.stdout.strip(), pathlib.Path(__file__).with_name("verify_spends.py")]
        done = subprocess.run(command, input=json.dumps(self.spends), capture_output=True, text=True)
        self.passed += done.returncode == 0
        self.failed += done.returncode != 0
        word = "ok" if done.returncode == 0 else "FAILED"
        print(f"{word:7} consensus: libbitcoinkernel accepts every finished transaction ({(done.stdout + done.stderr).strip()})")
        for spend in self.spends:
            if spend.get("path"):
                self.check_altered(made.stdout.strip(), spend)

    def check_altered(self, python, spend):
        command = [python, ROOT / "scripts/check-consensus", "--quiet", "--path", spend["path"]]
        done = subprocess.run(command, input=json.dumps(spend), capture_output=True, text=True)
        self.passed += done.returncode == 0
        self.failed += done.returncode != 0
        word = "ok" if done.returncode == 0 else "FAILED"
        said = (done.stdout + done.stderr).strip()
        print(f"{word:7} consensus: a spend of {spend['inputs']} by its {spend['path']} path, as it is and altered ({said})")


def main():
    arguments = parse_arguments()
    # What is started in the background of a script, or by nohup, ignores Ctrl-C or hang-ups, and passes that on; the cases send both.
    # A handler, whatever it does, is not passed on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    started = time.monotonic()
    chosen = [(number, case.group, case.sentence, case.function) for number, case in enumerate(cases.ALL) if is_chosen(case, arguments)]
    if not chosen:
        sys.exit(f"no case has “{arguments.only}” in its name")
    if arguments.list:
        print(*(f"{group}: {sentence}" for _, group, sentence, _ in chosen), sep="\n")
        return
    executable = pathlib.Path(os.environ.get("CHORALE", ROOT / ".build/release/chorale")).resolve()
    if not os.access(executable, os.X_OK):
        sys.exit(f"there is no executable {executable}: build it (make build), or name another one in CHORALE")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="chorale-whole-"))
    try:
        tool = Tool(executable, folder)
        runner = Runner(arguments, tool, Keys(tool, folder, KEY_COUNT), folder)
        print(f"seed {arguments.seed}, {executable}", flush=True)
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            for future in [pool.submit(runner.run, *entry) for entry in chosen]:
                future.result()
        runner.check_consensus()
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    if arguments.skips:
        with open(arguments.skips, "a") as file:
            file.writelines("whole-product: " + " ".join(line.split()) + "\n" for line in runner.skipped)
    skipped = f", {len(runner.skipped)} skipped" if runner.skipped else ""
    print(f"{runner.passed} passed, {runner.failed} failed{skipped} ({time.monotonic() - started:.0f} s)")
    sys.exit(runner.failed > 0)


main()
