# ruff: noqa: F401
"""Imports every models module, so that the metadata is whole for migrations and tests."""

import app.accounts.models
import app.campaigns.models
import app.claims.models
import app.draws.models
import app.passes.models
import app.perks.code_models
import app.perks.models
import app.points.models
import app.points.rule_models
import app.privacy.models
import app.rewards.models
import app.scanning.models
import app.segments.models
import app.users.exports.models
import app.users.imports.models
import app.users.models
import app.users.upkeep_models
import chain.models
import core.event_cursor
import core.events
import core.mail
import minting.anchor_models
import minting.change_models
import minting.models
import wallets.models
