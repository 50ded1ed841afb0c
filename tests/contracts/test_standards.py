"""What the standards demand, asked of pass and asset as a suite that knows neither would ask.

Each test quotes the sentence it is about. The sentences of ERC-721 stand in its "Specification", in
the comments of the interfaces; they are said of both contracts where both can do what they are
about: passes and soulbound editions never move by a function of ERC-721.
"""

from collections.abc import Iterator
from typing import Any

import ape
import pytest
from ape.contracts import ContractInstance
from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from raw import ask, request, topic, topics_of, word
from world import ZERO, World, as_bytes, deployed_helper

from chain.bindings.abi import selector
from chain.bindings.asset_factory import Royalty

ELSEWHERE = to_checksum_address("0x" + "e1" * 20)
MISSING = [300, 1 << 32, 1 << 33, 1 << 128, 2**256 - 1]


@pytest.fixture(params=["dropped", "minted"])
def owned(dropped: World, request: pytest.FixtureRequest) -> tuple[World, int]:
    """The first holder's token, whichever way it came to the holder."""
    one = dropped.holders[0]
    token = dropped.token_of(one)
    if request.param == "minted":
        dropped.asset.mint(1, as_bytes(one.address), sender=dropped.minter)
        token = 1 << 128 | 1 << 16
    return dropped, token


class TestErc165:
    def test_supports_itself(self, token: ContractInstance) -> None:
        """ERC-165, "How a Contract will Publish": "true when interfaceID is 0x01ffc9a7"."""
        assert token.supportsInterface("0x01ffc9a7")

    def test_does_not_support_the_invalid_id(self, token: ContractInstance) -> None:
        """ERC-165: "false when interfaceID is 0xffffffff"."""
        assert not token.supportsInterface("0xffffffff")

    @pytest.mark.parametrize("interface", ["0x00000000", "0xd9b67a26", "0x36372b07", "0x780e9d63"])
    def test_supports_nothing_else(self, token: ContractInstance, interface: str) -> None:
        """ERC-165: "false for any other interfaceID": ERC-1155, ERC-20, ERC-721 enumerable."""
        assert not token.supportsInterface(interface)

    @pytest.mark.parametrize("interface", ["01ffc9a7", "80ac58cd", "b45a3c0e", "ffffffff"])
    def test_answers_within_30000_gas(self, token: ContractInstance, interface: str) -> None:
        """ERC-165: "This function uses less than 30,000 gas", the 21,000 of a call from outside
        not among them."""
        answer = ask(
            token, "supportsInterface(bytes4)", "bytes4", bytes.fromhex(interface), gas=hex(51_000)
        )
        assert answer[:31] == bytes(31) and answer[31] in (0, 1)

    @pytest.mark.parametrize(
        ("interface", "functions"),
        [
            ("0x01ffc9a7", ["supportsInterface(bytes4)"]),
            (
                "0x80ac58cd",
                [
                    "balanceOf(address)", "ownerOf(uint256)",
                    "safeTransferFrom(address,address,uint256,bytes)",
                    "safeTransferFrom(address,address,uint256)",
                    "transferFrom(address,address,uint256)", "approve(address,uint256)",
                    "setApprovalForAll(address,bool)", "getApproved(uint256)",
                    "isApprovedForAll(address,address)",
                ],
            ),
            ("0x5b5e139f", ["name()", "symbol()", "tokenURI(uint256)"]),
        ],
    )  # fmt: skip
    def test_has_every_function_of_what_it_supports(
        self, token: ContractInstance, interface: str, functions: list[str]
    ) -> None:
        """ERC-165: "the XOR of all function selectors in the interface"."""
        assert token.supportsInterface(interface)
        combined = 0
        for function in functions:
            combined ^= int.from_bytes(selector(function), "big")
        assert combined == int(interface, 16)
        known = {entry.selector for entry in token.contract_type.methods}
        assert set(functions) <= known

    def test_ignores_no_dirty_bits(self, token: ContractInstance) -> None:
        """The ABI: an argument of bytes4 with more than four bytes is no such argument."""
        data = "0x01ffc9a7" + "01ffc9a7" + "00" * 27 + "01"
        with pytest.raises(Exception, match="revert"):
            request("eth_call", {"to": token.address, "data": data}, "latest")


