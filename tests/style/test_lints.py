# SPDX-License-Identifier: Apache-2.0
"""The lints find what they are there to find: each is given a small house with one fault."""

import json
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LICENCE = "/* SPDX-License-Identifier: Apache-2.0 */\n"


@pytest.fixture
def house(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/layers.txt").write_text((ROOT / "docs/layers.txt").read_text())
    for folder in ("include/mayfly", "lib/base", "agent/vm", "agent/pool", "cli"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "include/mayfly/buf.h").write_text(LICENCE)
    (tmp_path / "agent/pool/pool.h").write_text(LICENCE)
    return tmp_path


def lint(name, house, *more):
    done = subprocess.run([ROOT / "tools" / name, *more, "--root", house],
                          capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", ["lint-layers", "lint-banned"])
def test_a_good_house_passes(house, name):
    (house / "agent/vm/vm.c").write_text(
        LICENCE + '#include "mayfly/buf.h"\n#include <libvirt/libvirt.h>\n#include <stdio.h>\n')
    assert lint(name, house) == (0, "")


@pytest.mark.parametrize("where, include", [
    ("agent/vm/vm.c", '"agent/pool/pool.h"'),   # upward
    ("cli/main.c", '"agent/pool/pool.h"'),      # the faces know the protocol only
    ("agent/pool/pool.c", "<libvirt/libvirt.h>"),
    ("agent/vm/vm.c", "<sqlite3.h>"),
    ("lib/base/buf.c", "<grpc/grpc.h>"),
    ("lib/base/buf.c", "<curl/curl.h>"),        # nobody said where it belongs
    ("lib/base/buf.c", '"mayfly/nothing.h"'),
])
def test_layers_refuses(house, where, include):
    (house / where).write_text(LICENCE + f"#include {include}\n")
    code, text = lint("lint-layers", house)
    assert code == 1
    assert text.startswith(f"{where}:2: ")


def test_layers_refuses_a_circle(house):
    with (house / "docs/layers.txt").open("a") as layers:
        layers.write("room lib/one: lib/two\nroom lib/two: lib/one\n")
    code, text = lint("lint-layers", house)
    assert code == 1
    assert "circle lib/one -> lib/two -> lib/one" in text


@pytest.mark.parametrize("line", [
    "void f(char *a) { strcpy(a, a); }",
    "int f(void) { return atoi(\"1\"); }",
    "int f(void) { return system(\"true\"); }",
    "/* TO" + "DO: later */",
    "/* " + "long " * 30 + "*/",
    "int a; ",
    "void f(void)\n{\n" + "\tg();\n" * 81 + "}",
    "int a;\n" * 801,
])
def test_banned_refuses(house, line):
    (house / "lib/base/bad.c").write_text(LICENCE + line + "\n")
    code, text = lint("lint-banned", house)
    assert code == 1
    assert text.startswith("lib/base/bad.c:")


README = "# agent/vm\n\nOwns: it.\n\nMay call: lib.\nIs called by: the pool.\n"


@pytest.fixture
def street(house):
    """A small house of two rooms in which every door has its sign."""
    (house / "docs/layers.txt").write_text("room include:\nroom agent/vm: include\nroom proto/v1:\n")
    for folder in ("docs", "lib", "agent", "cli", "include", "agent/vm", "proto", "proto/mayfly/v1", "tests",
                   "tests/unit", "agent/built"):
        (house / folder).mkdir(parents=True, exist_ok=True)
        (house / folder / "README.md").write_text(README)
    (house / "agent/built/CMakeLists.txt").touch()
    (house / "build").mkdir()
    return house


def test_rooms_passes_a_good_house(street):
    assert lint("lint-rooms", street) == (0, "")


@pytest.mark.parametrize("where", ["agent/vm", "proto/mayfly/v1", "cli", "tests/unit", "agent/built"])
def test_rooms_wants_a_readme(street, where):
    (street / where / "README.md").unlink()
    assert lint("lint-rooms", street) == (1, f"{where}: has no README.md\n")


@pytest.mark.parametrize("text, problem", [
    (README[2:], "README.md has no headline"),
    (README + "more\n" * 40, "README.md has 46 lines, not 5 to 40"),
    (README.replace("Owns", "Has"), "README.md does not say what it owns"),
    (README.replace("May", "Must"), "README.md does not say what it may call"),
    (README.replace("called", "liked"), "README.md does not say who calls it"),
])
def test_rooms_reads_the_readme(street, text, problem):
    (street / "agent/vm/README.md").write_text(text)
    assert lint("lint-rooms", street) == (1, f"agent/vm: {problem}\n")


def test_logs_do_not_have_what_is_for_the_caller(house):
    (house / "agent/vm/vm.c").write_text(LICENCE + 'log_warning("%s",\n\t    error_text(&e));\n')
    code, text = lint("lint-banned", house)
    assert code == 1 and "agent/vm/vm.c:3: error_text() in a log" in text
    (house / "agent/vm/vm.c").write_text(LICENCE + 'log_info("%s", error_log_text(&e));\nf(error_text(&e));\n')
    assert lint("lint-banned", house) == (0, "")


def test_banned_wants_a_licence(house):
    (house / "lib/base/bad.c").write_text("int a;\n")
    assert lint("lint-banned", house)[0] == 1


@pytest.mark.parametrize("line", [
    'const char *help = "strcpy(a, b)";',
    "/* system() would start a shell */",
    "int r = operations->system(1);",
])
def test_banned_reads_code_only(house, line):
    (house / "lib/base/good.c").write_text(LICENCE + line + "\n")
    assert lint("lint-banned", house) == (0, "")


def test_headers_refuses_one_that_needs_another(house):
    (house / "compile_commands.json").write_text('[{"command": "cc -std=gnu17 -c a.c"}]')
    (house / "lib/base/needs.h").write_text(LICENCE + "size_t f(void);\n")
    code, text = lint("lint-headers", house, str(house))
    assert code == 1
    assert "needs.h" in text


@pytest.mark.parametrize("code, found", [
    ("int f(int a) { return a; }", None),
    ("int f(int a) { if (a); return 1; return 2; }", "bugprone-suspicious-semicolon"),
    ("int f(int a) { return a == a; }", "misc-redundant-expression"),
    ("int f(", "clang-diagnostic-error"),
])
def test_tidy_finds_mistakes(house, code, found):
    source = house / "lib/base/a.c"
    source.write_text(LICENCE + code + "\n")
    (house / ".clang-tidy").write_text((ROOT / ".clang-tidy").read_text())
    (house / "compile_commands.json").write_text(json.dumps(
        [{"directory": str(house), "file": str(source), "command": "cc -std=gnu17 -c lib/base/a.c"}]))
    result, text = lint("lint-tidy", house, str(house))
    assert result == (1 if found else 0), text
    assert found in text if found else text == ""


def test_tidy_wants_something_to_read(house):
    (house / "compile_commands.json").write_text("[]")
    assert lint("lint-tidy", house, str(house))[0] == 1
