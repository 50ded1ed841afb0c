"""Owner, minters and metadata, which pass and asset have in common."""

import ape
import pytest
from ape.contracts import ContractInstance
from world import ZERO, World, anybody


@pytest.fixture(params=["registry", "asset", "anchor"])
def contract(world: World, request: pytest.FixtureRequest) -> ContractInstance:
    if request.param == "anchor":
        return world.issuer.deploy(ape.project.Anchor, world.issuer, world.minter)
    instance: ContractInstance = getattr(world, request.param)
    return instance


@pytest.fixture(params=["registry", "asset"])
def token(world: World, request: pytest.FixtureRequest) -> ContractInstance:
    instance: ContractInstance = getattr(world, request.param)
    return instance


class TestOwnership:
    def test_is_the_issuers_at_first(self, world: World, contract: ContractInstance) -> None:
        assert (contract.owner(), contract.pending_owner()) == (world.issuer, ZERO)

    def test_goes_over_in_two_steps(self, world: World, contract: ContractInstance) -> None:
        offered = contract.transfer_ownership(world.stranger, sender=world.issuer)
        assert offered.decode_logs(contract.OwnershipTransferStarted)
        assert (contract.owner(), contract.pending_owner()) == (world.issuer, world.stranger)
        accepted = contract.accept_ownership(sender=world.stranger)
        (told,) = accepted.decode_logs(contract.OwnershipTransferred)
        assert (told.previous_owner, told.new_owner) == (world.issuer, world.stranger)
        assert (contract.owner(), contract.pending_owner()) == (world.stranger, ZERO)
        with ape.reverts("roles: not the owner"):
            contract.set_minter(world.issuer, True, sender=world.issuer)

    def test_may_come_back(self, world: World, contract: ContractInstance) -> None:
        contract.transfer_ownership(world.stranger, sender=world.issuer)
        contract.accept_ownership(sender=world.stranger)
        contract.transfer_ownership(world.issuer, sender=world.stranger)
        contract.accept_ownership(sender=world.issuer)
        assert contract.owner() == world.issuer

    def test_is_offered_by_the_owner_only(self, world: World, contract: ContractInstance) -> None:
        with ape.reverts("roles: not the owner"):
            contract.transfer_ownership(world.stranger, sender=world.stranger)

    def test_is_accepted_by_whom_it_was_offered_only(
        self, world: World, contract: ContractInstance
    ) -> None:
        contract.transfer_ownership(world.minter, sender=world.issuer)
        with ape.reverts("roles: not the pending owner"):
            contract.accept_ownership(sender=world.stranger)

    def test_may_be_withdrawn_before(self, world: World, contract: ContractInstance) -> None:
        contract.transfer_ownership(world.stranger, sender=world.issuer)
        contract.transfer_ownership(ZERO, sender=world.issuer)
        with ape.reverts("roles: not the pending owner"):
            contract.accept_ownership(sender=world.stranger)


class TestMinters:
    def test_are_named_by_the_owner(self, world: World, contract: ContractInstance) -> None:
        receipt = contract.set_minter(world.stranger, True, sender=world.issuer)
        (told,) = receipt.decode_logs(contract.MinterSet)
        assert (told.minter, told.allowed) == (world.stranger, True)
        assert contract.is_minter(world.stranger)
        assert contract.is_minter(world.minter)

    def test_are_named_by_nobody_else(self, world: World, contract: ContractInstance) -> None:
        with ape.reverts("roles: not the owner"):
            contract.set_minter(world.stranger, True, sender=world.minter)

    def test_do_not_include_the_owner(self, world: World, contract: ContractInstance) -> None:
        assert not contract.is_minter(world.issuer)

    @pytest.mark.parametrize("who", ["minter", "stranger"])
    def test_may_be_dismissed_and_come_back(
        self, world: World, contract: ContractInstance, who: str
    ) -> None:
        account = getattr(world, who)
        for allowed in (True, False, True):
            contract.set_minter(account, allowed, sender=world.issuer)
            assert contract.is_minter(account) is allowed

    def test_mint_nothing_once_dismissed(self, world: World) -> None:
        world.registry.set_minter(world.minter, False, sender=world.issuer)
        world.asset.set_minter(world.minter, False, sender=world.issuer)
        with ape.reverts("pass: not a minter"):
            world.issue(2, [anybody(1)])
        with ape.reverts("asset: not a minter"):
            world.drop_whole(0)

    def test_mint_once_named(self, world: World) -> None:
        world.asset.set_minter(world.stranger, True, sender=world.issuer)
        world.asset.drop(0, [1], [[1023, 0, 0, 0, 0]], 0, sender=world.stranger)
        assert world.asset.totalSupply() == 10


class TestMetadata:
    def test_is_replaced_by_the_owner(self, world: World, token: ContractInstance) -> None:
        world.drop_whole(0)
        receipt = token.set_token_uri("ipfs://later", sender=world.issuer)
        (told,) = receipt.decode_logs(token.BatchMetadataUpdate)
        assert (told.from_token_id, told.to_token_id) == (0, 2**256 - 1)
        assert token.tokenURI(0) == "ipfs://later"

    def test_of_the_contract_is_replaced_too(self, world: World, token: ContractInstance) -> None:
        receipt = token.set_contract_uri("ipfs://later", sender=world.issuer)
        assert receipt.decode_logs(token.ContractURIUpdated)
        assert token.contractURI() == "ipfs://later"

    @pytest.mark.parametrize("function", ["set_token_uri", "set_contract_uri"])
    def test_is_replaced_by_nobody_else(
        self, world: World, token: ContractInstance, function: str
    ) -> None:
        with ape.reverts("roles: not the owner"):
            getattr(token, function)("ipfs://fake", sender=world.minter)

    @pytest.mark.parametrize(
        ("interface", "answer"),
        [
            ("0x01ffc9a7", True),
            ("0x80ac58cd", True),
            ("0x5b5e139f", True),
            ("0x49064906", True),
            ("0xffffffff", False),
        ],
    )
    def test_interfaces_are_named(
        self, token: ContractInstance, interface: str, answer: bool
    ) -> None:
        assert token.supportsInterface(interface) is answer
