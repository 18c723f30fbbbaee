# SPDX-License-Identifier: Apache-2.0
"""How the modules of a package are loaded: with the bytecode that was made of it before, in a
process that never ran it, when there is some. It takes the place of __pycache__, which a
read-only package cannot get; finders, specs and errors are the import system's own."""

import _imp
import importlib
import importlib.util
import marshal
import os
import sys
import warnings
from importlib import machinery

TASK_ROOT = "/var/task"

# By path of the source; each is used once, so that a reload reads the file.
_bytecode = {}


class PackageLoader(machinery.SourceFileLoader):
    def get_code(self, fullname):
        data = _bytecode.pop(self.path, None)
        return marshal.loads(data) if data else super().get_code(fullname)


def _find_in_package(path):
    if path != TASK_ROOT and not path.startswith(TASK_ROOT + "/"):
        raise ImportError("not of the package", path=path)
    if not os.path.isdir(path):
        raise ImportError("only directories are supported", path=path)
    return machinery.FileFinder(path,
                                (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
                                (PackageLoader, machinery.SOURCE_SUFFIXES),
                                (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES))


def set_up():
    sys.path_hooks.insert(0, _find_in_package)


class _KnownPlace:
    """Finds one module, and that once, without a search."""

    def __init__(self, spec):
        self._spec = spec

    def find_spec(self, name, path=None, target=None):
        sys.meta_path.remove(self)
        return self._spec if name == self._spec.name else None


def _is_plain_source(name, entries):
    """Whether nothing but the file NAME.py can be meant by the name: no module that is loaded or in
    the interpreter, no folder, no extension module."""
    file = f"{name}.py"
    if file not in entries or "." in name or name in sys.modules:
        return False
    if any(entry.partition(".")[0] == name and entry != file for entry in entries):
        return False
    path = f"{TASK_ROOT}/{file}"
    return (path in _bytecode or os.path.isfile(path)) and not _imp.is_frozen(name)


def load(name, entries):
    """Imports a module. When `entries`, what lies in the package, leave no doubt where it is, the
    import system need not look for it."""
    if not _is_plain_source(name, entries):
        return importlib.import_module(name)
    path = f"{TASK_ROOT}/{name}.py"
    spec = machinery.ModuleSpec(name, PackageLoader(name, path), origin=path)
    spec.has_location = True
    sys.meta_path.insert(0, _KnownPlace(spec))
    return importlib.import_module(name)


def add_bytecode(path, data):
    _bytecode[f"{TASK_ROOT}/{path}"] = data


def hide_package():
    """Before anything is compiled: nothing of the package may be imported by the compiler, or what
    it gives to all sandboxes could be the package's work. Returns what brings it back."""
    paths = sys.path[:]
    sys.path[:] = [path for path in paths if not path.startswith((TASK_ROOT, "/opt"))]
    return lambda: sys.path.__setitem__(slice(None), paths)


def compile_source(path):
    """The bytecode, or None for a source that INIT shall meet by itself: it is wrong, or the
    compiler has something to say of it that belongs into the function's log, or the package brings
    bytecode of its own."""
    full = f"{TASK_ROOT}/{path}"
    if os.path.exists(importlib.util.cache_from_source(full)):
        return None
    try:
        with open(full, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("error")
            return marshal.dumps(compile(file.read(), full, "exec", dont_inherit=True))
    except Exception:
        return None
