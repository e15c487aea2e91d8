#!/usr/bin/env python3
"""A py-libp2p peer driven by JSON lines, for interop tests.

Runs in the environment that scripts/python-environment interop makes. Prints one JSON object per event on stdout and
obeys one JSON command per line on stdin: the contract is in README.md.
"""
import argparse, hashlib, json, logging, os, struct, sys, time
from contextlib import AsyncExitStack

import trio
from multiaddr import Multiaddr

from libp2p import new_host, create_yamux_muxer_option
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as x25519
from libp2p.host.ping import PingService
from libp2p.identity.identify.identify import parse_identify_response
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.floodsub import FloodSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.records.validator import Validator
from libp2p.relay.circuit_v2.config import RelayConfig, RelayRole
from libp2p.relay.circuit_v2.dcutr import DCUtRProtocol
from libp2p.relay.circuit_v2.protocol import PROTOCOL_ID as HOP, CircuitV2Protocol
from libp2p.relay.circuit_v2.resources import RelayLimits
from libp2p.relay.circuit_v2.transport import CircuitV2Transport
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE, Transport as NoiseTransport
from libp2p.tools.anyio_service import background_trio_service


def emit(event, **kw):
    sys.stdout.write(json.dumps({"event": event, "t": round(time.time(), 6), **kw}) + "\n")
    sys.stdout.flush()


def blob(c, key="data"):
    return bytes.fromhex(c[key + "_hex"]) if key + "_hex" in c else c.get(key, "").encode()


class AnyValue(Validator):
    """Accept every value; prefer the first. For test namespaces only."""

    def validate(self, key, value):
        return None

    def select(self, key, values):
        return 0


async def read_exactly(s, n):
    out = b""
    while len(out) < n:
        d = await s.read(n - len(out))
        if not d:
            raise EOFError(f"{len(out)} of {n} bytes")
        out += d
    return out


async def read_to_end(s, limit=64 << 20):
    out = bytearray()
    try:
        while len(out) < limit:
            d = await s.read(1 << 16)
            if not d:
                break
            out += d
    except Exception as e:           # StreamEOF is the normal end
        if "EOF" not in type(e).__name__:
            raise
    return bytes(out)


