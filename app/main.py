"""The web application: every router, and nothing else."""

from fastapi import FastAPI

import app.models  # noqa: F401 - the mappers need every table
from app.accounts import admin as accounts_admin
from app.accounts.deps import ask_to_sign_in
from app.accounts.errors import SignInRequiredError
from app.assets import admin as assets_admin
from app.assets import pages as assets_pages
from app.campaigns import admin as campaigns_admin
from app.campaigns import (
    archive_admin,
    audience_admin,
    files,
    more_admin,
    people_admin,
    run_admin,
)
from app.claims import admin as claims_admin
from app.claims import codes_admin as claim_codes_admin
from app.claims import output_admin
from app.draws import admin as draws_admin
from app.draws import looks_admin
from app.operations import admin as operations_admin
from app.operations import pages as operations_pages
from app.passes import admin as passes_admin
from app.perks import admin as perks_admin
from app.perks import (
    code_files,
    codes_admin,
    holdings_admin,
    places_admin,
    shipping,
    shipping_admin,
)
from app.points import admin as points_admin
from app.points import rules_admin as points_rules_admin
from app.privacy import admin as privacy_admin
from app.rewards import admin as rewards_admin
from app.rewards import unlocks_admin
from app.scanning import admin as scanning_admin
from app.scanning import api as scanning_api
from app.scanning import doors as scanning_doors
from app.scanning import pages as scanning_pages
from app.segments import admin as segments_admin
from app.segments import badges_admin, lists_admin
from app.segments import properties_admin as segments_properties_admin
from app.spaces import boxes as spaces_boxes
from app.spaces import (
    claim_pages,
    kiosk_pages,
    membership,
    perk_pages,
    points_pages,
    preferences,
    profile,
)
from app.spaces import pages as spaces_pages
from app.users import list_admin, properties_admin, record_admin
from app.users.exports import admin as exports_admin
from app.users.imports import admin as imports_admin
from app.users.imports import service as imports
from app.verification import api as verification_api
from app.verification import draws as verification_draws
from app.verification import pages as verification_pages
from app.verification import scans
from app.web.application import new_application
from core.log import configure_logging

_LARGER_BODIES = {
    "/admin/users/import": imports.FILE_BYTES + 1_000_000,
    "/admin/users/import/paste": 2 * imports.PASTE_BYTES,
    "/admin/campaigns/*/audience": files.FILE_BYTES + 1_000_000,
    "/admin/campaigns/*/more": files.FILE_BYTES + 1_000_000,
    "/admin/users/badges/*": badges_admin.MEDIA_BYTES + 1_000_000,
    "/admin/perks/*/visual": perks_admin.MEDIA_BYTES + 1_000_000,
    "/admin/perks/*/codes": code_files.FILE_BYTES + 1_000_000,
    "/admin/perks/*/shipments/tracking": shipping.FILE_BYTES + 1_000_000,
    "/admin/assets/*": assets_admin.MEDIA_BYTES + 1_000_000,
}


def create_app() -> FastAPI:
    """The application of one process."""
    configure_logging("web")
    app = new_application(larger_bodies=_LARGER_BODIES)
    app.add_exception_handler(SignInRequiredError, ask_to_sign_in)
    for router in (
        operations_pages.router,
        accounts_admin.router,
        operations_admin.router,
        imports_admin.router,
        exports_admin.router,
        properties_admin.router,
        segments_properties_admin.router,
        list_admin.router,
        lists_admin.router,
        badges_admin.router,
        people_admin.router,
        badges_admin.record,
        privacy_admin.router,
        record_admin.router,
        segments_admin.router,
        assets_admin.router,
        codes_admin.router,
        holdings_admin.router,
        shipping_admin.router,
        perks_admin.router,
        places_admin.router,
        archive_admin.router,
        rewards_admin.router,
        rewards_admin.record,
        unlocks_admin.router,
        points_rules_admin.router,
        points_admin.router,
        points_admin.record,
        campaigns_admin.router,
        draws_admin.router,
        looks_admin.router,
        run_admin.router,
        audience_admin.router,
        more_admin.router,
        claims_admin.router,
        claim_codes_admin.router,
        output_admin.router,
        spaces_pages.public,
        spaces_pages.router,
        spaces_boxes.router,
        spaces_boxes.api,
        perk_pages.router,
        points_pages.router,
        profile.router,
        membership.router,
        preferences.router,
        claim_pages.public,
        claim_pages.members,
        kiosk_pages.router,
        assets_pages.router,
        verification_pages.router,
        verification_api.router,
        verification_draws.router,
        scans.router,
        passes_admin.router,
        scanning_admin.router,
        scanning_doors.router,
        scanning_doors.sign_in,
        scanning_pages.router,
        scanning_api.public,
        scanning_api.router,
    ):
        app.include_router(router)
    return app
