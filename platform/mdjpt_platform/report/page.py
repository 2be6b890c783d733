"""Templates that become pages: everything that comes from data escaped, one look for all."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mdjpt_platform.report.wording import capital

if TYPE_CHECKING:
    from jinja2 import Environment

CONTROLS = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(127, 160)), " ")


def filled(template: str, **values: Any) -> str:
    """A template of this folder with its values in place; a value that it lacks is an error."""
    return _environment().get_template(template).render(**values)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mdjpt_platform.report", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=_printable,
    )  # fmt: skip
    environment.filters["capital"] = capital
    return environment


def _printable(value: Any) -> Any:
    """Text of data without control characters, which HTML does not allow; what is already escaped stays."""
    return value.translate(CONTROLS) if type(value) is str else value
