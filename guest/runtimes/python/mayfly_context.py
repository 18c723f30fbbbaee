# SPDX-License-Identifier: Apache-2.0
"""The context object that a handler gets."""

import json
import os
import time

import mayfly_logging


class CognitoIdentity:
    __slots__ = ["cognito_identity_id", "cognito_identity_pool_id"]

    def __init__(self, text):
        if not text:
            self.cognito_identity_id = self.cognito_identity_pool_id = None
            return
        identity = json.loads(text)
        self.cognito_identity_id = identity.get("cognitoIdentityId")
        self.cognito_identity_pool_id = identity.get("cognitoIdentityPoolId")

    def __repr__(self):
        return (f"CognitoIdentity([cognito_identity_id={self.cognito_identity_id},"
                f"cognito_identity_pool_id={self.cognito_identity_pool_id}])")


class Client:
    __slots__ = ["installation_id", "app_title", "app_version_name", "app_version_code",
                 "app_package_name"]

    def __init__(self, client):
        for name in self.__slots__:
            setattr(self, name, client.get(name))


class ClientContext:
    __slots__ = ["custom", "env", "client"]

    def __init__(self, text):
        context = json.loads(text)
        self.custom = context.get("custom")
        self.env = context.get("env")
        client = context.get("client")
        self.client = Client(client) if client else None


_function = (None, None, None)


def remember_function():
    """Reads what the environment says of the function, once."""
    global _function
    _function = (os.environ.get("AWS_LAMBDA_FUNCTION_NAME"),
                 os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"),
                 os.environ.get("AWS_LAMBDA_FUNCTION_VERSION"))


class LambdaContext:
    """Of one invocation."""

    def __init__(self, fields, log_group, log_stream):
        (request_id, function_arn, deadline_ms, _, client_context, identity, tenant_id) = fields
        self.aws_request_id = request_id
        self.log_group_name = log_group
        self.log_stream_name = log_stream
        self.function_name, self.memory_limit_in_mb, self.function_version = _function
        self.invoked_function_arn = function_arn
        self.tenant_id = tenant_id or None
        self.client_context = ClientContext(client_context) if client_context else None
        self.identity = CognitoIdentity(identity)
        self._epoch_deadline_time_in_ms = int(deadline_ms)

    def get_remaining_time_in_millis(self):
        return max(self._epoch_deadline_time_in_ms - int(time.time() * 1000), 0)

    def log(self, msg):
        mayfly_logging.write_line(msg)

    def __repr__(self):
        return (f"LambdaContext([aws_request_id={self.aws_request_id},"
                f"log_group_name={self.log_group_name},"
                f"log_stream_name={self.log_stream_name},"
                f"function_name={self.function_name},"
                f"memory_limit_in_mb={self.memory_limit_in_mb},"
                f"function_version={self.function_version},"
                f"invoked_function_arn={self.invoked_function_arn},"
                f"client_context={self.client_context},"
                f"identity={self.identity},"
                f"tenant_id={self.tenant_id}])")
