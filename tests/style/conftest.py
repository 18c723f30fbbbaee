# SPDX-License-Identifier: Apache-2.0
"""Options of the style tests."""


def pytest_addoption(parser):
    parser.addoption("--build", default="build/dev", help="build folder with mayflyd")
