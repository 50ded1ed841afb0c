"""How a draw looks to members: what its box shows and says, and how it opens.

Nothing of this is promised, so it may change at any time; what is empty is said in the words of the
product. Texts are kept by language.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from sqlalchemy.orm import Session

from app.draws.errors import LookInvalidError
from app.draws.models import Animation, Draw
from app.segments.badge_views import text_in
from core.texts import tidy
from minting.content import ContentStore
from minting.media import Media

DRAW_DATE = "{{drawDate}}"
"""Stands for the date of the draw in the text of a ticket that waits."""
MOST = {
    "name": 60,
    "text": 300,
    "winning": 300,
    "losing": 300,
    "waiting": 300,
    "open_label": 40,
    "prize_label": 40,
}
"""Characters of each text."""
_PLACEHOLDER = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_SHOWN_SIDE = 480


@dataclass(frozen=True)
class Look:
    """What members see and read, in one language.

    Args:
        prize_label: of the button that leads to what was won.
        waiting: of a raffle's ticket before the draw; it may name `DRAW_DATE`.
        visual_cid: the picture of a closed box, or None for a sign.
    """

    animation: Animation = Animation.FADE
    name: str = ""
    text: str = ""
    winning: str = ""
    losing: str = ""
    waiting: str = ""
    open_label: str = ""
    prize_label: str = ""
    visual_cid: str | None = None

    def waiting_until(self, date: str) -> str:
        """The text of a ticket that waits for the draw on this date."""
        return self.waiting.replace(DRAW_DATE, date)


TEXTS = [it.name for it in fields(Look) if it.name in MOST]


def look_of(draw: Draw, language: str | None) -> Look:
    """How the draw looks to whoever reads this language, or else the first there is."""
    said = {name: text_in(_by_language(draw, name), language) for name in TEXTS}
    return Look(draw.box_animation, visual_cid=draw.box_visual_cid, **said)


def _by_language(draw: Draw, name: str) -> Mapping[str, str]:
    return {language: texts.get(name, "") for language, texts in draw.box_texts.items()}


def change(session: Session, draw: Draw, look: Look, *, language: str) -> None:
    """The draw looks like this in the language; texts in others, and its picture, stay.

    Raises:
        LookInvalidError: `fields` names what must change.
    """
    texts = {name: tidy(getattr(look, name)) for name in TEXTS}
    problems = {name: _problem(name, text) for name, text in texts.items()}
    if any(problems.values()):
        raise LookInvalidError({name: it for name, it in problems.items() if it})
    draw.box_animation = look.animation
    draw.box_texts = {**draw.box_texts, language: texts}
    session.flush()


def _problem(name: str, text: str) -> str | None:
    if len(text) > MOST[name]:
        return f"At most {MOST[name]} characters."
    if not text.replace("\n", "").replace("\r", "").isprintable():
        return "Only characters that can be read."
    unknown = set(_PLACEHOLDER.findall(text)) - ({DRAW_DATE} if name == "waiting" else set())
    if unknown:
        known = f"The only placeholder is {DRAW_DATE}." if name == "waiting" else "There are none."
        return f"{min(unknown)} is no placeholder here. {known}"
    return None


def picture(session: Session, store: ContentStore, draw: Draw, media: Media) -> None:
    """The closed box looks like this picture, in the size it is shown in."""
    big_enough = [it for it in media.renditions if it.width >= _SHOWN_SIDE]
    chosen = big_enough[0] if big_enough else media.renditions[-1]
    draw.box_visual_cid = store.put(chosen.data)
    session.flush()


def remove_picture(session: Session, draw: Draw) -> None:
    """The closed box shows a sign again."""
    draw.box_visual_cid = None
    session.flush()
