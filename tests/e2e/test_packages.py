# SPDX-License-Identifier: Apache-2.0
"""Code on /var/task: a function cannot tell whether its package was small, and came in a message, or
was mounted from its disk; what is kept beside a package's image may be damaged or go."""

import base64
import io
import re
import stat
import time
import zipfile

import pytest

import node as e2e

FOLDER = object()
# With it a package is not small: 64 KiB are the limit.
FILLER = {"filler.bin": b"\0" * 70000}
SIZES = {"small": {}, "big": FILLER}
FIRST_YEAR = 2001


class Link(str):
    """The target of a symbolic link."""


def kind_and_mode(name, content):
    if isinstance(content, Link):
        return stat.S_IFLNK | 0o777
    if content is FOLDER:
        return stat.S_IFDIR | 0o755
    return stat.S_IFREG | (0o755 if name.endswith((".sh", "bootstrap")) else 0o644)


def date_of(index):
    return (FIRST_YEAR + index, 2, 3, 4, 6, 8)


def package(files):
    """ZIP bytes with links and folders; each entry is of another year."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for index, (name, content) in enumerate(files.items()):
            info = zipfile.ZipInfo(name + ("/" if content is FOLDER else ""), date_of(index))
            info.create_system = 3
            info.external_attr = kind_and_mode(name, content) << 16
            archive.writestr(info, "" if content is FOLDER else content)
    return out.getvalue()


def outcomes(node, runtime, cases):
    """What the first invocation of each case (files, handler) gave, by (case, size). A failed INIT was
    repeated for it; `errors` has what the log says of both."""
    def run(case, size):
        files, handler = cases[case][:2]
        name = node.create(runtime, package({**files, **SIZES[size]}), handler, name=e2e.unique("pack"),
                           timeout_seconds=60)
        try:
            result = node.invoke(name, {})
            result.errors = re.findall(r"\[ERROR\][^\n]*", node.log_text(name))
            return result
        finally:
            node.delete(name)

    keys = [(case, size) for case in cases for size in SIZES]
    results = []
    for start in range(0, len(keys), 2):
        results += e2e.in_parallel([lambda k=k: run(*k) for k in keys[start:start + 2]])
    return dict(zip(keys, results))


def assert_same(results, case):
    """The answer of both, once they are found equal but for their requests."""
    small, big = ({**r.json, "requestId": ""} if isinstance(r.json, dict) and "requestId" in r.json else r.json
                  for r in (results[case, "small"], results[case, "big"]))
    assert small == big
    assert results[case, "small"].error == results[case, "big"].error
    assert results[case, "small"].errors == results[case, "big"].errors
    return small


# -- one package, looked at from inside ---------------------------------------------------------

PROBE = '''import os, sys, json, pickle, inspect, importlib, traceback, errno, stat

class Thing:
    def __init__(self, n):
        self.n = n

def handler(event, context):
    scope = {**globals(), "result": None}
    exec(event["code"], scope)
    return scope["result"]
'''

SHOP = {
    "shop/__init__.py": "from . import cart as basket\nfrom .cart import total\n",
    "shop/cart.py": '''from .deep import NAME
from .deep.price import PRICE


class Item:
    def __init__(self, count):
        self.count = count


def total(count):
    return [NAME, count * PRICE]


def fails():
    number = 0
    return 1 / number
''',
    "shop/deep/__init__.py": "NAME = __name__\n",
    "shop/deep/price.py": "from .. import deep\nPRICE = 3\nassert deep.NAME == 'shop.deep'\n",
}

MODULES = {
    **SHOP,
    "bare/thing.py": "WHERE = __name__\n",
    "both.py": "WHICH = 'file'\n",
    "both/__init__.py": "WHICH = 'folder'\n",
    "uuid.py": "WHOSE = 'own'\n",
    "json.py": "WHOSE = 'own'\n",
    "counter.py": "import builtins\nbuiltins.loads = getattr(builtins, 'loads', 0) + 1\nvalue = builtins.loads\n",
}

TREE = {
    "index.py": PROBE,
    "notes": FOLDER,
    "notes/today.txt": "today",
    "notes/empty.txt": "",
    "notes/latest": Link("today.txt"),
    "lib/back": Link("../notes/today.txt"),
    "lib/nowhere": Link("none"),
    "tool.sh": "#!/bin/sh\necho tool ran in $(pwd)\n",
    "bin/run.sh": "#!/bin/sh\necho $0\n",
    "Grüße.txt": "é",
}

WALK = """
def look(path):
    s = os.lstat(path)
    if stat.S_ISLNK(s.st_mode):
        content = os.readlink(path)
    elif stat.S_ISDIR(s.st_mode):
        content = sorted(n for n in os.listdir(path) if n != "filler.bin")
    else:
        content = open(path, encoding="utf-8").read()
    return [s.st_mode, s.st_uid, s.st_gid, s.st_mtime, content]
