# SPDX-License-Identifier: Apache-2.0
"""Logging as Lambda's Python runtimes have it: text lines or JSON objects, whole over the
telemetry descriptor when there is one, else as lines of stdout."""

import json
import logging
import os
import struct
import sys
import time
import traceback

_FRAME = struct.Struct(">IIQ")
_FRAME_TEXT = 0xA55A0003
_FRAME_JSON = 0xA55A0002
_LEVEL_BITS = {"TRACE": 4, "DEBUG": 8, "INFO": 12, "WARNING": 16, "WARN": 16, "ERROR": 20,
               "CRITICAL": 24, "FATAL": 24}
_NBSP = "\N{NO-BREAK SPACE}"
_OWN_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message", "asctime", "aws_request_id", "tenant_id"}

request_id = ""
tenant_id = None
_telemetry_fd = None
_json_format = False
_mute = False


def _open_telemetry():
    global _telemetry_fd
    fd = os.environ.pop("_LAMBDA_TELEMETRY_LOG_FD", None)
    if fd is None:
        return
    try:
        os.set_inheritable(int(fd), False)
        _telemetry_fd = int(fd)
    except (OSError, ValueError):
        _telemetry_fd = None


def _write(text, level, is_json=False):
    if _mute:
        return
    if _telemetry_fd is None:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        return
    data = text.encode("utf-8", "replace")
    kind = (_FRAME_JSON if is_json else _FRAME_TEXT) + _LEVEL_BITS.get(level, 0)
    frame = _FRAME.pack(kind, len(data), time.time_ns() // 1000) + data
    # What was printed before belongs before it.
    sys.stdout.flush()
    written = os.write(_telemetry_fd, frame)
    while written < len(frame):
        written += os.write(_telemetry_fd, frame[written:])


class _TextFormatter(logging.Formatter):
    converter = time.gmtime

    def __init__(self):
        super().__init__("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t"
                         "%(message)s\n", "%Y-%m-%dT%H:%M:%S")
        self._second = None
        self._stamp = ""

    def format(self, record):
        # The common case without the general machinery, which takes thrice as long.
        if record.exc_info or record.exc_text or record.stack_info:
            return super().format(record)
        second = int(record.created)
        if second != self._second:
            self._second = second
            t = time.gmtime(second)
            self._stamp = (f"{t.tm_year:04d}-{t.tm_mon:02d}-{t.tm_mday:02d}T"
                           f"{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}")
        return (f"[{record.levelname}]\t{self._stamp}.{int(record.msecs):03d}Z\t"
                f"{record.aws_request_id}\t{record.getMessage()}\n")


class _JsonFormatter(logging.Formatter):
    converter = time.gmtime

    def format(self, record):
        entry = {
            "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info and record.exc_info[0]:
            etype, value, trace = record.exc_info
            entry["stackTrace"] = format_stack(trace)
            entry["errorType"] = etype.__name__
            entry["errorMessage"] = str(value)
            entry["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
        if request_id:
            entry["requestId"] = request_id
        if tenant_id:
            entry["tenantId"] = tenant_id
        for key, value in record.__dict__.items():
            if key not in _OWN_FIELDS and key not in entry:
                entry[key] = value
        return json.dumps(entry, ensure_ascii=False, default=repr) + "\n"


class _Handler(logging.Handler):
    def emit(self, record):
        try:
            record.aws_request_id = request_id
            _write(self.format(record), record.levelname, _json_format)
        except Exception:
            self.handleError(record)


def set_up():
    """Gives the root logger its handler; text until a function says otherwise."""
    _open_telemetry()
    sys.stdout.reconfigure(line_buffering=True)
    handler = _Handler()
    handler.setFormatter(_TextFormatter())
    logging.getLogger().addHandler(handler)


def configure(log_format, level):
    """Of a function's LoggingConfig."""
    global _json_format
    root = logging.getLogger()
    if log_format == "JSON":
        _json_format = True
        for handler in root.handlers:
            handler.setFormatter(_JsonFormatter())
    names = {"TRACE": "DEBUG", "WARN": "WARNING", "FATAL": "CRITICAL"}
    if level:
        root.setLevel(names.get(level, level))


def mute(on):
    """Silences, for pings when there is a function whose log it would be."""
    global _mute
    _mute = on


def write_line(text):
    """What context.log() prints: no line break is added."""
    sys.stdout.write(str(text))


def format_stack(trace):
    """The lines of a traceback, without this runtime's own frames in front."""
    frames = [(f.filename, f.lineno, f.name, f.line) for f in traceback.extract_tb(trace)]
    while frames and frames[0][0].startswith("/var/runtime/") and len(frames) > 1:
        frames.pop(0)
    return traceback.format_list(frames)


def _indent(line):
    stripped = line.lstrip(" ")
    return _NBSP * (len(line) - len(stripped)) + stripped


def log_error(error):
    """Logs an error answer."""
    if _json_format:
        entry = {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                 "log_level": "ERROR"}
        entry.update(error)
        _write(json.dumps(entry, ensure_ascii=False) + "\n", "ERROR", True)
        return
    kind, message = error["errorType"], error["errorMessage"]
    head = "[ERROR]" + (f" {kind}" if kind else "")
    if message:
        head += (":" if kind else "") + f" {message}"
    lines = [head, "Traceback (most recent call last):"]
    for element in error["stackTrace"]:
        lines += [_indent(line) for line in element.splitlines()]
    # Without frames each line would become a log event of its own.
    _write(("\r" if _telemetry_fd is None else "\n").join(lines) + "\n", "ERROR")
