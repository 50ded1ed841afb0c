"""How much of what an event earns a rule's limits let through. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from app.points.rule_models import PointsRule


class Limit(StrEnum):
    """What stood in the way."""

    COOLDOWN = "cooldown"
    MEMBER_DAY = "member_day"
    MEMBER = "member"
    BUDGET = "budget"


@dataclass(frozen=True)
class Earned:
    """What a rule has given so far, without this event.

    Args:
        today: to the member, for events of the same day.
        ever: to the member.
        in_all: to everybody.
        is_cooling: another event of the member earned something within the cooldown, earlier or
            later: events do not come in order.
    """

    today: int = 0
    ever: int = 0
    in_all: int = 0
    is_cooling: bool = False


def let_through(rule: PointsRule, wanted: int, earned: Earned) -> tuple[int, Limit | None]:
    """How many points, and which limit took the rest; at a limit what is left of it is given."""
    if earned.is_cooling:
        return 0, Limit.COOLDOWN
    left, limit = wanted, None
    for most, gone, name in (
        (rule.member_day_cap, earned.today, Limit.MEMBER_DAY),
        (rule.member_cap, earned.ever, Limit.MEMBER),
        (rule.budget, earned.in_all, Limit.BUDGET),
    ):
        if most is not None and max(most - gone, 0) < left:
            left, limit = max(most - gone, 0), name
    return left, limit
