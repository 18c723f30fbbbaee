# SPDX-License-Identifier: Apache-2.0
"""The managed Python runtime: started without a function and kept in a snapshot, given one
after the restore, then one event at a time (guest/init/shim.h)."""

import importlib
import json
import logging
import os
import sys
import time

import mayfly_context
import mayfly_import
import mayfly_link as link
import mayfly_logging
import mayfly_restore

# What handlers commonly import is in the snapshot; a function that brings a module of such a
# name gets its own (forget_shadowed).
_PRELOAD = ("base64", "collections", "contextlib", "copy", "csv", "dataclasses", "datetime",
            "decimal", "enum", "functools", "hashlib", "hmac", "html", "io", "itertools", "math",
            "operator", "pathlib", "random", "re", "shutil", "socket", "ssl", "string",
            "subprocess", "tempfile", "threading", "typing", "urllib.parse", "urllib.request",
            "uuid", "zipfile")
_LAMBDA_WARNING = ("LAMBDA_WARNING: Unhandled exception. The most likely cause is an issue in "
                   "the function code.")

_handler = None
_log_group = ""
_log_stream = ""
_has_function = False
_trace_id = ""
# Made once: json.dumps() makes one for each call that is not all defaults.
_encode = json.JSONEncoder(ensure_ascii=False).encode
_scan = json.JSONDecoder().scan_once


class Fault(Exception):
    """An error of this runtime's own, with Lambda's type for it."""

    def __init__(self, kind, message, trace=None):
        super().__init__(message)
        self.kind = kind
        self.trace = trace or []


def _error(message, kind, trace, request_id):
    return {"errorMessage": message, "errorType": kind, "requestId": request_id,
            "stackTrace": trace}


def _error_of_exception(request_id):
    kind, value, trace = sys.exc_info()
    if isinstance(value, Fault):
        return _error(str(value), value.kind, value.trace, request_id)
    frames = mayfly_import.skipped_frames() + mayfly_logging.format_stack(trace)
    return _error(str(value), kind.__name__, frames, request_id)


def _send_error(frame_kind, error):
    data = json.dumps(error, ensure_ascii=False).encode("utf-8", "replace")
    link.send(frame_kind, error["errorType"], data)


# ---- the function ----

def _set_environment(data):
    fresh = {}
    for entry in data.split(b"\0"):
        key, separator, value = os.fsdecode(entry).partition("=")
        if separator:
            fresh[key] = value
    fresh.pop("_LAMBDA_TELEMETRY_LOG_FD", None)
    for key in [key for key in os.environ if key not in fresh]:
        del os.environ[key]
    zone = os.environ.get("TZ")
    for key, value in fresh.items():
        if os.environ.get(key) != value:
            os.environ[key] = value
    if os.environ.get("TZ") != zone:
        time.tzset()


def _set_paths():
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    sys.path[:0] = [mayfly_import.TASK_ROOT, f"/opt/python/lib/{version}/site-packages", "/opt/python"]


def _forget_folders():
    """What the import system knows of the function's folders is from before their mount."""
    for folder in sys.path[:3]:
        finder = sys.path_importer_cache.get(folder)
        if finder:
            finder.invalidate_caches()
        else:
            sys.path_importer_cache.pop(folder, None)


def _list_folders():
    names = []
    for folder in sys.path[:3]:
        # An exception for each folder that is not there would cost more than this question.
        if os.access(folder, os.R_OK):
            names += os.listdir(folder)
    return names


def _forget_shadowed(entries):
    """A module of the function's own wins over one of the same name that was preloaded."""
    names = {entry.partition(".")[0] for entry in entries}
    if names.isdisjoint(_PRELOADED_ROOTS):
        return
    for name in list(sys.modules):
        root = name.partition(".")[0]
        if root in names and root in _PRELOADED_ROOTS:
            del sys.modules[name]


def _load_handler(text, entries=()):
    try:
        module_name, function_name = text.rsplit(".", 1)
    except ValueError as error:
        raise Fault("Runtime.MalformedHandlerName", f"Bad handler '{text}': {error}") from None
    try:
        if module_name.split(".")[0] in sys.builtin_module_names:
            raise ImportError(f"Cannot use built-in module {module_name} as a handler module")
        module = mayfly_import.load(module_name.replace("/", "."), entries)
    except ImportError as error:
        raise Fault("Runtime.ImportModuleError",
                    f"Unable to import module '{module_name}': {error}") from error
    except SyntaxError as error:
        trace = [f'  File "{error.filename}" Line {error.lineno}\n    {error.text}']
        raise Fault("Runtime.UserCodeSyntaxError",
                    f"Syntax error in module '{module_name}': {error}", trace) from error
    try:
        return getattr(module, function_name)
    except AttributeError:
        raise Fault("Runtime.HandlerNotFound",
                    f"Handler '{function_name}' missing on module '{module_name}'") from None


