# SPDX-License-Identifier: Apache-2.0
"""Templates that are sealed on the disk (templates.encryption): no tenant's memory lies open there,
and what was altered is never restored."""

import os
import re
import subprocess
from pathlib import Path

import pytest

import node as e2e

# Found in a RAM file if anything of the function is: the name never stands in the code as a whole.
CODE = {"index.py": "import os\nmark = 'kept-' + 'secret-' * 3 + os.environ['TAIL']\n\n"
                    "def handler(event, context):\n    return mark\n"}
MARK = b"kept-" + b"secret-" * 3 + b"tail"


@pytest.fixture
def node(protocol, build, images):
    made = e2e.Node(protocol, build, images, {"templates.open_keep_s": 5, "pool.keep_alive_s": 1})
    try:
        yield made.start()
        made.stop()
    finally:
        subprocess.run(["umount", "-l", made.state / "run/open"], check=False, capture_output=True)
        made.destroy()


def files_with(mark, folder, skip=()):
    found = []
    for path in Path(folder).rglob("*"):
        if path.is_file() and not path.is_symlink() and not any(part in skip for part in path.parts):
            with open(path, "rb") as file:
                tail = b""
                while chunk := file.read(1 << 22):
                    if mark in tail + chunk:
                        found.append(path)
                        break
                    tail = chunk[-len(mark):]
    return found


def restart(node, **config):
    node.stop()
    node.config.update({f"templates.{key}": value for key, value in config.items()})
    node.start()


def invoke(node, name):
    """Under load, templates take their time; a start that was refused for that is asked for again."""
    result = node.invoke(name, timeout=400)
    assert result.json == MARK.decode() and not result.error
    return result


def open_ones(node):
    return sorted(p.name for p in (node.state / "run/open/templates").iterdir() if not p.name.endswith(".closed"))


def made(node):
    return len(re.findall(r"template \S+ is ready after", node.log_path.read_text()))


def test_memory_of_functions_is_sealed(node):
    f = node.protocol.function
    name = node.create(e2e.PYTHON, CODE, wait=False, environment={"TAIL": "tail"},
                       snap_start=f.SnapStart(apply_on=f.SNAP_START_APPLY_ON_LATEST))
    node.wait_active(name, timeout=400)
    templates, vault = node.state / "templates", node.state / "run/open"
    e2e.wait_until(lambda: not node.sandboxes(name), 60, "no sandbox")
    assert files_with(MARK, templates), "the search finds nothing where it should"

    # From now on sealed: what lay open is gone, and made again.
    restart(node, encryption="aes-256-gcm")
    assert os.path.ismount(vault) and files_with(MARK, node.state, skip=("open",)) == []
    assert invoke(node, name).start == "SNAP_START" and made(node) == 4
    assert files_with(MARK, vault)
    e2e.wait_until(lambda: not node.sandboxes(name), 60, "the end of idle sandboxes")
    assert files_with(MARK, node.state, skip=("open",)) == []
    [folder] = [p for p in templates.iterdir() if name in p.name]
    assert {p.name for p in folder.iterdir()} == {"manifest.json", "ram.sealed", "state.sealed", "scratch.qcow2.sealed"}
    for path, mode in ((vault / "templates", 0o700), (folder, 0o700), (folder / "ram.sealed", 0o400)):
        assert path.stat().st_mode & 0o777 == mode, path
    assert list((vault / "vm").iterdir()) == []

    # What nobody uses is closed, and opened again when it is asked for, by the next agent too.
    e2e.wait_until(lambda: not open_ones(node), 60, "all templates closed")
    e2e.wait_until(lambda: files_with(MARK, vault) == [], 30, "nothing left of them")
    assert invoke(node, name).start == "SNAP_START"
    assert [p for p in open_ones(node) if name in p]
    node.restart(kill=True)
    assert open_ones(node) == []
    assert invoke(node, name).start == "SNAP_START" and made(node) == 4

    # What was altered is never restored: it is made again.
    node.stop()
    assert not os.path.ismount(vault)
    (folder / "ram.sealed").chmod(0o600)
    with open(folder / "ram.sealed", "r+b") as file:
        file.seek(100000)
        byte = file.read(1)
        file.seek(100000)
        file.write(bytes([byte[0] ^ 1]))
    node.start()
    assert invoke(node, name).start == "SNAP_START" and made(node) == 5
    assert "was altered, or its key is another" in node.log_path.read_text()
