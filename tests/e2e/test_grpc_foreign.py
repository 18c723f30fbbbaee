# SPDX-License-Identifier: Apache-2.0
"""A client that has never seen our files: it learns the services by reflection, builds its messages
from what it is told, creates a function and invokes it."""

import json

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

import node as e2e

VERSIONS = ["v1", "v1alpha"]


class Reflected:
    def __init__(self, node, version):
        self.channel = node.channel
        package = f"grpc.reflection.{version}"
        self.request = node.protocol.message(f"{package}.ServerReflectionRequest")
        self.response = node.protocol.message(f"{package}.ServerReflectionResponse")
        self.method = f"/{package}.ServerReflection/ServerReflectionInfo"
        self.pool = descriptor_pool.DescriptorPool()
        self.added = set()

    def ask(self, *requests):
        call = self.channel.stream_stream(self.method, request_serializer=self.request.SerializeToString,
                                          response_deserializer=self.response.FromString)
        return list(call(iter(requests), timeout=30))

    def services(self):
        answer = self.ask(self.request(list_services=""))[0]
        return sorted(s.name for s in answer.list_services_response.service)

    def learn(self, symbol):
        """Takes in the file that has the symbol, after all that it needs."""
        answer = self.ask(self.request(file_containing_symbol=symbol))[0]
        files = [descriptor_pb2.FileDescriptorProto.FromString(f)
                 for f in answer.file_descriptor_response.file_descriptor_proto]
        assert files, answer
        for file in files:
            self.take(file, {f.name: f for f in files})

    def take(self, file, others):
        if file.name in self.added:
            return
        for name in file.dependency:
            if name not in others:
                answer = self.ask(self.request(file_by_filename=name))[0]
                for data in answer.file_descriptor_response.file_descriptor_proto:
                    found = descriptor_pb2.FileDescriptorProto.FromString(data)
                    others[found.name] = found
            self.take(others[name], others)
        self.pool.Add(file)
        self.added.add(file.name)

    def call(self, service, method, **fields):
        found = self.pool.FindServiceByName(service).FindMethodByName(method)
        request = e2e.message_class(self.pool, found.input_type.full_name)
        response = e2e.message_class(self.pool, found.output_type.full_name)
        stub = self.channel.unary_unary(f"/{service}/{method}", request_serializer=request.SerializeToString,
                                        response_deserializer=response.FromString)
        return stub(request(**fields), timeout=120)


@pytest.fixture(params=VERSIONS)
def reflected(request, node):
    return Reflected(node, request.param)


def test_services_are_listed(reflected):
    assert {"grpc.health.v1.Health", "mayfly.v1.FunctionService", "mayfly.v1.InvokeService", "mayfly.v1.LogService",
            "mayfly.v1.NodeService", "mayfly.v1.TemplateService"} <= set(reflected.services())


def test_create_and_invoke_by_reflection_alone(node, reflected):
    for symbol in ("mayfly.v1.FunctionService", "mayfly.v1.InvokeService"):
        reflected.learn(symbol)
    name = e2e.unique("foreign")
    made = reflected.call("mayfly.v1.FunctionService", "Create", function_name=name, runtime=e2e.PYTHON,
                          handler="index.handler",
                          zip_file=e2e.make_zip({"index.py": "def handler(e, c):\n    return e['a'] + 1\n"}))
    assert made.function_arn == f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
    active = \
        made.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_name["FUNCTION_STATE_ACTIVE"].number
    try:
        e2e.wait_until(lambda: reflected.call("mayfly.v1.FunctionService", "Get", function_name=name).state == active,
                       120, "Active")
        answer = reflected.call("mayfly.v1.InvokeService", "Invoke", function_name=name,
                                payload=json.dumps({"a": 41}).encode())
        assert answer.payload == b"42"
    finally:
        reflected.call("mayfly.v1.FunctionService", "Delete", function_name=name)


def test_reflection_refuses_what_it_does_not_know(reflected):
    answers = reflected.ask(reflected.request(file_containing_symbol="no.such.Thing"),
                            reflected.request(file_by_filename="no/such.proto"),
                            reflected.request(list_services=""))
    assert [a.WhichOneof("message_response") for a in answers] == \
        ["error_response", "error_response", "list_services_response"]
    assert all(a.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0] for a in answers[:2])


def test_symbols_of_methods_and_messages(reflected):
    for symbol in ("mayfly.v1.FunctionService.Create", "mayfly.v1.Function", "mayfly.v1.StartKind"):
        answer = reflected.ask(reflected.request(file_containing_symbol=symbol))[0]
        assert answer.file_descriptor_response.file_descriptor_proto, symbol


def test_health(node):
    assert node.health() == "SERVING"
    assert node.health("mayfly.v1.InvokeService") == "SERVING"
    with pytest.raises(grpc.RpcError) as error:
        node.health("no.such.Service")
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_health_watch(node):
    request = node.protocol.message("grpc.health.v1.HealthCheckRequest")
    response = node.protocol.message("grpc.health.v1.HealthCheckResponse")
    watch = node.channel.unary_stream("/grpc.health.v1.Health/Watch", request_serializer=request.SerializeToString,
                                      response_deserializer=response.FromString)
    call = watch(request(), timeout=30)
    assert response.ServingStatus.Name(next(call).status) == "SERVING"
    call.cancel()


def test_loopback_tcp_by_configuration(private_node):
    import socket
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    node = private_node({"api.listen_tcp": f"127.0.0.1:{port}", "api.listen_tcp_operator": "yes"}, templates=False)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = node.protocol.node_grpc.NodeServiceStub(channel)
        assert stub.GetNode(node.protocol.node.GetNodeRequest(), timeout=30).node_id


def test_socket_is_for_root_and_a_group(node):
    status = node.socket.stat()
    assert status.st_mode & 0o777 == 0o660
    assert status.st_uid == 0