result = {"": look("/var/task")}
for folder, folders, files in os.walk("/var/task"):
    for name in folders + files:
        path = os.path.join(folder, name)
        if name != "filler.bin":
            result[path[len("/var/task/"):]] = look(path)
"""


@pytest.fixture(scope="module")
def probes(node):
    """probes[size](code): what `code` leaves in `result`, run by a function of that size."""
    names = {size: node.create(e2e.PYTHON, package({**TREE, **MODULES, **SIZES[size]}), name=e2e.unique(size),
                               timeout_seconds=30) for size in SIZES}

    def asker(name):
        def ask(code):
            result = node.invoke(name, {"code": code})
            assert not result.error, result
            return result.json
        return ask

    yield {size: asker(name) for size, name in names.items()}
    for name in names.values():
        node.delete(name)


@pytest.fixture
def same(probes):
    """The answer of both sizes to a piece of code, which must be the same."""
    def ask(code):
        small, big = (probes[size](code) for size in SIZES)
        assert small == big
        return small

    return ask


def test_both_ways_are_under_test(probes):
    code = "result = [l.split()[2] for l in open('/proc/mounts') if l.split()[1] == '/var/task'][-1]"
    assert [probes[size](code) for size in SIZES] == ["ramfs", "erofs"]


def test_tree(same):
    seen = same(WALK)
    files = {**TREE, **MODULES}
    for index, (name, content) in enumerate(files.items()):
        mode, uid, gid, mtime, found = seen[name]
        assert (mode, uid, gid) == (kind_and_mode(name, content), 0, 0), name
        assert mtime == time.mktime((*date_of(index), 0, 0, -1)), name
        assert content is FOLDER or found == content, name
    # No entry of the ZIP names it.
    assert seen["lib"][:4] == [stat.S_IFDIR | 0o755, 0, 0, 0]
    assert seen[""][:4] == [stat.S_IFDIR | 0o755, 0, 0, 0]
    assert set(seen[""][4]) == {name.split("/")[0] for name in files}


def test_read_only(same):
    errors = same("""
def attempt(change):
    try:
        change()
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]
task = "/var/task/"
result = [attempt(change) for change in (
    lambda: open(task + "new", "w"), lambda: open(task + "index.py", "w"), lambda: open("notes/new", "x"),
    lambda: os.mkdir(task + "new"), lambda: os.unlink(task + "index.py"), lambda: os.rmdir(task + "notes"),
    lambda: os.rename(task + "index.py", task + "other.py"), lambda: os.symlink("x", task + "new"),
    lambda: os.chmod(task + "index.py", 0o600), lambda: os.utime(task), lambda: os.link("index.py", "new"))]
""")
    # A hard link to what is another's is refused before anybody looks at the file system.
    assert set(errors[:-1]) == {"EROFS"}, errors
    assert errors[-1] in ("EPERM", "EROFS")


@pytest.mark.parametrize("size", SIZES)
def test_what_is_there_cannot_be_opened_to_be_written(probes, size):
    """Read-only as a whole, or for this function: which of both is said depends on the size."""
    for flags in ("os.O_RDWR", "os.O_WRONLY | os.O_APPEND"):
        assert probes[size](f"""
try:
    result = os.open("/var/task/index.py", {flags})
except OSError as error:
    result = errno.errorcode[error.errno]
""") in ("EROFS", "EACCES")


def test_place(same):
    assert same("""
