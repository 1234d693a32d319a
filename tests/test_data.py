"""A user's data: the same rows from every kind of file, splits, normalisation, and what is said about them."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet
from sklearn.datasets import load_digits
from torch import Tensor, nn

from nettrim_core import Data, DataOptions, Reading, fits, load_bundle, load_data, preview
from nettrim_core.bundle import SAMPLE_MODELS
from nettrim_core.data import KINDS
from tests.conftest import small_cnn
from tests.hostile_data import idx, npy, picture, zipped

DIGITS = load_digits()
PIXELS = DIGITS.images.astype(np.uint8)  # (1797, 8, 8), 0 to 16
LABELS = DIGITS.target


def csv_text(rows: np.ndarray, labels: np.ndarray, mark: str = ",", header: bool = True) -> str:
    lines = [mark.join([*map(str, row), str(label)]) for row, label in zip(rows, labels, strict=True)]
    return "\n".join([mark.join([*(f"p{i}" for i in range(rows.shape[1])), "label"])] * header + lines) + "\n"


def write_npz(folder: Path) -> Path:
    np.savez_compressed(folder / "digits.npz", images=PIXELS, labels=LABELS)
    return folder / "digits.npz"


def write_csv(folder: Path) -> Path:
    (folder / "digits.csv").write_text(csv_text(PIXELS.reshape(-1, 64), LABELS))
    return folder / "digits.csv"


def write_csv_gz(folder: Path) -> Path:
    text = csv_text(PIXELS.reshape(-1, 64), LABELS, "\t").replace("\n", "\r\n")
    (folder / "digits.tsv.gz").write_bytes(gzip.compress(text.encode("utf-8-sig")))
    return folder / "digits.tsv.gz"


def write_parquet(folder: Path) -> Path:
    columns = {f"p{i}": column for i, column in enumerate(PIXELS.reshape(-1, 64).T)}
    parquet.write_table(pa.table({**columns, "label": LABELS}), folder / "digits.parquet", row_group_size=500)
    return folder / "digits.parquet"


def write_idx(folder: Path) -> Path:
    (folder / "train-images-idx3-ubyte").write_bytes(idx(PIXELS))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS.astype(np.uint8))))
    return folder / "train-images-idx3-ubyte"


def image_members() -> dict[str, bytes]:
    """The digits as PNG files, named so that their order by class and name is that by class and row."""
    found = {}
    for row, (pixels, label) in enumerate(zip(PIXELS, LABELS, strict=True)):
        path = Path(f"{label}/{row:04d}.png")
        found[str(path)] = png_of(pixels)
    return found


def png_of(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write_folder(folder: Path) -> Path:
    for name, data in image_members().items():
        (folder / "digits" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "digits" / name).write_bytes(data)
    (folder / "digits" / ".DS_Store").write_bytes(b"x")
    (folder / "digits" / "README.txt").write_text("Digits.")
    return folder / "digits"


def write_zip(folder: Path) -> Path:
    members = {f"digits/{name}": data for name, data in image_members().items()}
    (folder / "digits.zip").write_bytes(zipped({**members, "__MACOSX/digits/0/._1.png": b"x"}))
    return folder / "digits.zip"


WRITERS = (write_npz, write_csv, write_csv_gz, write_parquet, write_idx, write_folder, write_zip)
FLAT = DataOptions(shape=(64,), normalise="range")


def sorted_rows(data: Data) -> tuple[Tensor, Tensor]:
    """All rows of all splits, in an order of their own: by label and then by values."""
    rows = torch.cat([part[0].flatten(1) for part in (data.train, data.validation, data.test)])
    labels = torch.cat([part[1] for part in (data.train, data.validation, data.test) if part[1] is not None])
    table = torch.cat([labels[:, None].float(), rows], 1).numpy()
    order = torch.from_numpy(np.lexsort(table.T[::-1]))
    return rows[order], labels[order]


def splits(data: Data) -> list[Tensor | None]:
    return [tensor for part in (data.train, data.validation, data.test) for tensor in part]


def same(a: Data, b: Data) -> bool:
    return all(
        x is y if x is None or y is None else torch.equal(x, y) for x, y in zip(splits(a), splits(b), strict=True)
    )


@pytest.mark.parametrize("write", WRITERS)
def test_digits_are_the_same_from_every_kind_of_file(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    """Folders give another order of rows, by class, and so other splits: then all rows together are the same."""
    data = load_data(write(tmp_path), FLAT)
    expected = Data.of(PIXELS, LABELS, FLAT)
    assert data.classes == expected.classes == tuple("0123456789")
    by_class = write in (write_folder, write_zip)
    if by_class:
        order = np.argsort(LABELS, kind="stable")
        expected = Data.of(PIXELS[order], LABELS[order], FLAT)
    assert same(data, expected)
    assert data.fingerprint == expected.fingerprint
    rows, labels = sorted_rows(data)
    assert torch.equal(rows, sorted_rows(expected)[0])
    assert torch.bincount(labels).tolist() == np.bincount(LABELS).tolist()


@pytest.mark.parametrize("write", WRITERS)
def test_a_reading_reproduces_the_data_and_sees_other_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], Path]
) -> None:
    path = write(tmp_path)
    data = load_data(path, dataclasses.replace(FLAT, seed=3, rows=500))
    record = Reading.from_dict(json.loads(json.dumps(data.reading.to_dict())))
    assert record == data.reading
    assert same(load_data(record.path, record.options, digest=record.digest), data)
    monkeypatch.setattr("tests.test_data.LABELS", LABELS[::-1])
    write(tmp_path)
    with pytest.raises(ValueError, match="its content has changed since it was first read; take it as new data"):
        load_data(record.path, record.options, digest=record.digest)


KNOWN = (np.arange(120, dtype=np.float64).reshape(20, 2, 3) - 50) / 8  # exact in float32
CLASSES = np.arange(20) % 3


def whole(data: Data, rows: np.ndarray = KNOWN) -> bool:
    """Are all splits together exactly these rows?"""
    found = torch.cat([part[0] for part in (data.train, data.validation, data.test)]).flatten(1)
    wanted = torch.from_numpy(rows).float().flatten(1)
    return sorted(map(tuple, found.tolist())) == sorted(map(tuple, wanted.tolist()))


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f8", "=f8", "longdouble"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_keep_their_values_whatever_their_bytes(tmp_path: Path, dtype: str, order: str) -> None:
    array = np.asarray(KNOWN, np.dtype(dtype), order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "a.npy", array)
    data = load_data(tmp_path / "a.npy")
    assert data.calibration.dtype == torch.float32
    assert whole(data)
    assert [part[1] for part in (data.train, data.validation, data.test)] == [None] * 3
    assert data.classes == ()


@pytest.mark.parametrize("code", [8, 9, 11, 12, 13, 14])
def test_idx_of_every_type(tmp_path: Path, code: int) -> None:
    kinds = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
    values = np.arange(60).reshape(20, 3).astype(kinds[code])
    (tmp_path / "a.idx").write_bytes(idx(values, code))
    assert whole(load_data(tmp_path / "a.idx"), values.astype(float))


@pytest.mark.parametrize("write", [write_npz, write_csv, write_csv_gz, write_parquet, write_zip])
def test_endings_may_be_in_capitals(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path)
    data = load_data(path, FLAT)
    assert same(load_data(path.rename(path.with_name(path.name.upper())), FLAT), data)


def test_names_in_an_archive_may_be_in_capitals(tmp_path: Path) -> None:
    members = {"X.NPY": npy(KNOWN), "y.npy": npy(CLASSES)}
    (tmp_path / "a.zip").write_bytes(zipped(members))
    assert same(load_data(tmp_path / "a.zip"), Data.of(KNOWN, CLASSES))


def test_labels_in_a_second_file(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", KNOWN)
    np.save(tmp_path / "y.npy", CLASSES)
    data = load_data(tmp_path / "x.npy", DataOptions(labels_path=str(tmp_path / "y.npy")))
    assert same(data, Data.of(KNOWN, CLASSES))
    np.save(tmp_path / "y.npy", CLASSES + 1)
    counted = load_data(tmp_path / "x.npy", DataOptions(labels_path=str(tmp_path / "y.npy"), first_class=1))
    assert same(counted, data)
    assert counted.classes == ("1", "2", "3")


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("a,b,label\n{}", DataOptions()),
        ("b,a,kind\n{}", DataOptions(label="kind")),
        ("{}", DataOptions(label=-1)),
        ("{}", DataOptions(label="2")),
        ("one,two,three\n{}", DataOptions(label=2, header="yes")),
        ("\n\na,b,label\n\n{}\n\n", DataOptions()),
    ],
)
@pytest.mark.parametrize("mark", [",", ";", "\t", "|", " "])
def test_tables_with_and_without_names(tmp_path: Path, text: str, options: DataOptions, mark: str) -> None:
    rows = np.stack([np.arange(20), np.arange(20) / 4 - 2], 1)
    words = np.array(["wolf", "ant", "cat"])[CLASSES]
    body = "\n".join(f"{a:g},{b},{word}" for (a, b), word in zip(rows, words, strict=True))
    (tmp_path / "a.csv").write_text(text.format(body).replace(",", mark))
    data = load_data(tmp_path / "a.csv", options)
    assert data.classes == ("ant", "cat", "wolf")
    assert same(data, Data.of(rows, words))
    assert same(data, Data.of(rows, np.array([2, 0, 1])[CLASSES]))


def test_columns_that_may_be_meant_otherwise_are_told(tmp_path: Path) -> None:
    """As pandas writes a table with its index."""
    (tmp_path / "a.csv").write_text("\n".join([",x,quality", *(f"{i},{i / 2},{i % 2}" for i in range(20))]))
    remarks = preview(load_data(tmp_path / "a.csv")).remarks
    assert any("No column has a usual name of labels" in remark for remark in remarks)
    assert any("The first column has no name" in remark for remark in remarks)
    data = load_data(tmp_path / "a.csv", DataOptions(label="quality", leave_out=(0,)))
    assert data.notes == ()
    assert same(data, Data.of(np.arange(20)[:, None] / 2, np.arange(20) % 2))


def test_columns_can_be_left_out_and_labels_too(tmp_path: Path) -> None:
    lines = [f"{i},name {i},{i % 2},{i / 2}" for i in range(20)]
    (tmp_path / "a.csv").write_text("\n".join(["id,name,label,x", *lines]))
    data = load_data(tmp_path / "a.csv", DataOptions(leave_out=("id", 1)))
    assert same(data, Data.of(np.arange(20)[:, None] / 2, np.arange(20) % 2))
    bare = load_data(tmp_path / "a.csv", DataOptions(leave_out=("id", "name"), labelled=False))
    assert bare.train[1] is None
    assert bare.calibration.shape[1] == 2


@pytest.mark.parametrize("form", ["{}_{}", "{1}_{0}"])
def test_splits_that_a_file_gives_are_kept(tmp_path: Path, form: str) -> None:
    parts = {"train": slice(0, 12), "val": slice(12, 15), "test": slice(15, 20)}
    arrays = {form.format(split, key): a[rows] for split, rows in parts.items()
              for key, a in (("x", KNOWN), ("y", CLASSES))}  # fmt: skip
    np.savez(tmp_path / "a.npz", **arrays)
    data = load_data(tmp_path / "a.npz")
    for part, rows in zip((data.train, data.validation, data.test), parts.values(), strict=True):
        assert torch.equal(part[0], torch.from_numpy(KNOWN[rows]).float())
        assert part[1] is not None
        assert part[1].tolist() == CLASSES[rows].tolist()
    assert any("itself says which rows are for validation and test:" in remark for remark in preview(data).remarks)
    without = {key: a for key, a in arrays.items() if "val" not in key}
    np.savez(tmp_path / "a.npz", **without)
    data = load_data(tmp_path / "a.npz", DataOptions(validation=0.25, test=0.5))
    assert torch.equal(data.test[0], torch.from_numpy(KNOWN[15:]).float())
    assert (len(data.train[0]), len(data.validation[0])) == (6, 6)  # a quarter to a quarter
    assert any("itself says which rows are for test:" in remark for remark in preview(data).remarks)
    assert whole(data, np.concatenate([KNOWN[:12], KNOWN[15:]]))


def test_a_bundles_data_file_is_read_as_the_bundle_reads_it() -> None:
    bundle = load_bundle("digits_mlp")
    header = json.loads((SAMPLE_MODELS / "digits_mlp" / "bundle.json").read_text())
    path = SAMPLE_MODELS / "digits_mlp" / header.get("data", "data.npz")
    data = load_data(path)
    scale = float(header.get("input_scale", 1.0))
    for mine, theirs in zip((data.train, data.validation, data.test),
                            (bundle.train, bundle.validation, bundle.test), strict=True):  # fmt: skip
        assert torch.equal(mine[0] * scale, theirs[0])
        assert mine[1] is not None
        assert torch.equal(mine[1], theirs[1])


def test_class_folders_in_folders_of_splits(tmp_path: Path) -> None:
    members = {f"top/{split}/{label}/{i}.png": picture("L", (3, 2))
               for split, n in (("train", 6), ("val", 2), ("test", 3)) for label in "ba" for i in range(n)}  # fmt: skip
    (tmp_path / "a.zip").write_bytes(zipped(members))
    data = load_data(tmp_path / "a.zip")
    assert data.classes == ("a", "b")
    assert [len(part[0]) for part in (data.train, data.validation, data.test)] == [12, 4, 6]
    assert data.calibration.shape[1:] == (1, 2, 3)


@pytest.mark.parametrize(("colour", "channels"), [("grey", 1), ("colour", 3)])
def test_images_of_any_mode_and_size_become_alike(tmp_path: Path, colour: str, channels: int) -> None:
    modes = ("L", "RGB", "RGBA", "P", "1", "LA")
    members = {f"{'ab'[i % 2]}/{i}.png": picture(modes[i % 6], (4 + i, 9)) for i in range(12)}
    (tmp_path / "a.zip").write_bytes(zipped(members))
    data = load_data(tmp_path / "a.zip", DataOptions(colour=colour, size=(5, 7)))
    assert data.calibration.shape[1:] == (channels, 5, 7)


def test_colour_images_come_channels_first(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 4, 5, 3), np.uint8)
    members = {f"{'ab'[i // 6]}/{i:02d}.png": png_of(image) for i, image in enumerate(pixels)}
    (tmp_path / "a.zip").write_bytes(zipped(members))
    assert same(load_data(tmp_path / "a.zip"), Data.of(pixels, np.arange(12) // 6, DataOptions(channels="last")))
    assert whole(load_data(tmp_path / "a.zip"), pixels.transpose(0, 3, 1, 2).astype(float))


def test_class_folders_of_numbers_are_ordered_as_text_and_that_is_said(tmp_path: Path) -> None:
    members = {f"{i}/{j}.png": picture() for i in range(11) for j in range(2)}
    (tmp_path / "a.zip").write_bytes(zipped(members))
    data = load_data(tmp_path / "a.zip")
    assert data.classes[:3] == ("0", "1", "10")
    assert any("'10' comes before '2'" in remark for remark in preview(data).remarks)


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 4), min_size=10, max_size=80),
    seed=st.integers(0, 9),
    validation=st.floats(0.1, 0.4),
    test=st.floats(0.1, 0.4),
)
def test_splits_are_disjoint_cover_and_keep_the_classes_shares(
    labels: list[int], seed: int, validation: float, test: float
) -> None:
    n = len(labels)
    data = Data.of(np.arange(n)[:, None], labels, DataOptions(seed=seed, validation=validation, test=test))
    parts = {name: getattr(data, name) for name in ("train", "validation", "test")}
    rows = torch.cat([inputs[:, 0] for inputs, _ in parts.values()])
    assert sorted(rows.tolist()) == list(range(n))
    assert len(parts["test"][0]) == round(test * n)
    assert len(parts["validation"][0]) == round(validation * n)
    for inputs, own in parts.values():
        assert own.tolist() == [labels[int(row)] for row in inputs[:, 0]]
        assert inputs[:, 0].tolist() == sorted(inputs[:, 0].tolist())
    for label in set(labels):
        mine = int((parts["test"][1] == label).sum())
        assert abs(mine - labels.count(label) * round(test * n) / n) < 1 + 1e-9


def test_the_seed_decides_the_splits_and_the_rows() -> None:
    X = np.arange(300)[:, None]
    y = np.arange(300) % 3
    for options in (DataOptions(), DataOptions(rows=90)):
        first = Data.of(X, y, options)
        assert same(first, Data.of(X, y, options))
        other = Data.of(X, y, dataclasses.replace(options, seed=1))
        assert not torch.equal(first.test[0], other.test[0])
    rows = torch.cat([part[0] for part in (first.train, first.validation, first.test)])
    assert len(rows.unique()) == 90
    assert not same(Data.of(X, None), Data.of(X, None, DataOptions(seed=1)))


def test_classes_are_numbered_before_rows_are_drawn() -> None:
    words = np.array(["b"] * 299 + ["a"])
    data = Data.of(np.zeros((300, 1)), words, DataOptions(rows=30))
    assert data.classes == ("a", "b")
    assert data.train[1] is not None
    assert int(data.train[1].min()) == 1


def rows_of_images() -> np.ndarray:
    images = np.random.default_rng(0).normal(3, 2, (50, 3, 4, 5)) * np.array([1, 10, 100]).reshape(3, 1, 1)
    images[:, 1, 0, 0] = 0.1
    return images


def test_each_normalisation_by_its_definition() -> None:
    images = rows_of_images()
    plain = Data.of(images)
    x, v = (t.double().numpy() for t in (plain.calibration, plain.validation[0]))
    low, high = x.min(), x.max()
    deviation = x.std(0)
    deviation[1, 0, 0] = 1
    axes = (0, 2, 3)
    expected = {
        "none": v,
        "255": v / 255,
        "range": (v - low) / (high - low),
        "feature": (v - x.mean(0)) / deviation,
        "channel": (v - x.mean(axes, keepdims=True)[0]) / x.std(axes, keepdims=True)[0],
    }
    for how, wanted in expected.items():
        data = Data.of(images, None, DataOptions(normalise=how))
        assert np.allclose(data.validation[0].numpy(), wanted, rtol=1e-4, atol=1e-5), how
    scaled = Data.of(images, None, DataOptions(normalise="range"))
    assert float(scaled.calibration.min()) == 0
    assert float(scaled.calibration.max()) == pytest.approx(1)


def test_only_calibration_rows_decide_the_normalisation() -> None:
    images = rows_of_images()
    plain = Data.of(images)
    spoiled = images.copy()
    tests = {row.tobytes() for row in plain.test[0].numpy()}
    spoiled[[row.astype(np.float32).tobytes() in tests for row in images]] *= 1000
    for how in ("range", "feature", "channel"):
        options = DataOptions(normalise=how)
        a, b = Data.of(images, None, options), Data.of(spoiled, None, options)
        assert torch.equal(a.calibration, b.calibration)
        assert not torch.equal(a.test[0], b.test[0])


def test_mean_and_deviation_as_published_for_mnist() -> None:
    pixels = np.arange(20 * 4, dtype=np.uint8).reshape(20, 1, 2, 2)
    options = DataOptions(normalise="255", mean=(0.1307,), std=(0.3081,))
    expected = (torch.from_numpy(pixels).float() / 255 - 0.1307) / 0.3081
    assert torch.equal(Data.of(pixels, None, options).calibration, expected[train_rows(20)])
    channels = DataOptions(mean=(1.0, 2.0, 3.0), std=(1.0, 2.0, 4.0))
    data = Data.of(np.full((20, 3, 2, 2), 9), None, channels)
    assert data.calibration[0, :, 0, 0].tolist() == [8.0, 3.5, 1.5]


def train_rows(n: int) -> list[int]:
    return [int(row) for row in Data.of(np.arange(n)[:, None]).calibration[:, 0]]


def test_channels_and_shape() -> None:
    last = np.moveaxis(rows_of_images(), 1, -1)
    assert same(Data.of(last, None, DataOptions(channels="last")), Data.of(rows_of_images()))
    assert Data.of(PIXELS, LABELS, DataOptions(shape=(1, 8, 8))).calibration.shape[1:] == (1, 8, 8)
    flat = DataOptions(channels="last", shape=last.shape[1:])
    assert same(Data.of(last.reshape(len(last), -1), None, flat), Data.of(rows_of_images()))
    assert same(Data.of(last, None, flat), Data.of(rows_of_images()))
    with pytest.raises(ValueError, match=r"not end in the 3 channels of samples that are stored as .*; give shape"):
        Data.of(last, None, DataOptions(channels="last", shape=rows_of_images().shape[1:]))


def test_grey_images_have_no_channels_that_are_last(tmp_path: Path) -> None:
    (tmp_path / "a.idx").write_bytes(idx(PIXELS))
    with pytest.raises(ValueError, match=r"^a\.idx: its images of \(8, 8\) are grey .*; set channels to first\.$"):
        load_data(tmp_path / "a.idx", DataOptions(channels="last"))
    said = load_data(tmp_path / "a.idx", DataOptions(channels="last", shape=(8, 8, 1)))
    assert same(said, Data.of(PIXELS[:, None]))
    other = preview(Data.of(PIXELS[:, :, :7], LABELS, DataOptions(channels="last")))  # which may be a series
    assert any("8 places of 7 channels: if they are grey" in remark for remark in other.remarks)


def test_tensors_and_lists_from_python() -> None:
    a = Data.of(torch.from_numpy(KNOWN), torch.from_numpy(CLASSES), classes=["x", "y", "z"], name="mine")
    assert same(a, Data.of(KNOWN.astype(np.float32), CLASSES.tolist()))
    assert (a.name, a.classes, a.reading.kind) == ("mine", ("x", "y", "z"), "arrays")
    assert whole(Data.of(torch.from_numpy(KNOWN).to(torch.bfloat16)), KNOWN)
    for bad in (torch.zeros(5, 2, dtype=torch.complex64), np.array([[{}]]), [[1], [1, 2]], np.zeros((4, 0)), "text"):
        with pytest.raises(ValueError, match=r"^arrays: .*; "):
            Data.of(bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there are 1 classes and labels up to 2"):
        Data.of(KNOWN, CLASSES, classes=["x"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"normalise": "minmax"}, {"validation": 0.7, "test": 0.3}, {"std": (0.0,)}, {"std": [1.0]}, {"size": (3,)},
        {"size": (0, 4)}, {"shape": (True,)}, {"seed": -1}, {"limit_mb": 0.0}, {"delimiter": ",,"}, {"label": 1.5},
        {"leave_out": (None,)}, {"labels_path": 3}, {"mean": (float("nan"),)}, {"rows": 1.5},
    ],
)  # fmt: skip
def test_an_illegal_option_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=rf"DataOptions.{next(iter(wrong))}"):
        DataOptions(**wrong)  # type: ignore[arg-type]


def test_options_are_plain_data_and_every_one_says_what_it_is_for() -> None:
    options = DataOptions(label="digit", size=(4, 5), normalise="feature", seed=7)
    assert options.to_dict() == {"label": "digit", "size": [4, 5], "normalise": "feature", "seed": 7}
    assert DataOptions.from_dict(json.loads(json.dumps(options.to_dict()))) == options
    for f in dataclasses.fields(DataOptions):
        assert f.metadata.get("help") or f.metadata.get("says")
    with pytest.raises(ValueError, match="has no colours"):
        DataOptions.from_dict({"colours": 1})


def test_the_preview_tells_what_the_arrays_hold() -> None:
    data = Data.of(PIXELS, LABELS, classes=[f"digit {i}" for i in range(10)])
    seen = preview(data)
    rows = np.concatenate([part[0].numpy() for part in (data.train, data.validation, data.test)]).astype(float)
    assert json.loads(json.dumps(seen.to_dict())) == seen.to_dict()
    assert (seen.shape, seen.features) == ([8, 8], 64)
    assert sum(seen.rows.values()) == 1797
    assert (seen.low, seen.high) == (0, 16)
    assert seen.mean == pytest.approx(rows.mean())
    assert seen.std == pytest.approx(rows.std())
    assert [sum(c[s] for s in seen.rows) for c in seen.classes] == np.bincount(LABELS).tolist()
    assert seen.classes[3]["name"] == "digit 3"
    assert len(seen.samples) == 9
    for sample in seen.samples:
        assert torch.equal(torch.tensor(sample["values"]), data.calibration[sample["row"]])
        assert sample["name"] == f"digit {sample['label']}"
    flat = data.calibration.flatten(1)
    assert seen.constant == sum(len(column.unique()) == 1 for column in flat.T)


@pytest.mark.parametrize(
    ("inputs", "labels", "says"),
    [
        (np.arange(256).repeat(4).reshape(64, 16), np.arange(64) % 2, "Values run from 0 to 255: divide by 255?"),
        (PIXELS, LABELS, "did the network learn on values from 0 to 1?"),
        (np.random.default_rng(0).normal(size=(40, 2)), [0] * 38 + [1] * 2, "Class 1 has only 2 samples"),
        (np.random.default_rng(0).normal(size=(40, 2)), [0] * 20 + [2] * 20, "Class 1 has no sample"),
        (np.random.default_rng(0).normal(size=(40, 2)), [0] * 30 + [1] * 10, "Class 0 has 75 % of the 40 rows"),
        (np.random.default_rng(0).normal(size=(40, 2)), [0] * 40, "one class 0"),
        (np.random.default_rng(0).normal(size=(40, 8, 8, 3)), None, "are the channels stored last?"),
        (np.random.default_rng(0).normal(size=(40, 2)), None, "There are no labels"),
        (np.random.default_rng(0).normal(size=(40, 2)) * [1, 1e5], None, "1,000 times as much"),
        (np.ones((40, 3)), None, "3 of 3 numbers of a sample are the same"),
        (np.ones((40, 3)), None, "8 of the 8 test rows are copies of calibration rows"),
    ],
)
def test_remarks(inputs: np.ndarray, labels: list[int] | None, says: str) -> None:
    assert any(says in remark for remark in preview(Data.of(inputs, labels)).remarks)


def test_good_data_has_few_remarks() -> None:
    X = np.random.default_rng(0).normal(size=(200, 3))
    assert preview(Data.of(X, np.arange(200) % 4)).remarks == []


def test_a_network_on_its_own_data_is_right_and_elsewhere_guesses() -> None:
    bundle = load_bundle("digits_mlp")
    inputs, labels = bundle.test
    found = fits(bundle.model, Data.of(inputs, labels))
    assert found.takes
    assert found.better
    rows = Data.of(inputs, labels).validation
    assert rows[1] is not None
    right = float((bundle.model(rows[0]).argmax(1) == rows[1]).double().mean())
    assert found.accuracy == right
    assert f"right on {100 * right:.3g} % of {found.samples} validation samples" in found.sentence
    lost = fits(bundle.model, Data.of(inputs, labels, DataOptions(mean=(1000.0,))))
    assert lost.takes
    assert not lost.better
    assert "is the normalisation the one it was trained with?" in lost.sentence


def linear(inputs: int, outputs: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs))


@pytest.mark.parametrize(
    ("model", "shape", "labels", "says"),
    [
        (small_cnn(), (3, 10, 10), None, "layer conv1 expects 2 channels and gets 3; grey in place of colour"),
        (small_cnn(), (10, 10, 2), None, "are the channels stored last?"),
        (small_cnn(), (200,), None, "layer conv1 expects channels, height and width; set shape to 2, 10, 10?"),
        (small_cnn(), (2, 14, 14), None, "layer fc expects 32 numbers and gets 72; the images are of another size"),
        (nn.Sequential(nn.Linear(12, 2)), (3, 4), None, "layer 0 expects 12 numbers and gets 4; set shape to 12?"),
        (linear(12, 3), (3, 4), [3], "The network has 3 outputs, for labels 0 to 2, and labels run up to 3"),
        (linear(12, 3), (3, 4), [1, 2, 3], "set first_class to 1"),
        (linear(12, 3), (3, 4), None, "gives 3 outputs; without labels its accuracy is not known"),
        (nn.Identity(), (3, 4), None, "gives (3, 4) for each, not one list of numbers"),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 3).double()), (3, 4), None, "layer 1 says: "),
    ],
)
def test_what_does_not_fit_is_said(
    model: nn.Module, shape: tuple[int, ...], labels: list[int] | None, says: str
) -> None:
    own = None if labels is None else np.resize([*labels, *([0] if len(labels) == 1 else [])], 40)
    found = fits(model, Data.of(np.random.default_rng(0).normal(size=(40, *shape)), own))
    assert says in found.sentence
    assert found.takes == ("not known" in says)
    assert "\n" not in found.sentence
    assert len(found.sentence) < 300


def test_outputs_that_are_not_finite_are_said() -> None:
    model = nn.Sequential(nn.Linear(2, 3))
    nn.init.constant_(model[0].weight, float("inf"))  # type: ignore[arg-type]
    found = fits(model, Data.of(np.ones((20, 2)), np.arange(20) % 3))
    assert not found.takes
    assert "The outputs for 4 of 4 validation samples are NaN or infinite" in found.sentence


def test_a_check_leaves_the_network_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    data = Data.of(np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 3)
    assert fits(model, data) == fits(model, data)
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not model[0]._forward_pre_hooks


def test_a_network_of_one_layer_is_told_by_what_it_is() -> None:
    said = fits(nn.Linear(7, 2), Data.of(PIXELS, LABELS)).sentence
    assert "the layer expects 7 numbers" in said
    assert "  " not in said


def test_readers_are_loaded_only_when_they_read() -> None:
    code = "import sys, nettrim_core; print([m for m in ('pandas', 'pyarrow', 'PIL') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert set(KINDS) == {"npz", "npy", "csv", "parquet", "idx", "images"}
