"""The errors a user is meant to read: one line, then exit code 2."""

from __future__ import annotations

import errno
import re

LONGEST = 2000
"""Characters of what was found, or expected: names and values come from files and may be of any length."""
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys instead of showing: escape sequences, and marks that turn the direction of writing."""
LOGIN = re.compile(r"(://)[^/\s]*@")
OPTION = re.compile(r"([?&][^=&\s]*(?:key|secret|token|passw|credential|sig)[^=&\s]*=)[^&\s]+", re.IGNORECASE)


class MdjptError(Exception):
    """Something the user can mend; the message is the whole explanation."""

    code = 2
    """Exit code of a verb that ends with it."""

    def __str__(self) -> str:
        return printable(super().__str__())


class Preempted(MdjptError):
    """The run was told to end and did, with everything kept: the same command goes on."""

    code = 75
    """EX_TEMPFAIL of sysexits.h: try again later."""


class BadInput(MdjptError):
    """Input that cannot be used: names the file, the field, what was found, what was expected."""

    def __init__(self, where: object, field: str, found: object, expected: object) -> None:
        self.where, self.field, self.found, self.expected = str(where), field, found, expected
        super().__init__(f"{where}: {brief(field)}: found {brief(found)}, expected {brief(expected)}")

    def __reduce__(self) -> tuple[type[BadInput], tuple[object, ...]]:
        """Survive the pickling between Ray processes (the default would replay one argument)."""
        return BadInput, (self.where, self.field, self.found, self.expected)


def is_full(error: OSError) -> bool:
    """Whether there is no room on the disk, or none that this user or process may take."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def full_disk(error: OSError) -> str:
    """One line for it; whatever is finished is whole, since files of ours appear whole or not at all."""
    where = error.filename or "a file"
    return printable(f"{where}: cannot be written: {error.strerror}; make room there and start the same command again")


def brief(value: object) -> str:
    """A value as text, cut where nobody would read on."""
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"


def printable(text: str) -> str:
    """Text for terminals and logs: control characters spelled out, no passwords of addresses."""
    return UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], masked(text))


def masked(text: str) -> str:
    """Text with the user and password of every address (`http://user:password@host`) and its secret options hidden."""
    return OPTION.sub(r"\1***", LOGIN.sub(r"\1***@", text))