class TestErc721Balances:
    def test_zero_address_has_none_to_ask_for(self, token: ContractInstance) -> None:
        """balanceOf: "NFTs assigned to the zero address are considered invalid, and this function
        throws for queries about the zero address"."""
        with ape.reverts():
            token.balanceOf(ZERO)

    def test_balance_possibly_zero(self, dropped: World, token: ContractInstance) -> None:
        """balanceOf: "The number of NFTs owned by `_owner`, possibly zero"."""
        assert token.balanceOf(dropped.stranger) == 0
        assert token.balanceOf(dropped.holders[1]) == 1

    @pytest.mark.parametrize("missing", MISSING)
    def test_owner_of_nothing(self, token: ContractInstance, missing: int) -> None:
        """ownerOf: "NFTs assigned to zero address are considered invalid, and queries about them
        do throw"."""
        with ape.reverts():
            token.ownerOf(missing)

    def test_owner_of_a_burned_token(self, dropped: World, token: ContractInstance) -> None:
        """The same, when an NFT is "destroyed (`to` == 0)"."""
        holder = dropped.holders[1]
        token.burn(dropped.index_of(holder), sender=holder)
        with ape.reverts():
            token.ownerOf(dropped.index_of(holder))

    def test_ids_do_not_change(self, owned: tuple[World, int]) -> None:
        """It says: "NFT Identifiers": "this identifying number SHALL NOT change for the life of
        the contract"."""
        world, token = owned
        one, two = world.holders[:2]
        world.asset.transferFrom(one, two, token, sender=one)
        assert world.asset.ownerOf(token) == two


class TestErc721Events:
    def test_transfer_is_indexed_thrice(self, owned: tuple[World, int]) -> None:
        """Transfer: "This emits when ownership of any NFT changes by any mechanism", `_from`,
        `_to` and `_tokenId` indexed."""
        world, token = owned
        one, two = world.holders[:2]
        receipt = world.asset.transferFrom(one, two, token, sender=one)
        signature = topic("Transfer(address,address,uint256)")
        expected = [signature, word(one.address), word(two.address), word(token)]
        assert topics_of(receipt, world.asset) == [(expected, "0x")]

    def test_creation_comes_from_zero(self, world: World) -> None:
        """Transfer: "This event emits when NFTs are created (`from` == 0)"."""
        receipt = world.drop({0: [7]})
        ((found, data),) = topics_of(receipt, world.asset)
        member = world.batches[0][7]
        signature = topic("Transfer(address,address,uint256)")
        assert (found, data) == ([signature, word(0), word(member), word(7)], "0x")

    def test_destruction_goes_to_zero(self, dropped: World, token: ContractInstance) -> None:
        """Transfer: "and destroyed (`to` == 0)"."""
        holder = dropped.holders[1]
        id = dropped.index_of(holder)
        ((found, _),) = topics_of(token.burn(id, sender=holder), token)
        assert found[1:] == [word(holder.address), word(0), word(id)]

    def test_approval_is_indexed_thrice(self, owned: tuple[World, int]) -> None:
        """Approval: "This emits when the approved address for an NFT is changed or reaffirmed. The
        zero address indicates there is no approved address"."""
        world, token = owned
        one = world.holders[0]
        for approved in (ELSEWHERE, ELSEWHERE, ZERO):
            receipt = world.asset.approve(approved, token, sender=one)
            signature = topic("Approval(address,address,uint256)")
            expected = [signature, word(one.address), word(approved), word(token)]
            assert topics_of(receipt, world.asset) == [(expected, "0x")]

    def test_approval_for_all_is_indexed_twice(self, world: World) -> None:
        """ApprovalForAll: "This emits when an operator is enabled or disabled for an owner"."""
        one = world.holders[0]
        for allowed in (True, False):
            receipt = world.asset.setApprovalForAll(ELSEWHERE, allowed, sender=one)
            signature = topic("ApprovalForAll(address,address,bool)")
            expected = [signature, word(one.address), word(ELSEWHERE)]
            assert topics_of(receipt, world.asset) == [(expected, word(int(allowed)))]


