# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end suite. One node serves the whole session; tests that stop, starve or
break a node have a private one, to which the session's base templates are linked."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import node as e2e

ROOT = Path(__file__).resolve().parents[2]


def pytest_addoption(parser):
    parser.addoption("--build", default=os.environ.get("MAYFLY_BUILD", ROOT / "build/dev"),
                     help="build folder with agent/mayflyd and cli/mayfly")


def pytest_report_header(config):
    return f"mayfly: build {config.getoption('--build')}, images {images_folder()}"


def images_folder():
    """What ./check says, else those of tools/dev-images."""
    return Path(os.environ.get("MAYFLY_IMAGES", "/var/tmp/mayfly-images"))


@pytest.fixture(scope="session")
def build(request):
    path = Path(request.config.getoption("--build")).resolve()
    assert (path / "agent/mayflyd").exists(), f"{path}/agent/mayflyd is not built"
    return path


@pytest.fixture(scope="session")
def images():
    path = images_folder()
    assert (path / "images.json").exists(), f"no guest images in {path}"
    return path


@pytest.fixture(scope="session")
def protocol(tmp_path_factory):
    return e2e.Protocol(tmp_path_factory.mktemp("stubs"))


@pytest.fixture(scope="session")
def node(protocol, build, images):
    """The session's node. Its clean end is part of the suite: nothing may be left."""
    node = e2e.Node(protocol, build, images)
    try:
        node.start()
        yield node
        node.stop()
    finally:
        node.destroy()


@pytest.fixture(scope="session")
def base_templates(node):
    """The folder of the session's base templates, once each runtime has one."""
    request = node.protocol.node.BuildTemplateRequest
    e2e.in_parallel([
        lambda runtime=runtime: list(node.templates.Build(
            request(runtime=runtime, memory_size_mb=128), timeout=240))
        for runtime in (e2e.PYTHON, e2e.NODEJS, e2e.PROVIDED)])
    return node.state / "templates"


@pytest.fixture
def private_node(protocol, build, images, request):
    """Makes nodes with other configurations: private_node({"pool.spares": 2}). Templates are
    linked from the session's node unless told otherwise, because a build takes seconds."""
    nodes = []

    def make(config=None, templates=True, start=True, copy=False, **options):
        made = e2e.Node(protocol, build, images, config, **options)
        nodes.append(made)
        if templates:
            source = request.getfixturevalue("base_templates")
            made.state.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", *([] if copy else ["-l"]), "--sparse=always", source,
                            made.state / "templates"], check=True, timeout=120)
        return made.start() if start else made

    yield make
    failures = []
    for made in nodes:
        try:
            if made.process and made.process.poll() is None:
                made.stop()
        except (AssertionError, subprocess.TimeoutExpired) as error:
            failures.append(error)
        finally:
            made.destroy()
    assert not failures, failures


@pytest.fixture
def deploy(node):
    """node.create() for the session's node; the functions go when the test is over."""
    names = []

    def make(*args, **options):
        name = options.pop("name", None) or e2e.unique()
        names.append(name)
        return node.create(*args, name=name, **options)

    yield make
    for name in names:
        try:
            node.delete(name)
        except e2e.grpc.RpcError:
            pass  # the test deleted it, or it never came to be


PYTHON_PROBE = """
import os, sys, json, time, random, uuid, resource, signal, socket, subprocess, threading
import http.client, logging
born = {"time": time.time(), "random": random.random(), "uuid": str(uuid.uuid4()), "pid": os.getpid()}
calls = 0

def handler(event, context):
    global calls
    calls += 1
    scope = {"event": event, "context": context, "result": None, **globals()}
    exec(event["code"], scope)
    return scope["result"]
"""

NODEJS_PROBE = """
const AsyncFunction = (async () => {}).constructor;
const crypto = require('crypto');
const born = { time: Date.now(), random: Math.random(), uuid: crypto.randomUUID() };
let calls = 0;
exports.handler = async (event, context) => {
  calls += 1;
  return await new AsyncFunction('event', 'context', 'require', 'born', 'calls', event.code)(
    event, context, require, born, calls);
};
"""


class Probe:
    """A function that runs the code it is sent: looks around from inside of a microVM."""

    def __init__(self, node, name):
        self.node, self.name = node, name

    def run(self, code, **event):
        result = self.node.invoke(self.name, {"code": code, **event})
        assert not result.error, result
        return result.json

    def result(self, code, **event):
        return self.node.invoke(self.name, {"code": code, **event})


@pytest.fixture(scope="session")
def python_probe(node):
    return Probe(node, node.create(e2e.PYTHON, {"index.py": PYTHON_PROBE}, name=e2e.unique("py-probe"),
                                   timeout_seconds=20, environment={"USER_KEY": "user value"}))


@pytest.fixture(scope="session")
def nodejs_probe(node):
    return Probe(node, node.create(e2e.NODEJS, {"index.js": NODEJS_PROBE}, name=e2e.unique("js-probe"),
                                   timeout_seconds=20, environment={"USER_KEY": "user value"}))


@pytest.fixture(scope="session")
def static_program(tmp_path_factory):
    """Compiles a C file of this folder to a static program, which any Linux can run."""
    def build_program(name):
        out = tmp_path_factory.mktemp("static") / "bootstrap"
        compiler = shutil.which("gcc") or "cc"
        subprocess.run([compiler, "-static", "-Os", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-o", out,
                        Path(__file__).parent / name], check=True, timeout=60)
        return out.read_bytes()

    return build_program


@pytest.fixture(scope="session")
def mayfly(build, node):
    """Runs the command against the session's node: mayfly("invoke", "name")."""
    def run(*args, check=True, stdin=None, timeout=180, socket=None, environment=None):
        done = subprocess.run([build / "cli/mayfly", *map(str, args)], capture_output=True, timeout=timeout,
                              input=stdin, env={**os.environ, "MAYFLY_ADDRESS": f"unix:{socket or node.socket}",
                                                **(environment or {})})
        assert not check or done.returncode == 0, (args, done.returncode, done.stdout, done.stderr)
        return done

    return run
