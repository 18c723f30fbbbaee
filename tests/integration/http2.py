# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 by hand, as no library would speak it: for clients that are hostile."""

import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
FRAME_BYTES = 16384


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """Never indexed, not Huffman coded."""
    out = b"\x10"
    for text in (name.encode(), value.encode()):
        length = len(text)
        out += bytes([length]) if length < 127 else b"\x7f" + bytes([length - 127])
        out += text
    return out


def headers(path, *more):
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
              ("content-type", "application/grpc"), ("te", "trailers"), *more]
    return b"".join(literal(*field) for field in fields)


class Connection:
    """One connection to a unix path or to "host:port". Flow control is obeyed, all else is the caller's."""

    def __init__(self, address, source=None):
        if address.startswith("unix:"):
            self.socket = socket.socket(socket.AF_UNIX)
            target = address[5:]
        else:
            self.socket = socket.socket()
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            host, port = address.rsplit(":", 1)
            target = (host, int(port))
        self.socket.settimeout(20)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect(target)
        self.stream, self.received, self.events = -1, b"", []
        self.window, self.windows, self.initial = 65535, {}, 65535
        self.max_streams = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def start(self):
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0))
        self.wait(lambda e: e[0] == SETTINGS and not e[1] & ACK)
        return self

    def open(self, path, *more, end=False):
        """A stream of that method; its number."""
        self.stream += 2
        self.windows[self.stream] = self.initial
        flags = END_HEADERS | (END_STREAM if end else 0)
        self.socket.sendall(frame(HEADERS, flags, self.stream, headers(path, *more)))
        return self.stream

    def call(self, path, message, *more, compressed=0, length=None):
        """A stream with a message, or with the beginning of one of that length."""
        stream = self.open(path, *more)
        size = len(message) if length is None else length
        self.send(stream, struct.pack(">BI", compressed, size) + message,
                  END_STREAM if length is None else 0)
        return stream

    def send(self, stream, data, flags=0):
        """All of it, waiting for the window; False when the stream was ended from over there."""
        view = memoryview(data)
        while len(view):
            self.pump(block=False)
            if self.ended(stream):
                return False
            size = min(len(view), FRAME_BYTES, self.window, self.windows[stream])
            if size <= 0:
                self.pump()
                continue
            last = flags if size == len(view) else 0
            self.socket.sendall(frame(DATA, last, stream, bytes(view[:size])))
            self.window -= size
            self.windows[stream] -= size
            view = view[size:]
        return True

    def ended(self, stream):
        return any(self.ends(e, stream) for e in self.events)

    @staticmethod
    def ends(event, stream):
        kind, flags, number, _ = event
        return (number == stream and (kind == RST_STREAM or kind in (HEADERS, DATA) and flags & END_STREAM))

    def pump(self, block=True):
        """Takes what has come. EOFError when the connection is gone."""
        self.socket.setblocking(block)
        if block:
            self.socket.settimeout(20)
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        finally:
            self.socket.settimeout(20)
        if not data:
            raise EOFError
        self.received += data
        while len(self.received) >= 9:
            size = int.from_bytes(self.received[:3], "big")
            if len(self.received) < 9 + size:
                break
            kind, flags = self.received[3:5]
            stream = int.from_bytes(self.received[5:9], "big") & 0x7fffffff
            payload, self.received = self.received[9:9 + size], self.received[9 + size:]
            self.take(kind, flags, stream, payload)

    def take(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                key, value = struct.unpack(">HI", payload[at:at + 6])
                if key == 4:
                    for number in self.windows:
                        self.windows[number] += value - self.initial
                    self.initial = value
                if key == 3:
                    self.max_streams = value
            self.socket.sendall(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.socket.sendall(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            more = int.from_bytes(payload, "big")
            if stream == 0:
                self.window += more
            elif stream in self.windows:
                self.windows[stream] += more
            return
        self.events.append((kind, flags, stream, payload))

    def wait(self, condition):
        """The first frame of which that holds."""
        seen = 0
        while True:
            for event in self.events[seen:]:
                if condition(event):
                    return event
            seen = len(self.events)
            self.pump()

    def wait_end(self, stream):
        """All that came for a stream, headers and data, as bytes."""
        self.wait(lambda e: self.ends(e, stream))
        return b"".join(e[3] for e in self.events if e[2] == stream)

    def wait_gone(self):
        """Until the other side has closed the connection."""
        try:
            while True:
                self.pump()
        except (EOFError, ConnectionError):
            pass
