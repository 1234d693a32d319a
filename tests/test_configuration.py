"""The settings file and the environment."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from nettrim_core.configuration import SECTIONS, Section, Storage, Uploads, settings_file, variable


def written(path: Path, text: str) -> dict[str, str]:
    """The environment that names a file with this text."""
    file = path / "nettrim.toml"
    file.write_text(text, encoding="utf-8")
    return {"NETTRIM_SETTINGS": str(file)}


def configured(environment: dict[str, str]) -> list[Section]:
    return [section.configured(environment) for section in SECTIONS]


@pytest.mark.parametrize("section", SECTIONS)
def test_what_is_not_said_is_as_usual(section: type[Section], tmp_path: Path) -> None:
    assert section.configured(written(tmp_path, "")) == section()


def test_the_file_is_read_and_the_environment_comes_first(tmp_path: Path) -> None:
    said = written(tmp_path, '[uploads]\nmb = 7\nseconds = 9\n[storage]\non = false\nfolder = "/data"\n')
    assert Uploads.configured(said) == Uploads(mb=7, seconds=9)
    assert Uploads.configured({**said, "NETTRIM_UPLOADS_MB": "8", "NETTRIM_UPLOADS_SECONDS": ""}) == Uploads(
        8, seconds=9
    )
    assert Storage.configured(said).place == Path("/data")
    assert Storage.configured({**said, "NETTRIM_STORAGE_ON": "yes", "NETTRIM_STORAGE_FOLDER": "/other"}) == Storage(
        on=True, folder="/other"
    )


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_has_a_variable_and_a_place_in_the_file(section: type[Section], tmp_path: Path) -> None:
    for f in dataclasses.fields(section):  # type: ignore[arg-type]
        other = {bool: not f.default, int: f.metadata.get("high"), str: "elsewhere"}[type(f.default)]
        text = str(other).lower() if isinstance(other, bool | int) else repr(other)
        expected = dataclasses.replace(section(), **{f.name: other})  # type: ignore[type-var]
        assert section.configured(written(tmp_path, f"[{section.table}]\n{f.name} = {text}\n")) == expected
        assert section.configured({**written(tmp_path, ""), variable(section, f.name): str(other)}) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mb = 7", r"no table \[mb\]; there is uploads"),
        ("uploads = 7", "uploads is no table"),
        ("[upload]\nmb = 7", r"no table \[upload\] \(is uploads meant\?\)"),
        ("[uploads]\nmbs = 7", r"no setting 'mbs' \(is mb meant\?\)"),
        ("[uploads]\nmb = '7'", "write it like 100"),
        ("[uploads]\nmb = true", "write it like 100"),
        ("[storage]\non = 1", "write it like True"),
        ("[uploads]\nmb = 0", "Uploads.mb = 0 is out of range"),
        ("[uploads\n", "cannot be read as settings"),
    ],
)
def test_what_means_nothing_is_refused(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=says):
        configured(written(tmp_path, text))


@pytest.mark.parametrize(("name", "value"), [("UPLOADS_MB", "many"), ("UPLOADS_MB", "-3"), ("STORAGE_ON", "perhaps")])
def test_a_variable_that_means_nothing_is_named(name: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"NETTRIM_{name} = '{value}'"):
        configured({**written(tmp_path, ""), f"NETTRIM_{name}": value})


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        Uploads.configured({"NETTRIM_SETTINGS": str(tmp_path / "none.toml")})


def test_the_usual_place_need_not_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert settings_file({}) == tmp_path / "nettrim" / "nettrim.toml"
    assert Uploads.configured({}) == Uploads()
    (tmp_path / "nettrim").mkdir()
    (tmp_path / "nettrim" / "nettrim.toml").write_text("[uploads]\nmb = 3\n")
    assert Uploads.configured({}) == Uploads(mb=3)
