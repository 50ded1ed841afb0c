"""Draws the two collectibles of the example brand; the same pixels on every run.

Run: python examples/media/make.py

Everything is drawn at twice the size and scaled down once, so edges are smooth; the grain is added
last, so it stays crisp.
"""

import math
import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

SIZE = 1600
CANVAS = SIZE * 2
FOLDER = Path(__file__).resolve().parent

Colour = tuple[int, int, int]
Stops = Sequence[tuple[float, Colour]]
Point = tuple[float, float]

INK = (13, 32, 38)
CREAM = (250, 238, 216)


def between(first: Colour, second: Colour, share: float) -> Colour:
    """The colour at `share` of the way."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def at_stop(stops: Stops, place: float) -> Colour:
    """The colour of a gradient at `place` between 0 and 1."""
    for (start, first), (end, second) in pairwise(stops):
        if place <= end:
            return between(first, second, max(0.0, place - start) / (end - start))
    return stops[-1][1]


def vertical(stops: Stops, size: tuple[int, int]) -> Image.Image:
    """A gradient from top to bottom."""
    column = Image.new("RGB", (1, size[1]))
    column.putdata([at_stop(stops, y / (size[1] - 1)) for y in range(size[1])])
    return column.resize(size)


def radial(stops: Stops, radius: int) -> Image.Image:
    """A gradient from the centre to the rim of a square of twice the radius."""
    distance = Image.radial_gradient("L").resize((2 * radius, 2 * radius), Image.Resampling.BICUBIC)
    tables = [at_stop(stops, level / 255) for level in range(256)]
    channels = [distance.point([colour[channel] for colour in tables]) for channel in range(3)]
    return Image.merge("RGB", channels)


def blank() -> Image.Image:
    """An empty mask of the canvas."""
    return Image.new("L", (CANVAS, CANVAS), 0)


def polygon(points: Sequence[Point]) -> Image.Image:
    """A mask of the area."""
    mask = blank()
    ImageDraw.Draw(mask).polygon(list(points), fill=255)
    return mask


def disc(centre: Point, radius: float) -> Image.Image:
    """A mask of the circle."""
    mask = blank()
    x, y = centre
    ImageDraw.Draw(mask).ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return mask


def fade(mask: Image.Image, share: float) -> Image.Image:
    """The mask, weaker."""
    return mask.point([round(level * share) for level in range(256)])


def paint(canvas: Image.Image, colour: Colour, mask: Image.Image, share: float = 1.0) -> None:
    """Put a colour where the mask is."""
    canvas.paste(colour, (0, 0), fade(mask, share) if share < 1 else mask)


def glow(canvas: Image.Image, colour: Colour, mask: Image.Image, blur: int, share: float) -> None:
    """Light that spills over the edges of the mask."""
    small = mask.resize((CANVAS // 8, CANVAS // 8)).filter(ImageFilter.GaussianBlur(blur / 8))
    paint(canvas, colour, small.resize((CANVAS, CANVAS), Image.Resampling.BICUBIC), share)


def shade_below(canvas: Image.Image, mask: Image.Image, drop: int, share: float) -> None:
    """A soft shadow above a shape, as if it lay on what is behind."""
    moved = ImageChops.offset(mask, 0, -drop)
    ImageDraw.Draw(moved).rectangle((0, CANVAS - drop, CANVAS, CANVAS), fill=255)
    glow(canvas, INK, moved, drop * 2, share)


def grain(image: Image.Image, seed: int, strength: int) -> Image.Image:
    """Fine paper grain: the same for the same seed."""
    noise = Image.frombytes("L", image.size, random.Random(seed).randbytes(SIZE * SIZE))
    soft = noise.filter(ImageFilter.GaussianBlur(0.6))
    # Noise around 128 becomes a small push to darker or lighter.
    push = soft.point([round(128 + (level - 128) * strength / 60) for level in range(256)])
    return ImageChops.overlay(image, Image.merge("RGB", (push, push, push)))


def finish(canvas: Image.Image, name: str, *, seed: int) -> None:
    """Scale down, add grain, write."""
    image = canvas.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    image = grain(image, seed, 9)
    image.save(FOLDER / f"{name}.webp", "WEBP", quality=93, method=6)


def swell(base: float, heights: Sequence[tuple[float, float, float]]) -> Callable[[float], float]:
    """The line of a wave: sines of (height, waves across the picture, phase) around `base`."""

    def line(x: float) -> float:
        place = x / CANVAS * math.tau
        return base + sum(h * math.sin(place * count + phase) for h, count, phase in heights)

    return line


def below(line: Callable[[float], float]) -> list[Point]:
    """The area under a line, down to the edge."""
    upper = [(float(x), line(x)) for x in range(0, CANVAS + 9, 8)]
    return [*upper, (CANVAS + 8.0, CANVAS + 8.0), (0.0, CANVAS + 8.0)]


def draw_first_tide() -> None:
    """A copper sun over the tide, its light lying on the water."""
    canvas = vertical(
        [(0, (22, 52, 62)), (0.22, (74, 98, 96)), (0.42, (226, 150, 108)), (0.58, (250, 206, 150))],
        (CANVAS, CANVAS),
    )
    sun, radius = (CANVAS * 0.5, CANVAS * 0.415), CANVAS * 0.205
    glow(canvas, (255, 214, 158), disc(sun, radius * 1.5), 420, 0.55)
    _draw_rings(canvas, sun, radius)
    face = vertical([(0, (255, 244, 220)), (0.5, (252, 196, 132)), (1, (226, 104, 70))], (8, 1000))
    side = round(radius * 2)
    canvas.paste(
        face.resize((side, side), Image.Resampling.BICUBIC),
        (round(sun[0] - radius), round(sun[1] - radius)),
        disc((radius, radius), radius).crop((0, 0, side, side)),
    )
    _draw_birds(canvas)
    _draw_sea(canvas)
    finish(canvas, "first-tide", seed=7)


def _draw_rings(canvas: Image.Image, centre: Point, radius: float) -> None:
    """Fine circles around the sun, wider and fainter outwards."""
    for number in range(1, 15):
        reach = radius + 46 * number + 2.4 * number * number
        ring = ImageChops.subtract(disc(centre, reach), disc(centre, reach - 5))
        paint(canvas, (255, 236, 206), ring, 0.5 * (1 - number / 15))


def _draw_birds(canvas: Image.Image) -> None:
    """Three gulls, each two strokes of a wing."""
    places = ((0.735, 0.225, 78), (0.79, 0.262, 54), (0.70, 0.278, 42))
    for x, y, span in places:
        mask = blank()
        pen = ImageDraw.Draw(mask)
        left, top = CANVAS * x, CANVAS * y
        for side in (-1, 1):
            upper = [_wing(left, top, span * side, share / 24, 0.0) for share in range(25)]
            lower = [_wing(left, top, span * side, share / 24, 0.16) for share in range(25)]
            pen.polygon(upper + lower[::-1], fill=255)
        paint(canvas, (255, 240, 216), mask, 0.92)


def _wing(x: float, y: float, span: float, share: float, depth: float) -> Point:
    lift = math.sin(share * math.pi * 0.86) * 0.46 - share * 0.06
    thick = depth * math.sin(share * math.pi) + (0.03 if depth else 0) * (1 - share)
    return x + span * share, y - abs(span) * (lift - thick)


_SEA: tuple[tuple[float, Sequence[tuple[float, float, float]], Colour, Colour], ...] = (
    (0.548, ((10, 2, 0.4), (6, 5, 1.0)), (230, 148, 112), (168, 122, 106)),
    (0.592, ((26, 1.4, 2.2), (12, 3.6, 0.2)), (170, 128, 112), (96, 112, 110)),
    (0.646, ((46, 1.1, 0.5), (18, 2.9, 2.5)), (104, 128, 122), (52, 96, 100)),
    (0.712, ((70, 1.0, 3.6), (26, 2.3, 1.2)), (62, 116, 116), (28, 78, 86)),
    (0.790, ((92, 0.9, 1.4), (30, 2.1, 4.0)), (38, 92, 98), (18, 58, 68)),
    (0.880, ((104, 0.85, 4.4), (34, 1.9, 0.6)), (24, 66, 76), (13, 38, 46)),
)


def _draw_sea(canvas: Image.Image) -> None:
    """Six swells, lighter and flatter towards the horizon, each with its lines of foam."""
    for number, (base, heights, top, bottom) in enumerate(_SEA):
        line = swell(CANVAS * base, heights)
        mask = polygon(below(line))
        shade_below(canvas, mask, 18 + 14 * number, 0.20 + 0.03 * number)
        reach = round(CANVAS * (0.10 + 0.035 * number))
        start = round(CANVAS * base - sum(height for height, _, _ in heights))
        water = vertical([(0, top), (1, bottom)], (CANVAS, reach))
        sheet = Image.new("RGB", (CANVAS, CANVAS), bottom)
        sheet.paste(water, (0, start))
        _draw_light(sheet, line, number)
        canvas.paste(sheet, (0, 0), mask)
        _draw_foam(canvas, line, number)


def _draw_light(sheet: Image.Image, line: Callable[[float], float], number: int) -> None:
    """The sun's path on the water: short lens-shaped glints under it."""
    rng = random.Random(100 + number)
    mask = blank()
    pen = ImageDraw.Draw(mask)
    for _ in range(30 + 6 * number):
        spread = CANVAS * (0.075 + 0.012 * number)
        x = rng.gauss(CANVAS * 0.5, spread * 0.55)
        y = line(x) + 18 + rng.random() * CANVAS * (0.045 + 0.012 * number)
        half, high = rng.uniform(28, 92) * (1 + 0.12 * number), rng.uniform(2.5, 5.5) + number * 0.7
        pen.polygon([(x - half, y), (x, y - high), (x + half, y), (x, y + high)], fill=255)
    paint(sheet, (255, 222, 172), mask, 0.86 - 0.075 * number)