import subprocess
v = os.statvfs("/var/task")
result = [os.getcwd(), os.environ["PWD"], bool(v.f_flag & os.ST_RDONLY), bool(v.f_flag & os.ST_NOSUID),
    bool(v.f_flag & os.ST_NODEV), bool(v.f_flag & os.ST_NOEXEC), sys.path[0],
    subprocess.run(["./tool.sh"], capture_output=True, text=True).stdout,
    subprocess.run(["/var/task/bin/run.sh"], capture_output=True, text=True).stdout]
""") == ["/var/task", "/var/task", True, True, True, False, "/var/task", "tool ran in /var/task\n",
         "/var/task/bin/run.sh\n"]


def test_modules(same):
    assert same("""
import shop, shop.cart, shop.deep.price, bare.thing, both, uuid
result = [shop.total(2), shop.basket is shop.cart, shop.deep.price.PRICE, bare.thing.WHERE, both.WHICH, uuid.WHOSE,
    shop.__path__, list(bare.__path__), both.__file__]
""") == [["shop.deep", 6], True, 3, "bare.thing", "folder", "own", ["/var/task/shop"], ["/var/task/bare"],
         "/var/task/both/__init__.py"]


def test_a_module_that_the_runtime_needs_cannot_be_replaced(same):
    """As in Lambda, whose runtime has loaded json before, too."""
    assert same("import json\nresult = hasattr(json, 'WHOSE')") is False


def test_specs(same):
    seen = same("""
import shop.cart
index = sys.modules["index"]
result = [[m.__name__, m.__file__, m.__cached__, m.__package__, m.__spec__.name, m.__spec__.origin,
           m.__spec__.has_location, m.__spec__.parent, m.__loader__ is m.__spec__.loader, type(m.__loader__).__name__,
           m.__loader__.path, m.__spec__.submodule_search_locations] for m in (index, shop.cart, shop)]
result.append([m.__spec__.loader.get_filename(m.__name__) for m in (index, shop)])
""")
    for found, name, path, parent in zip(seen, ("index", "shop.cart", "shop"),
                                         ("index.py", "shop/cart.py", "shop/__init__.py"), ("", "shop", "shop")):
        assert found[0] == found[4] == name
        assert found[1] == found[5] == found[10] == f"/var/task/{path}"
        assert found[3] == found[7] == parent
        assert found[6] is found[8] is True
        assert re.fullmatch(r".*__pycache__/\w+\.cpython-3\d+\.pyc", found[2])
    assert seen[2][11] == ["/var/task/shop"]
    assert seen[3] == ["/var/task/index.py", "/var/task/shop/__init__.py"]


def test_sources_and_classes(same):
    assert same("""
import shop.cart
index = sys.modules["index"]
result = [inspect.getsource(shop.cart.total), inspect.getsource(index.Thing), inspect.getfile(shop.cart.Item),
    inspect.getsourcelines(shop.cart.fails)[1], pickle.loads(pickle.dumps(index.Thing(5))).n,
    pickle.loads(pickle.dumps(shop.cart.Item(6))).count, index.handler.__module__, index.handler.__code__.co_filename]
""") == ["def total(count):\n    return [NAME, count * PRICE]\n",
         "class Thing:\n    def __init__(self, n):\n        self.n = n\n", "/var/task/shop/cart.py", 14, 5, 6,
         "index", "/var/task/index.py"]


def test_reload(same):
    assert same("""
import builtins
builtins.loads = 0
sys.modules.pop("counter", None)
import counter
before = counter.value
again = importlib.reload(counter)
index = sys.modules["index"]
born = index.Thing
importlib.reload(index)
result = [before, again.value, again is counter, index.Thing is not born, index.Thing(1).n]
""") == [1, 2, True, True, 1]


def test_traceback(same):
    lines = same("""
import shop.cart
try:
    shop.cart.fails()
except ZeroDivisionError:
    result = traceback.format_exc().splitlines()
