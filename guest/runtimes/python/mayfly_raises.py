# SPDX-License-Identifier: Apache-2.0
"""Raises when it is imported: the stack of that is what the import system adds to one."""

raise RuntimeError
