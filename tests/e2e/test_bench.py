# SPDX-License-Identifier: Apache-2.0
"""The benchmark, with real microVMs and few samples: the shape of its answers, that each sample is
what it says, and that nothing is left. How fast it was is for people to judge."""

import json
import signal
import subprocess
import time

import pytest

import node as e2e

PHASES = ["admit", "place", "spawn", "load", "resume", "init", "handler", "reply"]
KINDS = {"boot": "Boot", "restore": "Restore", "spare": "Spare", "snapstart": "SnapStart", "warm": "Warm"}


@pytest.fixture
def bench(mayfly, node):
    def run(*args, **options):
        done = mayfly("bench", *args, "--output", "json", **options)
        assert benchmark_functions(node) == []
        answer = json.loads(done.stdout)
        check_host(answer["host"])
        return answer

    return run


def benchmark_functions(node):
    listed = node.functions.List(node.protocol.function.ListFunctionsRequest(), timeout=30)
    return [f.function_name for f in listed.functions if f.function_name.startswith("mayfly-bench-")]


def check_host(host):
    for name in ("CpuModel", "KernelRelease", "Accelerator", "AcceleratorReason", "QemuVersion", "LibvirtVersion",
                 "CgroupMode", "GuestKernel", "Version"):
        assert host[name], name
    assert host["CpuCount"] > 0 and host["InitramfsBytes"] > 0


def check_figures(figures, n):
    assert figures["n"] == n
    assert 0 < figures["p50_ms"] <= figures["p90_ms"] <= figures["max_ms"]
    assert ("p99_ms" in figures) == (n >= 100)
    assert list(figures["phases_ms"]) == PHASES
    assert figures["phases_ms"]["handler"] > 0
    assert 0 < figures["platform_p50_ms"] < figures["max_ms"]
    assert sum(kind["n"] for kind in figures["starts"].values()) == n, "each sample is of one kind"
    assert max(kind["max_ms"] for kind in figures["starts"].values()) == figures["max_ms"]


def test_cold_start_of_every_mode(bench, node, tmp_path):
    samples = tmp_path / "samples.jsonl"
    answer = bench("cold-start", "-n", "2", "--samples", samples, timeout=400)
    assert list(answer["modes"]) == list(KINDS)
    for mode, figures in answer["modes"].items():
        check_figures(figures, 2)
        assert list(figures["starts"]) == [KINDS[mode]]
    spawned = {mode for mode, figures in answer["modes"].items() if figures["phases_ms"]["spawn"] > 0}
    assert spawned == {"boot", "restore", "snapstart"}
    assert answer["modes"]["warm"]["phases_ms"]["init"] == 0
    assert answer["host"]["InitResidentBytes"] > 0, "a guest has booted by now"

    raw = answer["raw_qemu"]
    assert raw["n"] == 2 and len(raw["samples_ms"]) == 2
    assert {"spawn", "load", "restore", "init", "invoke", "total"} == set(raw["samples_ms"][0])
    assert set(answer["ratios"]) == {"spare/boot", "spare/warm", "restore/boot", "restore/raw", "snapstart/warm"}
    p50 = {mode: figures["p50_ms"] for mode, figures in answer["modes"].items()}
    assert answer["ratios"]["restore/raw"] == pytest.approx(p50["restore"] / raw["p50_ms"], rel=0.01)
    assert answer["ratios"]["spare/boot"] == pytest.approx(p50["spare"] / p50["boot"], rel=0.01)

    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    for mode, kind in KINDS.items():
        mine = [line for line in lines if line["mode"] == mode]
        assert sum(not line["discarded"] for line in mine) == 2
        assert sum(line["discarded"] for line in mine) == answer["modes"][mode]["discarded"]
        assert all((line["start_kind"] == kind) != line["discarded"] for line in mine)
        assert all(line["client_ms"] >= line["total_ms"] >= line["guest_ms"] for line in mine)
    cold = [line["sandbox_id"] for line in lines if line["mode"] != "warm" and not line["discarded"]]
    assert len(set(cold)) == len(cold), "a first invocation has a sandbox of its own"


def test_p99_needs_a_hundred_samples(bench):
    answer = bench("cold-start", "-n", "100", "--mode", "warm")
    check_figures(answer["modes"]["warm"], 100)
    assert list(answer["modes"]) == ["warm"] and "raw_qemu" not in answer


@pytest.mark.parametrize("runtime", [e2e.NODEJS, e2e.PROVIDED])
def test_other_runtimes(bench, runtime):
    answer = bench("cold-start", "-n", "1", "--mode", "restore,raw", "--runtime", runtime)
    assert answer["runtime"] == runtime
    check_figures(answer["modes"]["restore"], 1)
    assert answer["raw_qemu"]["p50_ms"] > 0


def test_without_the_baseline(bench):
    answer = bench("cold-start", "-n", "1", "--mode", "restore,raw", environment={"MAYFLY_RAW_QEMU": "/bin/false"})
    check_figures(answer["modes"]["restore"], 1)
    assert "raw_qemu" not in answer


def test_burst(bench):
    bursts = bench("burst", "--clients", "1,4", "--hold-ms", "2000")["bursts"]
    assert [burst["clients"] for burst in bursts] == [1, 4]
    for burst in bursts:
        check_figures(burst, burst["clients"])
        assert burst["failed"] == 0 and 1 <= burst["sandboxes_started"] <= burst["clients"]
        assert burst["sandboxes_started"] == sum(
            figures["n"] for kind, figures in burst["starts"].items() if kind != "Warm")
        assert burst["burst/raw"] == pytest.approx(
            burst["restores_per_second"] / burst["raw_restores_per_second"], rel=0.01)


@pytest.mark.parametrize("load", [("--closed", "--clients", "2"), ("--open", "--rate", "20", "--clients", "4")])
def test_throughput(bench, load):
    figures = bench("throughput", *load, "--duration", "1s")["throughput"]
    assert figures["failed"] == 0 and figures["n"] > 0 and figures["per_second"] > 0
    check_figures(figures, figures["n"])
    assert figures["starts"]["Warm"]["n"] > figures["n"] / 2
    if "--open" in load:
        assert figures["n"] == 20 and figures["wanted_per_second"] == 20


def test_density(bench):
    density = bench("density", "-n", "3")["density"]
    assert density["wanted"] == density["answering"] == 3 <= density["live"]
    assert 0 < density["anonymous_p50_bytes"] <= density["anonymous_max_bytes"]
    assert density["stopped"]["sandboxes"] == 3
    assert density["stopped"]["cpu_ms"] == 0


@pytest.mark.parametrize("verb", [("throughput", "--duration", "100s"), ("density", "-n", "2")])
def test_interrupted(build, node, verb):
    """Ctrl-C in the middle: exit code 130, and the function is gone."""
    before = node.gauges().invocations_total
    command = subprocess.Popen([build / "cli/mayfly", "bench", *verb, "--address", f"unix:{node.socket}"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        e2e.wait_until(lambda: node.gauges().invocations_total > before or node.gauges().invocations_running,
                       60, "the first invocation")
        command.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, err = command.communicate(timeout=60)
        assert command.returncode == 130, (out, err)
        assert time.monotonic() - began < 30, "what was to run for 100 s was ended"
    finally:
        command.kill()
    assert benchmark_functions(node) == []
