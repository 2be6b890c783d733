"""The interface that gloo is told."""

from __future__ import annotations

import os

import pytest
import ray.util

from mdjpt_platform.train.group import GLOO, interface_of, name_interface


def test_interface_of_an_address() -> None:
    assert interface_of("127.0.0.1") == "lo"
    assert interface_of("192.0.2.1") is None, "an address for documentation, nobody's own"


def test_what_a_person_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GLOO, "ib0")
    name_interface()
    assert os.environ[GLOO] == "ib0"


def test_the_interface_of_this_node_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GLOO, "")
    monkeypatch.delenv(GLOO)
    name_interface()
    assert os.environ.get(GLOO) == interface_of(ray.util.get_node_ip_address())
