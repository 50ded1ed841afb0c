"""Permits: a holder without gas signs a move, and nothing but that move once is allowed by it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ape
import pytest
from ape.api import AccountAPI
from ape.contracts import ContractInstance
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from world import ZERO, World, deployed_helper, transfers

from chain.bindings.membership_pass import pass_id, single_pass_id
from chain.bindings.permits import Permit, PermitKind

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
INVALID = {"pass": "pass: permit invalid", "asset": "asset: permit invalid"}
EXPIRED = {"pass": "pass: permit expired", "asset": "asset: permit expired"}
MISSING = {"pass": "pass: no such pass", "asset": "asset: no such token"}
ZERO_ADDRESS = {"pass": "pass: zero address", "asset": "asset: zero address"}
ELSEWHERE = to_checksum_address("0x" + "e1" * 20)


def hour_later() -> int:
    return ape.chain.pending_timestamp + 3600


def transfer_permit(world: World, holder: Any, receiver: Any, token: int, **changes: Any) -> Permit:
    return _permit(PermitKind.TRANSFER, world.asset, holder, receiver, token, **changes)


def reissue_permit(
    contract: ContractInstance, holder: Any, receiver: Any, token: int, **changes: Any
) -> Permit:
    return _permit(PermitKind.REISSUE, contract, holder, receiver, token, **changes)


def _permit(
    kind: PermitKind,
    contract: ContractInstance,
    holder: Any,
    receiver: Any,
    token: int,
    **changes: Any,
) -> Permit:
    right = Permit(
        kind=kind,
        contract_name=contract.name(),
        chain_id=ape.chain.chain_id,
        contract=contract.address,
        sender=to_checksum_address(str(holder)),
        receiver=to_checksum_address(str(receiver)),
        token_id=token,
        nonce=contract.nonces(token),
        deadline=hour_later(),
    )
    return replace(right, **changes)


def sign(holder: AccountAPI, permit: Permit) -> bytes:
    """As a wallet does, from the document."""
    signature = holder.sign_message(encode_typed_data(full_message=permit.typed_data))
    assert signature is not None
    return bytes(signature.encode_rsv())


def submit(
    world: World, permit: Permit, signature: bytes, *, by: AccountAPI | None = None, **changes: Any
) -> Any:
    """`transferWithPermit` of what was signed, or of something else."""
    values = {
        "sender": permit.sender,
        "receiver": permit.receiver,
        "token_id": permit.token_id,
        "deadline": permit.deadline,
    }
    move = world.asset.transferWithPermit
    return move(*(values | changes).values(), signature, sender=by or world.stranger)


@pytest.fixture
def dropped(world: World) -> World:
    world.drop_whole(0)
    world.drop_whole(0, asset=world.soulbound)
    return world


class TestDomain:
    @pytest.mark.parametrize("which", ["asset", "soulbound", "registry"])
    def test_separator_is_that_of_the_typed_data(self, world: World, which: str) -> None:
        contract = getattr(world, which)
        permit = reissue_permit(contract, ZERO, ZERO, 0)
        message = encode_typed_data(full_message=permit.typed_data)
        assert contract.DOMAIN_SEPARATOR() == message.header

    def test_separator_differs_between_contracts(self, world: World) -> None:
        assert world.asset.DOMAIN_SEPARATOR() != world.soulbound.DOMAIN_SEPARATOR()

    def test_digest_is_of_the_document(self, world: World) -> None:
        permit = transfer_permit(world, world.holders[0], world.stranger, 0)
        message = encode_typed_data(full_message=permit.typed_data)
        assert keccak(b"\x19\x01" + message.header + message.body) == permit.digest


class TestTransferWithPermit:
    @pytest.mark.parametrize("who", ["stranger", "minter", "issuer"])
    def test_moves_the_token_whoever_submits_it(self, dropped: World, who: str) -> None:
        one, two = dropped.holders[:2]
        token = dropped.token_of(one)
        permit = transfer_permit(dropped, one, two, token)
        receipt = submit(dropped, permit, sign(one, permit), by=getattr(dropped, who))
        (told,) = transfers(receipt, dropped.asset)
        assert (told.sender, told.receiver, told.token_id) == (one, two, token)
        assert dropped.asset.ownerOf(token) == two
        assert (dropped.asset.balanceOf(one), dropped.asset.balanceOf(two)) == (0, 2)

    def test_ends_an_approval(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        token = dropped.token_of(one)
        dropped.asset.approve(dropped.stranger, token, sender=one)
        permit = transfer_permit(dropped, one, two, token)
        submit(dropped, permit, sign(one, permit))
        assert dropped.asset.getApproved(token) == ZERO

    def test_holds_to_its_last_second(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        permit = transfer_permit(dropped, one, two, dropped.token_of(one))
        signature = sign(one, permit)
        with ape.chain.isolate():
            ape.chain.mine(timestamp=permit.deadline)
            with ape.reverts("asset: permit expired"):
                submit(dropped, permit, signature)
        ape.chain.mine(timestamp=permit.deadline - 1)
        ape.chain.pending_timestamp = permit.deadline
        submit(dropped, permit, signature)
        assert ape.chain.blocks.head.timestamp == permit.deadline

    def test_is_used_up_by_the_move(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        token = dropped.token_of(one)
        permit = transfer_permit(dropped, one, two, token)
        signature = sign(one, permit)
        submit(dropped, permit, signature)
        with ape.reverts("asset: not the owner"):
            submit(dropped, permit, signature)
        dropped.asset.transferFrom(two, one, token, sender=two)
        with ape.reverts("asset: permit invalid"):
            submit(dropped, permit, signature)

    def test_is_stale_after_any_other_move(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        token = dropped.token_of(one)
        permit = transfer_permit(dropped, one, two, token)
        dropped.asset.transferFrom(one, one, token, sender=one)
        with ape.reverts("asset: permit invalid"):
            submit(dropped, permit, sign(one, permit))
        assert dropped.asset.nonces(token) == 1

    @pytest.mark.parametrize("change", ["receiver", "token_id", "deadline"])
    def test_allows_no_other_move(self, dropped: World, change: str) -> None:
        one, two = dropped.holders[:2]
        dropped.drop_whole(1)
        permit = transfer_permit(dropped, one, two, dropped.token_of(one))
        others = {
            "receiver": dropped.stranger.address,
            "token_id": dropped.token_of(one, batch=1),
            "deadline": permit.deadline + 1,
        }
        with ape.reverts("asset: permit invalid"):
            submit(dropped, permit, sign(one, permit), **{change: others[change]})

    @pytest.mark.parametrize(
        "change",
        [
            {"chain_id": 1},
            {"contract": ELSEWHERE},
            {"contract_name": "Another"},
            {"contract_name": ""},
            {"nonce": 1},
            {"kind": PermitKind.REISSUE},
        ],
        ids=lambda change: "-".join(change),
    )
    def test_signed_for_something_else_is_refused(
        self, dropped: World, change: dict[str, Any]
    ) -> None:
        one, two = dropped.holders[:2]
        permit = transfer_permit(dropped, one, two, dropped.token_of(one))
        with ape.reverts("asset: permit invalid"):
            submit(dropped, permit, sign(one, replace(permit, **change)))
        submit(dropped, permit, sign(one, permit))

    def test_signed_by_somebody_else_is_refused(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        permit = transfer_permit(dropped, one, two, dropped.token_of(one))
        with ape.reverts("asset: permit invalid"):
            submit(dropped, permit, sign(two, permit))

    def test_signed_by_an_operator_is_refused(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        dropped.asset.setApprovalForAll(two, True, sender=one)
        dropped.asset.approve(two, dropped.token_of(one), sender=one)
        permit = transfer_permit(dropped, one, two, dropped.token_of(one))
        with ape.reverts("asset: permit invalid"):
            submit(dropped, permit, sign(two, permit))

    def test_of_one_who_is_not_the_owner_is_refused(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        permit = transfer_permit(dropped, two, dropped.stranger, dropped.token_of(one))
        with ape.reverts("asset: not the owner"):
            submit(dropped, permit, sign(two, permit))

    def test_refuses_the_zero_address(self, dropped: World) -> None:
        holder = dropped.holders[0]
        permit = transfer_permit(dropped, holder, ZERO, dropped.token_of(holder))
        with ape.reverts("asset: zero address"):
            submit(dropped, permit, sign(holder, permit))

    @pytest.mark.parametrize("missing", [1 << 32, 300, 1 << 128])
    def test_refuses_a_token_that_was_not_minted(self, dropped: World, missing: int) -> None:
        holder = dropped.holders[0]
        permit = transfer_permit(dropped, holder, holder, missing)
        with ape.reverts("asset: no such token"):
            submit(dropped, permit, sign(holder, permit))

    def test_refuses_a_burned_token(self, dropped: World) -> None:
        holder = dropped.holders[0]
        token = dropped.token_of(holder)
        dropped.asset.burn(token, sender=holder)
        permit = transfer_permit(dropped, holder, dropped.stranger, token)
        with ape.reverts("asset: no such token"):
            submit(dropped, permit, sign(holder, permit))

    def test_is_not_for_soulbound_editions(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        bound = replace(dropped, asset=dropped.soulbound)
        permit = transfer_permit(bound, one, two, bound.token_of(one))
        with ape.reverts("asset: soulbound"):
            submit(bound, permit, sign(one, permit))


def mirrored(signature: bytes) -> bytes:
    """The other signature that elliptic curves have for the same message."""
    r, s, v = signature[:32], int.from_bytes(signature[32:64], "big"), signature[64]
    return r + (ORDER - s).to_bytes(32, "big") + bytes([55 - v])


MALFORMED: dict[str, Callable[[bytes], bytes]] = {
    "high s": mirrored,
    "mirrored s, same v": lambda it: mirrored(it)[:64] + it[64:],
    "other v": lambda it: it[:64] + bytes([55 - it[64]]),
    "v 0 or 1": lambda it: it[:64] + bytes([it[64] - 27]),
    "v 29": lambda it: it[:64] + b"\x1d",
    "v 255": lambda it: it[:64] + b"\xff",
    "v 37 (EIP-155)": lambda it: it[:64] + bytes([it[64] + 10]),
    "empty": lambda it: b"",
    "64 bytes (EIP-2098)": lambda it: it[:32] + bytes([it[32] | (it[64] - 27) << 7]) + it[33:64],
    "66 bytes": lambda it: it + b"\0",
    "130 bytes": lambda it: it * 2,
    "zero r": lambda it: bytes(32) + it[32:],
    "zero s": lambda it: it[:32] + bytes(32) + it[64:],
    "zeros": lambda it: bytes(64) + b"\x1b",
    "r of the order": lambda it: ORDER.to_bytes(32, "big") + it[32:],
}


class TestSignature:
    @pytest.mark.parametrize("fault", MALFORMED)
    def test_refuses_other_forms(self, dropped: World, fault: str) -> None:
        one, two = dropped.holders[:2]
        permit = transfer_permit(dropped, one, two, dropped.token_of(one))
        signature = sign(one, permit)
        with ape.reverts("asset: permit invalid"):
            submit(dropped, permit, MALFORMED[fault](signature))
        submit(dropped, permit, signature)

    @pytest.mark.parametrize("fault", ["high s", "v 0 or 1", "empty", "zeros"])
    def test_refuses_them_for_passes_too(self, world: World, fault: str) -> None:
        holder, id = world.holders[0], world.index_of(world.holders[0])
        permit = reissue_permit(world.registry, holder, ELSEWHERE, id)
        signature = sign(holder, permit)
        arguments = (id, ELSEWHERE, permit.deadline)
        with ape.reverts("pass: permit invalid"):
            world.registry.reissue(*arguments, MALFORMED[fault](signature), sender=world.minter)
        world.registry.reissue(*arguments, signature, sender=world.minter)

    def test_refuses_more_than_1024_bytes(self, dropped: World) -> None:
        holder = dropped.holders[0]
        permit = transfer_permit(dropped, holder, holder, dropped.token_of(holder))
        with ape.reverts():
            submit(dropped, permit, bytes(1025))


@pytest.fixture
def wallet(dropped: World) -> ContractInstance:
    """A contract owns the first holder's token, and the second holder's key signs for it."""
    one, two = dropped.holders[:2]
    contract = deployed_helper("wallet", two.address)
    dropped.asset.transferFrom(one, contract, dropped.token_of(one), sender=one)
    return contract


class TestContractHolder:
    """ERC-1271."""

    def submit(self, world: World, holder: Any, signature: bytes | None = None) -> None:
        permit = transfer_permit(world, holder, ELSEWHERE, world.token_of(world.holders[0]))
        submit(world, permit, sign(world.holders[1], permit) if signature is None else signature)

    def test_agrees_by_the_key_it_trusts(self, dropped: World, wallet: ContractInstance) -> None:
        self.submit(dropped, wallet)
        assert dropped.asset.ownerOf(dropped.token_of(dropped.holders[0])) == ELSEWHERE

    def test_does_not_agree_by_another_key(self, dropped: World, wallet: ContractInstance) -> None:
        permit = transfer_permit(dropped, wallet, ELSEWHERE, dropped.token_of(dropped.holders[0]))
        with ape.reverts("asset: permit invalid"):
            submit(dropped, permit, sign(dropped.holders[0], permit))

    @pytest.mark.parametrize(
        "behaviour",
        [
            "refuse", "revert", "junk", "nothing", "short", "magic in the low bytes",
            "more than magic", "write",
        ],
    )  # fmt: skip
    def test_that_does_not_agree_is_respected(
        self, dropped: World, wallet: ContractInstance, behaviour: str
    ) -> None:
        wallet.behave(behaviour, sender=dropped.stranger)
        with ape.reverts("asset: permit invalid"):
            self.submit(dropped, wallet)

    def test_is_asked_about_a_signature_of_any_form(
        self, dropped: World, wallet: ContractInstance
    ) -> None:
        wallet.behave("agree", sender=dropped.stranger)
        self.submit(dropped, wallet, b"")

    def test_of_a_soulbound_token_or_a_pass_is_asked_too(self, world: World) -> None:
        contract = deployed_helper("wallet", world.holders[0].address)
        world.registry.issue_one(0, contract, sender=world.minter)
        id = single_pass_id(0)
        permit = reissue_permit(world.registry, contract, ELSEWHERE, id)
        arguments = (id, ELSEWHERE, permit.deadline)
        with ape.reverts("pass: permit invalid"):
            world.registry.reissue(*arguments, sign(world.holders[1], permit), sender=world.minter)
        world.registry.reissue(*arguments, sign(world.holders[0], permit), sender=world.minter)
        assert world.registry.ownerOf(id) == ELSEWHERE

    def test_without_code_is_nobody_who_can_agree(self, dropped: World) -> None:
        nobody = dropped.batches[0][0]
        permit = transfer_permit(dropped, nobody, ELSEWHERE, 0)
        with ape.reverts("asset: permit invalid"):
            submit(dropped, permit, bytes(64) + b"\x1b")

    def test_with_a_key_and_code_agrees_by_the_key(self, dropped: World) -> None:
        """EIP-7702: the account's own key counts, whatever its code says."""
        holder = dropped.holders[0]
        ape.chain.provider.set_code(holder.address, "0x5f5ffd")
        permit = transfer_permit(dropped, holder, ELSEWHERE, dropped.token_of(holder))
        submit(dropped, permit, sign(holder, permit))
        assert dropped.asset.ownerOf(permit.token_id) == ELSEWHERE


