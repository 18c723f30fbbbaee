# SPDX-License-Identifier: Apache-2.0
"""guest/image/build-images: the same inputs make the same bytes, and nothing is made twice. The
initramfs and the smallest runtime stand for all; downloads are those of the ordinary cache."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path("/var/cache/mayfly/images")
RUNTIME = "provided.al2023"
FILES = ["initramfs.cpio", f"runtimes/{RUNTIME}.erofs"]


@pytest.fixture(scope="module")
def build_images(build, tmp_path_factory):
    """build_images(OUT, ARGUMENT...): what it said."""
    stage = tmp_path_factory.mktemp("stage")
    subprocess.run(["cmake", "--install", build, "--prefix", stage], check=True, capture_output=True, timeout=60)

    def run(out, *arguments, guest=stage / "lib/mayfly/guest"):
        done = subprocess.run(
            [ROOT / "guest/image/build-images", "--guest", guest, "--out", out,
             "--only", "initramfs", "--only", RUNTIME, *map(str, arguments)],
            capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run.guest = stage / "lib/mayfly/guest"
    return run


def digests(out):
    return {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in FILES}


def facts(out):
    """Of every file: another inode or time means that it was made again."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.rglob("*") if path.is_file()}


def test_the_same_bytes_and_nothing_twice(build_images, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    assert "building the image" in build_images(one)
    build_images(two)
    assert digests(one) == digests(two)

    before = facts(two)
    said = build_images(two)
    assert facts(two) == before
    assert "building" not in said and FILES[0] not in said, said


def test_what_changed_is_built_and_no_more(build_images, tmp_path):
    out, guest = tmp_path / "out", tmp_path / "guest"
    shutil.copytree(build_images.guest, guest)
    build_images(out, guest=guest)
    before, were = facts(out), digests(out)
    with open(guest / "mayfly-init", "ab") as init:
        init.write(b"\0")
    build_images(out, guest=guest)
    assert digests(out)[FILES[0]] != were[FILES[0]]
    assert facts(out)[out / FILES[1]] == before[out / FILES[1]]
    # What somebody altered is not taken for current either.
    with open(out / FILES[1], "ab") as image:
        image.write(b"\0")
    build_images(out, guest=guest)
    assert digests(out)[FILES[1]] == were[FILES[1]]


def test_the_same_bytes_when_packages_are_unpacked_again(build_images, tmp_path):
    """Another cache, which has the downloads alone."""
    one, two, cache = tmp_path / "one", tmp_path / "two", tmp_path / "cache"
    build_images(one)
    cache.mkdir()
    for name in ("apt", "kernels", "resolved"):
        subprocess.run(["cp", "-a", CACHE / name, cache / name], check=True, timeout=60)
    said = build_images(two, "--cache", cache)
    assert f"{RUNTIME}: unpacking" in said, said
    for name in ("kernel", RUNTIME):
        if (cache / "resolved" / name).read_bytes() != (CACHE / "resolved" / name).read_bytes():
            build_images(one, "--refresh")  # the mirror has newer packages than yesterday
            break
    assert digests(one) == digests(two)
    assert os.listdir(cache / "unpacked") == [], "what was unpacked in between is gone"
