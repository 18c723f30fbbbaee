# SPDX-License-Identifier: Apache-2.0
"""Hooks around a snapshot, under the names that Lambda's package has.

Before-snapshot hooks run in the reverse order of their registration, after-restore hooks in
the order of it.
"""

_before_snapshot = []
_after_restore = []


def register_before_snapshot(func, *args, **kwargs):
    """Has `func` run before the snapshot is taken. Usable as a decorator."""
    _before_snapshot.append((func, args, kwargs))
    return func


def register_after_restore(func, *args, **kwargs):
    """Has `func` run after each restore, before the first event. Usable as a decorator."""
    _after_restore.append((func, args, kwargs))
    return func


def get_before_snapshot():
    """The hooks as (function, args, kwargs), in the order in which they run."""
    return _before_snapshot[::-1]


def get_after_restore():
    """The hooks as (function, args, kwargs), in the order in which they run."""
    return list(_after_restore)
