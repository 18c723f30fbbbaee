# SPDX-License-Identifier: Apache-2.0
"""Layers as functions meet them, below /opt, small ones in a message and big ones on a disk; and tags."""

import json
import subprocess

import pytest

import node as e2e

# Code to be run inside; its modules are forgotten, so that each event looks anew.
PROBE = """
import os, sys, stat, ctypes, importlib, json
import shared
born = shared.NAME
def handler(event, context):
    scope = {**globals(), "result": None}
    exec(event["code"], scope)
    return scope["result"]
"""

LOOK = """
import sitepkg
walk = {}
for folder, names, files in os.walk("/opt"):
    for name in names + files:
        st = os.lstat(os.path.join(folder, name))
        walk[os.path.relpath(os.path.join(folder, name), "/opt")] = [oct(st.st_mode), st.st_uid, st.st_gid]
try:
    open("/opt/new", "w")
    written = "yes"
except OSError as error:
    written = error.strerror
code = shared.__loader__.get_code("shared").co_filename
result = dict(born=born, site=sitepkg.NAME, walk=walk, written=written, opt=oct(os.stat("/opt").st_mode),
              paths=[p for p in sys.path if p.startswith(("/var/task", "/opt"))], file=shared.__file__, code=code,
              kind=os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"])
"""

FIRST = {"python/shared.py": "NAME = 'first'\n", "python/lib/python3.13/site-packages/sitepkg.py": "NAME = 'site'\n",
         "both.txt": "first", "one.txt": "one"}
SECOND = {"python/shared.py": "NAME = 'second'\n", "both.txt": "second"}
FILLER = {"filler.bin": b"\0" * 70000}


class Layers:
    def __init__(self, node):
        self.node, self.m = node, node.protocol.layer
        self.stub = node.protocol.layer_grpc.LayerServiceStub(node.channel)

    def publish(self, files, name=None, **options):
        return self.stub.PublishLayerVersion(self.m.PublishLayerVersionRequest(
            layer_name=name or e2e.unique("layer"), zip_file=e2e.make_zip(files), **options), timeout=60)

    def delete(self, version):
        self.stub.DeleteLayerVersion(self.m.DeleteLayerVersionRequest(
            layer_name=version.layer_name, version_number=version.version), timeout=30)


@pytest.fixture(scope="module")
def layers(node):
    return Layers(node)


def arns(*versions):
    return [version.layer_version_arn for version in versions]


def configure(node, name, **fields):
    f = node.protocol.function
    if "layers" in fields:
        fields["layers"] = f.FunctionLayerList(arns=fields["layers"])
    node.functions.UpdateConfiguration(f.UpdateFunctionConfigurationRequest(function_name=name, **fields), timeout=60)
    return node.wait_active(name)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A shared library of one function."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "answer.c").write_text("int answer(void) { return 42; }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-Os", "-s", "-o", folder / "libanswer.so", folder / "answer.c"],
                   check=True, timeout=60)
    return (folder / "libanswer.so").read_bytes()


