"""What must hold after any mix of calls: the contracts against a plain model of them.

`COHORT_INVARIANT_RUNS` and `COHORT_INVARIANT_STEPS` set how many runs of how many steps there are;
`COHORT_INVARIANT_SHRINK=1` looks for the shortest way to a failure, which takes minutes. The runs
are the same every time. Each starts from one chain with a registry of seventeen batches, the first
of which has bits in a second word and the last two of which are of a second fifteen.
"""

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from model import GROUP, NOBODY, SINGLES, Asset, Move, Refused, Registry, Signed
from node import Node, Outcome, node
from world import anybody, as_bytes

from chain.bindings import digital_asset, erc721, membership_pass
from chain.bindings.abi import call, decode_address, decode_uint
from chain.bindings.asset_factory import AssetArguments, asset_address, encode_deploy
from chain.bindings.permits import Permit, PermitKind

RUNS = int(os.environ.get("COHORT_INVARIANT_RUNS", "150"))
STEPS = int(os.environ.get("COHORT_INVARIANT_STEPS", "60"))
SHRINKS = os.environ.get("COHORT_INVARIANT_SHRINK") == "1"
FULL_CHECK_EVERY = 15

CHAIN_ID = 31337
LATER = 2**40
NUMBER = st.integers(0, 2**16 - 1)
NONCES = st.sampled_from(["next", "next", "next", "zero", "wrong"])
SHIFTS = st.sampled_from([0, 0, 0, 0, -1, 1])
WHICH = st.booleans()
MOVABLE = st.sampled_from([False, False, False, True])
SOULBOUND = st.sampled_from([True, True, True, False])
PARTS = st.lists(st.tuples(NUMBER, st.integers(0, 5), NUMBER), min_size=1, max_size=6)

T = TypeVar("T")


def _address(number: int) -> str:
    return to_checksum_address(anybody(number))


ISSUER, MINTER, STRANGER = map(_address, (90_001, 90_002, 90_003))
HOLDERS: list[LocalAccount] = [Account.from_key(keccak(text=f"holder {i}")) for i in range(5)]
KEYED = [holder.address for holder in HOLDERS]
SIGNERS = dict(zip(KEYED, HOLDERS, strict=True))
FEW = [*KEYED, *map(_address, range(14))]
CROWD = [*KEYED, *map(_address, range(100, 365))]
RECEIVERS = [*FEW[:9], STRANGER, NOBODY]


def pick(options: Sequence[T], number: int) -> T:
    return options[number % len(options)]


def in_order(members: Sequence[str]) -> list[str]:
    return sorted(set(members), key=lambda member: int(member, 16))


def chosen(options: Sequence[T], mask: int) -> list[T]:
    """Some of the options, by sixteen bits; those of a long list reach over all of it."""
    return [it for place, it in enumerate(options) if mask >> (place % 16) & 1]


def packed(members: Sequence[str]) -> bytes:
    return b"".join(map(as_bytes, members))


@dataclass
class Start:
    """The chain that all runs start from, and what the model makes of it."""

    chain: Node
    registry: str
    assets: tuple[str, str]
    model: Registry
    snapshot: str

    def again(self) -> None:
        self.chain.rpc("evm_revert", self.snapshot)
        self.snapshot = self.chain.rpc("evm_snapshot")


def _deploy_asset(chain: Node, factory: str, implementation: str, registry: str, name: str) -> str:
    arguments = AssetArguments(
        asset_id=keccak(text=name),
        registry=to_checksum_address(registry),
        owner=to_checksum_address(ISSUER),
        minter=to_checksum_address(MINTER),
        name=name,
        symbol="",
        token_uri="",
        contract_uri="",
        max_supply=None,
        soulbound=name == "soulbound",
        revocable=name == "soulbound",
    )
    assert chain.send(STRANGER, factory, encode_deploy(arguments)).refusal is None
    return asset_address(
        to_checksum_address(factory), to_checksum_address(implementation), arguments
    )