class Node:
    def __init__(self, a, nursery, stack):
        self.a, self.nursery, self.stack = a, nursery, stack
        self.pubsub = self.gossip = self.dht = self.relay = self.circuit = self.dcutr = None
        self.subs = {}

    async def start(self):
        a = self.a
        kp = create_new_key_pair(bytes.fromhex(a.seed) if a.seed else None)
        sec = None if a.tls else {NOISE: NoiseTransport(kp, noise_privkey=x25519().private_key)}
        listen = [Multiaddr(x) for x in a.listen]
        self.host = new_host(key_pair=kp, sec_opt=sec, muxer_opt=create_yamux_muxer_option() if not a.mplex else None,
                             listen_addrs=listen)
        await self.stack.enter_async_context(self.host.run(listen_addrs=listen))
        self.ping = PingService(self.host)
        for p in a.echo:
            self.host.set_stream_handler(p, self.on_echo)
        for p in a.sink:
            self.host.set_stream_handler(p, self.on_sink)
        if a.pubsub:
            if a.router == "floodsub":
                self.gossip = FloodSub(["/floodsub/1.0.0"])
            else:
                kw = {}
                if not a.policing:                # py-libp2p extras that break timing-sensitive tests
                    kw = dict(adaptive_gossip_enabled=False, spam_protection_enabled=False,
                              eclipse_protection_enabled=False)
                self.gossip = GossipSub(protocols=a.meshsub, degree=a.d, degree_low=a.dlo, degree_high=a.dhi,
                                        heartbeat_interval=a.heartbeat, do_px=a.px, **kw)
            self.pubsub = Pubsub(self.host, self.gossip, strict_signing=a.sign)
            await self.stack.enter_async_context(background_trio_service(self.pubsub))
            if a.router != "floodsub":
                await self.stack.enter_async_context(background_trio_service(self.gossip))
            await self.pubsub.wait_until_ready()
            for t in a.topic:
                await self.subscribe(t)
        if a.dht != "off":
            self.dht = KadDHT(self.host, DHTMode.SERVER if a.dht == "server" else DHTMode.CLIENT)
            for ns in a.namespace:
                self.dht.register_validator(ns, AnyValue())
            await self.stack.enter_async_context(background_trio_service(self.dht))
        if a.relay != "off":
            lim = RelayLimits(duration=a.relay_duration, data=a.relay_data, max_circuit_conns=16, max_reservations=16)
            roles = RelayRole.STOP | RelayRole.CLIENT | (RelayRole.HOP if a.relay == "hop" else RelayRole.STOP)
            self.relay = CircuitV2Protocol(self.host, limits=lim, allow_hop=a.relay == "hop")
            await self.stack.enter_async_context(background_trio_service(self.relay))
            await self.relay.event_started.wait()
            self.circuit = CircuitV2Transport(self.host, self.relay, RelayConfig(roles=roles, limits=lim))
            if a.dcutr:
                self.dcutr = DCUtRProtocol(self.host)
                # A plain dial always succeeds on loopback, and the exchange would never be tried.
                self.dcutr._try_unilateral_upgrade = self.dials_nobody_plainly
                await self.stack.enter_async_context(background_trio_service(self.dcutr))
        self.id = self.host.get_id()

    async def dials_nobody_plainly(self, peer_id):
        return False

    def addrs(self):
        out = []
        for x in self.host.get_transport_addrs():
            s = str(x)
            out.append(s if "/p2p/" in s else f"{s}/p2p/{self.id}")
        return out

    # -- streams
    async def on_echo(self, s):
        n, head, t = 0, b"", time.time()
        try:
            while True:
                d = await s.read(1 << 16)
                if not d:
                    break
                n += len(d); head = (head + d)[:64]
                await s.write(d)
            await s.close()
        except Exception as e:
            if "EOF" not in type(e).__name__:
                emit("stream_error", error=f"{type(e).__name__}: {e}")
            try:
                await s.close()
            except Exception:
                pass
        emit("stream", mode="echo", peer=str(s.muxed_conn.peer_id), bytes=n, seconds=time.time() - t, head_hex=head.hex())

    async def on_sink(self, s):
        try:
            want = struct.unpack(">Q", await read_exactly(s, 8))[0]
            n, t = 0, time.time()
            while n < want:
                d = await s.read(1 << 16)
                if not d:
                    break
                n += len(d)
            await s.write(struct.pack(">Q", n))
            emit("stream", mode="sink", peer=str(s.muxed_conn.peer_id), bytes=n, seconds=time.time() - t)
            await s.close()
        except Exception as e:
            emit("stream_error", error=f"{type(e).__name__}: {e}")

    # -- pubsub
    async def subscribe(self, topic):
        sub = await self.pubsub.subscribe(topic)
        self.subs[topic] = sub
        self.nursery.start_soon(self.pump, topic, sub)

    async def pump(self, topic, sub):
        pre = self.a.republish.encode()
        while topic in self.subs:
            try:
                m = await sub.get()
            except trio.EndOfChannel:     # unsubscribed
                return
            src = ID(m.from_id)
            emit("pubsub", topic=topic, **{"from": str(src)}, seqno=m.seqno.hex(), data_hex=m.data.hex(),
                 text=m.data.decode(errors="replace") if len(m.data) < 256 else None,
                 signed=bool(m.signature), key_present=bool(m.key))
            if pre and src != self.id and not m.data.startswith(pre):
                await self.pubsub.publish(topic, pre + m.data)

    def mesh(self, topic):
        return [str(p) for p in getattr(self.gossip, "mesh", {}).get(topic, ())]

    # -- commands
    async def run(self, c):
        k, h = c["cmd"], self.host
        pid = ID.from_string(c["peer"]) if c.get("peer") else None
        if k == "id":
            return dict(peer_id=str(self.id), addrs=self.addrs())
        if k == "connect":
            addr = c["addr"]; t = time.perf_counter()
            with trio.fail_after(c.get("timeout", 15)):
                if "/p2p-circuit" in addr:
                    await self.circuit.dial(Multiaddr(addr))
                    got = addr.rsplit("/", 1)[1]
                else:
                    info = info_from_p2p_addr(Multiaddr(addr)); got = str(info.peer_id)
                    await h.connect(info)
            return dict(peer_id=got, ms=(time.perf_counter() - t) * 1e3)
        if k == "disconnect":
            await h.disconnect(pid); return {}
        if k == "peers":
            def where(p):
                return [str(x) for cn in h.get_network().connections.get(p, []) for x in cn.get_transport_addresses()]
            return dict(peers=[{"peer_id": str(p), "addrs": where(p)} for p in h.get_connected_peers()])
        if k == "subscribe":
            await self.subscribe(c["topic"]); return {}
        if k == "unsubscribe":
            self.subs.pop(c["topic"], None); await self.pubsub.unsubscribe(c["topic"]); return {}
        if k == "publish":
            await self.pubsub.publish(c["topic"], blob(c)); return {}
        if k == "topics":
            return dict(topics=list(self.subs))
        if k == "topic_peers":
            return dict(peers=[str(p) for p in self.pubsub.peer_topics.get(c["topic"], ())], mesh=self.mesh(c["topic"]))
        if k == "handle":
            h.set_stream_handler(c["proto"], self.on_echo if c.get("mode", "echo") == "echo" else self.on_sink); return {}
        if k == "stream":                        # send, half-close unless "keep_open", read `expect` bytes (-1: to end)
            protos = [c["proto"]] if isinstance(c["proto"], str) else c["proto"]
            with trio.fail_after(c.get("timeout", 20)):
                s = await h.new_stream(pid, protos); data = blob(c)
                await s.write(data); want = c.get("expect", len(data))
                if want < 0:
                    await s.close_write(); got = await read_to_end(s)
                else:
                    got = await read_exactly(s, want)
                await s.close()
            return dict(proto=str(s.get_protocol()), bytes=len(got), data_hex=got[:4096].hex(), same=got == data)
        if k == "ping":
            with trio.fail_after(15):             # own loop: PingService rounds to whole milliseconds
                s, ms = await h.new_stream(pid, ["/ipfs/ping/1.0.0"]), []
                for _ in range(c.get("count", 5)):
                    x = os.urandom(32); t = time.perf_counter(); await s.write(x)
                    if await read_exactly(s, 32) != x:
                        raise ValueError("ping mismatch")
                    ms.append((time.perf_counter() - t) * 1e3)
                await s.close()
            return dict(ms=ms)
        if k == "identify":
            with trio.fail_after(15):
                s = await h.new_stream(pid, ["/ipfs/id/1.0.0"]); m = parse_identify_response(await read_to_end(s))
            return dict(protocol_version=m.protocol_version, agent=m.agent_version, protocols=list(m.protocols),
                        listen=[str(Multiaddr(x)) for x in m.listen_addrs],
                        observed=str(Multiaddr(m.observed_addr)) if m.observed_addr else "",
                        public_key_hex=m.public_key.hex(), signed_peer_record_hex=m.signedPeerRecord.hex())
        if k == "throughput":
            n, chunk = c["bytes"], b"\xa5" * c.get("chunk", 1 << 16)
            with trio.fail_after(300):
                s = await h.new_stream(pid, [c.get("proto", "/sink/1.0.0")]); t = time.perf_counter(); left = n
                await s.write(struct.pack(">Q", n))
                while left:
                    await s.write(chunk[:left]); left -= min(left, len(chunk))
                got = struct.unpack(">Q", await read_exactly(s, 8))[0]; dt = time.perf_counter() - t; await s.close()
            return dict(bytes=got, seconds=dt, MBps=got / dt / 1e6)
        if k == "dht_add":
            return dict(added=await self.dht.add_peer(pid), size=self.dht.get_routing_table_size())
        if k == "dht_put":
            with trio.fail_after(30):
                await self.dht.put_value(blob(c, "key").decode(errors="surrogateescape"), blob(c, "value"))
            return {}
        if k == "dht_get":
            with trio.fail_after(30):
                v = await self.dht.get_value(blob(c, "key").decode(errors="surrogateescape"))
            return dict(value_hex=v.hex() if v is not None else None)
        if k in ("dht_provide", "dht_providers"):
            mh = bytes.fromhex(c["cid_hex"])[2:] if "cid_hex" in c else b"\x12\x20" + hashlib.sha256(blob(c)).digest()
            with trio.fail_after(30):
                if k == "dht_provide":
                    return dict(stored=await self.dht.provide(mh.hex()), cid_hex="0155" + mh.hex())
                got = await self.dht.find_providers(mh.hex())
            return dict(cid_hex="0155" + mh.hex(),
                        providers=[{"peer_id": str(p.peer_id), "addrs": [str(x) for x in p.addrs]} for p in got])
        if k == "dht_find_peer":
            with trio.fail_after(30):
                p = await self.dht.find_peer(pid)
            return dict(peer=p and {"peer_id": str(p.peer_id), "addrs": [str(x) for x in p.addrs]})
        if k == "relay_reserve":                 # peer = the relay, already connected
            with trio.fail_after(20):
                s = await h.new_stream(pid, [HOP]); ok = await self.circuit.reserve(s, pid, self.nursery)
            r = self.circuit._reservation_proofs.get(pid)
            return dict(reserved=ok, expire=r and int(r.expire), voucher_hex=r.voucher.hex() if r else "")
        if k == "relay_dial":                    # addr = relay, peer = destination
            r = info_from_p2p_addr(Multiaddr(c["addr"])); t = time.perf_counter()
            with trio.fail_after(20):
                raw = await self.circuit.dial_peer_info(PeerInfo(pid, []), relay_info=r)
                await h.upgrade_outbound_connection(raw, pid)
            return dict(ms=(time.perf_counter() - t) * 1e3)
        if k == "dcutr":
            with trio.fail_after(40):
                return dict(upgraded=await self.dcutr.initiate_hole_punch(pid))
        raise ValueError(f"unknown cmd {k}")


