#!/usr/bin/env python3
"""A go-libp2p peer driven by JSON lines, for interop tests: a thin adapter to p2pd, go-libp2p's daemon.

Runs in the environment that scripts/python-environment interop makes, on Linux x86-64. Prints one JSON object per event on
stdout and obeys one JSON command per line on stdin: the contract is in README.md, with what the daemon cannot do.

The daemon is spoken to through a socket: a request opens a connection to it, in protobufs with their length before them.
It listens on loopback only, and dials nobody but whom it is told to: no bootstrap, no port mapping, no AutoNAT.
"""
import argparse
import asyncio
import ctypes
import hashlib
import importlib.util
import json
import os
import signal
import struct
import sys
import sysconfig
import tempfile
import time

from multiaddr import Multiaddr

HIVEMIND = os.path.join(sysconfig.get_path("purelib"), "hivemind")
DAEMON = os.path.join(HIVEMIND, "hivemind_cli", "p2pd")
HOP = "/libp2p/circuit/relay/0.2.0/hop"
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def load_messages():
    """The daemon's protobufs, without the package around them, which would want a machine-learning library."""
    spec = importlib.util.spec_from_file_location("p2pd_pb2", os.path.join(HIVEMIND, "proto", "p2pd_pb2.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pb = load_messages()


def emit(event, **members):
    sys.stdout.write(json.dumps({"event": event, "t": round(time.time(), 6), **members}) + "\n")
    sys.stdout.flush()


def peer_bytes(text):
    number = 0
    for letter in text:
        number = number * 58 + BASE58.index(letter)
    return b"\0" * (len(text) - len(text.lstrip("1"))) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def peer_text(data):
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = BASE58[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


async def read_varint(reader):
    shift = number = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number
        shift += 7


async def read_frame(reader):
    return await reader.readexactly(await read_varint(reader))


def fields(data):
    """The fields of a protobuf, by number: lists of integers and bytes."""
    out, at = {}, 0

    def number():
        nonlocal at
        shift = value = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            value = number()
        elif tag & 7 == 2:
            length = number()
            value, at = data[at : at + length], at + length
        else:
            raise ValueError(f"wire type {tag & 7}")
        out.setdefault(tag >> 3, []).append(value)
    return out


def blob(command, name="data"):
    return bytes.fromhex(command[name + "_hex"]) if name + "_hex" in command else command.get(name, "").encode()


def multiaddr(data):
    return str(Multiaddr(data))


def die_with_parent():
    """Linux sends the daemon a signal when this process goes, however it goes."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Node:
    def __init__(self, options):
        self.options = options
        # Paths of such sockets have at most 107 bytes.
        self.folder = tempfile.TemporaryDirectory(prefix="go-peer-", dir="/tmp")
        self.control = os.path.join(self.folder.name, "control")
        self.handling = os.path.join(self.folder.name, "handling")
        self.modes, self.topics = {}, {}

    # -- the daemon
    async def start(self):
        o = self.options
        words = [DAEMON, "-q", f"-listen=/unix{self.control}", "-hostAddrs=" + ",".join(o.listen)]
        if o.pubsub:
            words += ["-pubsub", f"-pubsubSign={str(o.sign).lower()}", f"-pubsubSignStrict={str(o.sign).lower()}",
                      f"-gossipsubHeartbeatInterval={o.heartbeat}s", "-gossipsubHeartbeatInitialDelay=100ms"]
        if o.dht != "off":
            words += ["-dhtServer" if o.dht == "server" else "-dhtClient"]
        # A relay serves only where it believes that it can be reached; the others must not ask around whether they can.
        if o.relay == "hop":
            words += ["-relay=1", "-relayService=1", "-forceReachabilityPublic", f"-relayTimeLimit={o.relay_duration}s",
                      f"-relayDataLimit={o.relay_data}"]
        else:
            words += [f"-relay={int(o.relay == 'client')}", "-relayService=0", "-relayDiscovery=0", "-forceReachabilityPrivate"]
        if o.seed:
            path = os.path.join(self.folder.name, "identity")
            with open(path, "wb") as file:
                file.write(private_key(bytes.fromhex(o.seed)))
            words += [f"-id={path}"]
        self.daemon = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=sys.stderr, preexec_fn=die_with_parent)
        await asyncio.start_unix_server(self.on_stream, path=self.handling)
        self.id = peer_text((await self.first_answer()).identify.id)
        for name in o.echo:
            await self.handle(name, "echo")
        for name in o.sink:
            await self.handle(name, "sink")
        if o.pubsub:
            for topic in o.topic:
                await self.subscribe(topic)

    async def first_answer(self, seconds=20):
        """Who the daemon is. When it listens is not told, so it is asked until it answers."""
        end = time.monotonic() + seconds
        while True:
            try:
                return await self.ask(pb.Request(type=pb.Request.IDENTIFY))
            except OSError:
                if self.daemon.returncode is not None or time.monotonic() > end:
                    raise RuntimeError(f"p2pd does not answer (exit code {self.daemon.returncode})") from None
            await asyncio.sleep(0.02)

    async def open(self, request):
        """Sends a request on a connection of its own; what follows the response belongs to whoever asked."""
        reader, writer = await asyncio.open_unix_connection(self.control, limit=1 << 22)
        data = request.SerializeToString()
        writer.write(varint(len(data)) + data)
        response = pb.Response.FromString(await read_frame(reader))
        if response.type == pb.Response.ERROR:
            writer.close()
            raise RuntimeError(response.error.msg)
        return response, reader, writer

    async def ask(self, request):
        response, _, writer = await self.open(request)
        writer.close()
        return response

    async def addresses(self):
        found = (await self.ask(pb.Request(type=pb.Request.IDENTIFY))).identify.addrs
        return [f"{text}/p2p/{self.id}" for text in map(multiaddr, found) if "/p2p-circuit" not in text]

    def stop(self):
        if self.daemon.returncode is None:
            self.daemon.kill()
        self.folder.cleanup()

    # -- streams
    async def handle(self, name, mode):
        self.modes[name] = mode
        # As go-libp2p writes it, the path's first slash included; the code of /unix is 400.
        address = varint(400) + varint(len(self.handling)) + self.handling.encode()
        handler = pb.StreamHandlerRequest(addr=address, proto=[name], balanced=False)
        await self.ask(pb.Request(type=pb.Request.STREAM_HANDLER, streamHandler=handler))

    async def on_stream(self, reader, writer):
        info = pb.StreamInfo.FromString(await read_frame(reader))
        mode, count, start, head = self.modes[info.proto], 0, time.time(), b""
        try:
            if mode == "echo":
                while data := await reader.read(1 << 16):
                    count += len(data)
                    head = (head + data)[:64]
                    writer.write(data)
                    await writer.drain()
            else:
                want = struct.unpack(">Q", await reader.readexactly(8))[0]
                while count < want and (data := await reader.read(1 << 16)):
                    count += len(data)
                writer.write(struct.pack(">Q", count))
                await writer.drain()
        except (OSError, EOFError) as error:
            emit("stream_error", error=f"{type(error).__name__}: {error}")
        writer.close()
        emit("stream", mode=mode, peer=peer_text(info.peer), bytes=count, seconds=time.time() - start, head_hex=head.hex())

    async def open_stream(self, peer, names):
        opening = pb.StreamOpenRequest(peer=peer, proto=names, timeout=10)
        response, reader, writer = await self.open(pb.Request(type=pb.Request.STREAM_OPEN, streamOpen=opening))
        return response.streamInfo.proto, reader, writer

    # -- pubsub
    async def subscribe(self, topic):
        asking = pb.PSRequest(type=pb.PSRequest.SUBSCRIBE, topic=topic)
        _, reader, writer = await self.open(pb.Request(type=pb.Request.PUBSUB, pubsub=asking))
        self.topics[topic] = writer, asyncio.create_task(self.pump(topic, reader))

    async def pump(self, topic, reader):
        prefix = self.options.republish.encode()
        try:
            while True:
                message = pb.PSMessage.FromString(await read_frame(reader))
                source = peer_text(getattr(message, "from"))
                text = message.data.decode(errors="replace") if len(message.data) < 256 else None
                emit("pubsub", topic=topic, **{"from": source}, seqno=message.seqno.hex(), data_hex=message.data.hex(), text=text,
                     signed=bool(message.signature), key_present=bool(message.key))
                if prefix and source != self.id and not message.data.startswith(prefix):
                    await self.publish(topic, prefix + message.data)
        except EOFError:
            pass

    async def publish(self, topic, data):
        message = pb.PSRequest(type=pb.PSRequest.PUBLISH, topic=topic, data=data)
        await self.ask(pb.Request(type=pb.Request.PUBSUB, pubsub=message))

    # -- the hash table
    async def dht(self, limit=30, **arguments):
        request = pb.DHTRequest(timeout=limit, **arguments)
        response, reader, writer = await self.open(pb.Request(type=pb.Request.DHT, dht=request))
        try:
            if not response.HasField("dht"):
                return []
            if response.dht.type != pb.DHTResponse.BEGIN:
                return [response.dht]
            found = []
            while (answer := pb.DHTResponse.FromString(await read_frame(reader))).type != pb.DHTResponse.END:
                found.append(answer)
            return found
        finally:
            writer.close()

    # -- commands
    async def run(self, c):
        name = c["cmd"]
        peer = peer_bytes(c["peer"]) if c.get("peer") else None
        if name == "id":
            return dict(peer_id=self.id, addrs=await self.addresses())
        if name == "connect":
            return await self.connect(c["addr"], c.get("timeout", 15))
        if name == "disconnect":
            await self.ask(pb.Request(type=pb.Request.DISCONNECT, disconnect=pb.DisconnectRequest(peer=peer)))
            return {}
        if name == "peers":
            found = (await self.ask(pb.Request(type=pb.Request.LIST_PEERS))).peers
            return dict(peers=[{"peer_id": peer_text(p.id), "addrs": [multiaddr(a) for a in p.addrs]} for p in found])
        if name == "handle":
            await self.handle(c["proto"], c.get("mode", "echo"))
            return {}
        if name in ("subscribe", "unsubscribe", "publish", "topics", "topic_peers"):
            return await self.run_pubsub(c)
        if name == "stream":
            return await self.run_stream(c, peer)
        if name == "ping":
            _, reader, writer = await self.open_stream(peer, ["/ipfs/ping/1.0.0"])
            times = []
            for _ in range(c.get("count", 5)):
                data, start = os.urandom(32), time.perf_counter()
                writer.write(data)
                if await reader.readexactly(32) != data:
                    raise ValueError("another answer than what was sent")
                times.append((time.perf_counter() - start) * 1e3)
            writer.close()
            return dict(ms=times)
        if name == "identify":
            return await self.identify(peer)
        if name == "throughput":
            return await self.throughput(c, peer)
        if name.startswith("dht_"):
            return await self.run_dht(c, peer)
        if name == "relay_reserve":
            return await self.reserve(peer)
        if name == "relay_dial":
            return await self.connect(f"{c['addr']}/p2p-circuit/p2p/{c['peer']}", c.get("timeout", 20))
        raise ValueError(f"p2pd cannot do {name}")

    async def connect(self, address, timeout):
        whole = Multiaddr(address)
        peer = address.rsplit("/", 1)[1]
        start = time.perf_counter()
        # The daemon wants the address without the peer at its end.
        connecting = pb.ConnectRequest(peer=peer_bytes(peer), addrs=[whole.decapsulate(f"/p2p/{peer}").to_bytes()], timeout=timeout)
        await self.ask(pb.Request(type=pb.Request.CONNECT, connect=connecting))
        return dict(peer_id=peer, ms=(time.perf_counter() - start) * 1e3)

    async def run_pubsub(self, c):
        name = c["cmd"]
        if name == "subscribe":
            await self.subscribe(c["topic"])
            return {}
        if name == "unsubscribe":
            writer, _ = self.topics.pop(c["topic"])
            writer.close()
            return {}
        if name == "publish":
            await self.publish(c["topic"], blob(c))
            return {}
        if name == "topics":
            return dict(topics=list(self.topics))
        asking = pb.PSRequest(type=pb.PSRequest.LIST_PEERS, topic=c["topic"])
        found = (await self.ask(pb.Request(type=pb.Request.PUBSUB, pubsub=asking))).pubsub.peerIDs
        # The daemon does not tell the mesh.
        return dict(peers=[peer_text(p) for p in found])

    async def run_stream(self, c, peer):
        names = [c["proto"]] if isinstance(c["proto"], str) else c["proto"]
        proto, reader, writer = await self.open_stream(peer, names)
        data = blob(c)
        expected = c.get("expect", len(data))
        if expected < 0 and data:
            raise ValueError("p2pd closes a stream in both directions at once, so nothing can be read after the own end")
        writer.write(data)
        got = await (reader.read(64 << 20) if expected < 0 else reader.readexactly(expected))
        writer.close()
        return dict(proto=proto, bytes=len(got), data_hex=got[:4096].hex(), same=got == data)

    async def identify(self, peer):
        _, reader, writer = await self.open_stream(peer, ["/ipfs/id/1.0.0"])
        data = b""
        while chunk := await reader.read(1 << 16):
            data += chunk
        writer.close()
        message = fields(unframed(data))
        texts = {key: [value.decode() for value in message.get(key, [])] for key in (3, 5, 6)}
        one = lambda key: (message.get(key) or [b""])[0]
        return dict(protocol_version=(texts[5] or [""])[0], agent=(texts[6] or [""])[0], protocols=texts[3],
                    listen=[multiaddr(a) for a in message.get(2, [])], observed=multiaddr(one(4)) if one(4) else "",
                    public_key_hex=one(1).hex(), signed_peer_record_hex=one(8).hex())

    async def throughput(self, c, peer):
        _, reader, writer = await self.open_stream(peer, [c.get("proto", "/sink/1.0.0")])
        chunk, left, start = b"\xa5" * c.get("chunk", 1 << 16), c["bytes"], time.perf_counter()
        writer.write(struct.pack(">Q", left))
        while left:
            writer.write(chunk[:left])
            await writer.drain()
            left -= min(left, len(chunk))
        got = struct.unpack(">Q", await reader.readexactly(8))[0]
        seconds = time.perf_counter() - start
        writer.close()
        return dict(bytes=got, seconds=seconds, MBps=got / seconds / 1e6)

    async def run_dht(self, c, peer):
        name, kind = c["cmd"], pb.DHTRequest
        if name == "dht_add":
            # The daemon's table takes up whoever is connected and serves it.
            return dict(added=True, size=-1)
        if name == "dht_put":
            await self.dht(type=kind.PUT_VALUE, key=blob(c, "key"), value=blob(c, "value"))
            return {}
        if name == "dht_get":
            found = await self.dht(type=kind.GET_VALUE, key=blob(c, "key"))
            return dict(value_hex=found[0].value.hex() if found else None)
        if name == "dht_find_peer":
            try:
                found = await self.dht(type=kind.FIND_PEER, peer=peer)
            except RuntimeError as error:
                if "not found" in str(error):
                    return dict(peer=None)
                raise
            return dict(peer={"peer_id": peer_text(found[0].peer.id), "addrs": [multiaddr(a) for a in found[0].peer.addrs]})
        cid = bytes.fromhex(c["cid_hex"]) if "cid_hex" in c else b"\x01\x55\x12\x20" + hashlib.sha256(blob(c)).digest()
        if name == "dht_provide":
            await self.dht(type=kind.PROVIDE, cid=cid)
            return dict(cid_hex=cid.hex())
        found = await self.dht(type=kind.FIND_PROVIDERS, cid=cid, count=20)
        return dict(cid_hex=cid.hex(), providers=[
            {"peer_id": peer_text(p.peer.id), "addrs": [multiaddr(a) for a in p.peer.addrs]} for p in found])

    async def reserve(self, relay):
        """Asks a relay for a reservation, message by message: the daemon does that by itself only for relays named at its start."""
        _, reader, writer = await self.open_stream(relay, [HOP])
        writer.write(b"\x02\x08\x00")
        answer = fields(await read_frame(reader))
        writer.close()
        status = (answer.get(5) or [0])[0]
        reservation = fields((answer.get(3) or [b""])[0])
        return dict(reserved=status == 100, status=status, expire=(reservation.get(1) or [0])[0],
                    voucher_hex=(reservation.get(3) or [b""])[0].hex())


def unframed(data):
    """A message without the length that stands before it."""
    end = next(at for at, byte in enumerate(data) if byte < 0x80) + 1
    return data[end:]


def private_key(seed):
    """An Ed25519 key as go-libp2p keeps it in a file: the seed and the public key, in a protobuf."""
    from nacl.signing import SigningKey

    both = seed + bytes(SigningKey(seed).verify_key)
    return b"\x08\x01\x12" + bytes([len(both)]) + both


async def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--listen", action="append")
    p.add_argument("--seed", help="32-byte hex Ed25519 seed for a fixed identity")
    p.add_argument("--echo", action="append")
    p.add_argument("--sink", action="append")
    p.add_argument("--topic", action="append", default=[])
    p.add_argument("--republish", default="")
    p.add_argument("--no-pubsub", dest="pubsub", action="store_false")
    p.add_argument("--heartbeat", type=float, default=1.0)
    p.add_argument("--no-sign", dest="sign", action="store_false")
    p.add_argument("--dht", default="off", choices=["off", "client", "server"])
    p.add_argument("--namespace", action="append", default=[], help="has no effect: the daemon takes /pk/ and /ipns/ only")
    p.add_argument("--relay", default="off", choices=["off", "client", "hop"])
    p.add_argument("--relay-duration", type=int, default=120)
    p.add_argument("--relay-data", type=int, default=1 << 17)
    p.add_argument("--dcutr", action="store_true", help="has no effect: the daemon does not punch holes")
    o = p.parse_args()
    o.listen = o.listen or ["/ip4/127.0.0.1/tcp/0"]
    o.echo = o.echo or ["/echo/1.0.0"]
    o.sink = o.sink or ["/sink/1.0.0"]
    node = Node(o)
    try:
        await node.start()
        emit("ready", impl="go-libp2p", peer_id=node.id, addrs=await node.addresses(), pid=node.daemon.pid)

        async def serve(c):
            try:
                result = await asyncio.wait_for(node.run(c), c.get("timeout", 60) + 5)
                emit("reply", id=c.get("id"), cmd=c["cmd"], ok=True, **result)
            except Exception as error:
                emit("reply", id=c.get("id"), cmd=c.get("cmd"), ok=False, error=f"{type(error).__name__}: {error}")

        reader = asyncio.StreamReader(limit=1 << 24)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb"))
        tasks = set()
        while line := await reader.readline():
            command = json.loads(line)
            if command.get("cmd") == "quit":
                break
            task = asyncio.create_task(serve(command))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        emit("bye")
    finally:
        node.stop()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