def test_python(node, deploy, layers, library):
    first, second = layers.publish(FIRST), layers.publish(SECOND)
    name = deploy(e2e.PYTHON, {"index.py": PROBE}, layers=arns(first, second), timeout_seconds=60)
    shown = node.get(name)
    assert [(l.arn, l.code_size_bytes) for l in shown.layers] == \
        [(v.layer_version_arn, v.code_size_bytes) for v in (first, second)]

    seen = node.invoke(name, {"code": LOOK}).json
    assert (seen["born"], seen["site"], seen["written"], seen["opt"]) == \
        ("second", "site", "Read-only file system", "0o40755")
    assert seen["walk"] == {
        "python": ["0o40755", 0, 0], "python/shared.py": ["0o100644", 0, 0], "python/lib": ["0o40755", 0, 0],
        "python/lib/python3.13": ["0o40755", 0, 0], "python/lib/python3.13/site-packages": ["0o40755", 0, 0],
        "python/lib/python3.13/site-packages/sitepkg.py": ["0o100644", 0, 0],
        "both.txt": ["0o100644", 0, 0], "one.txt": ["0o100644", 0, 0]}
    assert seen["paths"] == ["/var/task", "/opt/python/lib/python3.13/site-packages", "/opt/python"]
    assert seen["file"] == seen["code"] == "/opt/python/shared.py"
    texts = "result = [open('/opt/both.txt').read(), open('/opt/one.txt').read()]"
    assert node.invoke(name, {"code": texts}).json == ["second", "one"]

    # Both versions go; the function keeps them, and so does new code for it, the other way round not.
    layers.delete(first)
    layers.delete(second)
    layers.delete(second)
    f = node.protocol.function
    node.functions.UpdateCode(f.UpdateFunctionCodeRequest(
        function_name=name, zip_file=e2e.make_zip({"index.py": PROBE + "\nborn = 'new ' + born\n"})), timeout=60)
    node.wait_active(name)
    assert node.invoke(name, {"code": LOOK}).json["born"] == "new second"
    refusal = node.refusal(node.functions.UpdateConfiguration, f.UpdateFunctionConfigurationRequest(
        function_name=name, layers=f.FunctionLayerList(arns=arns(second))))
    assert refusal.message == f"Layer version {second.layer_version_arn} does not exist.", refusal

    # Too big for a message: from a disk, under SnapStart, in a version that keeps it all.
    third = layers.publish({**SECOND, **FILLER, "python/lib/python3.13/site-packages/sitepkg.py": "NAME = 'big'\n",
                            "python/shared.py": "NAME = 'third'\n", "lib/libanswer.so": library})
    configure(node, name, layers=arns(third), snap_start=f.SnapStart(
        apply_on=f.SnapStartApplyOn.Value("SNAP_START_APPLY_ON_PUBLISHED_VERSIONS")))
    number = "result = [born, ctypes.CDLL('libanswer.so').answer(), os.listdir('/var/task')]"
    assert node.invoke(name, {"code": number}).json == ["new third", 42, ["index.py"]]
    version = node.functions.PublishVersion(f.PublishVersionRequest(function_name=name), timeout=60)
    assert version.version == "1" and [l.arn for l in version.layers] == arns(third)
    without = configure(node, name, layers=[])
    assert not without.layers
    e2e.wait_until(lambda: node.functions.Get(f.GetFunctionRequest(function_name=name, qualifier="1"), timeout=30).state
                   == f.FUNCTION_STATE_ACTIVE, 120, "the version Active")
    snapped = node.invoke(name, {"code": LOOK}, qualifier="1").json
    assert (snapped["born"], snapped["site"], snapped["kind"]) == ("new third", "big", "snap-start")
    assert node.invoke(name, {"code": number}, qualifier="1").json == ["new third", 42, ["index.py"]]
    failed = node.invoke(name, {"code": LOOK})
    assert "No module named 'shared'" in failed.json["errorMessage"]


def test_nodejs(node, deploy, layers):
    versions = [layers.publish({"nodejs/node_modules/plain/index.js": "module.exports = 'plain';\n"}),
                layers.publish({"nodejs/node20/node_modules/major/index.js": "module.exports = 'major';\n"})]
    name = deploy(e2e.NODEJS, {"index.js": "const found = [require('plain'), require('major')];\n"
                                           "exports.handler = async () => found;\n"}, layers=arns(*versions))
    assert node.invoke(name, {}).json == ["plain", "major"]


def test_provided_and_wrapper(node, deploy, layers, static_program):
    runtime = layers.publish({
        "bootstrap": '#!/bin/sh\necho "tool says $(tool.sh) in $(pwd)"\nexec /opt/inner/bootstrap\n',
        "inner/bootstrap": static_program("scripted_bootstrap.c"), "bin/tool.sh": "#!/bin/sh\necho hello\n"})
    name = deploy(e2e.PROVIDED, {"readme.txt": "no code"}, "not.used", layers=arns(runtime))
    assert node.invoke(name, "POST|/invocation/@/response||true").payload == b"true"
    assert "tool says hello in /var/task\n" in node.log_text(name)

    wrapper = layers.publish({"wrapper.sh": '#!/bin/sh\nexport WRAPPED=yes\nexec "$@"\n', **SECOND})
    name = deploy(e2e.PYTHON, {"index.py": PROBE}, layers=arns(wrapper), timeout_seconds=30,
                  environment={"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper.sh"})
    assert node.invoke(name, {"code": "result = [born, os.environ['WRAPPED']]"}).json == ["second", "yes"]


