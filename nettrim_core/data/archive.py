"""The files in a ZIP archive or a folder, read one by one into memory and never written anywhere."""

from __future__ import annotations

import io
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Protocol

from nettrim_core.data.source import MEGABYTE, Source, opened, shown

MOST_MEMBERS = 100_000
LARGEST_RATIO = 200  # of a member of more than MEGABYTE to what it takes in the archive
ARCHIVES = (".zip", ".gz", ".tar", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
LINK = 0o120000

_ENTRY = b"PK\x01\x02"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Store(Protocol):
    """Files by name, with "/" between folders."""

    @cached_property
    def names(self) -> list[str]: ...

    def read(self, name: str) -> bytes: ...


class Archive:
    """A ZIP archive whose members are checked before any is unpacked."""

    def __init__(self, source: Source) -> None:
        self.source = source
        # counted before zipfile makes an object of each
        if source.data.count(_ENTRY) > MOST_MEMBERS:
            raise source.refusal(f"there are more than {MOST_MEMBERS:,} members", "pack fewer files")
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(source.data))
            found = [info for info in self._zip.infolist() if not info.is_dir()]
        except Exception:  # a damaged directory raises whatever its reader stumbles over
            raise source.refusal(
                "the archive is truncated or damaged", "pack it again, or copy or download it again"
            ) from None
        self._members = {info.filename: info for info in found}
        if not found:
            raise source.refusal("the archive is empty", "pack the data again")
        if len(self._members) < len(found):
            raise source.refusal("two members have the same name", "pack the archive again")
        for info in found:
            self._check(info)
        source.check_size(sum(info.file_size for info in found), "the unpacked archive")
        if sum(info.compress_size for info in found) > len(source.data):
            raise source.refusal("members lie over each other, as in an archive bomb", "pack the files again")

    @cached_property
    def names(self) -> list[str]:
        return sorted(self._members)

    def read(self, name: str) -> bytes:
        info = self._members[name]
        try:
            with self._zip.open(info) as file:
                data = file.read(info.file_size + 1)
        except Exception:  # as above
            raise self.source.damaged("a member of an archive", member(name)) from None
        if len(data) != info.file_size:
            raise self.source.refusal("the member is truncated", "pack the archive again", member(name))
        return data

    def _check(self, info: zipfile.ZipInfo) -> None:
        name, reason = info.filename, ""
        if name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/"):
            reason = "the path leads out of the archive"
        elif info.external_attr >> 16 & 0o170000 == LINK:
            reason = "the member is a link, not a file"
        elif info.flag_bits & 1:
            reason = "the member is encrypted"
        elif Path(name).suffix.lower() in ARCHIVES:
            reason = "there is an archive inside the archive"
        elif info.compress_type not in _METHODS:
            reason = "the compression is neither deflate nor none"
        elif info.file_size > MEGABYTE and info.file_size > LARGEST_RATIO * info.compress_size:
            reason = f"it unpacks to more than {LARGEST_RATIO} times its size, as in an archive bomb"
        if reason:
            raise self.source.refusal(reason, "pack plain files alone, with ordinary compression", member(name))


class Folder:
    """A folder and those in it."""

    def __init__(self, source: Source) -> None:
        self.source, self._read = source, 0

    @cached_property
    def names(self) -> list[str]:
        found: list[str] = []
        folders = [self.source.path]
        while folders:
            folder = folders.pop()
            for path in self._inside(folder):
                name = path.relative_to(self.source.path).as_posix()
                if path.is_symlink():
                    raise self.source.refusal(
                        "this is a link", "put the files themselves into the folder", member(name)
                    )
                if path.is_dir():
                    folders.append(path)
                else:
                    found.append(name)
                if len(found) + len(folders) > MOST_MEMBERS:
                    raise self.source.refusal(f"there are more than {MOST_MEMBERS:,} files", "use fewer files")
        return sorted(found)

    def read(self, name: str) -> bytes:
        source = self.source
        try:
            data = opened(source.path / name, source.limit).data
        except ValueError:
            raise source.refusal("the file is empty or cannot be read", "replace or remove it", member(name)) from None
        self._read += len(data)
        source.check_size(self._read, "the files")
        source.digest.update(f"{name}\0{len(data)}\0".encode())
        source.digest.update(data)
        return data

    def _inside(self, folder: Path) -> list[Path]:
        try:
            return [path for path in folder.iterdir() if not path.name.startswith(".")]
        except OSError:
            raise self.source.refusal(
                "the folder cannot be read", "check its permissions", shown(folder.name)
            ) from None


def member(name: str) -> str:
    """The last part of a long name says most."""
    text = shown(name, 500)
    return f"member '{text if len(text) <= 60 else '…' + text[-59:]}'"
