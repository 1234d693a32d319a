"""What a reader is given: a file's bytes, how many may be held, and the words in which a file is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import stat
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MEGABYTE = 1_000_000
GZIP = b"\x1f\x8b"


def shown(value: object, most: int = 60) -> str:
    """A name or a value out of a file as a sentence can carry it: printable, on one line, short."""
    text = str(value)
    text = "".join(c if c.isprintable() else "?" for c in text[: most + 1])
    return text if len(text) <= most else f"{text[: most - 1]}…"


@dataclass(frozen=True, eq=False)
class Source:
    """A file, or a folder, whose ``data`` is empty then.

    limit: bytes that may be held. digest: of all that is read because of this source, other files included.
    """

    path: Path
    limit: int
    data: bytes = b""
    digest: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16))

    def refusal(self, reason: str, remedy: str, place: str = "") -> ValueError:
        """The error that names the file, the place in it, the reason and what to do, in one sentence."""
        where = ", ".join([shown(self.path.name or self.path), *([place] if place else [])])
        return ValueError(f"{where}: {reason}; {remedy}.")

    def damaged(self, kind: str, place: str = "") -> ValueError:
        return self.refusal(f"this is damaged or not {kind}", "save it again from where it was made", place)

    def check_size(self, count: int, what: str, place: str = "") -> None:
        """Raise ValueError where so many bytes are more than may be held."""
        if count > self.limit:
            raise self.refusal(
                f"{what} would take {_megabytes(count)} and the limit is {_megabytes(self.limit)}",
                "use fewer or smaller rows, or raise limit_mb",
                place,
            )


def _megabytes(count: int) -> str:
    return f"{shown(f'{count / MEGABYTE:,.0f}', 30)} MB" if count >= 10 * MEGABYTE else f"{count / MEGABYTE:.2g} MB"


def opened(path: Path, limit: int, digest: Any = None) -> Source:
    """The file or folder at a path; ValueError for none, an empty one, or one over the limit."""
    source = Source(path, limit) if digest is None else Source(path, limit, digest=digest)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return source
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device need not end
            raise source.refusal("this is neither a file nor a folder", "give the path of a file or a folder")
        source.check_size(status.st_size, "the file")
        with path.open("rb") as file:
            data = file.read(status.st_size + 1)
    except OSError as error:
        reason = (error.strerror or "not readable").lower()
        raise source.refusal(f"it cannot be opened ({reason})", "check the path and its permissions") from None
    if not data:
        raise source.refusal("the file is empty", "save the data again and give the new file")
    source.digest.update(data)
    return dataclasses.replace(source, data=data)


def unpacked(source: Source) -> Source:
    """The same source, or what a .gz file holds; never more than the limit is unpacked."""
    if not source.data.startswith(GZIP):
        return source
    stream = zlib.decompressobj(wbits=31)
    try:
        data = stream.decompress(source.data, source.limit + 1)
    except zlib.error:
        raise source.damaged("a .gz file") from None
    if len(data) > source.limit:
        raise source.refusal(f"it unpacks to more than the limit of {_megabytes(source.limit)}", "raise limit_mb")
    if not stream.eof:
        raise source.refusal("the .gz file is truncated", "copy or download it again")
    if stream.unused_data:
        raise source.refusal("there is more after the end of the .gz file", "pack the one file alone")
    if data.startswith((GZIP, b"PK\x03\x04")):
        raise source.refusal("the .gz file holds another archive", "unpack the outer one first")
    if not data:
        raise source.refusal("the .gz file holds an empty file", "pack the data again")
    return dataclasses.replace(source, data=data)
