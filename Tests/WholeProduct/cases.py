"""The list of cases. A case's name is a sentence that is true."""

import collections
import shutil

from scenes import Scene, free_name

Case = collections.namedtuple("Case", "group sentence function slow is_only_long")
ALL = []


class Skipped(Exception):
    """This machine cannot run the case; the text says why."""


def case(group, sentence, slow=False, is_only_long=False):
    """Registers a function that takes a `Context`. Slow cases are left out by --quick, and some are for --long alone."""

    def register(function):
        ALL.append(Case(group, sentence, function, slow, is_only_long))
        return function

    return register


class Context:
    """What a case works with, and what it wants to be known of it."""

    def __init__(self, tool, keys, folder, seed, is_quick, is_long, spends):
        self.tool, self.keys, self.folder, self.seed, self.is_quick, self.is_long = tool, keys, folder, seed, is_quick, is_long
        self.spends = spends
        self.remarks = []
        self.counts = {}
        # What processes were killed at, a line each.
        self.kill_log = folder / "kills"

    def scene(self, **shape):
        return Scene(self.tool, self.keys, free_name(self.folder, "scene"), **shape)

    def remark(self, text):
        self.remarks.append(text)

    def count(self, what, number=1):
        self.counts[what] = self.counts.get(what, 0) + number

    def collect(self, scene, transaction=None, path=None):
        """Gives a finished transaction to the independent consensus check at the end. With a path, which it must have taken, it is also
        altered in every way that check-consensus knows, and must be refused each time."""
        spend = scene.spend(transaction)
        self.spends.append(spend | {"path": path, "inputs": len(spend["prevouts"])})

    def clean(self):
        shutil.rmtree(self.folder, ignore_errors=True)
