# SPDX-License-Identifier: Apache-2.0
"""The tools that decide what passed, and what is installed."""

import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = (ROOT / "packaging/debian-packages").read_text().splitlines()


def count(*paths):
    done = subprocess.run([ROOT / "tools/count-results", *paths], capture_output=True, text=True,
                          check=True)
    lines = done.stdout.splitlines()
    return lines[:-1], [int(number) for number in lines[-1].split()]


def junit(tmp_path, *cases):
    path = tmp_path / "results.xml"
    path.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
    return path


def test_counts(tmp_path):
    path = junit(tmp_path, '<testcase name="a"/>', '<testcase name="b"><failure/></testcase>',
                 '<testcase name="c"><error/></testcase>',
                 '<testcase name="d"><skipped/></testcase>',
                 '<testcase name="e" status="notrun"/>', '<testcase name="f" status="run"/>')
    lines, numbers = count(path)
    assert numbers == [2, 3, 1]
    assert [line.split() for line in lines] == [["FAILED", ".b"], ["FAILED", ".c"],
                                                ["SKIPPED", ".d"], ["FAILED", ".e"]]


@pytest.mark.parametrize("content", [None, "", "<testsuite>", "<testsuite></testsuite>"])
def test_what_did_not_run_has_failed(tmp_path, content):
    path = tmp_path / "results.xml"
    if content is not None:
        path.write_text(content)
    assert count(path)[1] == [0, 1, 0]


def packages_of(release, *sets):
    script = f'. tools/house.sh; debian_release() {{ echo {release}; }}; packages_of "$@"'
    done = subprocess.run(["bash", "-c", script, "bash", *sets], cwd=ROOT, capture_output=True,
                          text=True, check=True)
    return done.stdout.split()


def test_packages_differ_by_release():
    twelve, thirteen = packages_of("bookworm", "test"), packages_of("trixie", "test")
    assert "libclang-rt-14-dev" in twelve and "libclang-rt-14-dev" not in thirteen
    assert "libclang-rt-19-dev" in thirteen and "libclang-rt-19-dev" not in twelve
    assert "python3-grpcio" in twelve and "python3-grpcio" in thirteen
    assert packages_of("trixie", "nothing") == []


def test_package_list_is_well_formed():
    lines = [line for line in PACKAGES if line and not line.startswith("#")]
    for line in lines:
        assert re.fullmatch(r"(build|run|test) [a-z0-9][a-z0-9.+-]+( (bookworm|trixie))?", line)
    assert len(lines) == len(set(lines))


def test_every_linked_library_is_documented():
    text = (ROOT / "docs/dependencies.md").read_text().lower()
    for line in PACKAGES:
        match = re.match(r"build lib(\w+?)(-[\w-]+)?-dev", line)
        if match and match.group(1) != "c6":
            assert match.group(1).rstrip("3").lower() in text.replace("-", ""), line


REMOVE_USER = """
. tools/house.sh
DPKG_SCRIPTS=$1
getent() { [ -z "$ENTRY" ] && return 2; echo "$ENTRY"; }
useradd() { echo useradd "${@: -3:2}"; }
userdel() { echo userdel "$@"; }
"""


def libvirt_user(call, scripts, comment):
    entry = f"libvirt-qemu:x:999:993:{comment}:/:/usr/sbin/nologin" if comment is not None else ""
    done = subprocess.run(["bash", "-euc", REMOVE_USER + call, "bash", scripts], cwd=ROOT, text=True,
                          capture_output=True, check=True, env={"PATH": "/usr/bin:/bin", "ENTRY": entry})
    return done.stdout


def test_user_of_libvirt_is_removed_by_who_made_it(tmp_path):
    remove = "remove_libvirt_user"
    made = libvirt_user("make_libvirt_user", tmp_path, None)
    comment = re.fullmatch(r"useradd --comment (.+)\n", made)[1]
    assert libvirt_user("make_libvirt_user", tmp_path, comment) == "", "it is there already"
    assert libvirt_user(remove, tmp_path, comment) == "userdel libvirt-qemu\n"
    assert libvirt_user(remove, tmp_path, None) == ""
    assert "stays: it was not made by Mayfly" in libvirt_user(remove, tmp_path, "Libvirt Qemu")
    (tmp_path / "libvirt-daemon-system.postinst").write_text("adduser --system libvirt-qemu\n")
    assert "stays: a Debian package uses it now" in libvirt_user(remove, tmp_path, comment)
    assert f'"{comment}"' in (ROOT / "packaging/mayfly.sysusers").read_text()
