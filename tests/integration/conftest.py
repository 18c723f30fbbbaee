# SPDX-License-Identifier: Apache-2.0
"""Where the programs and the guest images are that these tests run."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def pytest_addoption(parser):
    parser.addoption("--build", default=os.environ.get("MAYFLY_BUILD", ROOT / "build/dev"),
                     help="build folder")


@pytest.fixture(scope="session")
def build(request):
    return Path(request.config.getoption("--build")).resolve()


@pytest.fixture(scope="session")
def images():
    path = Path(os.environ.get("MAYFLY_IMAGES", "/var/lib/mayfly/images"))
    assert (path / "images.json").exists(), f"no guest images in {path} (set MAYFLY_IMAGES)"
    return path
