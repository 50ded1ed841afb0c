"""Decodes one image in a process of its own; started by `minting.media`, imports Pillow only.

Reads the file from standard input, its task as JSON from the first argument, and writes one JSON
line followed by the encoded images to standard output. Hostile bytes can at most end this process:
it limits its own memory, time and output before it touches them.
"""

import io
import json
import resource
import struct
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any

_ALLOWED = ("PNG", "JPEG", "WEBP", "GIF")
_STATIC_ONLY = ("JPEG", "MPO")


class _RefusedError(Exception):
    """The image cannot be used; `reason` and the numbers travel to the parent."""

    def __init__(self, reason: str, **numbers: int) -> None:
        super().__init__(reason)
        self.answer = {"refused": reason, **numbers}


def main() -> None:
    """Answer one task; exit code 0 also for a refusal."""
    task: dict[str, Any] = json.loads(sys.argv[1])
    _limit(task)
    data = sys.stdin.buffer.read()
    try:
        parts = _render(data, task)
        answer: dict[str, Any] = {"parts": [{k: p[k] for k in p if k != "data"} for p in parts]}
    except _RefusedError as refused:
        parts, answer = [], refused.answer
    except MemoryError:
        parts, answer = [], {"refused": "heavy"}
    out = sys.stdout.buffer
    out.write(json.dumps(answer).encode() + b"\n")
    for part in parts:
        out.write(part["data"])
    out.flush()


def _limit(task: dict[str, Any]) -> None:
    seconds = task["cpu_seconds"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (task["memory_bytes"], task["memory_bytes"]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (task["output_bytes"], task["output_bytes"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _render(data: bytes, task: dict[str, Any]) -> list[dict[str, Any]]:
    """The token's image, then the renditions, smallest first."""
    _check_webp_header(data, task["pixels"])
    image = _open(data)
    _check_header(image, data, task)
    square = _square(_opaque(_decode(image)))
    sides = [side for side in task["sides"] if side <= square.width]
    parts = [_encoded(_scaled(square, task["largest_side"]), task["original_quality"])]
    return parts + [_encoded(_scaled(square, side), task["quality"]) for side in sides]


def _check_webp_header(data: bytes, pixels: int) -> None:
    """Pillow allocates the whole canvas when it opens a WebP: read its size before.

    References:
        RFC 9649 §2.5-2.7 (VP8, VP8L, VP8X).
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return
    kind = data[12:16]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    if width * height > pixels:
        raise _RefusedError("pixels", width=width, height=height)


def _open(data: bytes) -> Any:
    # Imported here, so that nothing of Pillow runs before the limits stand.
    from PIL import (  # noqa: F401
        GifImagePlugin,
        Image,
        JpegImagePlugin,
        PngImagePlugin,
        UnidentifiedImageError,
        WebPImagePlugin,
    )

    Image.MAX_IMAGE_PIXELS = None  # our own cap, checked before anything is decoded
    try:
        return Image.open(io.BytesIO(data), formats=_ALLOWED)
    except UnidentifiedImageError:
        raise _RefusedError("broken" if _claims_a_kind(data) else "kind") from None
    except MemoryError:
        raise
    except Exception:
        # Whatever a decoder raises on hostile bytes, the file is not usable.
        raise _RefusedError("broken") from None


def _claims_a_kind(data: bytes) -> bool:
    riff = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return riff or data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"))


def _check_header(image: Any, data: bytes, task: dict[str, Any]) -> None:
    """What the header says is acceptable; nothing was decoded yet."""
    width, height = image.size
    if width * height > task["pixels"]:
        raise _RefusedError("pixels", width=width, height=height)
    if abs(width - height) * 100 > max(width, height) * task["tolerance_percent"]:
        raise _RefusedError("not_square", width=width, height=height)
    if min(width, height) < task["least_side"]:
        raise _RefusedError("too_small", width=width, height=height)
    if image.format not in _STATIC_ONLY and _has_frame(image, data, task["frames"]):
        raise _RefusedError("frames")


def _has_frame(image: Any, data: bytes, number: int) -> bool:
    """True when the animation reaches the frame, counted from 0; looks no further than needed."""
    if image.format == "GIF":
        return sum(1 for _ in islice(_gif_frames(data), number + 1)) > number
    return bool(getattr(image, "n_frames", 1) > number)


def _gif_frames(data: bytes) -> Iterator[int]:
    """Where each image of a GIF begins, found by walking its blocks; nothing is decoded.

    References:
        GIF89a §15-26: sub-blocks, image descriptor 0x2C, extension 0x21, colour tables.
    """
    at = 13 + _colour_table(data[10])
    while at < len(data) and data[at] in (0x21, 0x2C):
        if data[at] == 0x21:
            at = _after_sub_blocks(data, at + 2)
            continue
        yield at
        flags = data[at + 9] if at + 9 < len(data) else 0
        at = _after_sub_blocks(data, at + 11 + _colour_table(flags))


def _colour_table(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_sub_blocks(data: bytes, at: int) -> int:
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1


def _decode(image: Any) -> Any:
    """The pixels of the first frame, upright."""
    from PIL import ImageOps

    try:
        image.load()
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:
        raise _RefusedError("broken") from None


def _opaque(image: Any) -> Any:
    """The image in RGB, in sRGB; refused when any pixel is not opaque."""
    if image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info:
        alpha = image.convert("RGBA").getchannel("A")
        if alpha.getextrema()[0] < 255:
            raise _RefusedError("transparent")
    if image.mode.startswith("I"):
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    return _in_srgb(image)


def _in_srgb(image: Any) -> Any:
    """Colours as they were meant: the profile is applied, because it is not kept."""
    from PIL import ImageCms

    profile = image.info.get("icc_profile")
    if image.mode in ("P", "PA", "1", "LA", "RGBA"):
        image = image.convert("RGB")
    if profile and image.mode in ("RGB", "CMYK"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
            return converted if converted is not None else image
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a broken profile costs the exact shade, not the upload
    return image.convert("RGB")


def _square(image: Any) -> Any:
    """The centre of an image that is square within the tolerance, with nothing attached to it."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    cropped = image.crop((left, top, left + side, top + side))
    cropped.info = {}
    return cropped


def _scaled(image: Any, side: int) -> Any:
    """The image with at most this side; never larger than it is."""
    from PIL import Image

    if image.width <= side:
        return image
    return image.resize((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)


def _encoded(image: Any, quality: int) -> dict[str, Any]:
    target = io.BytesIO()
    image.save(target, "WEBP", quality=quality, method=4, exif=b"", xmp=b"", icc_profile=b"")
    data = target.getvalue()
    return {"width": image.width, "height": image.height, "size": len(data), "data": data}


if __name__ == "__main__":
    main()