@pytest.fixture(scope="module")
def start(compiled: dict[str, bytes]) -> Iterator[Start]:
    with node() as chain:
        who = [("address", ISSUER), ("address", MINTER)]
        texts = [("string", "Pass"), *[("string", "")] * 3, ("bool", True)]
        registry = chain.create(ISSUER, compiled["MembershipPass"], *who, *texts)
        implementation = chain.create(ISSUER, compiled["DigitalAsset"])
        code = compiled["AssetFactory"]
        factory = chain.create(ISSUER, code, ("address", implementation))
        both = [
            _deploy_asset(chain, factory, implementation, registry, name)
            for name in ("movable", "soulbound")
        ]
        model = Registry(issuer=ISSUER, minter=MINTER)
        groups = [CROWD, *([*FEW, *FEW][b : b + 3 + b % 3] for b in range(1, 16)), FEW[:1]]
        for batch, members in enumerate(map(in_order, groups)):
            data = membership_pass.encode_issue(batch, packed(members))
            assert chain.send(MINTER, registry, data).refusal is None
            model.issue(MINTER, batch, members)
        snapshot = chain.rpc("evm_snapshot")
        yield Start(chain, registry, (both[0], both[1]), model, snapshot)


class Contracts(RuleBasedStateMachine):
    """Calls by everybody in any order."""

    start: ClassVar[Start]

    def __init__(self) -> None:
        super().__init__()
        self.start.again()
        self.chain = self.start.chain
        self.registry = copy.deepcopy(self.start.model)
        self.assets = [Asset(registry=self.registry), Asset(registry=self.registry, soulbound=True)]
        self.minting: list[tuple[str, bytes]] = []
        self.used: list[tuple[str, bytes]] = []
        self.steps = 0

    @initialize(bits=PARTS, lists=PARTS, first=NUMBER, kinds=st.integers(1, 15), nonce=NONCES)
    def begin(
        self,
        bits: list[tuple[int, int, int]],
        lists: list[tuple[int, int, int]],
        first: int,
        kinds: int,
        nonce: str,
    ) -> None:
        """There are tokens of some kinds to begin with."""
        for which in (False, True):
            if kinds & 1:
                self.drop(which, 0, bits, nonce)
            if kinds & 2:
                self.drop_lists(which, 0, lists, "next", True, 0)
            if kinds & 4:
                self.mint(which, first, 8, "next", 0)
            if kinds & 8:
                self.drop(which, 1, [(number, 3, mask) for number, _, mask in lists], "zero")

    # ------------------------------------------------------------------------------------- passes

    @rule(shift=SHIFTS, first=NUMBER, count=st.integers(1, 20), fault=NUMBER)
    def issue(self, shift: int, first: int, count: int, fault: int) -> None:
        members = in_order([pick(FEW, first + place) for place in range(count)])
        if fault % 16 == 1:
            members = [*members, members[0]]
        elif fault % 16 == 2:
            members = [NOBODY, *members]
        batch = max(0, len(self.registry.batches) + shift)
        data = membership_pass.encode_issue(batch, packed(members))
        self._mint_passes(lambda: self.registry.issue(MINTER, batch, members), data)

    @rule(shift=SHIFTS, who=NUMBER)
    def issue_one(self, shift: int, who: int) -> None:
        number, member = max(0, self.registry.singles + shift), pick(RECEIVERS, who)
        data = membership_pass.encode_issue_one(number, to_checksum_address(member))
        self._mint_passes(lambda: self.registry.issue_one(MINTER, number, member), data)

    @rule(which=NUMBER, who=NUMBER, how=NUMBER, by=NUMBER)
    def reissue_pass(self, which: int, who: int, how: int, by: int) -> None:
        token, receiver = self._pass(which), pick(RECEIVERS, who)
        sender = pick([ISSUER, MINTER, MINTER, STRANGER], by)
        permit = self._permit(self.registry, token, receiver, how)
        deadline, signature = self._sign(PermitKind.REISSUE, self.start.registry, "Pass", permit)
        data = membership_pass.encode_reissue(
            token, to_checksum_address(receiver), deadline=deadline, signature=signature
        )
        if self._on_passes(
            sender, lambda: self.registry.reissue(sender, token, receiver, permit), data
        ):
            self.used.append((self.start.registry, data))

    @rule(which=NUMBER, who=NUMBER, by=NUMBER)
    def recover(self, which: int, who: int, by: int) -> None:
        token, receiver = self._pass(which), pick(RECEIVERS, who)
        sender = pick([ISSUER, ISSUER, MINTER, STRANGER], by)
        data = membership_pass.encode_recover(token, to_checksum_address(receiver))
        self._on_passes(sender, lambda: self.registry.recover(sender, token, receiver), data)

    @rule(which=NUMBER, by=NUMBER)
    def revoke_pass(self, which: int, by: int) -> None:
        token, sender = self._pass(which), pick([ISSUER, ISSUER, MINTER, STRANGER], by)
        data = membership_pass.encode_revoke(token)
        self._on_passes(sender, lambda: self.registry.revoke(sender, token), data)

    @rule(which=NUMBER, by=NUMBER)
    def burn_pass(self, which: int, by: int) -> None:
        token = self._pass(which)
        sender = self._holder_or(self.registry.owner(token), by)
        data = membership_pass.encode_burn(token)
        self._on_passes(sender, lambda: self.registry.burn(sender, token), data)

    # ------------------------------------------------------------------------------------ minting

    @rule(
        which=WHICH,
        later=NUMBER,
        parts=PARTS,
        nonce=NONCES,
    )
    def drop(self, which: bool, later: int, parts: list[tuple[int, int, int]], nonce: str) -> None:
        asset = self.assets[which]
        round = self._round(asset, later)
        places = [
            (self._batch(number), frozenset(self._places(asset, round, number, style, mask)))
            for number, style, mask in parts
        ]
        named = self._nonce(asset, nonce)
        bits = [digital_asset.bitmap(some) for _, some in places]
        data = digital_asset.encode_drop(
            round=round, batches=[batch for batch, _ in places], bits=bits, nonce=named
        )
        self._mint(which, lambda: asset.drop(MINTER, round, places, named), data)

    @precondition(lambda self: self.assets[0].rounds and self.assets[1].rounds)
    @rule(which=WHICH, later=NUMBER, batch=NUMBER, mask=NUMBER, nonce=NONCES)
    def drop_late(self, which: bool, later: int, batch: int, mask: int, nonce: str) -> None:
        """More members of a batch get the token of a round that exists."""
        round = later % self.assets[which].rounds
        self.drop(which, round, [(batch, 3, mask), (batch + 1, 1, mask)], nonce)

    @rule(
        which=WHICH,
        later=NUMBER,
        parts=PARTS,
        nonce=NONCES,
        is_sorted=st.sampled_from([True, True, True, False]),
        fault=NUMBER,
    )
    def drop_lists(
        self,
        which: bool,
        later: int,
        parts: list[tuple[int, int, int]],
        nonce: str,
        is_sorted: bool,
        fault: int,
    ) -> None:
        asset = self.assets[which]
        round = self._round(asset, later)
        places = [
            (self._batch(number), self._places(asset, round, number, style, mask)[:254])
            for number, style, mask in parts
        ]
        if is_sorted:
            places = sorted({batch: some for batch, some in places if some}.items())
        if fault % 16 == 1:
            places = [(batch, [*some, *some[:1]]) for batch, some in places]
        elif fault % 16 == 2:
            places = [(batch, some[::-1]) for batch, some in places]
        named = self._nonce(asset, nonce)
        heads = b"".join(batch.to_bytes(2, "big") for batch, _ in places)
        lists = b"".join(
            bytes([len(some)]) + b"".join(place.to_bytes(2, "big") for place in some)
            for _, some in places
        )
        data = call("drop_lists(uint256,bytes,bytes,uint256)", round, heads, lists, named)
        self._mint(which, lambda: asset.drop_lists(MINTER, round, places, named), data)

    @rule(which=WHICH, first=NUMBER, count=st.integers(1, 20), nonce=NONCES, fault=NUMBER)
    def mint(self, which: bool, first: int, count: int, nonce: str, fault: int) -> None:
        asset = self.assets[which]
        members = in_order([pick([*FEW, STRANGER], first + place) for place in range(count)])
        if fault % 16 == 1:
            members = members[::-1] + members[:1]
        named = self._nonce(asset, nonce)
        data = call("mint(uint256,bytes)", named, packed(members))
        self._mint(which, lambda: asset.mint(MINTER, named, members), data)

    @precondition(lambda self: self.minting)
    @rule(number=NUMBER)
    def repeat(self, number: int) -> None:
        """Every earlier minting call, sent again, reverts."""
        to, data = pick(self.minting, number)
        assert self.chain.send(MINTER, to, data).refusal is not None

    @precondition(lambda self: self.used)
    @rule(number=NUMBER)
    def repeat_a_permit(self, number: int) -> None:
        """Every permit that was used is used up."""
        to, data = pick(self.used, number)
        assert self.chain.send(MINTER, to, data).refusal is not None

    # -------------------------------------------------------------------------------------- moves

    @precondition(lambda self: self.assets[0].owners)
    @rule(which=MOVABLE, token=NUMBER, who=NUMBER, by=NUMBER, is_safe=WHICH)
    def transfer(self, which: bool, token: int, who: int, by: int, is_safe: bool) -> None:
        asset, id = self.assets[which], self._token(which, token)
        owner, receiver = asset.owner(id), pick(RECEIVERS, who)
        friends = [it for it in [asset.approved.get(id, NOBODY)] if it != NOBODY]
        friends += [operator for holder, operator in sorted(asset.operators) if holder == owner]
        sender = pick(friends, by) if friends and by % 3 == 0 else self._holder_or(owner, by)
        given = self._holder_or(owner, who)
        name = "safeTransferFrom" if is_safe else "transferFrom"
        data = call(f"{name}(address,address,uint256)", given, receiver, id)
        self._on_asset(which, sender, lambda: asset.transfer(sender, given, receiver, id), data)

    @precondition(lambda self: self.assets[0].owners)
    @rule(which=MOVABLE, token=NUMBER, who=NUMBER, by=NUMBER)
    def approve(self, which: bool, token: int, who: int, by: int) -> None:
        asset, id, approved = self.assets[which], self._token(which, token), pick(RECEIVERS, who)
        sender = self._holder_or(asset.owner(id), by)
        data = call("approve(address,uint256)", approved, id)
        self._on_asset(which, sender, lambda: asset.approve(sender, approved, id), data)

    @rule(which=MOVABLE, who=NUMBER, by=NUMBER, allowed=WHICH)
    def set_operator(self, which: bool, who: int, by: int, allowed: bool) -> None:
        asset, operator, sender = self.assets[which], pick(FEW[:9], who), pick(FEW[:9], by)
        data = call("setApprovalForAll(address,bool)", operator, allowed)
        self._on_asset(which, sender, lambda: asset.set_operator(sender, operator, allowed), data)

    @precondition(lambda self: self.assets[0].owners)
    @rule(token=NUMBER, who=NUMBER, how=NUMBER)
    def transfer_with_permit(self, token: int, who: int, how: int) -> None:
        asset, id, receiver = self.assets[0], self._token(False, token), pick(RECEIVERS, who)
        permit = self._permit(asset, id, receiver, how)
        holder = permit.holder
        kind, target = PermitKind.TRANSFER, self.start.assets[0]
        deadline, signature = self._sign(kind, target, "movable", permit)
        signature_of = "transferWithPermit(address,address,uint256,uint256,bytes)"
        data = call(signature_of, holder, receiver, id, deadline, signature)
        if self._on_asset(
            False,
            STRANGER,
            lambda: asset.transfer_with_permit(holder, receiver, id, permit),
            data,
        ):
            self.used.append((target, data))

    @precondition(lambda self: self.assets[1].owners)
    @rule(which=SOULBOUND, token=NUMBER, who=NUMBER, how=NUMBER, by=NUMBER)
    def reissue(self, which: bool, token: int, who: int, how: int, by: int) -> None:
        asset, id, receiver = self.assets[which], self._token(which, token), pick(RECEIVERS, who)
        sender = pick([ISSUER, MINTER, MINTER, STRANGER], by)
        permit = self._permit(asset, id, receiver, how)
        kind, target = PermitKind.REISSUE, self.start.assets[which]
        deadline, signature = self._sign(kind, target, ("movable", "soulbound")[which], permit)
        data = call("reissue(uint256,address,uint256,bytes)", id, receiver, deadline, signature)
        if self._on_asset(which, sender, lambda: asset.reissue(sender, id, receiver, permit), data):
            self.used.append((target, data))

    @precondition(lambda self: self.assets[0].owners or self.assets[1].owners)
    @rule(which=WHICH, token=NUMBER, by=NUMBER)
    def burn(self, which: bool, token: int, by: int) -> None:
        asset, id = self.assets[which], self._token(which, token)
        sender = self._holder_or(asset.owner(id), by)
        data = digital_asset.encode_burn(id)
        self._on_asset(which, sender, lambda: asset.burn(sender, id), data)

    @precondition(lambda self: self.assets[1].owners)
    @rule(which=SOULBOUND, token=NUMBER, by=NUMBER)
    def revoke(self, which: bool, token: int, by: int) -> None:
        asset, id = self.assets[which], self._token(which, token)
        sender = pick([ISSUER, ISSUER, MINTER, STRANGER], by)
        data = digital_asset.encode_revoke(id)
        self._on_asset(which, sender, lambda: asset.revoke(sender, id), data)

    @rule(which=WHICH, more=st.integers(-2, 6000), by=NUMBER)
    def lower_max_supply(self, which: bool, more: int, by: int) -> None:
        asset = self.assets[which]
        supply = max(0, len(asset.owners) + more)
        sender = pick([ISSUER, ISSUER, MINTER, STRANGER], by)
        data = digital_asset.encode_lower_max_supply(supply)
        self._on_asset(which, sender, lambda: asset.lower(sender, supply), data)

    @rule(which=WHICH, number=NUMBER)
    def stranger(self, which: bool, number: int) -> None:
        """What is for the minter or the owner, nobody else can do."""
        to, asset = self.start.assets[which], self.assets[which]
        batch, one = len(self.registry.batches), packed(FEW[:1])
        nonce = asset.contracts + 1
        bits, lists = [digital_asset.bitmap([0])], bytes([1, 0, 0])
        calls = [
            (self.start.registry, membership_pass.encode_issue(batch, one)),
            (self.start.registry, call("issue_one(uint256,address)", 0, STRANGER)),
            (self.start.registry, membership_pass.encode_assign_designs(1, [0])),
            (self.start.registry, membership_pass.encode_set_design(1, "x")),
            (
                to,
                digital_asset.encode_drop(round=asset.rounds, batches=[1], bits=bits, nonce=nonce),
            ),
            (to, call("drop_lists(uint256,bytes,bytes,uint256)", 0, bytes([0, 1]), lists, nonce)),
            (to, digital_asset.encode_mint(nonce, one)),
            (to, digital_asset.encode_lower_max_supply(2**63)),
            (to, call("set_royalty(address,uint256)", STRANGER, 1000)),
            (to, call("set_minter(address,bool)", STRANGER, True)),
            (to, call("transfer_ownership(address)", STRANGER)),
            (to, call("accept_ownership()")),
        ]
        target, data = pick(calls, number)
        refusals = {"pass: not a minter", "asset: not a minter", "roles: not the owner"}
        refusal = self.chain.send(STRANGER, target, data).refusal
        assert refusal in refusals | {"roles: not the pending owner"}

    # ------------------------------------------------------------------------------------ choices

    def _batch(self, number: int) -> int:
        """A batch; now and then the first that does not exist."""
        count = len(self.registry.batches)
        return count if number % 41 == 40 else number % count

    def _round(self, asset: Asset, number: int) -> int:
        """Mostly one that exists; at times the next, and seldom the one behind it."""
        return asset.rounds + 1 if number % 31 == 30 else number % (asset.rounds + 1)

    def _nonce(self, asset: Asset, how: str) -> int:
        following = asset.contracts + 1
        return {"next": following, "zero": 0, "wrong": max(1, following - 1)}[how]

    def _places(self, asset: Asset, round: int, number: int, style: int, mask: int) -> list[int]:
        """Places of a batch: all, all that are left, or some, of those left or of all."""
        batch = self._batch(number)
        size = len(self.registry.batches[batch]) if batch < len(self.registry.batches) else 3
        passes = {place: batch << 16 | place for place in range(size)}
        taken = {it for of, it in asset.claimed if of == round} | self.registry.changed
        left = [place for place, it in passes.items() if it not in taken]
        if style == 0:
            return list(passes)
        if style == 1:
            return left
        if style == 2:
            return chosen(list(passes), mask) + ([size] if mask % 29 == 28 else [])
        return chosen(left, mask) or left[:1]

    def _pass(self, number: int) -> int:
        """A pass; now and then one that ended or never was."""
        if number % 23 == 22:
            return pick([*sorted(self.registry.owners), 5 << 32, 40 << 16], number)
        keyed = [it for it in self.registry.living() if self.registry.owner(it) in SIGNERS]
        options = keyed if number % 3 and keyed else self.registry.living()
        return pick(options or [0], number)

    def _token(self, which: bool, number: int) -> int:
        """A token; now and then one that ended or never was."""
        asset = self.assets[which]
        if number % 23 == 22:
            return pick([*sorted(asset.owners), asset.rounds << 32, 9 << 128], number)
        keyed = [it for it in asset.living() if asset.owner(it) in SIGNERS]
        options = keyed if number % 3 and keyed else asset.living()
        return pick(options or [0], number)

    @staticmethod
    def _holder_or(owner: str, number: int) -> str:
        """The owner, and seldom somebody else."""
        is_other = owner == NOBODY or number % 7 == 6
        return pick([STRANGER, *FEW], number) if is_other else owner

    def _permit(self, tokens: Registry | Asset, token: int, receiver: str, how: int) -> Signed:
        """Mostly what the holder should sign, and else with one thing wrong."""
        owner, nonce = tokens.owner(token), tokens.nonce(token)
        holder = owner if owner != NOBODY else KEYED[0]
        right = Signed(holder if holder in SIGNERS else KEYED[0], holder, receiver, token, nonce)
        wrong = [
            Signed(right.signer, holder, receiver, token, nonce + 1),
            Signed(right.signer, holder, STRANGER, token, nonce),
            Signed(right.signer, holder, receiver, token + 1, nonce),
            Signed(pick(KEYED, KEYED.index(right.signer) + 1), holder, receiver, token, nonce),
            Signed(right.signer, holder, receiver, token, nonce, is_expired=True),
        ]
        return wrong[how // 5 % 5] if how % 5 == 4 else right

    @staticmethod
    def _sign(kind: PermitKind, contract: str, name: str, permit: Signed) -> tuple[int, bytes]:
        deadline = 1 if permit.is_expired else LATER
        document = Permit(
            kind=kind,
            contract_name=name,
            chain_id=CHAIN_ID,
            contract=to_checksum_address(contract),
            sender=to_checksum_address(permit.holder),
            receiver=to_checksum_address(permit.receiver),
            token_id=permit.token,
            nonce=permit.nonce,
            deadline=deadline,
        )
        signed = SIGNERS[permit.signer].unsafe_sign_hash(document.digest)
        return deadline, bytes(signed.signature)

    # ----------------------------------------------------------------------------------- checking

    def _mint_passes(self, expect: Callable[[], list[Move]], data: bytes) -> None:
        if self._on_passes(MINTER, expect, data):
            self.minting.append((self.start.registry, data))

    def _mint(self, which: bool, expect: Callable[[], list[Move]], data: bytes) -> None:
        if self._on_asset(which, MINTER, expect, data):
            self.minting.append((self.start.assets[which], data))

    def _on_passes(self, sender: str, expect: Callable[[], list[Move]], data: bytes) -> bool:
        return self._compare(self.start.registry, sender, expect, data, self.registry)

    def _on_asset(
        self, which: bool, sender: str, expect: Callable[[], list[Move]], data: bytes
    ) -> bool:
        target = self.start.assets[which]
        return self._compare(target, sender, expect, data, self.assets[which])

    def _compare(
        self,
        target: str,
        sender: str,
        expect: Callable[[], list[Move]],
        data: bytes,
        tokens: Registry | Asset,
    ) -> bool:
        """Model and contract do the same; whether they did anything."""
        try:
            moves = expect()
        except Refused as refused:
            outcome = self.chain.send(sender, target, data)
            assert outcome.refusal in refused.faults, (outcome.refusal, refused.faults)
            return False
        outcome = self.chain.send(sender, target, data)
        assert outcome.refusal is None, outcome.refusal
        assert _moves(outcome, target) == moves
        self._check_touched(target, tokens, moves)
        self.steps += 1
        if self.steps % FULL_CHECK_EVERY == 0:
            self._check_everything()
        return True

    def _check_touched(self, target: str, tokens: Registry | Asset, moves: list[Move]) -> None:
        ids = sorted({token for _, _, token in moves[:40]})
        accounts = sorted({it for move in moves[:40] for it in move[:2] if it != NOBODY})
        self._check_owners(target, tokens, ids)
        self._check_balances(target, tokens, accounts)
        self._check_counts(target, tokens)

    def _check_everything(self) -> None:
        self._check_registry()
        for target, asset in zip(self.start.assets, self.assets, strict=True):
            self._check_claims(target, asset)
            self._check_approvals(target, asset)
        for target, tokens in self._contracts():
            self._check_owners(target, tokens, sorted(tokens.owners))
            self._check_balances(target, tokens, [*FEW, STRANGER, *CROWD[5:200:40]])
            self._check_counts(target, tokens)
            assert self._replayed(target) == tokens.owners

    def _contracts(self) -> list[tuple[str, Registry | Asset]]:
        return [
            (self.start.registry, self.registry),
            *zip(self.start.assets, self.assets, strict=True),
        ]

    def _check_owners(self, target: str, tokens: Registry | Asset, ids: list[int]) -> None:
        missing = "pass: no such pass" if isinstance(tokens, Registry) else "asset: no such token"
        owners = self._views(target, [erc721.encode_owner_of(it) for it in ids])
        nonces = self._views(target, [digital_asset.encode_nonces(it) for it in ids])
        locked = self._views(target, [call("locked(uint256)", it) for it in ids])
        is_locked = isinstance(tokens, Registry) or tokens.soulbound
        for it, owner, nonce, lock in zip(ids, owners, nonces, locked, strict=True):
            expected = tokens.owner(it)
            found = owner if isinstance(owner, str) else decode_address(owner)
            assert found == (missing if expected == NOBODY else expected)
            assert nonce == tokens.nonce(it).to_bytes(32, "big")
            assert lock == (missing if expected == NOBODY else is_locked.to_bytes(32, "big"))

    def _check_balances(
        self, target: str, tokens: Registry | Asset, accounts: Sequence[str]
    ) -> None:
        calls = [erc721.encode_balance_of(to_checksum_address(it)) for it in accounts]
        answers = self._views(target, calls)
        assert [_number(it) for it in answers] == [tokens.balance(it) for it in accounts]

    def _check_counts(self, target: str, tokens: Registry | Asset) -> None:
        signatures = ["totalSupply()"]
        expected = [len(tokens.living())]
        if isinstance(tokens, Registry):
            signatures += ["batches()", "singles()"]
            expected += [len(tokens.batches), tokens.singles]
        else:
            signatures += ["rounds()", "next_nonce()", "max_supply()"]
            expected += [tokens.rounds, tokens.contracts + 1, tokens.max_supply]
        answers = self._views(target, [call(signature) for signature in signatures])
        assert [_number(it) for it in answers] == expected

    def _check_registry(self) -> None:
        accounts = [*FEW, STRANGER]
        calls = [membership_pass.encode_pass_of(to_checksum_address(it)) for it in accounts]
        for account, answer in zip(accounts, self._views(self.start.registry, calls), strict=True):
            expected = self.registry.pass_of(account)
            found = answer if isinstance(answer, str) else decode_uint(answer)
            assert found == ("pass: no such pass" if expected is None else expected)
        batches = range(len(self.registry.batches))
        calls = [membership_pass.encode_changed_members(batch) for batch in batches]
        for batch, answer in zip(batches, self._views(self.start.registry, calls), strict=True):
            changed = [it & 65535 for it in self.registry.changed if it >> 16 == batch]
            words = digital_asset.bitmap(changed)
            assert answer == b"".join(word.to_bytes(32, "big") for word in words)
        ids = sorted(self.registry.owners)
        calls = [call("memberOf(uint256)", it) for it in ids]
        answers = self._views(self.start.registry, calls)
        members = [decode_address(it) for it in answers if isinstance(it, bytes)]
        assert members == [self.registry.owner(it) for it in ids]

    def _check_claims(self, target: str, asset: Asset) -> None:
        passes = [it for it in self.registry.owners if it < SINGLES]
        passes += [batch << 16 | len(of) for batch, of in enumerate(self.registry.batches)]
        asked = [(round, it) for round in range(asset.rounds + 1) for it in passes]
        answers = self._views(target, [digital_asset.encode_claimed(*it) for it in asked])
        found = {it for it, answer in zip(asked, answers, strict=True) if _number(answer)}
        assert found == asset.claimed

    def _check_approvals(self, target: str, asset: Asset) -> None:
        ids = asset.living()
        answers = self._views(target, [call("getApproved(uint256)", it) for it in ids])
        found = [decode_address(it) for it in answers if isinstance(it, bytes)]
        assert found == [asset.approved.get(it, NOBODY) for it in ids]

    def _replayed(self, target: str) -> dict[int, str]:
        """Who has what, from nothing but the events."""
        query = {"address": target, "fromBlock": "0x0", "toBlock": "latest"}
        logs = self.chain.rpc("eth_getLogs", query)
        owners: dict[int, str] = {}
        for told in erc721.decode_transfers(logs, to_checksum_address(target)):
            assert owners.get(told.token_id, NOBODY) == told.sender
            owners[told.token_id] = told.receiver
        return owners

    def _views(self, target: str, calls: Sequence[bytes]) -> list[bytes | str]:
        return self.chain.views([(target, data) for data in calls])

    def teardown(self) -> None:
        self._check_everything()


def _moves(outcome: Outcome, target: str) -> list[Move]:
    told = erc721.decode_transfers(outcome.logs, to_checksum_address(target))
    return [(it.sender, it.receiver, it.token_id) for it in told]


def _number(answer: bytes | str) -> int:
    assert isinstance(answer, bytes), answer
    return decode_uint(answer)


def test_contracts_do_what_the_model_does(start: Start) -> None:
    Contracts.start = start
    profile = settings(
        max_examples=RUNS,
        stateful_step_count=STEPS,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, *([Phase.shrink] if SHRINKS else [])],
    )
    run_state_machine_as_test(Contracts, settings=profile)


def test_batches_reach_into_a_second_fifteen_and_a_second_word(start: Start) -> None:
    assert len(start.model.batches) > GROUP
    assert len(start.model.batches[0]) > 256
