# SPDX-License-Identifier: Apache-2.0
"""The function that mayflyd --self-test runs: it answers with what must differ between clones."""

import json
import os


def lambda_handler(event, context):
    return {
        "six_times_seven": event["six"] * event["seven"],
        "log_stream": context.log_stream_name,
        "random": os.urandom(16).hex(),
    }