MOVES = ["transferFrom", "safeTransferFrom", "safeTransferFrom with data"]


def move(world: World, how: str, sender: Any, receiver: Any, token: int, by: Any) -> Any:
    name, _, rest = how.partition(" ")
    more = [b"data"] if rest else []
    return getattr(world.asset, name)(sender, receiver, token, *more, sender=by)


@pytest.mark.parametrize("how", MOVES)
class TestErc721Transfers:
    """transferFrom and both safeTransferFrom: "This works identically to the other function"."""

    def test_by_the_owner(self, owned: tuple[World, int], how: str) -> None:
        """It says: "Transfers the ownership of an NFT from one address to another address"."""
        world, token = owned
        one, two = world.holders[:2]
        before = world.asset.balanceOf(one), world.asset.balanceOf(two)
        move(world, how, one, two, token, one)
        assert world.asset.ownerOf(token) == two
        after = world.asset.balanceOf(one), world.asset.balanceOf(two)
        assert after == (before[0] - 1, before[1] + 1)

    def test_by_the_approved_and_the_operator(self, owned: tuple[World, int], how: str) -> None:
        """It says: "unless `msg.sender` is the current owner, an authorized operator, or the
        approved address for this NFT"."""
        world, token = owned
        one, two = world.holders[:2]
        world.asset.approve(world.stranger, token, sender=one)
        move(world, how, one, two, token, world.stranger)
        world.asset.setApprovalForAll(world.stranger, True, sender=two)
        move(world, how, two, one, token, world.stranger)
        assert world.asset.ownerOf(token) == one

    def test_by_nobody_else(self, owned: tuple[World, int], how: str) -> None:
        """It says: "Throws unless `msg.sender` is the current owner, an authorized operator, or
        the approved address"."""
        world, token = owned
        one, two = world.holders[:2]
        world.asset.setApprovalForAll(world.stranger, True, sender=two)
        world.asset.approve(world.stranger, world.token_of(two), sender=two)
        for other in (two, world.stranger, world.issuer, world.minter):
            with ape.reverts():
                move(world, how, one, other, token, other)

    def test_from_the_owner_only(self, owned: tuple[World, int], how: str) -> None:
        """It says: "Throws if `_from` is not the current owner"."""
        world, token = owned
        one, two, three = world.holders[:3]
        for wrong in (two, ZERO):
            with ape.reverts():
                move(world, how, wrong, three, token, one)

    def test_not_to_the_zero_address(self, owned: tuple[World, int], how: str) -> None:
        """It says: "Throws if `_to` is the zero address"."""
        world, token = owned
        one = world.holders[0]
        with ape.reverts():
            move(world, how, one, ZERO, token, one)

    @pytest.mark.parametrize("missing", MISSING)
    def test_not_of_an_invalid_nft(self, dropped: World, how: str, missing: int) -> None:
        """It says: "Throws if `_tokenId` is not a valid NFT"."""
        one, two = dropped.holders[:2]
        for sender in (one, ZERO):
            with ape.reverts():
                move(dropped, how, sender, two, missing, one)

    def test_ends_the_approval(self, owned: tuple[World, int], how: str) -> None:
        """Approval: "When a Transfer event emits, this also indicates that the approved address
        for that NFT (if any) is reset to none"."""
        world, token = owned
        one, two = world.holders[:2]
        world.asset.approve(world.stranger, token, sender=one)
        move(world, how, one, two, token, one)
        assert world.asset.getApproved(token) == ZERO
        with ape.reverts():
            move(world, how, two, one, token, world.stranger)

    def test_to_oneself(self, owned: tuple[World, int], how: str) -> None:
        """Nothing forbids it, and nothing but the approval changes."""
        world, token = owned
        one = world.holders[0]
        before = world.asset.balanceOf(one)
        world.asset.approve(world.stranger, token, sender=one)
        move(world, how, one, one, token, one)
        assert (world.asset.ownerOf(token), world.asset.balanceOf(one)) == (one, before)
        assert world.asset.getApproved(token) == ZERO


