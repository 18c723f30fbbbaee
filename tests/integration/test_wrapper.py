# SPDX-License-Identifier: Apache-2.0
"""The program that stands before QEMU, before a Python instead: what it takes away, and that it takes
nothing more."""

import ctypes
import json
import os
import shutil
import socket
import subprocess

import pytest

LANDLOCK_CREATE_RULESET = 444
PYTHON = "/usr/bin/python3"

TRY = """
import errno, json, os, socket, sys
allowed, port, abstract = json.loads(sys.argv[1])
def try_to(action):
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
def connect(family, address):
    with socket.socket(family) as s:
        s.connect(address)
print(json.dumps({
    "allowed": try_to(lambda: open(allowed, "r+b").write(b"x")),
    "shortened": try_to(lambda: os.truncate(allowed, 100)),
    "null": try_to(lambda: open("/dev/null", "wb")),
    "read": try_to(lambda: open(allowed + ".other").read()),
    "other": try_to(lambda: open(allowed + ".other", "r+b")),
    "removed": try_to(lambda: os.unlink(allowed + ".other")),
    "beside": try_to(lambda: open(allowed + ".new", "wb")),
    "tmp": try_to(lambda: open("/tmp/mayfly-wrapper-test", "wb")),
    "var_tmp": try_to(lambda: os.mkdir("/var/tmp/mayfly-wrapper-test")),
    "shm": try_to(lambda: open("/dev/shm/mayfly-wrapper-test", "wb")),
    "tcp": try_to(lambda: connect(socket.AF_INET, ("127.0.0.1", port))),
    "abstract": try_to(lambda: connect(socket.AF_UNIX, abstract)),
    "arguments": sys.argv[2:],
}))
"""


def landlock_version():
    return ctypes.CDLL(None).syscall(LANDLOCK_CREATE_RULESET, None, 0, 1)


@pytest.fixture
def wrapper(build, tmp_path):
    os.chmod(tmp_path, 0o777)
    (tmp_path / "emulator").symlink_to(PYTHON)
    for name in ("file", "file.other"):
        (tmp_path / name).write_bytes(b"\0" * 200)
        (tmp_path / name).chmod(0o666)
    listener = socket.create_server(("127.0.0.1", 0))
    abstract = "\0mayfly-wrapper-test-%d" % os.getpid()
    named = socket.socket(socket.AF_UNIX)
    named.bind(abstract)
    named.listen()

    def run(name="qemu-confined", writable=None, arguments=()):
        program = tmp_path / name
        shutil.copy(build / "agent/vm/qemu-wrapper", program)
        what = json.dumps([str(tmp_path / "file"), listener.getsockname()[1], abstract])
        environment = {"MAYFLY_WRITABLE": writable} if writable else {}
        done = subprocess.run([program, "-c", TRY, what, *arguments], env=environment,
                              capture_output=True, text=True, timeout=60, check=False)
        for path in ("/tmp/mayfly-wrapper-test", "/dev/shm/mayfly-wrapper-test"):
            if os.path.exists(path):
                os.unlink(path)
        if os.path.exists("/var/tmp/mayfly-wrapper-test"):
            os.rmdir("/var/tmp/mayfly-wrapper-test")
        return done

    yield run
    listener.close()
    named.close()


def test_nothing_is_written_but_what_is_named(wrapper, tmp_path):
    version = landlock_version()
    if version < 1:
        pytest.skip("this kernel has no Landlock")
    done = wrapper(writable=f"{tmp_path}/file,{tmp_path}/missing")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert [said[key] for key in ("allowed", "shortened", "null", "read")] == ["done"] * 4, said
    for key in ("other", "removed", "beside", "tmp", "var_tmp", "shm"):
        assert said[key] == "EACCES", (key, said)
    assert (tmp_path / "file.other").exists()
    if version >= 4:
        assert said["tcp"] == "EACCES", said
    if version >= 6:
        assert said["abstract"] == "EPERM", said


def test_without_a_word_nothing_is_taken(wrapper):
    done = wrapper()
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    del said["arguments"]
    assert set(said.values()) == {"done"}, said


def test_kvm_is_removed_by_name_only(wrapper):
    asked = ["-machine", "none,accel=kvm:tcg"]
    assert json.loads(wrapper(arguments=asked).stdout)["arguments"] == asked
    removed = wrapper(name="qemu-without-kvm", arguments=asked)
    assert json.loads(removed.stdout)["arguments"] == ["-machine", "none,accel=tcg"]


def test_a_confinement_that_fails_starts_nothing(wrapper, tmp_path):
    if landlock_version() < 1:
        pytest.skip("this kernel has no Landlock")
    done = wrapper(writable=f"{tmp_path}/file/not-a-folder")
    assert (done.returncode, done.stdout) == (126, ""), done
