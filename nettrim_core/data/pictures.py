"""Images in class folders, as a folder or as a ZIP archive."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

import numpy as np

from nettrim_core.data.archive import ARCHIVES, Archive, Folder, Store, member
from nettrim_core.data.arrays import WORDS
from nettrim_core.data.found import Found
from nettrim_core.data.labels import MOST_CLASSES
from nettrim_core.data.options import SPLITS, DataOptions
from nettrim_core.data.source import Source

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "WEBP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".webp")
MOST_PIXELS = 50_000_000  # of one image
IGNORED = ("thumbs.db", "desktop.ini", "__macosx")
SPLIT_OF = {word: split for split, words in WORDS.items() for word in words}

Place = tuple[str, str, str]  # split, class, name; the first two may be ""


def read_pictures(source: Source, options: DataOptions) -> Found:
    """(rows, channels, height, width) uint8, ordered by class and name. Class folders may lie in folders train,
    validation and test; classes are numbered in the order of their names as text, as torchvision does."""
    store: Store = Archive(source) if source.data else Folder(source)
    places = _placed(source, [name for name in store.names if _counts(name)])
    classes = sorted({label for _, label, _ in places})
    if len(classes) > MOST_CLASSES:
        raise source.refusal(f"there are {len(classes):,} class folders, more than {MOST_CLASSES:,}", "use fewer")
    images: list[np.ndarray] = []
    held = 0
    for _, _, name in places:
        image = _image(source, store.read(name), name, options)
        if images and image.shape != images[0].shape:
            raise _unlike(source, name, image.shape, images[0].shape)
        images.append(image)
        held += 4 * image.size
        source.check_size(held, "the images")
    splits = [split for split, _, _ in places]
    given = tuple((split, splits.count(split)) for split in SPLITS if split in splits)
    if classes == [""] or not options.labelled:
        return Found(np.stack(images), given=given)
    labels = np.array([classes.index(label) for _, label, _ in places], np.int64)
    return Found(np.stack(images), labels, tuple(classes), given, _notes(classes))


def _counts(name: str) -> bool:
    parts = name.lower().split("/")
    return not any(part.startswith(".") or part in IGNORED for part in parts)


def _placed(source: Source, names: list[str]) -> list[Place]:
    """Where each image belongs, in the order of splits, classes and names."""
    images = [name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]
    for name in names:
        suffix = PurePosixPath(name).suffix.lower()
        if name not in images and ("/" in name or suffix in ARCHIVES):
            what = "an archive inside" if suffix in ARCHIVES else "no image that is read"
            raise source.refusal(f"this is {what}", f"keep only images ({', '.join(SUFFIXES[:4])})", member(name))
    if not images:
        raise source.refusal("there are no images", f"put images ({', '.join(SUFFIXES[:4])}) into one folder a class")
    parts = [name.split("/") for name in images]
    cut = 0
    while len({part[cut] for part in parts if len(part) - cut >= 3}) == 1 and min(map(len, parts)) - cut >= 3:
        cut += 1
    depth, _ = Counter(len(part) - cut for part in parts).most_common(1)[0]
    places = [_place(source, name, part[cut:], depth) for name, part in zip(images, parts, strict=True)]
    if len({split for split, _, _ in places}) > 1 and "train" not in {split for split, _, _ in places}:
        raise source.refusal("there is no folder train beside test or validation", "name the folders train and test")
    order = {"": 0} | {split: i for i, split in enumerate(SPLITS)}
    return sorted(places, key=lambda place: (order[place[0]], *place[1:]))


def _place(source: Source, name: str, parts: list[str], depth: int) -> Place:
    if len(parts) != depth or depth > 3:
        raise source.refusal(
            "images lie at different depths",
            "put all images into class folders, and nothing above or below",
            member(name),
        )
    if depth < 3:
        return "", (parts[0] if depth == 2 else ""), name
    if parts[0].lower() not in SPLIT_OF:
        raise source.refusal(
            "the image lies too deep", "put images into class folders, and those into train and test if need be",
            member(name),
        )  # fmt: skip
    return SPLIT_OF[parts[0].lower()], parts[1], name


def _image(source: Source, data: bytes, name: str, options: DataOptions) -> np.ndarray:
    """(channels, height, width) uint8."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise _too_large(source, name) from None
    except Exception:  # a decoder may stumble over damaged bytes in any way
        raise source.damaged("an image", member(name)) from None
    if image.width * image.height > MOST_PIXELS:
        raise _too_large(source, name)
    if getattr(image, "n_frames", 1) > 1:
        raise source.refusal("the image is a film of several frames", "save one frame", member(name))
    mode = _mode(source, image.mode, name, options.colour)
    try:
        image.load()
        image = image.convert(mode)
        if options.size:
            image = image.resize((options.size[1], options.size[0]), Image.Resampling.BILINEAR)
        pixels = np.array(image, np.uint8)
    except Exception:  # as above
        raise source.refusal("the image is truncated or damaged", "replace or remove it", member(name)) from None
    return pixels[None] if mode == "L" else pixels.transpose(2, 0, 1)


def _mode(source: Source, stored: str, name: str, colour: str) -> str:
    """L for grey or RGB for colour, as Pillow calls them."""
    if stored.startswith(("I", "F")):
        raise source.refusal("pixels have more than 8 bits a channel", "save the image with 8 bits", member(name))
    if colour != "as stored":
        return "L" if colour == "grey" else "RGB"
    modes = {"L": "L", "1": "L", "RGB": "RGB", "P": "RGB"}
    if stored not in modes:
        raise source.refusal(
            f"the image has the channels {stored}, with transparency or of print",
            "set colour to grey or colour",
            member(name),
        )
    return modes[stored]


def _too_large(source: Source, name: str) -> ValueError:
    return source.refusal(
        f"the image has more than {MOST_PIXELS // 1_000_000} million pixels", "make it smaller", member(name)
    )


def _unlike(source: Source, name: str, shape: Iterable[int], first: Iterable[int]) -> ValueError:
    (c, h, w), (c0, h0, w0) = shape, first
    if c != c0:
        reason, remedy = "some images are grey and some have colour", "set colour to grey or colour"
    else:
        reason, remedy = f"it is {h} x {w} pixels and the first image is {h0} x {w0}", "set size to resize all"
    return source.refusal(reason, remedy, member(name))


def _notes(classes: list[str]) -> tuple[str, ...]:
    if not all(name.isdecimal() for name in classes) or classes == sorted(classes, key=int):
        return ()
    return ("Class folders are ordered as text, as torchvision does, so '10' comes before '2'.",)
