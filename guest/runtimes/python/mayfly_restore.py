# SPDX-License-Identifier: Apache-2.0
"""What must differ in two processes that were one when the snapshot was taken."""

import gc
import sys

import snapshot_restore_py


def reseed(fresh):
    """Gives every generator that lives in this process a state of its own. The kernel's has
    been reseeded by init."""
    import random

    random.seed(fresh)
    for name, module in list(sys.modules.items()):
        if name == "tempfile":
            module._name_sequence = None
        elif name == "_ssl":
            module.RAND_add(fresh, float(len(fresh)))
        elif name == "numpy.random":
            module.seed(list(fresh))
        elif name == "uuid":
            module._last_timestamp = None


def run_before_snapshot():
    for function, args, kwargs in snapshot_restore_py.get_before_snapshot():
        function(*args, **kwargs)
    # Long-lived objects leave the collector's lists: their pages stay shared by all clones.
    gc.collect()
    gc.freeze()


def run_after_restore():
    for function, args, kwargs in snapshot_restore_py.get_after_restore():
        function(*args, **kwargs)
