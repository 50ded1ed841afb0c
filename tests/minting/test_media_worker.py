"""The decoder's own steps, run in this process: damaged files of every kind never surprise it."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from minting import media_worker
from minting.media import _task
from minting.media_worker import _gif_frames, _RefusedError, _render

TASK = {**_task(), "least_side": 8, "sides": (8, 16), "pixels": 40_000}
REASONS = {
    "kind",
    "broken",
    "pixels",
    "not_square",
    "too_small",
    "transparent",
    "frames",
}


def sample(kind: str, mode: str = "RGB", frames: int = 1) -> bytes:
    """A small file of the kind, with all the parts a real one has."""
    images = [Image.linear_gradient("L").resize((24, 24)).rotate(90 * n) for n in range(frames)]
    target = io.BytesIO()
    first, *rest = [image.convert(mode) for image in images]
    more = {"save_all": True, "append_images": rest} if rest else {}
    first.save(target, kind, **more)
    return target.getvalue()


SAMPLES = [
    sample("PNG"),
    sample("PNG", "P"),
    sample("PNG", "I;16"),
    sample("PNG", frames=3),
    sample("JPEG"),
    sample("JPEG", "CMYK"),
    sample("WEBP"),
    sample("WEBP", "RGBA"),
    sample("WEBP", frames=3),
    sample("GIF"),
    sample("GIF", frames=3),
]


@pytest.mark.filterwarnings("ignore")  # the worker's warnings go nowhere
class TestRender:
    @pytest.mark.parametrize("data", SAMPLES)
    def test_of_a_whole_file_gives_every_size(self, data: bytes) -> None:
        assert [part["width"] for part in _render(data, TASK)] == [24, 8, 16]

    @settings(max_examples=300, deadline=None)
    @given(data=st.data())
    def test_of_a_damaged_file_works_or_is_refused(self, data: st.DataObject) -> None:
        damaged = bytearray(data.draw(st.sampled_from(SAMPLES)))
        places = st.integers(0, len(damaged) - 1)
        for place in data.draw(st.lists(places, max_size=6)):
            damaged[place] = data.draw(st.integers(0, 255))
        cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
        try:
            parts = _render(cut, TASK)
        except _RefusedError as refused:
            assert refused.answer["refused"] in REASONS
        else:
            assert parts[0]["width"] == parts[0]["height"]

    def test_refuses_a_webp_of_every_header_by_its_size(self) -> None:
        for options in ({}, {"lossless": True}, {"save_all": True}):
            target = io.BytesIO()
            image = Image.new("RGB", (300, 200))
            image.save(target, "WEBP", append_images=[Image.new("RGB", (300, 200), 1)], **options)
            with pytest.raises(_RefusedError) as caught:
                media_worker._check_webp_header(target.getvalue(), 59_999)
            assert caught.value.answer == {"refused": "pixels", "width": 300, "height": 200}
            media_worker._check_webp_header(target.getvalue(), 60_000)


class TestGifFrames:
    @pytest.mark.parametrize("count", [1, 2, 4])
    def test_finds_each(self, count: int) -> None:
        assert len(list(_gif_frames(sample("GIF", frames=count)))) == count

    @given(st.binary(min_size=13, max_size=400))
    def test_ends_on_any_bytes(self, data: bytes) -> None:
        assert len(list(_gif_frames(data))) <= len(data)
