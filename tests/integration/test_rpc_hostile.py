# SPDX-License-Identifier: Apache-2.0
"""Clients that mean harm against lib/rpc: what they can make it hold is bounded, and others are served."""

import subprocess
import zlib

import pytest

import http2

GET = "/mayfly.v1.FunctionService/Get"
TIMEOUT = 20


class Server:
    def __init__(self, build, *arguments):
        self.process = subprocess.Popen([build / "tests/integration/rpc-echo", *arguments],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.unix, self.tcp = self.process.stdout.readline().split()

    def peak(self):
        """Of its memory so far, in bytes."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=TIMEOUT) == 0


@pytest.fixture
def serve(build):
    servers = []

    def start(*arguments):
        servers.append(Server(build, *arguments))
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
            assert b"not a well-formed" in client.wait_end(client.call(GET, bomb, *more, compressed=1))
        assert get() in client.wait_end(client.call(GET, get()))
        assert server.peak() - before < 16 << 20
