"""A way between two processes of one machine that can be shut, for which nobody has to be root."""

import selectors
import socket
import threading

# In seconds: how soon a door that is opened is noticed.
PAUSE = 0.02


class Door:
    """A port of the loopback that leads to another one while it is open. While it is shut nothing goes through, and nobody is told so: what
    was sent waits, as a router's packets would be sent again, and connections stand."""

    def __init__(self, target):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.is_open, self.is_ended = threading.Event(), False
        # The ports from which it ever dialled its target.
        self.dialled_from = set()
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        # The other side of each connection.
        self.other = {}
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.is_ended:
            if not self.is_open.wait(PAUSE):
                continue
            for key, _ in self.selector.select(PAUSE):
                if key.fileobj is self.listener:
                    self.take()
                elif key.fileobj in self.other:
                    self.carry(key.fileobj)

    def take(self):
        near, _ = self.listener.accept()
        try:
            far = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            near.close()
            return
        self.dialled_from.add(far.getsockname()[1])
        for one, other in [(near, far), (far, near)]:
            self.other[one] = other
            self.selector.register(one, selectors.EVENT_READ)

    def carry(self, one):
        try:
            data = one.recv(65536)
            if data:
                self.other[one].sendall(data)
                return
        except OSError:
            pass
        # Whichever side ends it, both ends have ended.
        for end in (one, self.other[one]):
            self.selector.unregister(end)
            del self.other[end]
            end.close()

    def close(self):
        self.is_ended = True
        self.thread.join()
        for end in [*self.other, self.listener]:
            end.close()
        self.selector.close()


def connections_to(port):
    """The ports from which connections to one of this machine stand; `None` where the system does not tell."""
    try:
        with open("/proc/net/tcp") as file:
            lines = [line.split() for line in file.readlines()[1:]]
    except OSError:
        return None
    return {int(line[2].rpartition(":")[2], 16) for line in lines if int(line[1].rpartition(":")[2], 16) == port and line[3] == "01"}
