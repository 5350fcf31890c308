"""A folder of small pictures, some odd and some damaged: one of each kind that the world sends."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from hdfm.data import photographs

# kind -> what its reason must say; the other kinds are odd but fine, and must be read
BAD = {
    "truncated": "truncated",
    "empty": "empty file",
    "html": "not an image",
    "bomb": "400,000,000 pixels",
    "one pixel": "1x1",
    "folder": "is a folder",
    "unreadable": "cannot be read",
    "link to itself": "a loop of links",
    "link to its parent": "listed already",
}
# those that are found when the folder is listed, unopened
LISTED = "folder", "link to itself", "link to its parent"


def encoded(picture, kind="JPEG", **options):
    """The bytes of a file."""
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def png_bomb(side):
    """The bytes of a white 1-bit PNG of side × side pixels; only one row is ever in memory."""

    def chunk(kind, data):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    pack = zlib.compressobj(9)
    row = b"\0" + b"\xff" * ((side + 7) // 8)
    pixels = b"".join(pack.compress(row) for _ in range(side)) + pack.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def odd_files(scene):
    """{kind: (suffix, bytes)} of the kinds that are files; `scene` is a Pillow RGB image."""
    sideways = Image.Exif()
    sideways[0x0112] = 6
    grey16 = Image.fromarray(np.asarray(scene.convert("L")).astype(np.uint16) * 257)
    turned = scene.transpose(Image.Transpose.ROTATE_90)
    whole = encoded(scene)
    page = b"<!DOCTYPE html><html><title>404 Not Found</title></html>"
    return {
        "truncated": ("jpg", whole[: len(whole) // 2]),
        "empty": ("jpg", b""),
        "html": ("jpg", page),
        "bomb": ("png", png_bomb(20_000)),
        "cmyk": ("jpg", encoded(scene.convert("CMYK"))),
        "16-bit": ("png", encoded(grey16, "PNG")),
        "palette": ("png", encoded(scene.quantize(32), "PNG")),
        "exif": ("jpg", encoded(turned, exif=sideways)),
        "one pixel": ("jpg", encoded(Image.new("RGB", (1, 1)))),
        "unreadable": ("jpg", whole),
    }


def make_folder(root, n=500, seed=0):
    """Write `n` fine pictures of 40×32 in five classes and the 13 others among them.

    Returns {kind: relative name} of the others. `BAD` has the kinds that are truly bad.
    "unreadable" is so only for those who are not root.
    """
    root = Path(root)
    draw = np.random.default_rng(seed)
    names = {}
    pictures = dict(list(photographs().items())[:5])
    for i in range(n):
        name = list(pictures)[i % 5]
        pixels = pictures[name]
        y, x = (int(draw.integers(0, side - 160)) for side in pixels.shape[:2])
        crop = Image.fromarray(pixels[y : y + 128, x : x + 160]).resize(
            (40, 32), Image.Resampling.BOX
        )
        (root / name).mkdir(parents=True, exist_ok=True)
        suffix, kind = [("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("JPEG", "JPEG")][
            i // 5 % 4
        ]
        crop.save(root / name / f"{i:06d}.{suffix}", kind)
    for i, (kind, (suffix, data)) in enumerate(odd_files(crop).items()):
        place = list(pictures)[i % 5]
        names[kind] = f"{place}/{draw.integers(n):06d}-{kind.replace(' ', '-')}.{suffix}"
        (root / names[kind]).write_bytes(data)
    os.chmod(root / names["unreadable"], 0)
    names["folder"] = "china/folder.png"
    names["link to itself"] = "flower/loop.jpg"
    names["link to its parent"] = "coffee/up"
    (root / names["folder"]).mkdir()
    (root / names["link to itself"]).symlink_to("loop.jpg")
    (root / names["link to its parent"]).symlink_to("..")
    return names