def _start(meta, data):
    global _handler, _log_group, _log_stream, _has_function
    handler, _log_group, _log_stream, log_format, level, entries = meta[:6]
    _has_function = True
    try:
        if data:
            _set_environment(data)
        mayfly_context.remember_function()
        mayfly_logging.configure(log_format, level)
        # init placed the package where this process already is, and says what lies there; else
        # it has mounted something over it.
        entries = entries.split("/") if entries else []
        if not entries:
            os.chdir(mayfly_import.TASK_ROOT)
            _forget_folders()
        _forget_shadowed(entries or _list_folders())
        # The package is read-only: trying to leave bytecode there only raises.
        writes_none, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        _handler = _load_handler(handler, entries)
        sys.dont_write_bytecode = writes_none
    except Exception:
        error = _error_of_exception("")
        print(_LAMBDA_WARNING)
        mayfly_logging.log_error(error)
        sys.stdout.flush()
        _send_error(link.INIT_ERROR, error)
        sys.exit(1)
    sys.stdout.flush()
    link.send(link.READY)


# ---- events ----

def _decode(text):
    """json.loads() without the regular expressions for white space that is not there."""
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        end = -1
    return value if end == len(text) else json.loads(text)


def _run(handler, meta, data):
    """The answer's content type and bytes."""
    try:
        event = _decode(str(data, "utf-8")) if data else {}
    except Exception as error:
        raise Fault("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}") from None
    context = mayfly_context.LambdaContext(meta[:7], _log_group, _log_stream)
    result = handler(event, context)
    if isinstance(result, bytes):
        return "application/unknown", result
    try:
        return "application/json", _encode(result).encode("utf-8")
    except Exception as error:
        raise Fault("Runtime.MarshalError", f"Unable to marshal response: {error}") from None


def _set_trace(trace_id):
    global _trace_id
    if trace_id == _trace_id:
        return
    _trace_id = trace_id
    if trace_id:
        os.environ["_X_AMZN_TRACE_ID"] = trace_id
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)


def _invoke(meta, data):
    mayfly_logging.request_id = meta[0]
    mayfly_logging.tenant_id = meta[6]
    _set_trace(meta[3])
    try:
        content_type, body = _run(_handler, meta, data)
    except Exception:
        error = _error_of_exception(meta[0])
        mayfly_logging.log_error(error)
        sys.stdout.flush()
        _send_error(link.ERROR, error)
        return
    sys.stdout.flush()
    link.send(link.RESPONSE, content_type, body)


def _ping_handler(event, context):
    logging.getLogger().warning("ping %s", context.aws_request_id)
    if not _has_function:
        print(json.dumps(event))
        # Imports anew, the way a function's module is imported.
        sys.modules.pop("mayfly_warm", None)
        importlib.invalidate_caches()
        _load_handler("mayfly_warm.handler")
    return {"pong": event, "left": context.get_remaining_time_in_millis()}


_PING_META = ["00000000-0000-4000-8000-000000000000", "arn", "0", "", "", "", "", ""]


def _ping(data):
    """Goes the way of an event, so that all of it is warm; leaves nothing in a function's log."""
    mayfly_logging.mute(_has_function)
    _run(_ping_handler, _PING_META, data)
    sys.stdout.flush()
    mayfly_logging.mute(False)
    link.send(link.PONG)


# ---- snapshots ----

def _hooks(kind, function):
    try:
        function()
    except Exception:
        error = _error_of_exception("")
        mayfly_logging.log_error(error)
        sys.stdout.flush()
        error_data = json.dumps(error, ensure_ascii=False).encode("utf-8", "replace")
        link.send(link.HOOKS_DONE, kind, error_data)
        return
    sys.stdout.flush()
    link.send(link.HOOKS_DONE)


def _reseed(flags, data):
    def restore():
        function_ran = bool(flags & link.FLAG_RESTORE_HOOKS)
        mayfly_restore.reseed(data, function_ran)
        if function_ran:
            mayfly_restore.run_after_restore()

    _hooks("Runtime.AfterRestoreError", restore)


def _compile(paths):
    show_package = mayfly_import.hide_package()
    for path in paths:
        bytecode = mayfly_import.compile_source(path)
        if bytecode:
            link.send(link.COMPILED, path, bytecode)
    show_package()
    link.send(link.COMPILED)


def main():
    while True:
        kind, flags, meta, data = link.receive()
        if kind == link.INVOKE:
            _invoke(meta, data)
        elif kind == link.PING:
            _ping(data)
        elif kind == link.START:
            _start(meta, data)
        elif kind == link.RESEED:
            _reseed(flags, data)
        elif kind == link.BEFORE_SNAPSHOT:
            _hooks("Runtime.BeforeSnapshotError", mayfly_restore.run_before_snapshot)
        elif kind == link.BYTECODE:
            mayfly_import.add_bytecode(meta[0], data)
        elif kind == link.COMPILE:
            _compile(meta)


def _preload():
    # Started again with its function, after a crash: no snapshot follows, the function waits.
    names = () if "_HANDLER" in os.environ else _PRELOAD
    before = set(sys.modules)
    for name in names:
        importlib.import_module(name)
    loaded = {name.split(".")[0] for name in set(sys.modules) - before}
    return loaded | {name.split(".")[0] for name in names}


_PRELOADED_ROOTS = _preload()

if __name__ == "__main__":
    link.open_link()
    mayfly_logging.set_up()
    mayfly_import.set_up()
    _set_paths()
    link.send(link.HELLO, "%d.%d.%d" % sys.version_info[:3])
    main()
