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
import traceback
import warnings
from importlib import machinery

TASK_ROOT = "/var/task"
LAYER_ROOT = "/opt"
_ROOTS = (TASK_ROOT, LAYER_ROOT)
_CACHE_TAG = sys.implementation.cache_tag

# By path of the source; each is used once, so that a reload reads the file.
_bytecode = {}
# While the code of a module runs that load() found, or when it has raised.
_loading = False
_import_frames = []


class PackageLoader(machinery.SourceFileLoader):
    def get_code(self, fullname):
        data = _bytecode.pop(self.path, None)
        return marshal.loads(data) if data else super().get_code(fullname)


def _find_in_package(path):
    if not any(path == root or path.startswith(root + "/") for root in _ROOTS):
        raise ImportError("not of the package", path=path)
    if not os.path.isdir(path):
        raise ImportError("only directories are supported", path=path)
    return machinery.FileFinder(path,
                                (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
                                (PackageLoader, machinery.SOURCE_SUFFIXES),
                                (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES))


def set_up():
    sys.path_hooks.insert(0, _find_in_package)
    _record_import_frames()


def _is_plain_source(name, entries):
    """Whether nothing but the file NAME.py can be meant by the name: no module that is loaded or in
    the interpreter, no folder, no extension module."""
    file = f"{name}.py"
    if file not in entries or "." in name or name in sys.modules:
        return False
    if any(entry.partition(".")[0] == name and entry != file for entry in entries):
        return False
    return not _imp.is_frozen(name)


def _load_known(name, path):
    """What import_module() does for a module whose place and bytecode are known, less the search and
    its lock: only a thread that the module starts and that imports it by its name would notice."""
    global _loading
    spec = machinery.ModuleSpec(name, PackageLoader(name, path), origin=path)
    spec.has_location = True
    spec.cached = f"{TASK_ROOT}/__pycache__/{name}.{_CACHE_TAG}.pyc"
    code = spec.loader.get_code(name)
    module = importlib.util.module_from_spec(spec)
    spec._initializing = True
    sys.modules[name] = module
    _loading = True
    try:
        exec(code, module.__dict__)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    finally:
        spec._initializing = False
    _loading = False
    return sys.modules[name]


def load(name, entries):
    """Imports a module. When `entries`, what lies in the package, leave no doubt where it is, and its
    bytecode is there, the import system is not asked."""
    path = f"{TASK_ROOT}/{name}.py"
    if path in _bytecode and _is_plain_source(name, entries):
        return _load_known(name, path)
    return importlib.import_module(name)


def skipped_frames():
    """What a stack that leads into the module lacks, because it was not the import system that ran
    it: lines for the front of a stack trace."""
    return _import_frames if _loading else []


def _record_import_frames():
    try:
        importlib.import_module("mayfly_raises")
    except RuntimeError as error:
        frames = traceback.extract_tb(error.__traceback__)[1:-1]
        _import_frames.extend(traceback.format_list(frames))


def _full_path(path):
    """A source of a layer is named by its whole path."""
    return path if path.startswith("/") else f"{TASK_ROOT}/{path}"


def add_bytecode(path, data):
    _bytecode[_full_path(path)] = data


def hide_package():
    """Before anything is compiled: nothing of the package may be imported by the compiler, or what
    it gives to all sandboxes could be the package's work. Returns what brings it back."""
    paths = sys.path[:]
    sys.path[:] = [path for path in paths if not path.startswith(_ROOTS)]
    return lambda: sys.path.__setitem__(slice(None), paths)


def compile_source(path):
    """The bytecode, or None for a source that INIT shall meet by itself: it is wrong, or the
    compiler has something to say of it that belongs into the function's log, or the package brings
    bytecode of its own."""
    full = _full_path(path)
    if os.path.exists(importlib.util.cache_from_source(full)):
        return None
    try:
        with open(full, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("error")
            return marshal.dumps(compile(file.read(), full, "exec", dont_inherit=True))
    except Exception:
        return None
