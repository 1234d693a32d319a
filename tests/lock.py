"""The lock: the sha256 of every file of every version that is pinned, so that nothing else is taken for it.

``python -m tests.lock check REPORT ...`` compares what pip says it installed (``pip install --report REPORT``) with
``requirements.lock``; ``make check`` asks it. ``python -m tests.lock write INDEX [FOLDER]`` writes that file anew, from
a simple package index and a folder of wheels that are not there. With it pip can do the same by itself:
``pip install --require-hashes -r requirements.lock``.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

ROOT = Path(__file__).resolve().parents[1]
PINS, LOCK = ROOT / "constraints.txt", ROOT / "requirements.lock"
OLD = re.compile(r"cp2\d|cp3\d|cp310|pp\d+|py2")  # Pythons that the project does not run on
HEAD = "# Every file of every version in constraints.txt; made by python -m tests.lock write\n"


def pins() -> dict[str, str]:
    """Package -> version."""
    lines = (line.strip() for line in PINS.read_text(encoding="utf-8").splitlines())
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def locked(text: str) -> dict[str, set[str]]:
    """Package -> the sha256 of its files."""
    found: dict[str, set[str]] = {}
    name = ""
    for line in text.splitlines():
        if pin := re.match(r"([\w.-]+)==", line):
            name = canonicalize_name(pin[1])
        found.setdefault(name, set()).update(re.findall("--hash=sha256:([0-9a-f]{64})", line))
    return found


def check(report: dict[str, object], known: dict[str, set[str]]) -> list[str]:
    """A sentence for each package of pip's report that is no file of the lock. What lies in a folder of one's own, as
    the project itself does, has no file."""
    wrong = []
    for entry in report["install"]:  # type: ignore[attr-defined]
        name = canonicalize_name(entry["metadata"]["name"])
        if "dir_info" in entry["download_info"]:
            continue
        digest = entry["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256", "")
        if digest not in known.get(name, set()):
            wrong.append(
                f"{name} {entry['metadata']['version']} was installed from a file that is not in {LOCK.name} "
                f"(sha256 {digest or 'unknown'}): look where it comes from before anything of it is run"
            )
    return wrong


def files(page: str, name: str, version: str) -> Iterator[str]:
    """The sha256 of a version's files, from a package's page of a simple index."""
    for file, digest in re.findall(r'href="[^"]*/([^"/#]+)#sha256=([0-9a-f]{64})"', page):
        if version_of(html.unescape(file)) == (name, version):
            yield digest


def version_of(file: str) -> tuple[str, str]:
    """Package and version of a source archive, or of a wheel for a Python that the project runs on, without a local
    part such as +cpu; two empty texts for any other file."""
    try:
        if not file.endswith(".whl"):
            name, version = parse_sdist_filename(file)
            return name, version.public
        name, version, _, tags = parse_wheel_filename(file)
    except (InvalidWheelFilename, InvalidSdistFilename):
        return "", ""
    fits = any(tag.abi == "abi3" or OLD.fullmatch(tag.interpreter) is None for tag in tags)
    return (name, version.public) if fits else ("", "")


def write(index: str, wheels: Iterable[Path]) -> str:
    """The lock's text. Raises ValueError for a package of which there is no file."""
    beside = {path: version_of(path.name) for path in wheels}
    lines = [HEAD]
    for name, version in sorted(pins().items()):
        with urllib.request.urlopen(f"{index.rstrip('/')}/{name}/", timeout=60) as answer:
            digests = set(files(answer.read().decode(), name, version))
        digests |= {
            hashlib.sha256(path.read_bytes()).hexdigest() for path, of in beside.items() if of == (name, version)
        }
        if not digests:
            raise ValueError(f"{name}=={version}: the index has no file of it; correct the version in {PINS.name}")
        hashes = (f"    --hash=sha256:{digest}" for digest in sorted(digests))
        lines.append(" \\\n".join([f"{name}=={version}", *hashes]))
    return "\n".join(lines) + "\n"


def main() -> None:
    if len(sys.argv) > 2 and sys.argv[1] == "write":
        LOCK.write_text(write(sys.argv[2], [path for folder in sys.argv[3:] for path in Path(folder).glob("*.whl")]))
    elif len(sys.argv) > 2 and sys.argv[1] == "check":
        known = locked(LOCK.read_text(encoding="utf-8"))
        wrong = [line for path in sys.argv[2:] for line in check(json.loads(Path(path).read_text()), known)]
        sys.exit("\n".join(wrong) or None)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
