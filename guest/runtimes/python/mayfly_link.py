# SPDX-License-Identifier: Apache-2.0
"""The link to mayfly-init: frames over descriptor 3 (guest/init/shim.h has the layout)."""

import os
import struct

START, INVOKE, PING, RESEED, BEFORE_SNAPSHOT, COMPILE, BYTECODE = 1, 2, 3, 4, 5, 6, 7
HELLO, READY, INIT_ERROR, PONG, RESPONSE, ERROR = 16, 17, 18, 19, 20, 21
HOOKS_DONE, COMPILED = 25, 26

FLAG_RESTORE_HOOKS = 1

_FD = 3
_HEADER = struct.Struct("<IBBH")
_READ_BYTES = 65536

# Of the next frame, what came in the same read.
_ahead = b""


def open_link():
    """Keeps the link out of the function's child processes."""
    os.set_inheritable(_FD, False)


def _read_more():
    data = os.read(_FD, _READ_BYTES)
    if not data:
        # init is gone or has ended this process's part.
        os._exit(0)
    return data


def receive():
    """The next frame: (type, flags, meta as a list of text fields, data)."""
    global _ahead
    data, _ahead = _ahead or _read_more(), b""
    while len(data) < _HEADER.size:
        data += _read_more()
    length, kind, flags, meta_len = _HEADER.unpack_from(data)
    end = _HEADER.size + length
    if len(data) < end:
        parts, have = [data], len(data)
        while have < end:
            parts.append(_read_more())
            have += len(parts[-1])
        data = b"".join(parts)
    _ahead = data[end:]
    meta_end = _HEADER.size + meta_len
    meta = data[_HEADER.size:meta_end].decode("utf-8", "replace").split("\0")
    return kind, flags, meta, data[meta_end:end]


def send(kind, meta="", data=b""):
    """Sends one frame."""
    meta = meta.encode("utf-8", "replace")
    frame = _HEADER.pack(len(meta) + len(data), kind, 0, len(meta)) + meta + data
    written = os.write(_FD, frame)
    while written < len(frame):
        frame = memoryview(frame)[written:]
        written = os.write(_FD, frame)