class TestErc721Approvals:
    def test_approve_by_owner_or_operator_only(self, owned: tuple[World, int]) -> None:
        """approve: "Throws unless `msg.sender` is the current NFT owner, or an authorized operator
        of the current owner"."""
        world, token = owned
        one, two = world.holders[:2]
        world.asset.approve(two, token, sender=one)
        for other in (two, world.stranger):
            with ape.reverts():
                world.asset.approve(other, token, sender=other)
        world.asset.setApprovalForAll(world.stranger, True, sender=one)
        world.asset.approve(ELSEWHERE, token, sender=world.stranger)
        assert world.asset.getApproved(token) == ELSEWHERE

    def test_zero_is_no_approved_address(self, owned: tuple[World, int]) -> None:
        """approve: "The zero address indicates there is no approved address"."""
        world, token = owned
        assert world.asset.getApproved(token) == ZERO
        world.asset.approve(ELSEWHERE, token, sender=world.holders[0])
        world.asset.approve(ZERO, token, sender=world.holders[0])
        assert world.asset.getApproved(token) == ZERO

    @pytest.mark.parametrize("missing", MISSING)
    def test_approve_of_an_invalid_nft(self, dropped: World, missing: int) -> None:
        """approve: the same, where there is no "current NFT owner"."""
        for approved in (ELSEWHERE, ZERO):
            with ape.reverts():
                dropped.asset.approve(approved, missing, sender=dropped.holders[0])

    @pytest.mark.parametrize("missing", MISSING)
    def test_get_approved_of_an_invalid_nft(self, token: ContractInstance, missing: int) -> None:
        """getApproved: "Throws if `_tokenId` is not a valid NFT"."""
        with ape.reverts():
            token.getApproved(missing)

    def test_many_operators(self, dropped: World) -> None:
        """setApprovalForAll: "The contract MUST allow multiple operators per owner"."""
        one, two, three = dropped.holders[:3]
        for operator in (two, three, dropped.stranger):
            dropped.asset.setApprovalForAll(operator, True, sender=one)
        dropped.asset.setApprovalForAll(two, False, sender=one)
        found = [dropped.asset.isApprovedForAll(one, it) for it in (two, three, dropped.stranger)]
        assert found == [False, True, True]

    def test_operators_stay_when_tokens_move(self, dropped: World) -> None:
        """setApprovalForAll is of "all of `msg.sender`'s assets", now and later."""
        one, two = dropped.holders[:2]
        dropped.asset.setApprovalForAll(dropped.stranger, True, sender=two)
        dropped.asset.transferFrom(one, two, dropped.token_of(one), sender=one)
        dropped.asset.transferFrom(two, one, dropped.token_of(one), sender=dropped.stranger)
        assert dropped.asset.ownerOf(dropped.token_of(one)) == one

    def test_nobody_is_an_operator_at_first(self, dropped: World, token: ContractInstance) -> None:
        """isApprovedForAll: "True if `_operator` is an approved operator for `_owner`, false
        otherwise"."""
        one, two = dropped.holders[:2]
        assert not token.isApprovedForAll(one, two)
        assert not token.isApprovedForAll(one, one)


@pytest.fixture
def receiver(dropped: World) -> Iterator[ContractInstance]:
    yield deployed_helper("receiver")


