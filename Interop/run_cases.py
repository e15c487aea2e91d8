#!/usr/bin/env python3
"""Tries the project's libp2p against other implementations, in both directions, on loopback.

Usage: $(scripts/python-environment interop) Interop/run_cases.py --chorale .build/release/chorale [options]

One line a case, with its time; the last line counts them. Exit code 0 when all passed, 1 when one failed.

Each case is run for combinations of implementations: chorale, py (py-libp2p) and go (go-libp2p's daemon). By default for those
in which chorale takes part. `--among py` runs the same cases among py-libp2p's nodes alone: what fails there says something about
the case and nothing about chorale.
"""
import argparse
import itertools
import os
import platform
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

from cases import CASES, TOPIC
from driver import Peer

# No case waits longer than this, whatever its own time limits add up to.
CASE_SECONDS = 60


class Pool:
    """Peers by implementation and name. One that was started serves further cases, which leave it without connections."""

    # What all peers of the cases are told; what a case needs beside it comes to that.
    COMMON = ["--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip4/127.0.0.1/tcp/0/ws"]

    def __init__(self, commands):
        self.commands = commands
        self.peers, self.lock, self.ending = {}, threading.Lock(), []

    def start(self, implementation, name, options, owner=""):
        key = (implementation, name, options, owner)
        with self.lock:
            peer = self.peers.get(key)
        if peer is None or peer.p.poll() is not None:
            peer = Peer(self.commands[implementation], *self.COMMON, *options, name=f"{implementation}-{name}")
            with self.lock:
                self.peers[key] = peer
        return peer

    def start_all(self, peers):
        with ThreadPoolExecutor(max_workers=4) as executor:
            list(executor.map(lambda each: self.start(*each), sorted(peers)))

    def drop(self, peers):
        """Ends peers that serve no further case, without waiting for it."""
        for each in peers:
            with self.lock:
                peer = self.peers.pop(each)
            thread = threading.Thread(target=peer.close)
            thread.start()
            self.ending.append(thread)

    def close(self):
        for thread in self.ending:
            thread.join()
        with ThreadPoolExecutor(max_workers=8) as executor:
            list(executor.map(lambda peer: peer.close(), self.peers.values()))


def combinations(case, among):
    """Which implementation plays which part."""
    for parts in itertools.product(among, repeat=len(case.parts)):
        if all(case.can_play(part, implementation) for part, implementation in zip(case.parts, parts)) and case.makes_sense(parts):
            yield parts


def wanted(case, parts):
    """The peers of a case: implementation, name, options and whom they serve alone."""
    implementations = dict(zip(case.parts, parts))
    return [
        (implementation, part, tuple(case.options(part)), f"{case.title} {parts}" if case.is_fresh(part, implementations) else "")
        for part, implementation in implementations.items()
    ]


def run(case, parts, pool):
    """Why the case failed, or `None`, and what it measured."""
    peers = [pool.start(*each) for each in wanted(case, parts)]
    outcome = []

    def body():
        try:
            outcome.append((None, case.work(*peers)))
        except Exception:
            outcome.append((traceback.format_exc(), None))

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(CASE_SECONDS)
    failure, measured = outcome[0] if outcome else (f"not over after {CASE_SECONDS} s", None)
    if failure:
        failure += "".join(f"\n{peer.name} said:\n{peer.errors()}" for peer in peers if peer.errors())
        # Who knows in what state they are: the next case gets new ones.
        for peer in peers:
            peer.p.kill()
            peer.p.wait()
    else:
        leave(peers)
        pool.drop(each for each in wanted(case, parts) if each[3])
    return failure, measured


def leave(peers):
    """Without connections among each other, and with no event that a later case could take for its own."""
    peers = [peer for peer in peers if peer.p.poll() is None]
    for one, other in itertools.permutations(peers, 2):
        one.cmd("disconnect", peer=other.id)
    # Who has not noticed yet would take the end of this connection for that of the next one. (py-libp2p forgets the topics of a peer a
    # while after the connection, also when the peer has come back meanwhile, and then publishes nothing to it.)
    ids, end = {peer.id for peer in peers}, time.monotonic() + 3
    for peer in peers:
        while ids & ({each["peer_id"] for each in peer.do("peers")["peers"]}
                     | set(peer.cmd("topic_peers", topic=TOPIC).get("peers", []))):
            if time.monotonic() > end:
                # The next case gets a new one.
                peer.p.kill()
                peer.p.wait()
                break
            time.sleep(0.02)
        with peer.cv:
            peer.events.clear()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chorale", metavar="PROGRAM", help="the built executable")
    parser.add_argument("--among", metavar="LIST", help="run the cases among these implementations, e.g. py or py,go")
    parser.add_argument("--only", metavar="TEXT", help="run the cases whose line has this text, e.g. relay")
    parser.add_argument("--skips", metavar="FILE", help="append a line for each part that this machine cannot run")
    parser.add_argument("--verbose", action="store_true", help="print failures where they happen, not at the end")
    options = parser.parse_args()

    known = ["chorale", "py", "go"]
    among = options.among.split(",") if options.among else known
    if set(among) - set(known):
        parser.error(f"--among takes some of {','.join(known)}")
    if "chorale" in among and not options.chorale:
        parser.error("--chorale is missing")
    if "go" in among and not (sys.platform == "linux" and platform.machine() == "x86_64"):
        reason = "interop: the cases with go: its daemon is there for Linux x86-64 only"
        print(f"SKIPPED: {reason}")
        if options.skips:
            with open(options.skips, "a", encoding="utf8") as file:
                file.write(f"{reason}\n")
        among.remove("go")
    here = os.path.dirname(os.path.abspath(__file__))
    pool = Pool({
        "chorale": [os.path.abspath(options.chorale), "peer"] if options.chorale else None,
        "py": [sys.executable, os.path.join(here, "interop_peer.py")],
        "go": [sys.executable, os.path.join(here, "go_peer.py")],
    })

    planned = []
    for case in CASES:
        for parts in combinations(case, among):
            if not options.among and "chorale" not in parts:
                continue
            line = f"{' '.join(f'{part}={implementation}' for part, implementation in zip(case.parts, parts)):44} {case.title}"
            if not options.only or options.only in line:
                planned.append((case, parts, line))
    if not planned:
        sys.exit("no such case")

    start, failures = time.monotonic(), []
    try:
        # Those that serve one case start with it.
        pool.start_all({each for case, parts, _ in planned for each in wanted(case, parts) if not each[3]})
        print(f"{len(pool.peers)} peers started in {time.monotonic() - start:.1f} s", flush=True)
        for case, parts, line in planned:
            started = time.monotonic()
            failure, measured = run(case, parts, pool)
            word = "FAILED" if failure else "ok    "
            measure = f"  {measured}" if measured else ""
            print(f"{word} {line:84} {time.monotonic() - started:6.2f} s{measure}", flush=True)
            if failure:
                failures.append((line, failure))
                if options.verbose:
                    print(failure, flush=True)
    finally:
        pool.close()
    if not options.verbose:
        for line, failure in failures:
            print(f"\n{' '.join(line.split())}:\n{failure}")
    print(f"{len(planned) - len(failures)} of {len(planned)} cases passed in {time.monotonic() - start:.0f} s")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
