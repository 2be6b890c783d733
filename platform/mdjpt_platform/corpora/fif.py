"""Is a FIF file whole? A file cut after the last signal buffer opens without a word, so its tags are walked first.

Tag: four big-endian int32 (kind, type, size of the data, where the next tag is: 0 right after this one, -1 nowhere).
"""

from __future__ import annotations

import struct
from pathlib import Path

from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import opened

_FILE_ID = 100
_HEADER = struct.Struct(">4i")


def check_whole(path: str | Path) -> None:
    """Raise BadInput unless every tag lies inside the file and one of them says that it is the last."""
    path = Path(path)
    try:
        size = path.stat().st_size
        with opened(path) as file:
            place, follows, first = 0, 0, True
            while follows != -1:
                file.seek(place)
                header = file.read(_HEADER.size)
                if len(header) < _HEADER.size:
                    raise BadInput(path, "size", f"{size} bytes", f"a tag at byte {place}: the file is truncated")
                kind, _, length, follows = _HEADER.unpack(header)
                end = place + _HEADER.size + length
                if (first and kind != _FILE_ID) or length < 0 or end > size or 0 < follows <= place or follows < -1:
                    raise BadInput(
                        path, f"FIF tag at byte {place}", f"{length} bytes in a file of {size}", "a whole file"
                    )
                place, first = follows or end, False
    except OSError as error:
        raise BadInput(path, "file", error.strerror, "a readable FIF file") from None
