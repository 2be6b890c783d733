"""The errors a user is meant to read: one line, then exit code 2."""

from __future__ import annotations


class MdjptError(Exception):
    """Something the user can mend; the message is the whole explanation."""


class BadInput(MdjptError):
    """Input that cannot be used: names the file, the field, what was found, what was expected."""

    def __init__(self, where: object, field: str, found: object, expected: object) -> None:
        self.where, self.field, self.found, self.expected = str(where), field, found, expected
        super().__init__(f"{where}: {field}: found {found}, expected {expected}")

    def __reduce__(self) -> tuple[type[BadInput], tuple[object, ...]]:
        """Survive the pickling between Ray processes (the default would replay one argument)."""
        return BadInput, (self.where, self.field, self.found, self.expected)
