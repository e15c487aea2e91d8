"""Members that are never connected at the same time: each reaches a mailbox while it visits it, and the others never."""

import contextlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

from cases import Skipped, case
from door import Door, connections_to
from lab import PORT, Lab
from network import Nodes, check_nonces, collect
from tool import wait_until

# How long a packet takes one way, in milliseconds.
DELAY = 25
# In seconds. After a silence each end tries less and less often to be heard again.
VISIT_MAX = 120
# In seconds: so long a database is copied again where the copy was made in the middle of something.
LOOK_MAX = 30
# In seconds: nothing came to the mailbox, or was fetched, for so long.
CALM = 1.5


class Visits(Nodes):
    """The signers of a scene and, as the last one, a node with a mailbox."""

    def __init__(self, scene, hosts=None):
        super().__init__(scene, hosts=hosts, has_bootstrap=False)
        self.mailbox = len(scene.public)
        self.signers = range(self.mailbox)
        # Who came, in this order, and how long each stayed.
        self.visits = []

    def make(self):
        """Makes the group, and parts its members for good. Their processes begin anew: none has ever seen another one, and none ends."""
        self.own_options[self.mailbox] = ["--serve-mailbox"]
        self.start(self.mailbox)
        for number in self.signers:
            self.own_options[number] = ["--mailbox", self.mailbox_address(number)]
            self.start(number)
            self.run(self.mailbox, "contact", "add", f"member {number}", self.show(number)["contact"]).expect(0)
        self.make_group("apart")
        for number in self.signers:
            self.end(number)
        self.part()
        for number in self.signers:
            self.start(number)
        self.check_ways(None)

    def lying(self):
        """What lies in the mailbox: how many messages it ever took, and the places of those that nobody has fetched."""
        end = time.monotonic() + LOOK_MAX
        while True:
            # The node has its database for itself, so a copy is looked at; one that was made in the middle of something is made again.
            with tempfile.TemporaryDirectory(dir=self.scene.folder) as folder:
                for path in self.homes[self.mailbox].glob("chorale.db*"):
                    with contextlib.suppress(FileNotFoundError):
                        shutil.copy(path, folder)
                connection = sqlite3.connect(f"{folder}/chorale.db")
                try:
                    taken = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'sealed_message'").fetchone()
                    return (taken or (0,))[0], frozenset(cursor for (cursor,) in connection.execute("SELECT cursor FROM sealed_message"))
                except sqlite3.DatabaseError:
                    assert time.monotonic() < end, f"no copy of the mailbox's database can be read for {LOOK_MAX} s"
                finally:
                    connection.close()

    @contextlib.contextmanager
    def visit(self, number):
        """For one member the way to the mailbox is open."""
        started = time.monotonic()
        self.set_way(number, True)
        yield
        self.set_way(number, False)
        self.visits.append((number, time.monotonic() - started))

    def wait_for_calm(self, before):
        """Until something was left in the mailbox, and nothing more comes."""
        seen, since = before, time.monotonic()

        def is_calm():
            nonlocal seen, since
            time.sleep(0.1)
            if (now := self.lying()) != seen:
                seen, since = now, time.monotonic()
            return seen[0] > before[0] and time.monotonic() > since + CALM

        wait_until(is_calm, VISIT_MAX, "something left in the mailbox, and then calm")

    def propose(self, may_coordinate):
        """A request of the first member's in whose first turn one of these coordinates: an order that nobody can choose. Gives its id, and
        who it is."""
        for _ in range(100):
            request = self.json(0, "request", "new", "--group", "apart", "--psbt", self.scene.psbt, "--yes")["request"]
            coordinator = self.scene.public.index(self.json(0, "request", "show", request)["coordinator"])
            if coordinator in may_coordinate:
                return request, coordinator
            self.run(0, "request", "cancel", request).expect(0)
        raise AssertionError(f"a hundred requests, and in none of them one of {may_coordinate} coordinates")

    def has_state(self, number, request, state):
        known = self.knows(number, request)
        return known is not None and known["state"] == state

    def approve(self, number, request):
        wait_until(lambda: self.knows(number, request), VISIT_MAX, f"the request at {number}")
        self.run(number, "request", "approve", request, "--yes").expect(0)


