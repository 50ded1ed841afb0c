"""The brand's colours as a stylesheet of custom properties, with readable text computed."""

from hashlib import sha256

from app.accounts.models import Merchant

_DARK, _LIGHT = "#16161d", "#ffffff"


def brand_css(merchant: Merchant) -> str:
    """The brand's tokens over the defaults of the design system."""
    return (
        ":root{"
        f"--brand:{merchant.brand_colour};"
        f"--on-brand:{foreground(merchant.brand_colour)};"
        f"--brand-accent:{merchant.accent_colour};"
        f"--on-brand-accent:{foreground(merchant.accent_colour)};"
        "}"
    )


def brand_address(merchant: Merchant) -> str:
    """Where the stylesheet is; changes with its content, so browsers may keep it for ever."""
    digest = sha256(brand_css(merchant).encode()).hexdigest()[:12]
    return f"/space/brand.css?v={digest}"


def foreground(background: str) -> str:
    """Dark or white text, whichever contrasts more with the background `#rrggbb`.

    References:
        WCAG 2.2, relative luminance and contrast ratio.
    """
    luminance = _luminance(background)
    on_white = 1.05 / (luminance + 0.05)
    on_dark = (luminance + 0.05) / (_luminance(_DARK) + 0.05)
    return _LIGHT if on_white >= on_dark else _DARK


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(int(colour[start : start + 2], 16) / 255) for start in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
