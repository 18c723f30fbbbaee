# SPDX-License-Identifier: Apache-2.0
"""Pages of the list of functions: every one once, in order of name, whatever happens between."""

import pytest

import node as e2e

ZIP = e2e.make_zip({"index.py": "def handler(event, context):\n    return 1\n"})
COUNT = 120


@pytest.fixture(scope="module")
def crowd(node):
    prefix = e2e.unique("page")
    names = [f"{prefix}-{i:03d}" for i in range(COUNT)]
    futures = [node.functions.Create.future(node.create_request(n, e2e.PYTHON, ZIP), timeout=120) for n in names]
    for future in futures:
        future.result()
    yield names
    deletes = [node.functions.Delete.future(node.protocol.function.DeleteFunctionRequest(function_name=n), timeout=120)
               for n in names]
    for future in deletes:
        future.result()


def pages(node, max_items=0):
    marker, found = "", []
    for _ in range(1000):
        answer = node.functions.List(node.protocol.function.ListFunctionsRequest(
            max_items=max_items, marker=marker), timeout=30)
        found.append([f.function_name for f in answer.functions])
        marker = answer.next_marker
        if not marker:
            return found
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("max_items", [0, 1, 7, 50, 10000])
def test_every_function_once_and_in_order(node, crowd, max_items):
    found = pages(node, max_items)
    assert all(len(page) <= min(max_items or 50, 50) for page in found)
    names = [name for page in found for name in page]
    assert names == sorted(names) and len(set(names)) == len(names)
    assert [n for n in names if n in set(crowd)] == crowd
    assert found[-1], "the last page is not empty"


def test_deleting_the_marker_does_not_lose_the_place(node, crowd):
    f = node.protocol.function
    first = node.functions.List(f.ListFunctionsRequest(max_items=50), timeout=30)
    gone = first.functions[-1].function_name
    if gone not in crowd:
        pytest.skip("the page does not end in this test's crowd")
    node.delete(gone)
    second = node.functions.List(f.ListFunctionsRequest(max_items=50, marker=first.next_marker), timeout=30)
    node.create(e2e.PYTHON, ZIP, name=gone)
    assert second.functions[0].function_name > gone
    assert len(second.functions) == 50


def test_bad_marker_and_bad_size(node):
    f = node.protocol.function
    for request in (f.ListFunctionsRequest(marker="\x01 nonsense"), f.ListFunctionsRequest(max_items=10001)):
        refusal = node.refusal(node.functions.List, request)
        assert refusal.status == e2e.grpc.StatusCode.INVALID_ARGUMENT, refusal


def test_entries_are_whole(node, crowd):
    answer = node.functions.List(node.protocol.function.ListFunctionsRequest(max_items=50), timeout=30)
    listed = next(f for f in answer.functions if f.function_name in crowd)
    got = node.get(listed.function_name)
    for field in ("function_arn", "runtime", "handler", "memory_size_mb", "timeout_seconds", "code_sha256",
                  "code_size_bytes", "version", "last_modified_us", "revision_id"):
        assert getattr(listed, field) == getattr(got, field), field
    assert (got.memory_size_mb, got.timeout_seconds, got.ephemeral_storage_mb) == (128, 3, 512)
    assert got.logging_config.log_group == f"/aws/lambda/{got.function_name}"