""")
    assert '  File "/var/task/shop/cart.py", line 16, in fails' in lines
    assert "    return 1 / number" in lines


# -- how a handler is found -----------------------------------------------------------------------

ANSWERS = "def handler(event, context):\n    return [__name__, __file__]\n"

PYTHON_CASES = {
    "folder": ({"dir/sub.py": ANSWERS}, "dir/sub.handler", ["dir.sub", "/var/task/dir/sub.py"]),
    "dotted": ({"dir/sub.py": ANSWERS}, "dir.sub.handler", ["dir.sub", "/var/task/dir/sub.py"]),
    "package": ({"app/__init__.py": ANSWERS}, "app.handler", ["app", "/var/task/app/__init__.py"]),
    "relative": ({"app/main.py": "from . import word\n\ndef handler(event, context):\n    return word.WORD\n",
                  "app/word.py": "WORD = 'relative'\n"}, "app.main.handler", "relative"),
    "folder_and_file": ({"both.py": "", "both/__init__.py": ANSWERS}, "both.handler",
                        ["both", "/var/task/both/__init__.py"]),
    "bare_folder_and_file": ({"both.py": ANSWERS, "both/data.txt": ""}, "both.handler",
                             ["both", "/var/task/both.py"]),
    "hyphen": ({"my-app.py": ANSWERS}, "my-app.handler", ["my-app", "/var/task/my-app.py"]),
    "link": ({"real.py": ANSWERS, "index.py": Link("real.py")}, "index.handler",
             ["index", "/var/task/index.py"]),
    "preloaded_name": ({"uuid.py": ANSWERS}, "uuid.handler", ["uuid", "/var/task/uuid.py"]),
    "own_of_preloaded_name": ({"index.py": "import uuid, random\n\ndef handler(event, context):\n"
                               "    return [uuid.WHOSE, 0 <= random.random() < 1]\n", "uuid.py": "WHOSE = 'own'\n"},
                              "index.handler", ["own", True]),
    "imports_itself": ({"index.py": "import helper\n\ndef handler(event, context):\n    return helper.seen\n",
                        "helper.py": "import index\nseen = index.__name__\n"}, "index.handler", "index"),
    "may_write_bytecode": ({"index.py": "import sys\n\ndef handler(event, context):\n"
                            "    return sys.dont_write_bytecode\n"}, "index.handler", False),
    "data_beside": ({"index.py": ANSWERS, "index.json": "{}"}, "index.handler", ["index", "/var/task/index.py"]),
    "latin": ({"index.py": "# coding: latin-1\ndef handler(event, context):\n    return 'Gr\u00fc\u00dfe'\n"
               .encode("latin-1")}, "index.handler", "Grüße"),
}

MISSING = "Unable to import module '{0}': No module named '{1}'"
PYTHON_FAULTS = {
    "dotted_file": ({"dir.sub.py": ANSWERS}, "dir.sub.handler", "Runtime.ImportModuleError",
                    MISSING.format("dir.sub", "dir"), []),
    "folder_like_a_source": ({"index.py/data.txt": ""}, "index.handler", "Runtime.ImportModuleError",
                             MISSING.format("index", "index"), []),
    "link_to_nowhere": ({"index.py": Link("none.py"), "x.txt": ""}, "index.handler", "Runtime.ImportModuleError",
                        MISSING.format("index", "index"), []),
    "frozen_name": ({"__hello__.py": ANSWERS}, "__hello__.handler", "Runtime.HandlerNotFound",
                    "Handler 'handler' missing on module '__hello__'", []),
    "syntax": ({"index.py": "import os\n\ndef handler(:\n"}, "index.handler", "Runtime.UserCodeSyntaxError",
               "Syntax error in module 'index': invalid syntax (index.py, line 3)",
               ['  File "/var/task/index.py" Line 3\n    def handler(:\n']),
    "syntax_of_another": ({"index.py": "import other\n", "other.py": "x = (\n"}, "index.handler",
                          "Runtime.UserCodeSyntaxError",
                          "Syntax error in module 'index': '(' was never closed (other.py, line 1)",
                          ['  File "/var/task/other.py" Line 1\n    x = (\n']),
    "no_utf8": ({"index.py": b"x = '\xff'\n"}, "index.handler", "Runtime.UserCodeSyntaxError", None, None),
    "circular": ({"index.py": "import helper\nX = 1\n", "helper.py": "from index import X\n"}, "index.handler",
                 "Runtime.ImportModuleError",
                 "Unable to import module 'index': cannot import name 'X' from partially initialized module 'index' "
                 "(most likely due to a circular import) (/var/task/index.py)", []),
    "raises": ({"index.py": "import helper\n\nhelper.go()\n", "helper.py": "def go():\n    raise KeyError('k')\n"},
               "index.handler", "KeyError", "'k'", None),
    "fails": ({"index.py": "import helper\n\ndef handler(event, context):\n    return helper.go()\n",
               "helper.py": "\n\ndef go():\n    raise KeyError('k')\n"}, "index.handler", "KeyError", "'k'",
              ['  File "/var/task/index.py", line 4, in handler\n    return helper.go()\n',
               '  File "/var/task/helper.py", line 4, in go\n    raise KeyError(\'k\')\n']),
}


@pytest.fixture(scope="module")
def python_outcomes(node):
    return outcomes(node, e2e.PYTHON, {**PYTHON_CASES, **PYTHON_FAULTS})


@pytest.mark.parametrize("case", PYTHON_CASES)
def test_python_handler(python_outcomes, case):
    assert assert_same(python_outcomes, case) == PYTHON_CASES[case][2]


@pytest.mark.parametrize("case", PYTHON_FAULTS)
def test_python_fault(python_outcomes, case):
    _, _, kind, message, trace = PYTHON_FAULTS[case]
    seen = assert_same(python_outcomes, case)
    assert seen["errorType"] == kind, seen
    assert message is None or seen["errorMessage"] == message
    if trace is not None:
        # Python marks the place within a line; which characters is its own affair.
        shown = ["".join(line for line in entry.splitlines(True) if line.strip(" ~^\n")) for entry in seen["stackTrace"]]
        assert shown == trace
    if case == "raises":
        # With the frames of the import system in front, whoever ran the module.
        assert re.fullmatch(r'  File "/usr/lib/python3\.13/importlib/__init__\.py", line \d+, in import_module\n.*',
                            seen["stackTrace"][0], re.DOTALL), seen["stackTrace"]
        assert seen["stackTrace"][-3].startswith('  File "<frozen importlib._bootstrap>"')
        assert seen["stackTrace"][-2].startswith('  File "/var/task/index.py", line 3, in <module>\n')
        assert seen["stackTrace"][-1].startswith('  File "/var/task/helper.py", line 2, in go\n')


@pytest.mark.parametrize("size", SIZES)
def test_bytecode_that_the_package_brings(node, deploy, probes, size):
    """Made of another source, and not to be checked against it: it is what runs."""
    made = probes[size]("""
