"""What is installed is what is pinned, to the last package that another one needs."""

from __future__ import annotations

import sysconfig
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.browsing import ROOT

OURS = {"nettrim-studio"}
TOOLS = {"pip", "setuptools", "wheel"}  # of the environment itself


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(map(name_and_version, (line for line in lines if line and not line.startswith("#"))))


def name_and_version(line: str) -> tuple[str, str]:
    requirement = Requirement(line)
    (specifier,) = requirement.specifier
    assert specifier.operator == "=="
    return canonicalize_name(requirement.name), specifier.version


def test_what_is_installed_is_what_is_pinned() -> None:
    place = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    found = {
        canonicalize_name(entry.name): Version(entry.version).public for entry in metadata.distributions(path=place)
    }
    assert {name: version for name, version in found.items() if name not in OURS | TOOLS} == pinned()
