"""What is installed is what is pinned, to the last package that another one needs."""

from __future__ import annotations

import copy
import hashlib
import re
import sysconfig
from importlib import metadata
from typing import Any

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests import lock

OURS = {"nettrim-studio"}
TOOLS = {"pip", "wheel"}  # of the environment itself


def test_what_is_installed_is_what_is_pinned() -> None:
    place = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    found = {
        canonicalize_name(entry.name): Version(entry.version).public for entry in metadata.distributions(path=place)
    }
    assert {name: version for name, version in found.items() if name not in OURS | TOOLS} == lock.pins()


def test_every_pin_is_locked() -> None:
    known = lock.locked(lock.LOCK.read_text(encoding="utf-8"))
    assert {name for name in known if name} == set(lock.pins())
    assert all(known[name] for name in lock.pins())
    versions = dict(re.findall(r"^([\w.-]+)==(\S+)", lock.LOCK.read_text(encoding="utf-8"), re.MULTILINE))
    assert {canonicalize_name(name): version for name, version in versions.items()} == lock.pins()


def installed(name: str, digest: str | None) -> dict[str, Any]:
    info = {} if digest is None else {"archive_info": {"hashes": {"sha256": digest}}}
    return {"metadata": {"name": name, "version": "1"}, "download_info": info}


def test_a_file_that_is_not_in_the_lock_is_named() -> None:
    good, bad = (hashlib.sha256(text).hexdigest() for text in (b"good", b"bad"))
    a, c = [f"    --hash=sha256:{digest}" for digest in (good, "0" * 64)], f"    --hash=sha256:{bad}"
    known = lock.locked(" \\\n".join(["# head\n\na-b==1", *a]) + f"\nc==2 \\\n{c}\n")
    own = {"metadata": {"name": "own", "version": "1"}, "download_info": {"dir_info": {"editable": True}}}
    assert lock.check({"install": [installed("A_b", good), installed("c", bad), own]}, known) == []
    for name, digest in (("A_b", bad), ("c", good), ("d", good), ("a-b", None)):
        (says,) = lock.check({"install": [installed(name, digest), own]}, copy.deepcopy(known))
        assert says.startswith(
            f"{canonicalize_name(name)} 1 was installed from a file that is not in requirements.lock"
        )
        assert (digest or "unknown") in says


@pytest.mark.parametrize(
    ("file", "of"),
    [
        ("a_b-1.0-py3-none-any.whl", ("a-b", "1.0")), ("a_b-1.0.tar.gz", ("a-b", "1.0")),
        ("a_b-1.0+cpu-cp311-cp311-linux_x86_64.whl", ("a-b", "1.0")),
        ("a_b-1.0-cp313-cp313-win_amd64.whl", ("a-b", "1.0")),
        ("a_b-1.0-cp39-abi3-win_amd64.whl", ("a-b", "1.0")), ("a_b-1.0-cp310-cp310-win_amd64.whl", ("", "")),
        ("a_b-1.0.exe", ("", "")),
    ],
)  # fmt: skip
def test_files_are_known_by_their_names(file: str, of: tuple[str, str]) -> None:
    assert lock.version_of(file) == of
    page = f'<a href="https://files.example/x/{file}#sha256={"a" * 64}">{file}</a><a href="y/{file}">{file}</a>'
    assert list(lock.files(page, "a-b", "1.0")) == ["a" * 64] * (of == ("a-b", "1.0"))