import base64, marshal
from importlib import _bootstrap_external as external, util
code = compile("WHICH = 'shipped'", "/var/task/kept.py", "exec")
pyc = bytes(external._code_to_hash_pyc(code, b"\\0" * 8, checked=False))
result = [util.cache_from_source("/var/task/kept.py")[len("/var/task/"):], base64.b64encode(pyc).decode()]
""")
    pyc = base64.b64decode(made[1])
    files = {"index.py": "import kept, bare\n\ndef handler(event, context):\n    return [kept.WHICH, bare.WHICH]\n",
             "kept.py": "WHICH = 'source'\n", made[0]: pyc, "bare.pyc": pyc, **SIZES[size]}
    name = deploy(e2e.PYTHON, package(files))
    assert node.invoke(name).json == ["shipped", "shipped"]


def test_a_small_package_is_compiled_before_it_is_active(node, deploy):
    """By a clone that nobody sees anything of afterwards."""
    node.invoke(deploy(e2e.PYTHON, package({"index.py": "# makes the base\n" + ANSWERS})))
    kept = set((node.state / "packages").glob("*.bytecode"))
    name = deploy(e2e.PYTHON, package({"index.py": "# compiled\n" + ANSWERS}))
    assert len(set((node.state / "packages").glob("*.bytecode")) - kept) == 1
    assert all(node.sandbox_state(box) == "STOPPING" for box in node.sandboxes(name))
    assert node.invoke(name).json == ["index", "/var/task/index.py"]
    assert len({event.log_stream_name for event in node.log_events(name)}) == 1


@pytest.mark.parametrize("size", SIZES)
def test_what_the_compiler_says_is_in_every_log(node, deploy, size):
    name = deploy(e2e.PYTHON, package({
        "index.py": "import warned\nPATTERN = '\\d'\n\ndef handler(event, context):\n    return PATTERN\n",
        "warned.py": "\n\nPATTERN = '\\w'\n", **SIZES[size]}))
    for start in range(3):
        result = node.invoke(name)
        assert (result.start, result.json) == ("RESTORE", "\\d")
        node.end_idle(name)
        text = node.log_text(name)
        for place in ("/var/task/index.py:2", "/var/task/warned.py:3"):
            assert text.count(f"{place}: SyntaxWarning: invalid escape sequence") == start + 1, text


@pytest.mark.parametrize("size", SIZES)
def test_own_python_settings(node, deploy, size):
    """Such a process is started anew, after its package was placed or mounted."""
    name = deploy(e2e.PYTHON, package({
        "index.py": "import sys, os, shop\n\ndef handler(event, context):\n"
                    "    return [sys.dont_write_bytecode, sys.flags.optimize, __debug__, shop.total(1), os.getcwd()]\n",
        **SHOP, **SIZES[size]}), environment={"PYTHONDONTWRITEBYTECODE": "1", "PYTHONOPTIMIZE": "1"},
        timeout_seconds=30)
    for _ in range(2):
        assert node.invoke(name).json == [True, 1, False, ["shop.deep", 3], "/var/task"]
        node.end_idle(name)


# -- other code, other starts ---------------------------------------------------------------------


def test_an_update_is_what_runs_next(node, deploy):
    code = "import part\n\ndef handler(event, context):\n    return [{0!r}, part.NAME]\n"

    def files(word, size):
        return package({"index.py": code.format(word), "part.py": f"NAME = {word!r}\n", **SIZES[size]})

    name = deploy(e2e.PYTHON, files("first", "small"))
    assert node.invoke(name).json == ["first", "first"]
    for word, size in (("second", "small"), ("third", "big"), ("fourth", "small"), ("first", "small")):
        node.functions.UpdateCode(node.protocol.function.UpdateFunctionCodeRequest(
            function_name=name, zip_file=files(word, size)), timeout=60)
        node.wait_active(name)
        assert node.invoke(name).json == [word, word]


def beside_images(node, ending):
    """What the node keeps beside its packages' images."""
    return sorted((node.state / "packages").glob("*" + ending))