class TestNonces:
    def test_are_raised_by_every_move_and_by_nothing_else(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        token = dropped.token_of(one)
        assert dropped.asset.nonces(token) == 0
        dropped.asset.approve(two, token, sender=one)
        dropped.asset.setApprovalForAll(two, True, sender=one)
        assert dropped.asset.nonces(token) == 0
        dropped.asset.transferFrom(one, two, token, sender=two)
        assert dropped.asset.nonces(token) == 1
        permit = transfer_permit(dropped, two, one, token)
        submit(dropped, permit, sign(two, permit))
        dropped.asset.safeTransferFrom(one, two, token, sender=one)
        assert dropped.asset.nonces(token) == 3
        dropped.asset.burn(token, sender=two)
        assert dropped.asset.nonces(token) == 4

    def test_are_a_tokens_own(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        dropped.asset.transferFrom(one, two, dropped.token_of(one), sender=one)
        assert dropped.asset.nonces(dropped.token_of(two)) == 0

    def test_of_passes_are_raised_by_every_change(self, world: World) -> None:
        holder, id = world.holders[0], world.index_of(world.holders[0])
        world.registry.recover(id, holder, sender=world.issuer)
        assert world.registry.nonces(id) == 1
        world.registry.burn(id, sender=holder)
        assert world.registry.nonces(id) == 2


@pytest.fixture(params=["soulbound", "registry"])
def bound(dropped: World, request: pytest.FixtureRequest) -> ContractInstance:
    """A contract whose first holder's token has the holder's index as id."""
    contract: ContractInstance = getattr(dropped, request.param)
    return contract


def prefix(contract: ContractInstance, world: World) -> str:
    return "pass" if contract.address == world.registry.address else "asset"


class TestReissue:
    @pytest.mark.parametrize("who", ["minter", "issuer"])
    def test_moves_a_bound_token_when_its_holder_signed(
        self, dropped: World, bound: ContractInstance, who: str
    ) -> None:
        holder, id = dropped.holders[0], dropped.token_of(dropped.holders[0])
        permit = reissue_permit(bound, holder, ELSEWHERE, id)
        before = bound.balanceOf(holder)
        receipt = bound.reissue(
            id, ELSEWHERE, permit.deadline, sign(holder, permit), sender=getattr(dropped, who)
        )
        (told,) = transfers(receipt, bound)
        assert (told.sender, told.receiver, told.token_id) == (holder, ELSEWHERE, id)
        assert (bound.ownerOf(id), bound.nonces(id)) == (ELSEWHERE, 1)
        assert (bound.balanceOf(holder), bound.balanceOf(ELSEWHERE)) == (before - 1, 1)
        assert bound.locked(id)

    def test_is_submitted_by_nobody_else(self, dropped: World, bound: ContractInstance) -> None:
        holder, id = dropped.holders[0], dropped.token_of(dropped.holders[0])
        permit = reissue_permit(bound, holder, ELSEWHERE, id)
        for sender in (dropped.stranger, holder):
            with ape.reverts("roles: not the owner"):
                bound.reissue(id, ELSEWHERE, permit.deadline, sign(holder, permit), sender=sender)

    def test_is_used_up_by_the_move(self, dropped: World, bound: ContractInstance) -> None:
        holder, id = dropped.holders[0], dropped.token_of(dropped.holders[0])
        permit = reissue_permit(bound, holder, holder, id)
        arguments = (id, holder, permit.deadline, sign(holder, permit))
        bound.reissue(*arguments, sender=dropped.minter)
        with ape.reverts(INVALID[prefix(bound, dropped)]):
            bound.reissue(*arguments, sender=dropped.minter)

    def test_is_refused_once_expired(self, dropped: World, bound: ContractInstance) -> None:
        holder, id = dropped.holders[0], dropped.token_of(dropped.holders[0])
        permit = reissue_permit(bound, holder, ELSEWHERE, id, deadline=1)
        with ape.reverts(EXPIRED[prefix(bound, dropped)]):
            bound.reissue(id, ELSEWHERE, 1, sign(holder, permit), sender=dropped.minter)

    @pytest.mark.parametrize(
        "change",
        [
            {"chain_id": 1},
            {"contract": ELSEWHERE},
            {"contract_name": "Another"},
            {"nonce": 1},
            {"kind": PermitKind.TRANSFER},
            {"receiver": to_checksum_address("0x" + "e2" * 20)},
            {"token_id": 0},
            {"deadline": 2**40},
        ],
        ids=lambda change: "-".join(change),
    )
    def test_signed_for_something_else_is_refused(
        self, dropped: World, bound: ContractInstance, change: dict[str, Any]
    ) -> None:
        holder, id = dropped.holders[0], dropped.token_of(dropped.holders[0])
        permit = reissue_permit(bound, holder, ELSEWHERE, id)
        signature = sign(holder, replace(permit, **change))
        with ape.reverts(INVALID[prefix(bound, dropped)]):
            bound.reissue(id, ELSEWHERE, permit.deadline, signature, sender=dropped.minter)

    def test_signed_by_somebody_else_is_refused(
        self, dropped: World, bound: ContractInstance
    ) -> None:
        holder, id = dropped.holders[0], dropped.token_of(dropped.holders[0])
        permit = reissue_permit(bound, holder, ELSEWHERE, id)
        stranger = Account.create().unsafe_sign_hash(permit.digest).signature
        with ape.reverts(INVALID[prefix(bound, dropped)]):
            bound.reissue(id, ELSEWHERE, permit.deadline, stranger, sender=dropped.minter)

    def test_refuses_the_zero_address(self, dropped: World, bound: ContractInstance) -> None:
        holder, id = dropped.holders[0], dropped.token_of(dropped.holders[0])
        permit = reissue_permit(bound, holder, ZERO, id)
        with ape.reverts(ZERO_ADDRESS[prefix(bound, dropped)]):
            bound.reissue(id, ZERO, permit.deadline, sign(holder, permit), sender=dropped.minter)

    @pytest.mark.parametrize("missing", [300, 2 << 16, 1 << 34])
    def test_refuses_an_id_that_was_not_minted(
        self, dropped: World, bound: ContractInstance, missing: int
    ) -> None:
        holder = dropped.holders[0]
        permit = reissue_permit(bound, holder, ELSEWHERE, missing)
        with ape.reverts(MISSING[prefix(bound, dropped)]):
            bound.reissue(
                missing,
                ELSEWHERE,
                permit.deadline,
                sign(holder, permit),
                sender=dropped.minter,
            )

    def test_is_not_for_editions_that_move(self, dropped: World) -> None:
        holder, id = dropped.holders[0], dropped.token_of(dropped.holders[0])
        permit = reissue_permit(dropped.asset, holder, ELSEWHERE, id)
        arguments = (id, ELSEWHERE, permit.deadline, sign(holder, permit))
        with ape.reverts("asset: not soulbound"):
            dropped.asset.reissue(*arguments, sender=dropped.minter)

    def test_ends_with_the_minter_who_was_dismissed(
        self, dropped: World, bound: ContractInstance
    ) -> None:
        holder, id = dropped.holders[0], dropped.token_of(dropped.holders[0])
        permit = reissue_permit(bound, holder, ELSEWHERE, id)
        bound.set_minter(dropped.minter, False, sender=dropped.issuer)
        with ape.reverts("roles: not the owner"):
            bound.reissue(
                id, ELSEWHERE, permit.deadline, sign(holder, permit), sender=dropped.minter
            )

    def test_of_a_token_dropped_before_follows_no_pass(self, dropped: World) -> None:
        holder, id = dropped.holders[0], dropped.token_of(dropped.holders[0])
        permit = reissue_permit(dropped.registry, holder, ELSEWHERE, id)
        dropped.registry.reissue(
            id, ELSEWHERE, permit.deadline, sign(holder, permit), sender=dropped.minter
        )
        assert dropped.registry.ownerOf(pass_id(0, id)) == ELSEWHERE
        assert dropped.soulbound.ownerOf(id) == holder
