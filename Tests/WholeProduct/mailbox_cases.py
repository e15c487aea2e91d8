"""Members that do not reach each other, and a third node between them: a mailbox, or a relay."""

from cases import case
from network import Nodes, check_nonces, collect
from tool import wait_until

MEMBERS, THIRD = (0, 1), 2


class Apart(Nodes):
    """Two members, and a third node of no group."""

    def __init__(self, scene):
        super().__init__(scene, has_bootstrap=False)

    def sign(self, context):
        """A request of the first member, which the second one approves when it hears of it."""
        identifier = self.json(0, "request", "new", "--group", "pair", "--psbt", self.scene.psbt, "--yes")["request"]
        wait_until(lambda: self.knows(1, identifier), 60, "the request")
        self.run(1, "request", "approve", identifier, "--yes").expect(0)
        for number in MEMBERS:
            self.run(number, "request", "watch", "--request", identifier, "--time-limit", 90, timeout=100).expect(0)
        collect(context, self, [identifier])

    def check(self):
        self.stop()
        assert check_nonces(self.databases(), self.scene.public) >= 1


@case("network", "two nodes that know nobody's address but a mailbox's sign by way of it")
def by_mailbox(context):
    with Apart(context.scene(signers=2, others=1)) as nodes:
        nodes.own_options[THIRD] = ["--serve-mailbox"]
        nodes.start(THIRD)
        mailbox = ["--mailbox", nodes.addresses[THIRD]]
        for number in MEMBERS:
            nodes.own_options[number] = mailbox
            nodes.start(number)
            nodes.run(THIRD, "contact", "add", f"member {number}", nodes.show(number)["contact"]).expect(0)
        assert nodes.show(THIRD)["serves_mailbox"]
        nodes.make_group("pair")
        # From now on nobody can dial either of them.
        for number in MEMBERS:
            nodes.end(number)
        for number in MEMBERS:
            nodes.own_options[number] = ["--no-listen", *mailbox]
            nodes.start(number)
        nodes.sign(context)
        for number in MEMBERS:
            shown = nodes.show(number)
            assert [member["is_connected"] for member in shown["members"]] == [False], shown
            assert [own["is_connected"] for own in shown["mailboxes"]] == [True], shown
        # What lies there it cannot read, and what was fetched is gone, but for what came last.
        nodes.check()


@case("network", "two nodes that nobody can dial make a group and sign through a relay")
def by_relay(context):
    with Apart(context.scene(signers=2, others=1)) as nodes:
        nodes.own_options[THIRD] = ["--serve-relay"]
        nodes.start(THIRD)
        for number in MEMBERS:
            nodes.own_options[number] = ["--no-listen", "--relay", nodes.addresses[THIRD]]
            nodes.start(number)
        for number in MEMBERS:
            shown = wait_until(lambda number=number: nodes.show(number)["addresses"], what="a place at the relay")
            assert all("/p2p-circuit" in address for address in shown), shown
        nodes.make_group("pair")
        nodes.sign(context)
        for number in MEMBERS:
            shown = nodes.show(number)
            assert [member["is_connected"] for member in shown["members"]] == [True], shown
        nodes.check()
