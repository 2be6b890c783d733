"""No pinned version lies below one that is known to be safe (`security-floors.csv`), and every floor is about a pin."""

from __future__ import annotations

import csv
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]


def pinned(text: str) -> dict[str, Version]:
    found = {}
    for line in text.splitlines():
        asked = Requirement(line)
        (exact,) = asked.specifier
        assert exact.operator == "==", line
        found[canonicalize_name(asked.name)] = Version(exact.version)
    return found


def below(pins: dict[str, Version], floors: list[dict[str, str]]) -> list[str]:
    return [
        f"{one['package']} {pins[name]} < {one['floor']} ({one['advisory']})"
        for one in floors
        if (name := canonicalize_name(one["package"])) not in pins or pins[name] < Version(one["floor"])
    ]


def floors() -> list[dict[str, str]]:
    with (ROOT / "security-floors.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_pins_are_at_their_floors_or_above() -> None:
    pins = pinned((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    assert {canonicalize_name(one["package"]) for one in floors()} <= pins.keys()
    assert below(pins, floors()) == []


def test_a_pin_below_its_floor_is_named() -> None:
    pins = pinned((ROOT / "constraints.txt").read_text(encoding="utf-8")) | {"ray": Version("2.53.0")}
    assert below(pins, floors()) == ["ray 2.53.0 < 2.54.0 (CVE-2026-27482)"]