def _draw_foam(canvas: Image.Image, line: Callable[[float], float], number: int) -> None:
    """The crest in cream, and thinner echoes of it further down the swell."""
    mask = blank()
    pen = ImageDraw.Draw(mask)
    for echo in range(4):
        drop = echo * (20 + 11 * number)
        width = max(2, round((7 + number * 1.3) * (1 - 0.27 * echo)))
        points = [(x, line(x + 60 * echo) + drop + 3) for x in range(-20, CANVAS + 24, 8)]
        level = round(255 * (0.85, 0.30, 0.19, 0.10)[echo])
        pen.line(points, fill=level, width=width, joint="curve")
    paint(canvas, CREAM, mask, 0.9)


def draw_alder_leaf() -> None:
    """An alder leaf on a dark ground, its veins the lines a tide leaves in sand."""
    canvas = radial([(0, (34, 84, 82)), (0.55, (19, 56, 60)), (1, (10, 30, 36))], CANVAS // 2)
    _draw_sand(canvas)
    halo = disc((CANVAS / 2, CANVAS * 0.49), CANVAS * 0.30)
    glow(canvas, (232, 130, 84), halo, 460, 0.42)
    outline = _leaf_outline()
    leaf = polygon(outline)
    glow(canvas, (4, 16, 20), ImageChops.offset(leaf, 0, 46), 90, 0.75)
    _draw_stem(canvas)
    light = vertical(
        [(0.1, (255, 222, 160)), (0.4, (238, 150, 92)), (0.85, (186, 74, 56))], (CANVAS, CANVAS)
    )
    canvas.paste(light, (0, 0), leaf)
    _draw_half(canvas, leaf)
    _draw_veins(canvas, leaf)
    rim = ImageChops.subtract(leaf, polygon(_leaf_outline(shrink=0.985)))
    paint(canvas, (255, 236, 200), rim, 0.55)
    finish(canvas, "alder-leaf", seed=11)


def _leaf_width(share: float) -> float:
    """Half the leaf's width at `share` from tip (0) to base (1), without teeth."""
    return float(math.sin(math.pi * share**0.92) ** 0.72) * (0.80 + 0.26 * share)


def _leaf_outline(shrink: float = 1.0) -> list[Point]:
    """Tip, right side, base, left side; with the small teeth of an alder."""
    steps = 720
    right: list[Point] = []
    for step in range(steps + 1):
        share = step / steps
        tooth = abs(math.sin(share * math.pi * 15)) ** 0.8 * 0.042 * math.sin(math.pi * share)
        half = CANVAS * 0.262 * (_leaf_width(share) + tooth) * shrink
        y = CANVAS * (0.49 + (share - 0.5) * 0.64 * shrink)
        right.append((half, y))
    return [(CANVAS / 2 + x, y) for x, y in right] + [(CANVAS / 2 - x, y) for x, y in right[::-1]]


def _draw_sand(canvas: Image.Image) -> None:
    """Faint lines across the ground, bent around the leaf."""
    mask = blank()
    pen = ImageDraw.Draw(mask)
    for number in range(-4, 64):
        base = CANVAS * number / 58
        points = []
        for x in range(-20, CANVAS + 24, 16):
            near = math.exp(-(((x / CANVAS - 0.5) / 0.27) ** 2))
            push = math.exp(-(((base / CANVAS - 0.49) / 0.33) ** 2))
            side = 1 if base > CANVAS * 0.49 else -1
            bend = side * near * push * CANVAS * 0.035
            ripple = 16 * math.sin(x / CANVAS * math.tau * 1.6 + number * 0.33)
            points.append((x, base + bend + ripple))
        pen.line(points, fill=255 if number % 4 else 150, width=4, joint="curve")
    paint(canvas, (150, 206, 194), mask, 0.13)


def _draw_stem(canvas: Image.Image) -> None:
    mask = blank()
    pen = ImageDraw.Draw(mask)
    for step in range(220):
        share = step / 219
        x = CANVAS / 2 + math.sin(share * 1.5) ** 2 * CANVAS * 0.035
        y = CANVAS * (0.79 + share * 0.115)
        radius = 17 + 7 * share**3
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    paint(canvas, (206, 112, 76), mask)


def _draw_half(canvas: Image.Image, leaf: Image.Image) -> None:
    """The half turned away from the light."""
    half = blank()
    ImageDraw.Draw(half).rectangle((CANVAS // 2, 0, CANVAS, CANVAS), fill=255)
    paint(canvas, (120, 34, 40), ImageChops.multiply(half, leaf), 0.22)


def _vein(share: float, side: int) -> list[Point]:
    """From the midrib at `share`, upwards and outwards to the edge."""
    points = []
    start = 0.49 + (share - 0.5) * 0.64
    for step in range(60):
        out = step / 59
        x = CANVAS * (0.5 + side * out * 0.30)
        y = CANVAS * (start - 0.150 * out - 0.055 * out * out)
        points.append((x, y))
    return points


def _draw_veins(canvas: Image.Image, leaf: Image.Image) -> None:
    """Veins in cream, and between them the finer contour lines of a tide."""
    veins, fine = blank(), blank()
    pen, thin = ImageDraw.Draw(veins), ImageDraw.Draw(fine)
    for number in range(12):
        share = 0.14 + number * 0.082
        for side in (-1, 1):
            _taper(pen, _vein(share, side), 15 - 0.2 * number, 4)
            for echo in range(1, 4):
                thin.line(_vein(share + 0.0205 * echo, side), fill=255, width=4, joint="curve")
    midrib = [(CANVAS / 2, CANVAS * (0.815 - 0.63 * step / 99)) for step in range(100)]
    _taper(pen, midrib, 34, 5)
    paint(canvas, (255, 232, 190), ImageChops.multiply(fine, leaf), 0.26)
    paint(canvas, (255, 240, 212), ImageChops.multiply(veins, leaf), 0.92)


def _taper(pen: ImageDraw.ImageDraw, points: Sequence[Point], first: float, last: float) -> None:
    """A stroke that grows thinner from the first point to the last."""
    count = len(points) - 1
    for number, (start, end) in enumerate(pairwise(points)):
        width = first + (last - first) * number / count
        pen.line((start, end), fill=255, width=max(1, round(width)))
        x, y = end
        pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)


if __name__ == "__main__":
    draw_first_tide()
    draw_alder_leaf()
