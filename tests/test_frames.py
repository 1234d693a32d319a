"""What the pictures are sent: masks laid out so that every weight is a cell, and frames that come back as they were."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from pages.blobs import BLOBS as SERVED
from pages.blobs import Blobs, serve
from pages.frames import Layout, layout, pack, unpack


@given(st.lists(st.one_of(st.none(), st.binary(min_size=7, max_size=7)), max_size=9))
def test_frames_come_back_as_they_were(given: list[bytes | None]) -> None:
    frames = [None if bits is None else np.frombuffer(bits, np.uint8) for bits in given]
    again = unpack(pack(frames), [frame is not None for frame in frames])
    assert [None if frame is None else frame.tobytes() for frame in again] == given


def test_frames_that_hardly_differ_take_little_room() -> None:
    first = np.random.default_rng(0).integers(0, 256, 30_000, dtype=np.uint8)
    frames = [first.copy() for _ in range(25)]
    for i, frame in enumerate(frames):
        frame[:i] = 0
    assert 15 * len(pack(frames)) < sum(len(frame) for frame in frames)


def cells(place: Layout) -> np.ndarray:
    """The layout's picture: at each cell the bit it shows, by the rule that the layout states; -1 in the gaps."""
    height, width = place.shape
    picture = np.full((height, width), -1)
    count = place.tile[0] * place.tile[1]
    for o in range(place.outputs):
        for i in range(place.inputs):
            tile, cell = o * place.parts + i // count, i % count
            y = tile // place.across * (place.tile[0] + place.gap) + cell // place.tile[1]
            x = tile % place.across * (place.tile[1] + place.gap) + cell % place.tile[1]
            assert picture[y, x] == -1
            picture[y, x] = i * place.outputs + o
    return picture


@pytest.mark.parametrize(
    ("weight", "image", "shape"),
    [
        ((100, 300), (784,), (100, 300)),  # a matrix: rows are neurons
        ((300, 100), (784,), (100, 300)),  # and columns where there are more of them than inputs
        ((6, 64), (64,), (8 * 2 + 1, 8 * 3 + 2)),  # pixels: a tile for each of six neurons
        ((4, 24), (1, 4, 6), (4 * 2 + 1, 6 * 2 + 1)),  # an image that is not square
        ((20, 1, 5, 5), (1, 28, 28), (5 * 4 + 3, 5 * 5 + 4)),  # filters of one channel
        ((16, 3, 3, 3), (3, 32, 32), (3 * 16 + 15, 3 * 3 + 2)),  # a row for each filter, a column for each channel
        ((25, 1, 5), (1, 40), None),
        ((3, 2), (2,), (2, 3)),
    ],
)
def test_every_weight_is_one_cell(
    weight: tuple[int, ...], image: tuple[int, ...], shape: tuple[int, int] | None
) -> None:
    place = layout(weight, image)
    picture = cells(place)
    shown = picture[picture >= 0]
    assert sorted(shown) == list(range(int(np.prod(weight))))
    if shape is not None:
        assert picture.shape == shape


def test_a_tile_is_a_filter_as_torch_has_it() -> None:
    weight = np.arange(16 * 3 * 3 * 3).reshape(16, 3, 3, 3)
    as_masks_are = weight.reshape(16, -1).T.reshape(-1)  # (inputs, outputs)
    picture = cells(layout(weight.shape, (3, 32, 32)))
    tile = picture[5 * 4 : 5 * 4 + 3, 2 * 4 : 2 * 4 + 3]
    assert (as_masks_are[tile] == weight[5, 2]).all()


def test_blobs_are_held_by_content_and_the_oldest_go() -> None:
    blobs = Blobs(limit=25)
    first, again = blobs.put(b"0123456789"), blobs.put(b"0123456789")
    assert first == again
    blobs.put(b"a" * 10)
    blobs.get(first.split("/")[1])  # asked for, so it stays
    blobs.put(b"b" * 10)
    assert blobs.get(first.split("/")[1]) == b"0123456789"
    assert blobs.get(blobs.put(b"c" * 10).split("/")[1]) is not None


def test_a_blob_is_made_once_and_again_when_it_is_gone() -> None:
    blobs, made = Blobs(limit=10), []

    def make() -> bytes:
        made.append(1)
        return b"0123456789"

    assert blobs.made(b"key", make) == blobs.made(b"key", make)
    assert len(made) == 1
    blobs.put(b"another one")
    blobs.made(b"key", make)
    assert len(made) == 2


def test_the_server_hands_out_blobs_by_address_only() -> None:
    def ask(name: str) -> Response:
        answering = serve(Request({"type": "http", "path_params": {"name": name}}))
        with pytest.raises(StopIteration) as done:  # it never waits, and a browser's event loop may be running here
            answering.send(None)
        return done.value.value

    answer = ask(SERVED.put(b"frames").removeprefix("blob/"))
    assert answer.body == b"frames"
    assert "immutable" in answer.headers["cache-control"]
    assert ask("0123").status_code == 404