def test_rules(node, deploy, layers):
    m = layers.m
    name = e2e.unique("ruled")
    versions = [layers.publish({"a": "1"}, name, compatible_runtimes=["python3.13"], license_info="MIT"),
                layers.publish({"a": "2"}, name, description="two", compatible_architectures=["x86_64"]),
                layers.publish({"a": "3"}, name)]
    assert [v.version for v in versions] == [1, 2, 3]
    listed = layers.stub.ListLayerVersions(m.ListLayerVersionsRequest(layer_name=name, max_items=2), timeout=30)
    assert [v.version for v in listed.layer_versions] == [3, 2]
    rest = layers.stub.ListLayerVersions(m.ListLayerVersionsRequest(
        layer_name=name, max_items=2, marker=listed.next_marker), timeout=30)
    assert ([v.version for v in rest.layer_versions], rest.next_marker) == ([1], "")
    suited = layers.stub.ListLayers(m.ListLayersRequest(compatible_runtime="python3.13"), timeout=30).layers
    assert [v.version for v in suited if v.layer_name == name] == [1]
    found = layers.stub.GetLayerVersionByArn(m.GetLayerVersionByArnRequest(arn=arns(versions[0])[0]), timeout=30)
    assert found == versions[0] and found.license_info == "MIT"
    # A number is given once.
    layers.delete(versions[2])
    assert layers.publish({"a": "4"}, name).version == 4
    missing = node.refusal(layers.stub.GetLayerVersion, m.GetLayerVersionRequest(layer_name=name, version_number=3))
    assert missing.message == "The resource you requested does not exist." and \
        missing.status == e2e.grpc.StatusCode.NOT_FOUND, missing
    for call, request in ((layers.stub.GetLayerVersion, m.GetLayerVersionRequest),
                          (layers.stub.DeleteLayerVersion, m.DeleteLayerVersionRequest)):
        assert node.refusal(call, request(layer_name=name)).message == "Layer Version Cannot be less than 1"

    def refused(layer_arns):
        return node.refusal(node.functions.Create, node.create_request(
            e2e.unique(), e2e.PYTHON, {"index.py": ""}, layers=layer_arns)).message

    one, two = arns(*versions[:2])
    assert refused([f"{one[:-1]}{n}" for n in range(1, 7)]) == "Cannot reference more than 5 layers."
    assert refused([one, two]) == ("Two different versions of the same layer are not allowed to be referenced in the "
                                   f"same function. {one} and {two} are versions of the same layer.")
    assert refused([one.replace(":layer:", ":layer:no-")]).endswith("does not exist.")
    region = one.split(":")[3]
    assert refused([one.replace(region, "us-east-9")]) == \
        f"Layers are not in the same region as the function. Layers are expected to be in region {region}."
    assert "at 'layers' failed to satisfy constraint" in refused([one.rsplit(":", 1)[0]])
    assert node.refusal(layers.stub.PublishLayerVersion, m.PublishLayerVersionRequest(
        layer_name=name, zip_file=e2e.make_zip({"../task/x": "x"}))).reason == "InvalidZipFileException"


def test_command_and_tags(node, mayfly, tmp_path):
    (tmp_path / "layer/python").mkdir(parents=True)
    (tmp_path / "layer/python/shared.py").write_text("NAME = 'shared'\n")
    (tmp_path / "code").mkdir()
    (tmp_path / "code/index.py").write_text("def handler(event, context):\n    return 1\n")
    layer, name = e2e.unique("cli-layer"), e2e.unique("cli")

    def answer(*args):
        return json.loads(mayfly(*args, "-o", "json").stdout)

    one = answer("layer", "publish", layer, "--dir", tmp_path / "layer", "--compatible-runtimes", "python3.13",
                 "python3.12", "--description", "d", "--license-info", "MIT")
    assert one["Version"] == 1 and one["CompatibleRuntimes"] == ["python3.13", "python3.12"]
    assert answer("layer", "get", "--arn", one["LayerVersionArn"]) == one == \
        answer("layer", "get", "--layer-name", layer, "--version-number", "1")
    assert [v["Version"] for v in answer("layer", "list-versions", layer)["LayerVersions"]] == [1]
    assert one in [v["LatestMatchingVersion"] for v in answer("layer", "list")["Layers"]]
    created = answer("function", "create", name, "--dir", tmp_path / "code", "--runtime", e2e.PYTHON, "--handler",
                     "index.handler", "--no-wait", "--tags", "team=blue,stage=test", "--layers", one["LayerVersionArn"])
    try:
        assert created["Layers"] == [{"Arn": one["LayerVersionArn"], "CodeSize": one["Content"]["CodeSize"]}]
        assert answer("function", "get", name)["Tags"] == {"team": "blue", "stage": "test"}
        mayfly("tag", "--resource", created["FunctionArn"], "--tags", "team=green,cost=7")
        mayfly("untag", name, "--tag-keys", "stage", "none")
        assert answer("list-tags", name)["Tags"] == {"cost": "7", "team": "green"}
        node.wait_active(name)
        assert "Tags" not in answer("function", "get", name, "--qualifier", "$LATEST")
        assert "Layers" not in answer("function", "update-configuration", name, "--layers", "[]")
        mayfly("layer", "delete", layer, "--version-number", "1")
        assert answer("layer", "list-versions", layer)["LayerVersions"] == []
    finally:
        node.delete(name)

    t = node.protocol.tag
    stub = node.protocol.tag_grpc.TagServiceStub(node.channel)
    arn = created["FunctionArn"]
    assert node.refusal(stub.TagResource, t.TagResourceRequest(resource=arn, tags={"k": "v"})).message == \
        f"Function not found: {arn}"
    assert node.refusal(stub.TagResource, t.TagResourceRequest(resource=arn)).message == \
        "An error occurred and the request cannot be processed."
    assert node.refusal(stub.TagResource, t.TagResourceRequest(resource=arn + ":1", tags={"k": "v"})).message == \
        "Tags on function aliases and versions are not supported. Please specify a function ARN."
