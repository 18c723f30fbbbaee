# SPDX-License-Identifier: Apache-2.0
"""mayflyd --self-test: it proves a good host, and it does not call a bad one good."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

PROOFS = ["host", "images", "accelerator", "package", "base template", "restore",
          "random numbers", "clock", "reply", "identity", "warm invocation", "end"]


@pytest.fixture
def self_test(build, images):
    # Short, because sockets lie below; open, because QEMU runs as another user.
    state = Path(tempfile.mkdtemp(prefix="mayfly-", dir="/var/tmp"))
    state.chmod(0o711)

    def run(images=images, **settings):
        settings = {"node.state_dir": state, "node.images_dir": images, "vm.user": "nobody",
                    **settings}
        options = [word for key, value in settings.items()
                   for word in ("--set", f"{key}={value}")]
        return subprocess.run([build / "agent/mayflyd", "--config", "/dev/null",
                               "--self-test", *options],
                              capture_output=True, text=True, timeout=400, check=False)

    yield run
    assert not (state / "check").exists(), "the self-test leaves its folder"
    shutil.rmtree(state, ignore_errors=True)


def test_a_good_host(self_test):
    done = self_test()
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "this host can run functions"
    said = {re.match(r"ok   ([a-z ]+): .", line).group(1) for line in lines[:-1]}
    assert said == set(PROOFS)
    assert len([line for line in lines if line.startswith("ok   restore: clone")]) == 2
    assert re.search(r"^ok   accelerator: (KVM|TCG): \S", done.stdout, re.M)


def test_a_damaged_image_is_no_good_host(self_test, images, tmp_path):
    copy = tmp_path / "images"
    shutil.copytree(images, copy)
    runtime = copy / "runtimes/python3.13.erofs"
    content = bytearray(runtime.read_bytes())
    content[len(content) // 2] ^= 1
    runtime.write_bytes(content)
    done = self_test(images=copy)
    assert done.returncode == 1
    assert re.search(r"^FAIL images: .*python3\.13", done.stdout, re.M), done.stdout
    assert done.stdout.splitlines()[-1] == "this host cannot run functions"


def test_no_images(self_test, tmp_path):
    done = self_test(images=tmp_path)
    assert done.returncode == 1
    assert "there are no guest images in" in done.stdout


def test_no_emulator(self_test):
    done = self_test(**{"vm.emulator": "/nonexistent/qemu"})
    assert done.returncode == 1
    assert re.search(r"^FAIL accelerator: .", done.stdout, re.M), done.stdout
