"""Members that do not reach each other, and a third node between them: a mailbox, or a relay."""

import json

from cases import case
from network import Nodes, check_nonces
from tool import wait_until

MEMBERS, THIRD = (0, 1), 2


class Apart(Nodes):
    """Two members, and a third node of no group. `options` says how each is started."""

    def __init__(self, scene):
        super().__init__(scene)
        self.options = [[] for _ in self.homes]

    def start(self, number):
        self.lives += 1
        output = self.scene.folder / f"node-{number}-{self.lives}.out"
        listen = [] if "--no-listen" in self.options[number] else ["--listen", self.listen[number]]
        with open(output, "w") as file:
            self.running[number] = self.tool.start(
                "node", "run", "--home", self.homes[number], "--key", self.scene.key_files[number], *listen, "--json",
                *self.options[number], env={"CHORALE_PASSPHRASE": self.scene.passphrase}, stdout=file, stderr=file,
            )  # fmt: skip

        def ready():
            assert self.running[number].is_running, f"node {number} ended: {output.read_text()}"
            return output.read_text().partition("\n")[1]

        wait_until(ready, 30, f"node {number}")
        addresses = json.loads(output.read_text().splitlines()[0])["addresses"]
        if addresses:
            self.addresses[number] = addresses[0]
            self.listen[number] = addresses[0].partition("/p2p/")[0]

    def end(self, number):
        self.running[number].popen.terminate()
        self.running[number].popen.wait(30)

    def show(self, number):
        return self.json(number, "node", "show")

    def make_pair(self):
        invitation = self.json(0, "group", "invite", "--name", "pair", "--members", 2)["invitations"][0]
        self.run(1, "group", "join", invitation, "--yes", timeout=60).expect(0)
        for number in MEMBERS:
            wait_until(lambda number=number: self.made(number, "pair"), what="the group")

    def sign(self, context):
        """A request of the first member, which the second one approves when it hears of it. Gives it as both know it at the end."""
        payment = self.scene.folder / "pair.psbt"
        signers = self.scene.folder / "pair.txt"
        signers.write_text("".join(f"{self.scene.public[number]}\n" for number in MEMBERS))
        coin = f"{'5' * 64}:0:100000"
        words = ["psbt", "create", "--network", "regtest", "--signers", signers, "--spend", coin, "--fee-rate", 2, "--out", payment, "--json"]
        self.tool.run(*words).expect(0)
        identifier = self.json(0, "request", "new", "--group", "pair", "--psbt", payment, "--yes")["id"]
        wait_until(lambda: any(known["id"] == identifier for known in self.json(1, "request", "list")["requests"]), 60, "the request")
        self.run(1, "request", "approve", identifier, "--yes").expect(0)
        shown = []
        for number in MEMBERS:
            self.run(number, "request", "watch", "--request", identifier, "--time-limit", 90, timeout=100).expect(0)
            shown.append(self.json(number, "request", "show", identifier))
        assert all(each["state"] == "complete" for each in shown) and shown[0]["transaction"] == shown[1]["transaction"], shown
        prevouts = [{"amount": coin["amount"], "script_pubkey": coin["script_pubkey"]} for coin in shown[0]["inputs"]]
        context.spends.append({"transaction": shown[0]["transaction"], "prevouts": prevouts})

    def check(self):
        self.stop()
        databases = self.databases()
        assert check_nonces([databases[number] for number in MEMBERS], [self.scene.public[number] for number in MEMBERS]) >= 1


@case("network", "two nodes that know nobody's address but a mailbox's sign by way of it")
def by_mailbox(context):
    with Apart(context.scene(signers=3)) as nodes:
        nodes.options[THIRD] = ["--serve-mailbox"]
        nodes.start(THIRD)
        mailbox = ["--mailbox", nodes.addresses[THIRD]]
        for number in MEMBERS:
            nodes.options[number] = mailbox
            nodes.start(number)
            nodes.run(THIRD, "contact", "add", f"member {number}", nodes.show(number)["contact"]).expect(0)
        assert nodes.show(THIRD)["serves_mailbox"]
        nodes.make_pair()
        # From now on nobody can dial either of them.
        for number in MEMBERS:
            nodes.end(number)
        for number in MEMBERS:
            nodes.options[number] = ["--no-listen", *mailbox]
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
    with Apart(context.scene(signers=3)) as nodes:
        nodes.options[THIRD] = ["--serve-relay"]
        nodes.start(THIRD)
        for number in MEMBERS:
            nodes.options[number] = ["--no-listen", "--relay", nodes.addresses[THIRD]]
            nodes.start(number)
        for number in MEMBERS:
            shown = wait_until(lambda number=number: nodes.show(number)["addresses"], what="a place at the relay")
            assert all("/p2p-circuit" in address for address in shown), shown
        nodes.make_pair()
        nodes.sign(context)
        for number in MEMBERS:
            shown = nodes.show(number)
            assert [member["is_connected"] for member in shown["members"]] == [True], shown
        nodes.check()