class VisitsByHosts(Visits):
    """Each node is on a host of its own, and links are cut."""

    def __init__(self, scene, seed):
        super().__init__(scene, Lab(len(scene.key_files), DELAY, seed))

    def __exit__(self, *problem):
        super().__exit__(*problem)
        self.hosts.__exit__()

    def mailbox_address(self, _):
        return self.addresses[self.mailbox]

    def part(self):
        for number in self.signers:
            self.hosts.say("cut", number + 1, "*")

    def set_way(self, number, is_open):
        self.hosts.say("heal" if is_open else "cut", number + 1, self.mailbox + 1)

    def check_ways(self, visitor):
        """Whether links lead where they are to lead: only the visitor's, and only to the mailbox."""
        look = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.6)"
        pairs = [(one, other) for one in self.signers for other in range(len(self.homes)) if one != other]
        commands = [[*self.hosts.through(one), sys.executable, "-c", look, self.hosts.addresses[other], str(PORT)] for one, other in pairs]
        looking = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for command in commands]
        open_pairs = [pair for pair, process in zip(pairs, looking) if process.wait() == 0]
        assert open_pairs == ([] if visitor is None else [(visitor, self.mailbox)]), open_pairs


class VisitsByDoors(Visits):
    """All nodes are on this machine, and each member has a door to the mailbox. It can connect to nothing else, and listens nowhere."""

    def __init__(self, scene, _):
        if scene.tool.shim is None:
            raise Skipped("there is no C compiler to make the library that lets a process connect to one port only")
        super().__init__(scene)
        self.doors = {}

    def __exit__(self, *problem):
        super().__exit__(*problem)
        for door in self.doors.values():
            door.close()

    def mailbox_address(self, number):
        _, _, host, _, port, *peer = self.addresses[self.mailbox].split("/")
        self.doors[number] = Door(int(port))
        self.doors[number].is_open.set()
        return "/".join(["", "ip4", host, "tcp", str(self.doors[number].port), *peer])

    def part(self):
        for number in self.signers:
            self.own_options[number].append("--no-listen")
            # The mailbox tells where it is, and that is where nobody else may go.
            self.own_environment[number] = {"LD_PRELOAD": self.tool.shim, "CONNECT_ONLY": str(self.doors[number].port)}
            self.set_way(number, False)

    def set_way(self, number, is_open):
        door = self.doors[number].is_open
        door.set() if is_open else door.clear()

    def check_ways(self, visitor):
        """Whether nothing leads to the mailbox but the doors, of which only the visitor's is open."""
        assert [number for number in self.signers if self.doors[number].is_open.is_set()] == ([] if visitor is None else [visitor])
        port = int(self.addresses[self.mailbox].split("/")[4])
        standing = connections_to(port)
        if standing is None:
            raise Skipped("there is no /proc/net/tcp that tells which connections stand")
        assert standing <= set().union(*(door.dialled_from for door in self.doors.values())), "somebody reached the mailbox by no door"


def words_of(visits):
    return ", ".join(f"{number} for {seconds:.0f} s" for number, seconds in visits)


