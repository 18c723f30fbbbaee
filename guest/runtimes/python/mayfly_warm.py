# SPDX-License-Identifier: Apache-2.0
"""Loaded by pings, so that the import system is warm before it loads a function."""

import json
import logging

logger = logging.getLogger(__name__)


def handler(event, context):
    return json.dumps(event)
