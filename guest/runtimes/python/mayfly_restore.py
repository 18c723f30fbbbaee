# SPDX-License-Identifier: Apache-2.0
"""What must differ in two processes that were one when the snapshot was taken."""

import gc
import random
import sys

import snapshot_restore_py


def reseed(fresh, function_ran):
    """Gives every generator that lives in this process a state of its own. The kernel's has
    been reseeded by init."""
    # An integer is all entropy already; bytes would be hashed first.
    random.seed(int.from_bytes(fresh, "little"))
    modules = sys.modules
    if "tempfile" in modules:
        modules["tempfile"]._name_sequence = None
    if "uuid" in modules:
        modules["uuid"]._last_timestamp = None
    # The preloaded modules draw nothing from OpenSSL, whose generator takes its seed from the
    # kernel when it is first asked: after the restore, then, unless a function asked before.
    if not function_ran:
        return
    if "_ssl" in modules:
        modules["_ssl"].RAND_add(fresh, float(len(fresh)))
    if "numpy.random" in modules:
        modules["numpy.random"].seed(list(fresh))


def run_before_snapshot():
    for function, args, kwargs in snapshot_restore_py.get_before_snapshot():
        function(*args, **kwargs)
    # Long-lived objects leave the collector's lists: their pages stay shared by all clones.
    gc.collect()
    gc.freeze()


def run_after_restore():
    for function, args, kwargs in snapshot_restore_py.get_after_restore():
        function(*args, **kwargs)