class TestErc721Receiver:
    """safeTransferFrom: "checks if `_to` is a smart contract (code size > 0). If so, it calls
    `onERC721Received` on `_to` and throws if the return value is not
    `bytes4(keccak256("onERC721Received(address,address,uint256,bytes)"))`"."""

    def give(self, world: World, receiver: Any, *data: bytes, by: Any = None) -> Any:
        one = world.holders[0]
        arguments = (one, receiver, world.token_of(one), *data)
        return world.asset.safeTransferFrom(*arguments, sender=by or one)

    @pytest.mark.parametrize("data", [b"", b"\0", b"hello", b"x" * 1024])
    def test_hears_operator_sender_token_and_data(
        self, dropped: World, receiver: ContractInstance, data: bytes
    ) -> None:
        """onERC721Received: `_operator` "which called `safeTransferFrom`", `_from` "which
        previously owned the token", `_data` "with no specified format"."""
        one = dropped.holders[0]
        dropped.asset.setApprovalForAll(dropped.stranger, True, sender=one)
        self.give(dropped, receiver, data, by=dropped.stranger)
        assert receiver.operator() == dropped.stranger
        assert (receiver.sender(), receiver.token_id()) == (one, dropped.token_of(one))
        assert (bytes(receiver.data()), receiver.calls()) == (data, 1)

    def test_hears_no_data_when_none_was_given(
        self, dropped: World, receiver: ContractInstance
    ) -> None:
        """safeTransferFrom without data: "this function just sets data to ''"."""
        self.give(dropped, receiver)
        assert (bytes(receiver.data()), receiver.calls()) == (b"", 1)
        assert receiver.operator() == dropped.holders[0]

    def test_hears_it_from_the_contract(self, dropped: World, receiver: ContractInstance) -> None:
        """onERC721Received: "Note: the contract address is always the message sender"."""
        self.give(dropped, receiver, b"data")
        assert receiver.caller() == dropped.asset.address

    def test_is_asked_after_the_transfer(self, dropped: World, receiver: ContractInstance) -> None:
        """onERC721Received: "The ERC721 smart contract calls this function on the recipient after
        a `transfer`"."""
        self.give(dropped, receiver)
        assert receiver.owner_then() == receiver.address

    def test_may_insist_on_data(self, dropped: World, receiver: ContractInstance) -> None:
        """onERC721Received: "This function MAY throw to revert and reject the transfer"."""
        receiver.behave("needs data", sender=dropped.stranger)
        with ape.reverts():
            self.give(dropped, receiver)
        with ape.reverts():
            self.give(dropped, receiver, b"pretty please")
        self.give(dropped, receiver, b"please")
        assert dropped.asset.ownerOf(dropped.token_of(dropped.holders[0])) == receiver

    @pytest.mark.parametrize("behaviour", ["wrong", "zero", "nothing", "revert", "panic"])
    def test_refuses_by_any_other_answer(
        self, dropped: World, receiver: ContractInstance, behaviour: str
    ) -> None:
        """onERC721Received: "Return of other than the magic value MUST result in the transaction
        being reverted"."""
        receiver.behave(behaviour, sender=dropped.stranger)
        for data in ([], [b"data"]):
            with ape.reverts():
                self.give(dropped, receiver, *data)
        one = dropped.holders[0]
        assert dropped.asset.ownerOf(dropped.token_of(one)) == one
        assert receiver.calls() == 0

    def test_without_the_function_refuses(self, dropped: World) -> None:
        """The same: a contract that does not know the function gives no magic value."""
        with ape.reverts():
            self.give(dropped, dropped.registry)

    def test_is_not_asked_by_transfer_from(
        self, dropped: World, receiver: ContractInstance
    ) -> None:
        """transferFrom: "THE CALLER IS RESPONSIBLE TO CONFIRM THAT `_to` IS CAPABLE OF RECEIVING
        NFTS"."""
        receiver.behave("revert", sender=dropped.stranger)
        one = dropped.holders[0]
        dropped.asset.transferFrom(one, receiver, dropped.token_of(one), sender=one)
        assert (dropped.asset.balanceOf(receiver), receiver.calls()) == (1, 0)

    def test_is_not_asked_by_a_mint(self, dropped: World, receiver: ContractInstance) -> None:
        """The standard says nothing of minting: nobody who is minted to can hold it up."""
        receiver.behave("revert", sender=dropped.stranger)
        dropped.asset.mint(1, as_bytes(receiver.address), sender=dropped.minter)
        assert (dropped.asset.balanceOf(receiver), receiver.calls()) == (1, 0)

    def test_may_pass_the_token_on(self, dropped: World, receiver: ContractInstance) -> None:
        """Nothing forbids it: the transfer is done when the receiver is asked."""
        receiver.behave("pass on", sender=dropped.stranger)
        one = dropped.holders[0]
        self.give(dropped, receiver)
        assert dropped.asset.ownerOf(dropped.token_of(one)) == one
        assert (dropped.asset.balanceOf(one), dropped.asset.balanceOf(receiver)) == (1, 0)
        assert dropped.asset.nonces(dropped.token_of(one)) == 2

    def test_account_without_code_is_not_asked(self, dropped: World) -> None:
        self.give(dropped, ELSEWHERE, b"data")
        assert dropped.asset.balanceOf(ELSEWHERE) == 1

    def test_magic_value_is_the_selector(self) -> None:
        signature = "onERC721Received(address,address,uint256,bytes)"
        assert selector(signature).hex() == "150b7a02"