async def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--listen", action="append")
    p.add_argument("--seed", help="32-byte hex Ed25519 seed for a fixed identity")
    p.add_argument("--echo", action="append"); p.add_argument("--sink", action="append")
    p.add_argument("--topic", action="append", default=[]); p.add_argument("--republish", default="")
    p.add_argument("--no-pubsub", dest="pubsub", action="store_false")
    p.add_argument("--router", default="gossipsub", choices=["gossipsub", "floodsub"])
    p.add_argument("--meshsub", action="append", help="gossipsub protocol ids, preferred first (default 1.1.0 then 1.0.0)")
    p.add_argument("--heartbeat", type=float, default=1.0)
    p.add_argument("--d", type=int, default=6); p.add_argument("--dlo", type=int, default=5); p.add_argument("--dhi", type=int, default=12)
    p.add_argument("--px", action="store_true"); p.add_argument("--no-sign", dest="sign", action="store_false")
    p.add_argument("--policing", action="store_true", help="keep py-libp2p's 10 msg/s, adaptive heartbeat and eclipse extras")
    p.add_argument("--dht", default="off", choices=["off", "client", "server"])
    p.add_argument("--kad-protocol", help="e.g. /lotus/kad/1.0.0 (py-libp2p hard-codes /ipfs/kad/1.0.0; rebound here)")
    p.add_argument("--namespace", action="append", default=[], help="DHT record namespace accepted without checks")
    p.add_argument("--relay", default="off", choices=["off", "client", "hop"])
    p.add_argument("--relay-duration", type=int, default=120); p.add_argument("--relay-data", type=int, default=1 << 17)
    p.add_argument("--dcutr", action="store_true")
    p.add_argument("--tls", action="store_true", help="also offer TLS, SECIO and plaintext (py-libp2p's default set)")
    p.add_argument("--mplex", action="store_true"); p.add_argument("--debug", action="store_true")
    a = p.parse_args()
    a.listen = a.listen or ["/ip4/127.0.0.1/tcp/0"]
    a.echo = a.echo or ["/echo/1.0.0"]; a.sink = a.sink or ["/sink/1.0.0"]
    a.meshsub = a.meshsub or ["/meshsub/1.1.0", "/meshsub/1.0.0"]
    if a.kad_protocol:
        for name, mod in list(sys.modules.items()):
            if name.startswith("libp2p.kad_dht") and hasattr(mod, "PROTOCOL_ID"):
                mod.PROTOCOL_ID = a.kad_protocol
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG if a.debug else logging.WARNING)
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        n = Node(a, nursery, stack)
        await n.start()
        emit("ready", impl="py-libp2p", peer_id=str(n.id), addrs=n.addrs(), pid=os.getpid())

        async def serve(c):
            try:
                emit("reply", id=c.get("id"), cmd=c["cmd"], ok=True, **await n.run(c))
            except Exception as e:
                emit("reply", id=c.get("id"), cmd=c.get("cmd"), ok=False, error=f"{type(e).__name__}: {e}")

        buf, stdin = b"", trio.lowlevel.FdStream(os.dup(0))
        while d := await stdin.receive_some(1 << 16):
            *lines, buf = (buf + d).split(b"\n")
            for line in filter(None, lines):
                try:
                    c = json.loads(line)
                except ValueError as e:
                    emit("error", error=str(e)); continue
                if c.get("cmd") == "quit":
                    emit("bye"); os._exit(0)      # py-libp2p's own shutdown can take seconds
                nursery.start_soon(serve, c)
        emit("bye"); os._exit(0)


if __name__ == "__main__":
    trio.run(main)
