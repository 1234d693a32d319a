"""A bundle as one file: a ZIP archive of its folder."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

from nettrim_core.data.archive import Archive, member
from nettrim_core.data.arrays import array_in
from nettrim_core.data.source import Source

HEADER, WEIGHTS, DATA, CARD = "bundle.json", "model.safetensors", "data.npz", "card.md"
REMEDY = "pack a bundle's folder as the studio or save_bundle writes it"
LONGEST_CARD = 20_000  # characters


def zipped(folder: Path, name: str) -> bytes:
    """The bundle in a folder as an archive that unpacks to a folder of this name."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in (HEADER, WEIGHTS, DATA, CARD):
            archive.write(folder / file, f"{name}/{file}")
    return stream.getvalue()


def unpack(source: Source, folder: Path) -> Path:
    """Write the bundle of an archive into ``folder``, which is made; its path. Nothing else of the archive is written,
    and nothing before all of it was looked at. Raises ValueError, one sentence, for what is no bundle's."""
    archive = Archive(source)
    found = next((name for name in archive.names if name.rpartition("/")[2] == HEADER), None)
    if found is None:
        raise source.refusal("this archive holds no bundle.json", f"{REMEDY}, or give the network's own file")
    top = found.removesuffix(HEADER)
    header = archive.read(found)
    data = _data_name(source, header, top)
    wanted = {HEADER: top + HEADER, WEIGHTS: top + WEIGHTS, data: top + data}
    missing = next((name for name in wanted.values() if name not in archive.names), None)
    if missing is not None:
        raise source.refusal("the bundle lacks this file", REMEDY, member(missing))
    files = {name: archive.read(path) for name, path in wanted.items()}
    _check_arrays(source, files[data], member(wanted[data]))
    card = archive.read(top + CARD).decode(errors="replace") if top + CARD in archive.names else ""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / CARD).write_text(card[:LONGEST_CARD])
    return folder


def _data_name(source: Source, header: bytes, top: str) -> str:
    """The file that the header names for its data: one beside it."""
    try:
        said = json.loads(header)
        name = said.get("data", DATA) if isinstance(said, dict) else None
    except (ValueError, RecursionError):
        name = None
    if not isinstance(name, str) or not name.endswith(".npz") or "/" in name or "\\" in name:
        raise source.refusal("it does not say what is in the bundle", REMEDY, member(top + HEADER))
    return name


def _check_arrays(source: Source, data: bytes, place: str) -> None:
    """Raise ValueError unless these are arrays of which none is larger than it says, or than may be held."""
    try:
        held = Source(source.path, source.limit, data)
        archive = Archive(held)
        for name in archive.names:
            array_in(held, archive.read(name), f"{place}, {member(name)}")
    except ValueError as error:
        if place in str(error):
            raise
        raise ValueError(str(error).replace(": ", f", {place}: ", 1)) from None