class TestErc721Metadata:
    def test_names(self, token: ContractInstance) -> None:
        """name, symbol: "A descriptive name for a collection of NFTs", "An abbreviated name"."""
        assert token.name()
        assert token.symbol()

    def test_uri_of_a_token(self, token: ContractInstance) -> None:
        """tokenURI: "A distinct Uniform Resource Identifier (URI) for a given asset"."""
        assert token.tokenURI(0).startswith("ipfs://")

    @pytest.mark.parametrize("missing", MISSING)
    def test_uri_of_an_invalid_nft(self, token: ContractInstance, missing: int) -> None:
        """tokenURI: "Throws if `_tokenId` is not a valid NFT"."""
        with ape.reverts():
            token.tokenURI(missing)


class TestErc721Payable:
    @pytest.mark.parametrize("value", [1])
    def test_takes_no_money(self, dropped: World, value: int) -> None:
        """Caveats: "Your implementation MUST meet the mutability guarantee in this interface and
        you MAY meet a stronger guarantee": not payable is stronger."""
        one, two = dropped.holders[:2]
        data = selector("transferFrom(address,address,uint256)") + encode(
            ["address", "address", "uint256"], [one.address, two.address, dropped.token_of(one)]
        )
        with ape.reverts():
            one.transfer(dropped.asset, value=value, data=data)


