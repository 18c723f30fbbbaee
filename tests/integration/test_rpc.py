# SPDX-License-Identifier: Apache-2.0
"""A gRPC client that is not ours against lib/rpc: unary calls, errors with details, health,
and everything by reflection alone."""

import importlib
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
try:
    from google.protobuf.message_factory import GetMessageClass
except ImportError:  # protobuf 3
    from google.protobuf.message_factory import MessageFactory

    def GetMessageClass(descriptor):
        return MessageFactory(descriptor.file.pool).GetPrototype(descriptor)

ROOT = Path(__file__).resolve().parents[2]
PROTOS = ["mayfly/v1/function.proto", "mayfly/v1/log.proto", "google/rpc/status.proto",
          "google/rpc/error_details.proto", "grpc/health/v1/health.proto",
          "grpc/reflection/v1/reflection.proto", "grpc/reflection/v1alpha/reflection.proto"]
TIMEOUT = 20


@pytest.fixture(scope="module")
def stubs(tmp_path_factory):
    """The generated modules, by the name of their .proto file. They are put beside grpc's own
    package under names that do not hide it."""
    out = tmp_path_factory.mktemp("stubs")
    subprocess.run(["protoc", f"-I{ROOT}/proto", "-I/usr/include", f"--python_out={out}", *PROTOS], check=True)
    sys.path.insert(0, str(out))
    for package in ("grpc", "google"):
        importlib.import_module(package).__path__.append(str(out / package))
    try:
        yield {name: importlib.import_module(name[:-6].replace("/", ".") + "_pb2") for name in PROTOS}
    finally:
        sys.path.remove(str(out))


