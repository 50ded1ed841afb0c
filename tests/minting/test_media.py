"""Images in and out, and the hostile ones: each refused by its own sentence, quickly."""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms

from minting.errors import (
    ImageBrokenError,
    ImageFileTooLargeError,
    ImageFramesError,
    ImageInvalidError,
    ImageKindError,
    ImageNotSquareError,
    ImagePixelsError,
    ImageTooSlowError,
    ImageTooSmallError,
    ImageTransparentError,
)
from minting.media import MAX_BYTES, Rendition, render_image

EXAMPLES = Path(__file__).parents[2] / "examples" / "media"
RED = (200, 30, 40)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The image as a file of the kind."""
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def plain(side: int = 420, *, height: int | None = None, mode: str = "RGB") -> Image.Image:
    """A red image; grey where the mode has no colour."""
    return Image.new("RGB", (side, height or side), RED).convert(mode)


def detailed(side: int = 420) -> Image.Image:
    """An image that does not compress away."""
    return Image.frombytes("RGB", (side, side), os.urandom(side * side * 3))


def frames(count: int) -> list[Image.Image]:
    """Frames that differ, so that no encoder merges them."""
    return [Image.new("RGB", (400, 400), (n * 2 % 256, n * 37 % 256, 90)) for n in range(count)]


def animated(kind: str, count: int) -> bytes:
    """An animation."""
    first, *rest = frames(count)
    return encoded(first, kind, save_all=True, append_images=rest, duration=40)


def opened(rendition: Rendition) -> Image.Image:
    """The rendition, decoded."""
    return Image.open(io.BytesIO(rendition.data))


def chunk(name: bytes, body: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_bomb(side: int) -> bytes:
    """A small PNG of many black pixels, one bit each."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", body), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def webp_bomb(side: int) -> bytes:
    """A WebP of a few bytes whose header claims a canvas."""
    size = (side - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size + size + b"VP8 " + bytes(4)
    return b"RIFF" + struct.pack("<I", len(body)) + body


class TestRenderImage:
    def test_writes_every_size_it_has_pixels_for(self) -> None:
        media = render_image(encoded(plain(1400)))
        assert [(part.width, part.height) for part in media.renditions] == [
            (160, 160),
            (320, 320),
            (640, 640),
            (1280, 1280),
        ]
        assert (media.original.width, media.original.height) == (1400, 1400)

    def test_never_scales_up(self) -> None:
        media = render_image(encoded(plain(420)))
        assert [part.width for part in media.renditions] == [160, 320]
        assert media.original.width == 420

    def test_limits_the_token_image_to_3000_pixels(self) -> None:
        assert render_image(encoded(plain(3200))).original.width == 3000

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
    def test_accepts_every_kind_and_answers_webp(self, kind: str) -> None:
        media = render_image(encoded(plain(), kind))
        for part in (media.original, *media.renditions):
            image = opened(part)
            assert (image.format, image.mode) == ("WEBP", "RGB")
            assert image.size == (part.width, part.height)
            assert part.media_type == "image/webp"

    @pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "I;16", "CMYK"])
    def test_accepts_every_colour_mode_that_is_opaque(self, mode: str) -> None:
        deep = Image.new("I;16", (420, 420), 32_896)
        image = deep if mode == "I;16" else plain(mode=mode)
        kind = "JPEG" if mode == "CMYK" else "PNG"
        media = render_image(encoded(image, kind))
        assert opened(media.original).mode == "RGB"

    def test_keeps_the_brightness_of_sixteen_bits(self) -> None:
        media = render_image(encoded(Image.new("I;16", (420, 420), 32_896)))
        assert opened(media.original).getpixel((9, 9)) == pytest.approx((128, 128, 128), abs=2)

    def test_gives_the_same_bytes_for_the_same_file(self) -> None:
        data = encoded(detailed())
        assert render_image(data) == render_image(data)

    def test_crops_what_is_square_within_one_per_cent(self) -> None:
        media = render_image(encoded(plain(1000, height=1010)))
        assert (media.original.width, media.original.height) == (1000, 1000)

    def test_takes_the_first_of_a_hundred_frames(self) -> None:
        media = render_image(animated("GIF", 100))
        assert opened(media.original).getpixel((200, 200)) == pytest.approx((0, 0, 90), abs=6)

    def test_applies_the_orientation(self) -> None:
        image = plain(420)
        image.paste((255, 255, 255), (0, 0, 210, 420))
        exif = Image.Exif()
        exif[0x0112] = 3  # upside down: left becomes right
        turned = opened(render_image(encoded(image, "JPEG", exif=exif)).original)
        assert turned.getpixel((400, 200)) == pytest.approx((255, 255, 255), abs=4)

    def test_drops_metadata_and_applies_the_profile(self) -> None:
        exif = Image.Exif()
        exif[0x010E] = "taken at home"
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        data = encoded(plain(), "JPEG", exif=exif, icc_profile=profile)
        image = opened(render_image(data).original)
        assert not image.getexif()
        assert "icc_profile" not in image.info
        assert b"taken at home" not in render_image(data).original.data

    def test_survives_a_broken_profile(self) -> None:
        media = render_image(encoded(plain(), "JPEG", icc_profile=b"no profile at all"))
        assert opened(media.original).getpixel((9, 9)) == pytest.approx(RED, abs=6)

    @pytest.mark.parametrize("name", ["first-tide.webp", "alder-leaf.webp"])
    def test_accepts_the_example_media(self, name: str) -> None:
        media = render_image((EXAMPLES / name).read_bytes())
        assert len(media.renditions) == 4
        assert len(media.renditions[0].data) < 20_000