def identity(path):
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


KEPT = {"index.py": "import part, sys\n\ndef handler(event, context):\n    return [part.value(), __file__]\n",
        "part.py": "def value():\n    return 'kept'\n"}
KEPT_ANSWER = ["kept", "/var/task/index.py"]


@pytest.fixture
def kept(private_node):
    """A node that has compiled a function's package, and the function."""
    node = private_node()
    name = node.create(e2e.PYTHON, package(KEPT), timeout_seconds=30)
    assert node.invoke(name).json == KEPT_ANSWER
    e2e.wait_until(lambda: beside_images(node, ".bytecode"), what="bytecode beside the image")
    return node, name


def test_bytecode_is_kept_over_a_restart_of_the_agent(kept):
    node, name = kept
    (path,) = beside_images(node, ".bytecode")
    before = identity(path)
    node.restart()
    for _ in range(2):
        result = node.invoke(name)
        assert (result.start, result.json) == ("RESTORE", KEPT_ANSWER)
        node.end_idle(name)
    # Nobody compiled again: what is made is written anew.
    assert identity(path) == before
    node.stop()
    path.unlink()
    node.start()
    assert node.invoke(name).json == KEPT_ANSWER
    e2e.wait_until(lambda: beside_images(node, ".bytecode") == [path], what="bytecode made again")


