# SPDX-License-Identifier: Apache-2.0
"""Clients that mean harm against lib/rpc: what they can make it hold is bounded, and others are served."""

import os
import socket
import subprocess
import tempfile
import time
import zlib

import pytest

import http2

GET = "/mayfly.v1.FunctionService/Get"
TAIL = "/mayfly.v1.LogService/Tail"
WATCH = "/grpc.health.v1.Health/Watch"
KNOWN = ("authorization", "somebody")
FIRST = http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0)
TIMEOUT = 20


class Server:
    def __init__(self, build, *arguments, files=4096):
        command = [build / "tests/integration/rpc-echo", *arguments]
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(["prlimit", f"--nofile={files}", *command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.unix, self.tcp = self.process.stdout.readline().split()

    def peak(self):
        """Of its memory so far, in bytes."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def lines(self):
        """What it has logged so far."""
        self.log.seek(0)
        return self.log.read().splitlines()

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=TIMEOUT) == 0


@pytest.fixture
def serve(build):
    servers = []

    def start(*arguments, **options):
        servers.append(Server(build, *arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def get(name=b"f"):
    """A request of FunctionService.Get."""
    return b"\x12" + bytes([len(name)]) + name


def gzip_bomb(megabytes):
    squeezer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(squeezer.compress(bytes(1 << 20)) for _ in range(megabytes)) + squeezer.flush()


def test_nothing_is_inflated(serve):
    server = serve()
    bomb = gzip_bomb(256)
    with http2.Connection(server.tcp).start() as client:
        assert get() in client.wait_end(client.call(GET, get()))
        before = server.peak()
        for encoding in ("gzip", "deflate"):
            answer = client.wait_end(client.call(GET, bomb, ("grpc-encoding", encoding), compressed=1))
            assert b"'%s' is disabled" % encoding.encode() in answer
            assert answer.count(b"12") == 1  # UNIMPLEMENTED
        # Who says that it is compressed, but not how, or in a way that nobody knows.
        for more in ((), (("grpc-encoding", "br"),)):
            assert b"not a well-formed" in client.wait_end(client.call(GET, bomb, KNOWN, *more, compressed=1))
        assert get() in client.wait_end(client.call(GET, get()))
        assert server.peak() - before < 16 << 20
        # Core logs each of them.
        for _ in range(200):
            client.wait_end(client.call(GET, get(), ("grpc-encoding", "gzip"), compressed=1))
        assert 30 <= len(server.lines()) <= 62, "lines of at most two minutes"


def starts(server, preface=b"", address="127.0.0.1"):
    """A connection to the TCP port on which only that was said."""
    host, port = server.tcp.split(":")
    client = socket.create_connection((host, int(port)), timeout=TIMEOUT, source_address=(address, 0))
    try:
        client.sendall(preface)
    except ConnectionError:
        pass  # it had to give way
    return client


def is_open(client):
    """Whether the other side has not ended it by now."""
    client.setblocking(False)
    try:
        while client.recv(1 << 16):
            pass
        return False
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def until(condition):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def comes_in(server, *who):
    """Whether a new client on TCP is served; it may be refused for a moment."""
    client = http2.Connection(server.tcp)
    try:
        client.start()
        return get() in client.wait_end(client.call(GET, get(), *who))
    except (EOFError, ConnectionError):
        return False
    finally:
        client.close()


def test_strangers_give_way(serve):
    """Thousands of connections, from one address and from many, that say nothing or little."""
    server = serve("connections=64", "connections_per_address=24")
    before = server.descriptors()
    known = http2.Connection(server.tcp).start()
    assert get() in known.wait_end(known.call(GET, get(), KNOWN))

    crowd = [starts(server, preface) for _ in range(250) for preface in (b"", http2.PREFACE, FIRST)]
    until(lambda: sum(is_open(client) for client in crowd) <= 23)
    crowd += [starts(server, FIRST, f"127.0.{i % 50}.{i % 7 + 1}") for i in range(1000)]
    until(lambda: sum(is_open(client) for client in crowd) <= 63)
    # At most two for each, and those that core has not closed yet.
    assert server.descriptors() - before <= 3 * 64

    # Who is known has stayed; a new one comes in, by both ways.
    assert get() in known.wait_end(known.call(GET, get(), KNOWN))
    with http2.Connection(server.unix).start() as client:
        assert get() in client.wait_end(client.call(GET, get(), KNOWN))
    until(lambda: comes_in(server, KNOWN))
    for client in crowd:
        client.close()
    known.close()
    until(lambda: server.descriptors() - before < 2 * 64)


def test_known_callers_do_not_give_way(serve):
    """Not even to one another: who has too many is refused."""
    server = serve("connections=64", "connections_per_address=4")
    full = []
    for _ in range(4):
        full.append(http2.Connection(server.tcp).start())
        assert get() in full[-1].wait_end(full[-1].call(GET, get(), KNOWN))
    refused = starts(server, FIRST)
    until(lambda: not is_open(refused))
    elsewhere = starts(server, FIRST, "127.0.0.2")
    for client in full:
        assert get() in client.wait_end(client.call(GET, get(), KNOWN))
    assert is_open(elsewhere)
    full.pop().close()
    until(lambda: comes_in(server, KNOWN))
    for client in full:
        client.close()


def test_idle_connections_end(serve):
    """Those with a call do not, however long that says nothing; and those of the unix socket."""
    server = serve("idle_s=1")
    idle = [http2.Connection(server.tcp).start() for _ in range(20)]
    tail, local = http2.Connection(server.tcp).start(), http2.Connection(server.unix).start()
    stream = tail.call(TAIL, b"", KNOWN)
    for client in idle:
        client.wait_gone()
    for client, path in ((tail, GET), (local, GET)):
        assert get() in client.wait_end(client.call(path, get(), KNOWN))
    assert not tail.ended(stream)
    tail.close()
    local.close()


def test_without_descriptors(serve):
    """Nothing is left to accept with: afterwards all goes on, which core alone would not."""
    server = serve("connections=4096", "connections_per_address=4096", files=256)
    crowd = [starts(server, FIRST, f"127.0.0.{i % 200 + 1}") for i in range(600)]
    until(lambda: sum(is_open(client) for client in crowd) <= 64)
    with http2.Connection(server.unix).start() as client:
        assert get() in client.wait_end(client.call(GET, get()))
    for address in [server.unix] * 200:
        crowd.append(socket.socket(socket.AF_UNIX))
        crowd[-1].connect(address[5:])
    until(lambda: server.descriptors() >= 250)
    crowd += [starts(server, FIRST) for _ in range(20)]
    for client in crowd:
        client.close()
    with http2.Connection(server.unix).start() as local, http2.Connection(server.tcp).start() as client:
        assert get() in local.wait_end(local.call(GET, get()))
        assert get() in client.wait_end(client.call(GET, get()))


def test_what_is_said_at_first(serve):
    """How many streams there may be, and how much of one before anybody asks for it."""
    server = serve()
    with http2.Connection(server.tcp).start() as client:
        assert client.max_streams == 1024
        assert client.initial <= 32 << 10
        stream = client.call(TAIL, b"", KNOWN, length=0)  # it could go on sending
        assert get() in client.wait_end(client.call(GET, get(), KNOWN))
        assert client.windows[stream] <= 32 << 10


def test_endless_message(serve):
    """Core holds all of a message before it looks at its size: so it must not come so far."""
    server = serve()
    for who in ((KNOWN,), ()):
        with http2.Connection(server.tcp).start() as client:
            stream = client.open(GET, *who)
            before = server.peak()
            client.send(stream, b"\0\xf0\0\0\0")
            while client.send(stream, bytes(1 << 20)):
                assert server.peak() - before < 96 << 20
            assert b"larger than max" in client.wait_end(stream)
            assert get() in client.wait_end(client.call(GET, get(), *who))


def begun(server, who, count, size):
    """A connection with so many requests of which that much came, and more should."""
    client = http2.Connection(server.tcp).start()
    streams = [client.call(GET, b"", ("authorization", who), length=1 << 20) for _ in range(count)]
    for stream in streams:
        client.send(stream, bytes(size))
    return client, streams


def test_requests_under_way(serve):
    """Many that are nearly whole: those of who has most end, and nobody else's."""
    server = serve("receiving_mb=8", "receive_s=600")
    small, few = begun(server, "small", 2, 900 << 10)
    before = server.peak()
    large, many = begun(server, "large", 25, (1 << 20) - 1)

    def open_of(client, streams):
        client.pump(block=False)
        return sum(not client.ended(stream) for stream in streams)

    until(lambda: open_of(large, many) <= 4)
    # Over several connections, too.
    more = [begun(server, "large", 2, 1000 << 10) for _ in range(8)]
    until(lambda: sum(open_of(*each) for each in more) + open_of(large, many) <= 4)
    assert server.peak() - before < 96 << 20
    ended = next(stream for stream in many if large.ended(stream))
    assert b"under way" in large.wait_end(ended)

    assert open_of(small, few) == 2
    for stream in few:
        assert small.send(stream, bytes((1 << 20) - (900 << 10)), http2.END_STREAM)
        assert b"well-formed" in small.wait_end(stream)
    for client in (small, large, *(client for client, _ in more)):
        client.close()


def test_request_that_does_not_come(serve):
    """In no part, or not to the end, by both ways. A stream that waits for news is none."""
    server = serve("receive_s=1")
    for address in (server.unix, server.tcp):
        with http2.Connection(address).start() as client:
            watch = client.call(WATCH, b"", KNOWN)
            late = [client.open(GET, KNOWN), client.call(GET, b"", KNOWN, length=100),
                    client.call(GET, get(), KNOWN, length=100)]
            for stream in late:
                assert b"within the time" in client.wait_end(stream)
            assert get() in client.wait_end(client.call(GET, get(), KNOWN))
            assert not client.ended(watch)


def test_calls_of_strangers(serve):
    """They may watch the health of the node, but not keep others from it."""
    server = serve()
    before = server.peak()
    crowd = [http2.Connection(server.tcp, f"127.0.0.{i + 1}").start() for i in range(10)]
    streams = [[client.call(WATCH, b"") for _ in range(400)] for client in crowd]

    def watching():
        for client in crowd:
            client.pump(block=False)
        return [sum(not client.ended(stream) for stream in each) for client, each in zip(crowd, streams)]

    until(lambda: sum(watching()) <= 64 and max(watching()) <= 16)
    assert b"Too many calls at a time without credentials" in b"".join(e[3] for e in crowd[0].events)
    assert server.peak() - before < 64 << 20
    for address, who in ((server.unix, ()), (server.tcp, (KNOWN,))):
        with http2.Connection(address).start() as client:
            watch = client.call(WATCH, b"", *who)
            client.wait(lambda e: e[0] == http2.DATA and e[2] == watch)
            assert not client.ended(watch)
            assert get() in client.wait_end(client.call(GET, get(), *who))
    for client in crowd:
        client.close()
    until(lambda: comes_in(server))


def test_calls_of_one_caller(serve):
    """Half of all, on however many connections."""
    server = serve("calls=64")
    crowd = [http2.Connection(server.tcp).start() for _ in range(2)]
    streams = [(client, client.call(WATCH, b"", KNOWN)) for client in crowd for _ in range(20)]

    def ended():
        for client in crowd:
            client.pump(block=False)
        return sum(client.ended(stream) for client, stream in streams)

    until(lambda: ended() == 8)
    with http2.Connection(server.tcp).start() as client:
        assert b"of this tenant" in client.wait_end(client.call(GET, get(), KNOWN))
        assert get() in client.wait_end(client.call(GET, get(), ("authorization", "another")))
    for client in crowd:
        client.close()
