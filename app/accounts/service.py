"""Organisations, merchants and the team."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts import signin
from app.accounts.emails import email_key
from app.accounts.errors import MerchantUnknownError
from app.accounts.models import (
    Audience,
    LoginToken,
    MemberState,
    Merchant,
    Mode,
    Organisation,
    TeamMember,
    TeamRole,
)
from app.accounts.signin import Request
from core.db import choose_merchant
from core.ids import decode_id, new_id
from core.mail import Mail, discard_after_commit, send_after_commit
from core.settings import core_settings
from core.types import MemberId, MerchantId, OrganisationId


def ensure_installation(session: Session, *, at: datetime) -> Merchant:
    """The first organisation, its test merchant and its owner exist; a repeat changes nothing."""
    found = session.scalar(select(Merchant).order_by(Merchant.created_at).limit(1))
    if found is not None:
        return found
    settings = core_settings()
    organisation = Organisation(
        id=OrganisationId(new_id()),
        name=settings.organisation_name,
        slug="brand",
        created_at=at,
    )
    merchant = Merchant(
        id=MerchantId(new_id()),
        organisation=organisation,
        mode=Mode.TEST,
        name=settings.organisation_name,
        brand_colour="#12424a",
        accent_colour="#b8563a",
        contact_email=settings.owner_email,
        time_zone="UTC",
        language="en",
        created_at=at,
    )
    session.add_all([organisation, merchant])
    session.flush()
    add_member(session, organisation, settings.owner_email, role=TeamRole.OWNER, at=at)
    return merchant


def add_member(
    session: Session, organisation: Organisation, email: str, *, role: TeamRole, at: datetime
) -> TeamMember:
    """A person of the team who can sign in.

    Raises:
        EmailInvalidError: not an address.
    """
    member = TeamMember(
        id=MemberId(new_id()),
        organisation_id=organisation.id,
        email=email.strip(),
        email_key=email_key(email),
        role=role,
        created_at=at,
    )
    session.add(member)
    session.flush()
    return member


def first_merchant(session: Session) -> Merchant:
    """The merchant of this installation's one host.

    Raises:
        MerchantUnknownError: nothing is set up yet.
    """
    merchant = session.scalar(select(Merchant).order_by(Merchant.created_at).limit(1))
    if merchant is None:
        raise MerchantUnknownError
    return merchant


def request_team_sign_in(
    session: Session,
    email: str,
    *,
    browser: str,
    ip: str,
    at: datetime,
    address: str,
    destination: str,
) -> None:
    """A link and a code are in the mail if the address belongs to the team, and only then.

    Args:
        address: the page whose links these are.
        destination: where the link leads; empty: home.

    Raises:
        EmailInvalidError: not an address.
        TooManyMailsError: over the limits of one address or one place.
    """
    merchant = first_merchant(session)
    choose_merchant(session, merchant.id)
    organisation = merchant.organisation
    request = Request(Audience.TEAM, organisation.id, email, browser, ip)
    challenge = signin.start(session, request, at=at)
    member = _find_member(session, organisation.id, challenge.email_key)
    mail = Mail(
        to=member.email if member else email,
        subject=f"Sign in to {organisation.name}",
        text=_team_mail(organisation.name, challenge.link(address, destination), challenge.code),
        sent_at=at,
        kind="sign_in",
        valid_until=at + signin.LIFETIME[Audience.TEAM],
    )
    deliver = send_after_commit if member is not None else discard_after_commit
    deliver(session, mail)


def member_of_token(session: Session, token: LoginToken) -> TeamMember | None:
    """The active team member an email token belongs to, or None for a stranger's address."""
    return _find_member(session, OrganisationId(token.realm_id), token.email_key)


def find_active_member(session: Session, email: str) -> TeamMember | None:
    """The active member of the installation's team with this address, or None."""
    organisation = first_merchant(session).organisation
    return _find_member(session, organisation.id, email_key(email))


def _find_member(session: Session, organisation: OrganisationId, key: str) -> TeamMember | None:
    return session.scalar(
        select(TeamMember).where(
            TeamMember.organisation_id == organisation,
            TeamMember.email_key == key,
            TeamMember.state == MemberState.ACTIVE,
        )
    )


def _team_mail(name: str, path: str, code: str) -> str:
    base = core_settings().public_url
    return (
        f"Open this link in the browser you asked from to sign in to {name}:\n\n"
        f"{base}{path}\n\n"
        f"Or type this code there: {code}\n\n"
        "Both work once, for five minutes. If you did not ask for them, ignore this mail.\n"
    )


def names_of(session: Session, actors: Iterable[str]) -> dict[str, str]:
    """The addresses of the team members among these actors, by actor."""
    prefix = "member:"
    ids = {
        actor: MemberId(decode_id("mem", actor.removeprefix(prefix)))
        for actor in set(actors)
        if actor.startswith(prefix)
    }
    found = session.execute(
        select(TeamMember.id, TeamMember.email).where(TeamMember.id.in_(ids.values()))
    )
    emails = {member: email for member, email in found}
    return {actor: emails[member] for actor, member in ids.items() if member in emails}