class TestErc2981:
    def test_is_supported_by_assets(self, world: World) -> None:
        """ERC-2981, Specification: "Implementers of this standard MUST have all of the following
        functions": `bytes4(keccak256("royaltyInfo(uint256,uint256)")) == 0x2a55205a`."""
        assert selector("royaltyInfo(uint256,uint256)").hex() == "2a55205a"
        for asset in (world.asset, world.soulbound):
            assert asset.supportsInterface("0x2a55205a")
            answer = ask(asset, "royaltyInfo(uint256,uint256)", "uint256,uint256", 0, 10**18)
            assert answer == bytes(64)
        assert not world.registry.supportsInterface("0x2a55205a")

    @pytest.mark.parametrize("price", [1, 99, 10**6, 10**30])
    def test_is_a_percentage_of_the_sale_price(self, world: World, price: int) -> None:
        """Specification: "Implementers of this standard MUST calculate a percentage of the
        `_salePrice`"; they "MAY round up or round down to the nearest integer"."""
        royalty = Royalty(ELSEWHERE, 250)
        asset = world.deploy_asset(asset_id=keccak(text="royalty"), royalty=royalty)
        receiver, amount = asset.royaltyInfo(0, price)
        assert (receiver, amount) == (ELSEWHERE, price * 250 // 10_000)
        assert amount <= price

    def test_is_the_same_whatever_the_unit(self, world: World) -> None:
        """Specification: "implementers MUST NOT return a fixed/constant `royaltyAmount`", and
        "10% MUST apply whether `_salePrice` is 10, 10000 or 1234567890"."""
        asset = world.deploy_asset(
            asset_id=keccak(text="royalty"), royalty=Royalty(ELSEWHERE, 1000)
        )
        assert [asset.royaltyInfo(1, price)[1] for price in (0, 10, 10_000, 1_234_567_890)] == [
            0,
            1,
            1000,
            123_456_789,
        ]

    def test_compares_no_price_with_anything(self, world: World) -> None:
        """Specification: "implementers MUST NOT determine the `royaltyAmount` based on comparing
        the `_salePrice` with constant numbers"; a product that does not fit is no amount."""
        asset = world.deploy_asset(asset_id=keccak(text="royalty"), royalty=Royalty(ELSEWHERE, 250))
        for price in (2**power for power in range(0, 248, 13)):
            assert asset.royaltyInfo(1, price)[1] == price * 250 // 10_000
        with ape.reverts():
            asset.royaltyInfo(1, 2**256 - 1)

    def test_may_be_zero(self, world: World) -> None:
        """Specification: marketplaces act "if the `royaltyAmount` returned is `0`"."""
        assert world.asset.royaltyInfo(0, 10**18)[1] == 0


class TestErc4906:
    def test_is_supported(self, token: ContractInstance) -> None:
        """ERC-4906: "The `supportsInterface` method MUST return `true` when called with
        `0x49064906`"."""
        assert token.supportsInterface("0x49064906")

    def test_all_tokens_changed(self, dropped: World, token: ContractInstance) -> None:
        """It says: "The MetadataUpdate or BatchMetadataUpdate event MUST be emitted when the JSON
        metadata of a token, or a consecutive range of tokens, is changed"."""
        receipt = token.set_token_uri("ipfs://later", sender=dropped.issuer)
        expected = ([topic("BatchMetadataUpdate(uint256,uint256)")], word(0) + "f" * 64)
        assert topics_of(receipt, token) == [expected]

    def test_some_tokens_changed(self, world: World) -> None:
        """MetadataUpdate(uint256 _tokenId), not indexed."""
        receipt = world.registry.assign_designs(1, [3, 9], sender=world.minter)
        event = topic("MetadataUpdate(uint256)")
        assert topics_of(receipt, world.registry) == [([event], word(3)), ([event], word(9))]

    def test_a_design_changed(self, world: World) -> None:
        """BatchMetadataUpdate(uint256 _fromTokenId, uint256 _toTokenId), not indexed: any pass may
        have the design."""
        receipt = world.registry.set_design(1, "ipfs://gold", sender=world.issuer)
        expected = ([topic("BatchMetadataUpdate(uint256,uint256)")], word(0) + "f" * 64)
        assert topics_of(receipt, world.registry)[1:] == [expected]

    def test_is_not_said_of_burns(self, dropped: World, token: ContractInstance) -> None:
        """It says: "Not emitting `MetadataUpdate` event is RECOMMENDED when a token is burned"."""
        holder = dropped.holders[1]
        receipt = token.burn(dropped.index_of(holder), sender=holder)
        assert len(topics_of(receipt, token)) == 1


class TestErc5192:
    def test_is_supported_by_what_is_bound(self, dropped: World, bound: ContractInstance) -> None:
        """ERC-5192: with `0xb45a3c0e`, "a contract implementing this EIP must return `true`"."""
        assert selector("locked(uint256)").hex() == "b45a3c0e"
        assert bound.supportsInterface("0xb45a3c0e")
        assert not dropped.asset.supportsInterface("0xb45a3c0e")

    def test_is_locked(self, bound: ContractInstance) -> None:
        """Contract Interface: "A token with a `uint256 tokenId` may be bound to a receiving
        account with `function locked(...)` returning `true`"."""
        assert bound.locked(0)

    @pytest.mark.parametrize("missing", MISSING)
    def test_locked_of_nobodys_token(self, bound: ContractInstance, missing: int) -> None:
        """locked: "SBTs assigned to zero address are considered invalid, and queries about them do
        throw"."""
        with ape.reverts():
            bound.locked(missing)

    def test_locked_of_a_token_that_ended(self, dropped: World, bound: ContractInstance) -> None:
        holder = dropped.holders[1]
        bound.burn(dropped.index_of(holder), sender=holder)
        with ape.reverts():
            bound.locked(dropped.index_of(holder))

    @pytest.mark.parametrize("data", [None, [], [b"data"]])
    def test_transfers_throw(
        self, dropped: World, bound: ContractInstance, data: list[bytes] | None
    ) -> None:
        """Contract Interface: "In this case, all EIP-721 functions of the contract that transfer
        the token from one account to another must throw"."""
        one, two = dropped.holders[:2]
        with ape.reverts():
            if data is None:
                bound.transferFrom(one, two, dropped.index_of(one), sender=one)
            else:
                bound.safeTransferFrom(one, two, dropped.index_of(one), *data, sender=one)
        assert bound.ownerOf(dropped.index_of(one)) == one

    def test_only_what_is_locked_is_bound(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        assert not dropped.asset.locked(dropped.token_of(one))
        dropped.asset.transferFrom(one, two, dropped.token_of(one), sender=one)


class TestErc7572:
    def test_has_a_uri(self, token: ContractInstance) -> None:
        """ERC-7572: "The contract MUST implement the below interface": `contractURI()`."""
        assert token.contractURI().startswith("ipfs://")

    def test_says_when_it_changes(self, dropped: World, token: ContractInstance) -> None:
        """Specification: "The `ContractURIUpdated()` event SHOULD be emitted on updates"."""
        receipt = token.set_contract_uri("ipfs://later", sender=dropped.issuer)
        assert topics_of(receipt, token) == [([topic("ContractURIUpdated()")], "0x")]
        assert token.contractURI() == "ipfs://later"


class TestEip712:
    def test_domain_separator(self, token: ContractInstance) -> None:
        """EIP-712, "Definition of domainSeparator": "hashStruct(eip712Domain)", the fields in the
        order name, version, chainId, verifyingContract."""
        kind = keccak(
            text="EIP712Domain(string name,string version,uint256 chainId,"
            "address verifyingContract)"
        )
        types = ["bytes32", "bytes32", "bytes32", "uint256", "address"]
        name, version = keccak(text=token.name()), keccak(text="1")
        values = [kind, name, version, ape.chain.chain_id, token.address]
        assert token.DOMAIN_SEPARATOR() == keccak(encode(types, values))

    def test_digest(self, dropped: World, token: ContractInstance) -> None:
        """Specification: `encode(domainSeparator, message) = "\\x19\\x01" ‖ domainSeparator ‖
        hashStruct(message)`, `hashStruct(s) = keccak256(typeHash ‖ encodeData(s))`."""
        one, two = dropped.holders[:2]
        id, deadline = dropped.index_of(one), 2**40
        kind = "TransferPermit" if token == dropped.asset else "ReissuePermit"
        fields = "address from,address to,uint256 tokenId,uint256 nonce,uint256 deadline"
        types = ["bytes32", "address", "address", "uint256", "uint256", "uint256"]
        values = [keccak(text=f"{kind}({fields})"), one.address, two.address, id, 0, deadline]
        message = keccak(encode(types, values))
        digest = keccak(b"\x19\x01" + token.DOMAIN_SEPARATOR() + message)
        signature = one.sign_raw_msghash(digest).encode_rsv()
        if token == dropped.asset:
            token.transferWithPermit(one, two, id, deadline, signature, sender=two)
        else:
            token.reissue(id, two, deadline, signature, sender=dropped.minter)
        assert token.ownerOf(id) == two


class TestErc1271:
    def test_magic_value(self) -> None:
        """ERC-1271: "MUST return the bytes4 magic value 0x1626ba7e when function passes"."""
        assert selector("isValidSignature(bytes32,bytes)").hex() == "1626ba7e"

    @pytest.mark.parametrize("behaviour", ["", "agree", "refuse", "write", "revert", "junk"])
    def test_is_called_without_leave_to_write(self, dropped: World, behaviour: str) -> None:
        """It says: "MUST NOT modify state (using STATICCALL ...)": a wallet that writes has not
        agreed."""
        wallet = deployed_helper("wallet", dropped.holders[1].address)
        one = dropped.holders[0]
        token = dropped.token_of(one)
        dropped.asset.transferFrom(one, wallet, token, sender=one)
        if behaviour:
            wallet.behave(behaviour, sender=one)
        arguments = (wallet, ELSEWHERE, token, 2**40, b"\x01" * 70)
        if behaviour == "agree":
            dropped.asset.transferWithPermit(*arguments, sender=dropped.stranger)
            assert dropped.asset.ownerOf(token) == ELSEWHERE
            return
        with ape.reverts("asset: permit invalid"):
            dropped.asset.transferWithPermit(*arguments, sender=dropped.stranger)