HOSTILE: list[tuple[str, Callable[[], bytes], type[ImageInvalidError], str]] = [
    ("an empty file", lambda: b"", ImageKindError, "PNG, JPEG, WebP or GIF"),
    ("text renamed .png", lambda: b"this is no image\n" * 99, ImageKindError, "PNG, JPEG"),
    (
        "SVG with a script",
        lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        ImageKindError,
        "PNG, JPEG",
    ),
    ("a TIFF", lambda: encoded(plain(), "TIFF"), ImageKindError, "PNG, JPEG"),
    ("a BMP", lambda: encoded(plain(), "BMP"), ImageKindError, "PNG, JPEG"),
    ("HTML before a PNG", lambda: b"<html>" + encoded(plain()), ImageKindError, "PNG, JPEG"),
    (
        "GIF and JavaScript at once",
        lambda: b"GIF89a/*" + b"*/=alert(1)//" * 9,
        ImageBrokenError,
        "damaged",
    ),
    ("half a PNG", lambda: encoded(detailed())[:90_000], ImageBrokenError, "cut off"),
    ("a PNG of eight bytes", lambda: b"\x89PNG\r\n\x1a\n", ImageBrokenError, "cut off"),
    ("half a JPEG", lambda: encoded(detailed(), "JPEG")[:20_000], ImageBrokenError, "cut off"),
    ("half a WebP", lambda: encoded(detailed(), "WEBP")[:20_000], ImageBrokenError, "cut off"),
    ("half a GIF", lambda: encoded(detailed(), "GIF")[:20_000], ImageBrokenError, "cut off"),
    ("a PNG bomb", lambda: png_bomb(13_000), ImagePixelsError, "13,000 × 13,000"),
    ("a WebP bomb", lambda: webp_bomb(16_000), ImagePixelsError, "16,000 × 16,000"),
    ("a pixel too many", lambda: png_bomb(5_001), ImagePixelsError, "25 million"),
    ("a wide image", lambda: encoded(plain(500, height=420)), ImageNotSquareError, "420 × 420"),
    ("two per cent off", lambda: encoded(plain(1000, height=1020)), ImageNotSquareError, "Crop"),
    ("a small image", lambda: encoded(plain(399)), ImageTooSmallError, "at least 400"),
    ("101 frames of GIF", lambda: animated("GIF", 101), ImageFramesError, "more than 100"),
    ("101 frames of WebP", lambda: animated("WEBP", 101), ImageFramesError, "more than 100"),
    ("101 frames of PNG", lambda: animated("PNG", 101), ImageFramesError, "more than 100"),
    (
        "glass",
        lambda: encoded(Image.new("RGBA", (420, 420), (9, 9, 9, 254))),
        ImageTransparentError,
        "opaque",
    ),
    (
        "a GIF with holes",
        lambda: encoded(plain(mode="P"), "GIF", transparency=plain(mode="P").getpixel((0, 0))),
        ImageTransparentError,
        "opaque",
    ),
    ("33 MB", lambda: encoded(plain()) + bytes(33_000_000), ImageFileTooLargeError, "32 MB"),
]


class TestHostileImages:
    @pytest.mark.parametrize(
        ("data", "error", "sentence"),
        [row[1:] for row in HOSTILE],
        ids=[row[0] for row in HOSTILE],
    )
    def test_each_is_refused_by_its_own_sentence(
        self, data: Callable[[], bytes], error: type[ImageInvalidError], sentence: str
    ) -> None:
        with pytest.raises(error, match=sentence) as caught:
            render_image(data())
        assert caught.value.fields == {"image": str(caught.value)}
        assert caught.value.status == 422

    def test_a_bomb_is_small_and_this_process_stays_small(self) -> None:
        bomb = png_bomb(30_000)
        assert len(bomb) < 120_000
        before = _resident_bytes()
        with pytest.raises(ImagePixelsError):
            render_image(bomb)
        assert _resident_bytes() - before < 20_000_000

    def test_an_archive_behind_the_picture_does_not_survive(self) -> None:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("payload.txt", "hidden")
        media = render_image(encoded(plain()) + archive.getvalue())
        for part in (media.original, *media.renditions):
            assert b"payload.txt" not in part.data
            assert not zipfile.is_zipfile(io.BytesIO(part.data))

    def test_what_takes_too_long_is_stopped(self) -> None:
        with pytest.raises(ImageTooSlowError, match="too long"):
            render_image(encoded(plain()), timeout_seconds=0)

    def test_what_needs_too_much_memory_is_stopped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = encoded(plain(4_000))
        monkeypatch.setattr("minting.media._MEMORY_BYTES", 90_000_000)
        with pytest.raises(ImageTooSlowError, match="too much memory"):
            render_image(data)

    def test_exactly_the_limit_is_read(self) -> None:
        data = encoded(plain())
        assert render_image(data + bytes(MAX_BYTES - len(data))).original.width == 420


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
