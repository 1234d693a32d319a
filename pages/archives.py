"""Files packed into one. No Streamlit."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a ZIP can tell: no time of day in it, so equal files give equal bytes


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A ZIP of files by name."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data, zipfile.ZIP_DEFLATED)
    return held.getvalue()
