"""Small corpora of pictures in their native layouts; files of every format."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ATTRIBUTES = ("5_o_Clock_Shadow", "Male", "Smiling")
PEOPLE = {"Aaron_Eckhart": 3, "Zhang_Ziyi": 2, "Jose_Manuel_Durao_Barroso": 1}


def portrait(height: int = 80, width: int = 80, seed: int = 0) -> np.ndarray:
    """uint8 [h, w, 3]: smooth, so that lossy formats keep it, and another for every seed."""
    rows, columns = np.mgrid[:height, :width] / max(height, width)
    colours = np.random.default_rng(seed).uniform(40, 215, (2, 3))
    return np.rint(rows[..., None] * colours[0] + (1 - columns[..., None]) * 0.15 * colours[1]).astype(np.uint8)


def file_of(pixels: np.ndarray | Image.Image, form: str = "JPEG", **options: Any) -> bytes:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def lfw(root: Path) -> Path:
    for seed, (name, count) in enumerate(PEOPLE.items()):
        for number in range(1, count + 1):
            put(root / name / f"{name}_{number:04d}.jpg", file_of(portrait(250, 250, 10 * seed + number)))
    put(root / "peopleDevTrain.txt", b"2\nAaron_Eckhart\t3\nNobody_Here\t1\n")
    put(root / "peopleDevTest.txt", b"1\nZhang_Ziyi\t2\n")
    put(root / "pairsDevTrain.txt", b"1\nAaron_Eckhart\t1\t2\nAaron_Eckhart\t1\tZhang_Ziyi\t1\n")
    return root


def celeba(root: Path, pictures: int = 6) -> Path:
    """Aligned; lists as its authors', among them rows of a picture that is not there and pictures that have none."""
    for number in range(1, pictures + 1):
        put(root / "img_align_celeba" / f"{number:06d}.jpg", file_of(portrait(218, 178, number)))
    split = "".join(f"{n:06d}.jpg {(n - 1) % 3}\n" for n in range(1, pictures))  # the last has no row
    put(root / "Eval/list_eval_partition.txt", (split + "000099.jpg 0\n000100.jpg 7\n").encode())
    who = "".join(f"{n:06d}.jpg {2880 if n % 2 else 17}\n" for n in range(1, pictures + 1))
    put(root / "Anno/identity_CelebA.txt", who.encode())
    rows = [f"{n:06d}.jpg {'-1' if n % 2 else ' 1'} {' 1' if n % 2 else '-1'} -1" for n in range(1, pictures + 1)]
    attributes = "\r\n".join([str(pictures), " ".join(ATTRIBUTES), *rows, "000001.jpg 1 1"])
    put(root / "Anno/list_attr_celeba.txt", b"\xef\xbb\xbf" + attributes.encode())
    boxes = "".join(f"{n:06d}.jpg    {20 + n}  30  80  100\n" for n in range(1, pictures))
    put(root / "Anno/list_bbox_celeba.txt", f"{pictures}\nimage_id x_1 y_1 width height\n{boxes}".encode())
    put(root / "README.txt", b"CelebA")
    return root