@pytest.mark.parametrize("ending", [".files", ".bytecode"])
def test_damage_beside_an_image_costs_time_alone(kept, ending):
    node, name = kept
    (path,) = beside_images(node, ending)
    good = path.read_bytes()
    flipped = bytes(b ^ 1 if i == len(good) // 2 else b for i, b in enumerate(good))
    for damaged in (b"", b"\xff" * 200, good[:len(good) // 2], flipped, good + b"\0"):
        node.stop()
        path.write_bytes(damaged)
        node.start()
        result = node.invoke(name)
        assert (result.start, result.error, result.json) == ("RESTORE", "", KEPT_ANSWER)
        if ending == ".bytecode":
            e2e.wait_until(lambda: path.read_bytes() == good, what="bytecode made again")
    # The same code again brings its files back.
    node.functions.UpdateCode(node.protocol.function.UpdateFunctionCodeRequest(
        function_name=name, zip_file=package(KEPT)), timeout=60)
    node.wait_active(name)
    assert path.read_bytes() == good
    node.delete(name)
    e2e.wait_until(lambda: not beside_images(node, ""), what="the end of the package's files")


# -- the other runtimes -----------------------------------------------------------------------------

ESM = "import { word } from './lib/word.mjs';\nimport own from 'own';\n" \
      "export const handler = async () => [word, own, import.meta.url, process.cwd()];\n"
COMMON = "const { word } = require('./lib/word');\nconst own = require('own');\n" \
         "exports.handler = async () => [word, own, __filename, process.cwd()];\n"
OWN = {"node_modules/own/package.json": '{"name": "own", "main": "main.js"}',
       "node_modules/own/main.js": "module.exports = 'own';\n"}
NODEJS_CASES = {
    "esm": ({"index.mjs": ESM, "lib/word.mjs": "export const word = 'esm';\n", **OWN}, "index.handler",
            ["esm", "own", "file:///var/task/index.mjs", "/var/task"]),
    "commonjs": ({"index.js": COMMON, "lib/word.js": "exports.word = 'common';\n", **OWN}, "index.handler",
                 ["common", "own", "/var/task/index.js", "/var/task"]),
    "module_type": ({"package.json": '{"type": "module"}', "index.js": ESM,
                     "lib/word.mjs": "export const word = 'type';\n", **OWN}, "index.handler",
                    ["type", "own", "file:///var/task/index.js", "/var/task"]),
    "folder": ({"src/app.cjs": COMMON, "src/lib/word.js": "exports.word = 'folder';\n", **OWN}, "src/app.handler",
               ["folder", "own", "/var/task/src/app.cjs", "/var/task"]),
    "link": ({"index.js": Link("real.js"), "real.js": "exports.handler = async () => __filename;\n"},
             "index.handler", None),
}
NODEJS_FAULT = {"index.js": "const part = require('./part');\nexports.handler = async () => part();\n",
                "part.js": "\nmodule.exports = () => { throw new RangeError('far'); };\n"}


@pytest.fixture(scope="module")
def nodejs_outcomes(node):
    return outcomes(node, e2e.NODEJS, {**NODEJS_CASES, "fault": (NODEJS_FAULT, "index.handler")})


@pytest.mark.parametrize("case", NODEJS_CASES)
def test_nodejs_handler(nodejs_outcomes, case):
    seen, expected = assert_same(nodejs_outcomes, case), NODEJS_CASES[case][2]
    assert not nodejs_outcomes[case, "small"].error, seen
    assert expected is None or seen == expected


def test_nodejs_fault(nodejs_outcomes):
    seen = assert_same(nodejs_outcomes, "fault")
    assert (seen["errorType"], seen["errorMessage"]) == ("RangeError", "far")
    assert "/var/task/part.js:2:" in seen["trace"][1]
    assert "/var/task/index.js:2:" in seen["trace"][2]


BOOTSTRAP = """#!/bin/bash
set -euo pipefail
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime
while true; do
	headers=$(mktemp)
	curl -sS -LD "$headers" "$api/invocation/next" >/dev/null
	id=$(grep -Fi Lambda-Runtime-Aws-Request-Id "$headers" | tr -d '[:space:]' | cut -d: -f2)
	curl -sS -X POST "$api/invocation/$id/response" -d "\\"$(pwd) $0 $(./tool.sh) $(stat -c %A:%U:%Y bootstrap)\\"" >/dev/null
done
"""


def test_custom_runtime(node):
    results = outcomes(node, e2e.PROVIDED, {"bash": (
        {"bootstrap": BOOTSTRAP, "tool.sh": "#!/bin/sh\necho tool\n"}, "not.used")})
    made = int(time.mktime((*date_of(0), 0, 0, -1)))
    assert assert_same(results, "bash") == f"/var/task /var/task/bootstrap tool -rwxr-xr-x:root:{made}"