@pytest.fixture
def server(build):
    process = subprocess.Popen([build / "tests/integration/rpc-echo"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().split()
    finally:
        process.stdin.close()
        assert process.wait(timeout=TIMEOUT) == 0


@pytest.fixture(params=["unix", "tcp"])
def channel(server, request):
    with grpc.insecure_channel(server[request.param == "tcp"]) as channel:
        yield channel


def unary(channel, path, request, answer, **options):
    call = channel.unary_unary(path, request_serializer=lambda m: m.SerializeToString(),
                               response_deserializer=answer.FromString)
    return call.with_call(request, timeout=TIMEOUT, **options)


def test_unary(channel, stubs):
    m = stubs["mayfly/v1/function.proto"]
    answer, call = unary(channel, "/mayfly.v1.FunctionService/Get",
                         m.GetFunctionRequest(function_name="größe"), m.Function)
    assert answer.function_name == "größe"
    assert dict(call.trailing_metadata())["mayfly-test-bin"] == b"\0\1\2"


def test_gzip_request(channel, stubs):
    """Refused, of any size, and before anything is inflated: test_rpc_hostile.py has a bomb."""
    m = stubs["mayfly/v1/function.proto"]
    with pytest.raises(grpc.RpcError) as caught:
        unary(channel, "/mayfly.v1.FunctionService/Get", m.GetFunctionRequest(function_name="a" * 10000), m.Function,
              compression=grpc.Compression.Gzip)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert "gzip" in caught.value.details()


def failure(channel, path, request, answer):
    with pytest.raises(grpc.RpcError) as caught:
        unary(channel, path, request, answer)
    return caught.value


def test_error_details(channel, stubs):
    m, rpc = stubs["mayfly/v1/function.proto"], stubs["google/rpc/error_details.proto"]
    error = failure(channel, "/mayfly.v1.FunctionService/Get", m.GetFunctionRequest(function_name="missing"),
                    m.Function)
    assert error.code() == grpc.StatusCode.NOT_FOUND
    assert error.details() == "Function not found: missing"
    packed = dict(error.trailing_metadata())["grpc-status-details-bin"]
    status = stubs["google/rpc/status.proto"].Status.FromString(packed)
    assert (status.code, status.message) == (5, error.details())
    info, bad = rpc.ErrorInfo(), rpc.BadRequest()
    assert status.details[0].Unpack(info) and status.details[1].Unpack(bad)
    assert (info.reason, info.domain, dict(info.metadata)) == ("ResourceNotFoundException", "mayfly",
                                                               {"type": "User"})
    assert bad.field_violations[0].field == "function_name"


@pytest.mark.parametrize("path", ["/mayfly.v1.FunctionService/List", "/mayfly.v1.FunctionService/Nothing", "/x.Y/Z"])
def test_unknown_method_answers_at_once(channel, stubs, path):
    m = stubs["mayfly/v1/function.proto"]
    error = failure(channel, path, m.GetFunctionRequest(), m.Function)
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED


class Raw:
    """Bytes that pass for a message."""

    def __init__(self, data):
        self.data = data

    def SerializeToString(self):
        return self.data


@pytest.mark.parametrize("data, what", [(b"\x12\x03a\0b", "NUL"), (b"\x12\x01\xff", "UTF-8"), (b"\x12", "well-formed")])
def test_bad_bytes(channel, stubs, data, what):
    error = failure(channel, "/mayfly.v1.FunctionService/Get", Raw(data), stubs["mayfly/v1/function.proto"].Function)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert what in error.details()


def test_health(channel, stubs):
    m = stubs["grpc/health/v1/health.proto"]
    for name in ("", "mayfly.v1.FunctionService"):
        answer, _ = unary(channel, "/grpc.health.v1.Health/Check", m.HealthCheckRequest(service=name),
                          m.HealthCheckResponse)
        assert answer.status == m.HealthCheckResponse.SERVING
    error = failure(channel, "/grpc.health.v1.Health/Check", m.HealthCheckRequest(service="no.Such"),
                    m.HealthCheckResponse)
    assert error.code() == grpc.StatusCode.NOT_FOUND


def test_health_watch_ends_with_the_server(build, stubs):
    m = stubs["grpc/health/v1/health.proto"]
    process = subprocess.Popen([build / "tests/integration/rpc-echo"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    with grpc.insecure_channel(process.stdout.readline().split()[0]) as channel:
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch",
                                     request_serializer=m.HealthCheckRequest.SerializeToString,
                                     response_deserializer=m.HealthCheckResponse.FromString)
        answers = watch(m.HealthCheckRequest(), timeout=TIMEOUT)
        assert next(answers).status == m.HealthCheckResponse.SERVING
        process.stdin.close()
        assert next(answers).status == m.HealthCheckResponse.NOT_SERVING
        assert list(answers) == []
        assert process.wait(timeout=TIMEOUT) == 0


class Reflection:
    """Asks one question after the other on one stream."""

    def __init__(self, channel, module, version):
        self.module = module
        self.questions = []
        self.ready = threading.Condition()
        call = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=module.ServerReflectionRequest.SerializeToString,
            response_deserializer=module.ServerReflectionResponse.FromString)
        self.answers = call(self.feed(), timeout=TIMEOUT)

    def feed(self):
        while True:
            with self.ready:
                self.ready.wait_for(lambda: self.questions)
                question = self.questions.pop()
            if question is None:
                return
            yield question

    def ask(self, **question):
        self.put(self.module.ServerReflectionRequest(**question))
        return next(self.answers)

    def put(self, question):
        with self.ready:
            self.questions.append(question)
            self.ready.notify()

    def end(self):
        self.put(None)
        assert list(self.answers) == []


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_everything_by_reflection(channel, stubs, version):
    """Lists the services, fetches the files of one, builds its types, calls it."""
    reflection = Reflection(channel, stubs[f"grpc/reflection/{version}/reflection.proto"], version)
    answer = reflection.ask(list_services="")
    services = [s.name for s in answer.list_services_response.service]
    assert {"mayfly.v1.FunctionService", "mayfly.v1.LogService", "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection"} <= set(services)
    assert len(services) == len(set(services))

    pool, wanted, have = descriptor_pool.DescriptorPool(), [], set()
    answer = reflection.ask(file_containing_symbol="mayfly.v1.FunctionService")
    assert answer.original_request.file_containing_symbol == "mayfly.v1.FunctionService"
    files = list(answer.file_descriptor_response.file_descriptor_proto)
    parsed = []
    while files:
        file = descriptor_pb2.FileDescriptorProto.FromString(files.pop())
        parsed.insert(0, file)
        have.add(file.name)
        for name in file.dependency:
            if name not in have:
                files += reflection.ask(file_by_filename=name).file_descriptor_response.file_descriptor_proto
    for file in parsed:
        pool.Add(file)
    method = pool.FindServiceByName("mayfly.v1.FunctionService").FindMethodByName("Get")
    request = GetMessageClass(method.input_type)(function_name="reflected")
    answer, _ = unary(channel, "/mayfly.v1.FunctionService/Get", request, GetMessageClass(method.output_type))
    assert answer.function_name == "reflected"

    for symbol in ("mayfly.v1.FunctionService.Create", "mayfly.v1.Function", "mayfly.v1.Function.tenant",
                   "mayfly.v1.FunctionState", "grpc.health.v1.HealthCheckResponse.ServingStatus"):
        assert reflection.ask(file_containing_symbol=symbol).HasField("file_descriptor_response"), symbol
    for symbol in ("mayfly.v1.Nothing", "mayfly.v1", "", "mayfly.v1.Function.nothing"):
        assert reflection.ask(file_containing_symbol=symbol).error_response.error_code == 5, symbol
    assert reflection.ask(file_by_filename="no.proto").error_response.error_code == 5
    reflection.end()
