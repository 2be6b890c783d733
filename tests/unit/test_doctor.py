"""`mdjpt doctor`: what is found, and a cure for whatever is not well."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdjpt_platform.doctor import CHECKS, Finding, examine


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing set, and a token where Ray looks for it."""
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(0o600)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def finding(name: str) -> Finding:
    return next(found for found in (check() for check in CHECKS) if found.name == name)


def test_every_finding_is_printed_with_its_cure(capsys: pytest.CaptureFixture[str]) -> None:
    code = examine()
    lines = capsys.readouterr().out.splitlines()
    findings = [check() for check in CHECKS]
    assert code == (0 if all(found.ok for found in findings) else 1)
    for found in findings:
        place = next(i for i, line in enumerate(lines) if line[5:].startswith(f"{found.name}: "))
        assert lines[place].startswith("ok  " if found.ok else "MEND")
        assert found.ok or lines[place + 1] == f"     -> {found.cure}" != "     -> "


def test_packages_are_here() -> None:
    found = finding("packages")
    assert found.ok and "torch 2." in found.found and "ray 2." in found.found


def test_authentication_switched_off_is_not_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert examine() == 1
    assert "MEND Ray token: authentication is switched off" in capsys.readouterr().out


def test_token_is_found_and_never_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert finding("Ray token").ok
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "nowhere")
    assert finding("Ray token").ok and "makes one by itself" in finding("Ray token").found
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    assert not finding("Ray token").ok and "get-auth-token --generate" in finding("Ray token").cure
    monkeypatch.setenv("RAY_AUTH_TOKEN", "very-secret")
    assert finding("Ray token").ok
    examine()
    assert "secret" not in capsys.readouterr().out


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "http://127.0.0.1:{}"])
def test_cluster_that_answers(monkeypatch: pytest.MonkeyPatch, listening: int, form: str) -> None:
    monkeypatch.setenv("RAY_ADDRESS", form.format(listening))
    assert finding("Ray cluster").ok


def test_cluster_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, closed: int) -> None:
    assert finding("Ray cluster").ok, "none is needed"
    for address in (f"127.0.0.1:{closed}", "127.0.0.1:port"):
        monkeypatch.setenv("RAY_ADDRESS", address)
        found = finding("Ray cluster")
        assert not found.ok and address in found.found and "unset RAY_ADDRESS" in found.cure


def test_tracking_server(monkeypatch: pytest.MonkeyPatch, listening: int, closed: int) -> None:
    for uri, ok in ((f"http://127.0.0.1:{listening}/x", True), (f"http://127.0.0.1:{closed}", False), ("file:x", True)):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert finding("MLflow").ok is ok


def test_a_token_that_others_can_read_or_that_is_empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.chmod(0o644)
    assert not finding("Ray token").ok and finding("Ray token").cure == f"chmod 600 {token}"
    token.chmod(0o600)
    assert finding("Ray token").ok
    token.write_text("")
    assert not finding("Ray token").ok


def test_servers_that_listen_to_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    assert finding("loopback").ok
    monkeypatch.setenv("RAY_DASHBOARD_HOST", "0.0.0.0")
    assert not finding("loopback").ok and "RAY_DASHBOARD_HOST=0.0.0.0" in finding("loopback").found


def test_a_password_in_an_address_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, closed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://somebody:hunter2@127.0.0.1:{closed}")
    examine()
    assert "hunter2" not in capsys.readouterr().out and "127.0.0.1" in finding("MLflow").found