def never_connected(context, kind, may_coordinate, expected):
    """Members, of whom only one at a time has a way to the mailbox. `expected` is who has come when the first has the signature."""
    scene = context.scene(signers=max(expected) + 1, others=1)
    with kind(scene, context.seed) as nodes:
        nodes.make()
        processes = [process.popen.pid for process in nodes.running]
        request, _ = nodes.propose(may_coordinate)
        before = nodes.lying()
        with nodes.visit(0):
            nodes.wait_for_calm(before)
            nodes.check_ways(0)
        for number in nodes.signers[1:]:
            before = nodes.lying()
            with nodes.visit(number):
                nodes.approve(number, request)
                nodes.wait_for_calm(before)
        while not any(nodes.has_state(number, request, "complete") for number in nodes.signers):
            assert len(nodes.visits) < len(expected), f"not signed after visits of {words_of(nodes.visits)}"
            before, visitor = nodes.lying(), expected[len(nodes.visits)]
            with nodes.visit(visitor):
                nodes.wait_for_calm(before)
                nodes.check_ways(visitor)
        context.remark(f"signed after visits of {words_of(nodes.visits)}")
        assert [number for number, _ in nodes.visits] == expected
        # Who does not know it yet hears of it the next time it comes.
        for late in nodes.signers:
            if not nodes.has_state(late, request, "complete"):
                with nodes.visit(late):
                    wait_until(lambda late=late: nodes.has_state(late, request, "complete"), VISIT_MAX, f"the end at {late}")
        assert [process.popen.pid for process in nodes.running if process.is_running] == processes, "a process ended"
        collect(context, nodes, [request])
        nodes.stop()
        databases = nodes.databases()
    assert check_nonces(databases, scene.public) >= 1


@case("network", f"two members {DELAY} ms apart from a mailbox, never there at the same time, sign, and the last one comes once", slow=True)
def last_comes_once(context):
    never_connected(context, VisitsByHosts, {1}, [0, 1, 0])


@case("network", f"the last of two members {DELAY} ms apart from a mailbox comes once where the other one coordinates", is_only_long=True)
def proposer_coordinates(context):
    never_connected(context, VisitsByHosts, {0}, [0, 1, 0])


@case("network", "two members, of whose doors to a mailbox one is open at a time, sign, and the last one comes once", slow=True)
def by_doors(context):
    never_connected(context, VisitsByDoors, {1}, [0, 1, 0])


@case("network", "the last of two members by doors to a mailbox comes once where the other one coordinates", slow=True)
def proposer_coordinates_by_doors(context):
    never_connected(context, VisitsByDoors, {0}, [0, 1, 0])


@case("network", "the last of three members by doors to a mailbox comes once where another one coordinates, and the two finish", slow=True)
def last_of_three_by_doors(context):
    never_connected(context, VisitsByDoors, {0, 1}, [0, 1, 2, 0, 1])


@case("network", f"the last of three {DELAY} ms apart from a mailbox comes once, and if it stays it hears of the signature", slow=True)
def last_stays(context):
    scene = context.scene(signers=3, others=1)
    with VisitsByHosts(scene, context.seed) as nodes:
        nodes.make()
        request, last = nodes.propose({1, 2})
        other = 3 - last
        before = nodes.lying()
        with nodes.visit(0):
            nodes.wait_for_calm(before)
        before = nodes.lying()
        with nodes.visit(other):
            nodes.approve(other, request)
            nodes.wait_for_calm(before)
        before = nodes.lying()
        with nodes.visit(last):
            nodes.approve(last, request)
            nodes.wait_for_calm(before)
            # It stays at the mailbox. The others come, one after the other, and still nobody reaches anybody but the mailbox.
            for number in (0, other):
                before = nodes.lying()
                with nodes.visit(number):
                    nodes.wait_for_calm(before)
            wait_until(lambda: nodes.has_state(last, request, "complete"), 10, "the end at the last signer, who has stayed")
        assert nodes.has_state(other, request, "complete")
        context.remark(f"signed and heard of after visits of {words_of(nodes.visits)}")
        with nodes.visit(0):
            wait_until(lambda: nodes.has_state(0, request, "complete"), VISIT_MAX, "the end at the proposer")
        collect(context, nodes, [request])
        nodes.stop()
        databases = nodes.databases()
    assert check_nonces(databases, scene.public) >= 2
