# SPDX-License-Identifier: Apache-2.0
"""A program of its own, for a fork of the tests' process would inherit gRPC's locks: takes the rights
of a user and tries what it reads, a JSON list of [attempt, path or process]; says which are
allowed. What fails for another reason than rights is allowed."""

import ctypes
import errno
import json
import os
import signal
import socket
import sys

PTRACE_ATTACH = 16


def connect(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)


def trace(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_ATTACH, pid, None, None) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    os.waitpid(pid, 0)


ATTEMPTS = {
    "read": lambda path: os.close(os.open(path, os.O_RDONLY)),
    "write": lambda path: os.close(os.open(path, os.O_WRONLY)),
    "list": os.listdir,
    "make": lambda path: os.mkdir(os.path.join(path, "intruder")),
    "connect": connect,
    "signal": lambda pid: os.kill(pid, signal.SIGCONT),
    "trace": trace,
}


def allowed(attempt, target):
    try:
        ATTEMPTS[attempt](target)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EPERM)
    return True


def main():
    uid, gid = map(int, sys.argv[1:])
    os.setgroups([gid])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    print(json.dumps([allowed(*attempt) for attempt in json.load(sys.stdin)]))


if __name__ == "__main__":
    main()
