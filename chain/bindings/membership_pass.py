"""Calls of `MembershipPass`: the registry of members, issued in sorted batches.

A pass id is `batch << 16 | index in the batch`; that of a pass issued alone is `1 << 32 | number`.
The address at an index is the index-th smallest of the batch, so ids follow from the addresses.
"""

from collections.abc import Iterable, Sequence

from eth_abi.abi import encode
from eth_typing import ChecksumAddress

from .abi import call, creation_code, selector, text, uint

MAX_BATCH = 1228
"""Members of one batch: 13 + 20 * 1,228 bytes is the most one data contract holds (EIP-170)."""

MAX_BATCHES = 65534
"""Batches of one registry: the number of a data contract has two bytes."""

FIRST_SINGLE = 1 << 32
"""The id of the first pass that was issued alone."""

MAX_SINGLES = 1 << 32
MAX_DESIGN = 255
MAX_DESIGNED = 500
"""Passes of one call of `assign_designs`."""

MAX_TEXT = 256
MAX_SYMBOL = 32
_ADDRESS = 20


def deploy_data(
    *,
    owner: ChecksumAddress,
    minter: ChecksumAddress,
    name: str,
    symbol: str,
    token_uri: str,
    contract_uri: str,
    recoverable: bool,
) -> bytes:
    """The data of the transaction that creates a pass contract.

    Args:
        owner: names minters and metadata afterwards.
        minter: may issue from the start.
        name: 256 bytes of UTF-8 at most; so are the URIs.
        symbol: 32 bytes at most.
        recoverable: whether the owner may move a pass without its holder's signature.

    Raises:
        ValueError: a text is too long.
    """
    arguments = (
        owner,
        minter,
        text(name, at_most=MAX_TEXT, name="name"),
        text(symbol, at_most=MAX_SYMBOL, name="symbol"),
        text(token_uri, at_most=MAX_TEXT, name="token URI"),
        text(contract_uri, at_most=MAX_TEXT, name="contract URI"),
        recoverable,
    )
    types = ("address", "address", "string", "string", "string", "string", "bool")
    return creation_code("MembershipPass") + encode(types, arguments)


def pack_members(addresses: Iterable[bytes]) -> bytes:
    """The members of a batch as `issue` takes them: 20 bytes each, in increasing order.

    Args:
        addresses: 20 bytes each, in any order.

    Raises:
        ValueError: none or more than `MAX_BATCH`, one twice, the zero address, or another length.
    """
    members = sorted(addresses)
    if not 1 <= len(members) <= MAX_BATCH:
        raise ValueError(f"A batch has 1 to {MAX_BATCH} members, not {len(members)}.")
    if any(len(member) != _ADDRESS for member in members):
        raise ValueError("An address has 20 bytes.")
    if len(set(members)) != len(members):
        raise ValueError("An address is in the batch twice.")
    if members[0] == bytes(_ADDRESS):
        raise ValueError("The zero address cannot be a member.")
    return b"".join(members)


def encode_issue(batch: int, packed: bytes) -> bytes:
    """`issue(batch, packed)`: a pass for every member.

    Args:
        batch: the next batch of the contract; another one reverts.
        packed: what `pack_members` returned.

    Raises:
        ValueError: the batch is no number a registry has, or the members are not whole addresses.
    """
    if not 0 <= batch < MAX_BATCHES:
        raise ValueError(f"{batch} is not a batch.")
    if not packed or len(packed) % _ADDRESS or len(packed) > _ADDRESS * MAX_BATCH:
        raise ValueError(f"{len(packed)} bytes are not 1 to {MAX_BATCH} addresses.")
    padding = bytes(-len(packed) % 32)
    head = uint(batch) + uint(64) + uint(len(packed))
    return selector("issue(uint256,bytes)") + head + packed + padding


def encode_issue_one(number: int, member: ChecksumAddress) -> bytes:
    """`issue_one(number, member)`: a pass for one member, in storage.

    Args:
        number: the next one of the contract; another one reverts.

    Raises:
        ValueError: there can be no such number.
    """
    single_pass_id(number)
    return call("issue_one(uint256,address)", number, member)


def pass_id(batch: int, index: int) -> int:
    """The id of a pass.

    Raises:
        ValueError: there can be no such batch or place.
    """
    if not 0 <= batch < MAX_BATCHES or not 0 <= index < MAX_BATCH:
        raise ValueError(f"There is no pass {batch}-{index}.")
    return batch << 16 | index


def split_pass_id(pass_id: int) -> tuple[int, int]:
    """Batch and index of a pass id.

    Raises:
        ValueError: no pass can have this id.
    """
    batch, index = pass_id >> 16, pass_id & 0xFFFF
    if not 0 <= batch < MAX_BATCHES or index >= MAX_BATCH:
        raise ValueError(f"{pass_id} is not a pass id.")
    return batch, index


def single_pass_id(number: int) -> int:
    """The id of a pass that was issued alone.

    Raises:
        ValueError: there can be no such number.
    """
    if not 0 <= number < MAX_SINGLES:
        raise ValueError(f"{number} is not the number of a pass issued alone.")
    return FIRST_SINGLE | number


def encode_reissue(
    pass_id: int, receiver: ChecksumAddress, *, deadline: int, signature: bytes
) -> bytes:
    """`reissue(...)`: the receiver has the pass; a minter or the owner sends what was signed.

    Args:
        deadline: Unix seconds, as signed.
        signature: of a `ReissuePermit` (`chain.bindings.permits`); 65 bytes, or any that ERC-1271
            takes.
    """
    signature_of = "reissue(uint256,address,uint256,bytes)"
    return call(signature_of, pass_id, receiver, deadline, signature)


def encode_recover(pass_id: int, receiver: ChecksumAddress) -> bytes:
    """`recover(pass_id, receiver)`: the owner moves a pass, if the contract was deployed so."""
    return call("recover(uint256,address)", pass_id, receiver)


def encode_revoke(pass_id: int) -> bytes:
    """`revoke(pass_id)`: the owner ends the pass; its id is never used again."""
    return call("revoke(uint256)", pass_id)


def encode_burn(pass_id: int) -> bytes:
    """`burn(pass_id)`: the holder ends the pass."""
    return call("burn(uint256)", pass_id)


def encode_assign_designs(design: int, pass_ids: Sequence[int]) -> bytes:
    """`assign_designs(design, pass_ids)`: these passes show another document; a minter sends it.

    Args:
        design: 0 to 255; 0 is the document of all passes.
        pass_ids: 500 at most; neighbours cost least, so sort them.

    Raises:
        ValueError: the design or the number of passes is outside.
    """
    if not 0 <= design <= MAX_DESIGN:
        raise ValueError(f"{design} is not a design.")
    if len(pass_ids) > MAX_DESIGNED:
        raise ValueError(f"{len(pass_ids)} passes; a call takes {MAX_DESIGNED}.")
    return call("assign_designs(uint256,uint256[])", design, list(pass_ids))


def encode_set_design(design: int, uri: str) -> bytes:
    """`set_design(design, uri)`: the owner gives a design its document.

    Args:
        design: 1 to 255.
        uri: 256 bytes at most; empty for the document of all passes.

    Raises:
        ValueError: either is outside.
    """
    if not 1 <= design <= MAX_DESIGN:
        raise ValueError(f"{design} is not a design that can be set.")
    return call("set_design(uint256,string)", design, text(uri, at_most=MAX_TEXT, name="URI"))


def encode_pass_of(account: ChecksumAddress) -> bytes:
    """`passOf(account)`: its first pass; a search, so for `eth_call` only. Reverts without one."""
    return call("passOf(address)", account)


def encode_is_member(account: ChecksumAddress, pass_id: int) -> bytes:
    """`isMember(account, pass_id)`: whether the account holds the pass; constant."""
    return call("isMember(address,uint256)", account, pass_id)


def encode_member_of(pass_id: int) -> bytes:
    """`memberOf(pass_id)`: the holder, or the zero address where there is no such pass."""
    return call("memberOf(uint256)", pass_id)


def encode_design_of(pass_id: int) -> bytes:
    """`design_of(pass_id)`: 0 for the design of all passes."""
    return call("design_of(uint256)", pass_id)


def encode_design_uri(design: int) -> bytes:
    """`design_uri(design)`: its document, empty for the one of all passes."""
    return call("design_uri(uint256)", design)


def encode_recoverable() -> bytes:
    """`recoverable()`: whether the owner may move passes without a signature."""
    return call("recoverable()")


def encode_changed_batches(word: int) -> bytes:
    """`changed_batches(word)`: bits of 256 batches that have passes that moved or ended."""
    return call("changed_batches(uint256)", word)


def encode_set_token_uri(uri: str) -> bytes:
    """`set_token_uri(uri)`: another metadata document for every pass; the owner sends it.

    Raises:
        ValueError: the URI has more than 256 bytes.
    """
    return call("set_token_uri(string)", text(uri, at_most=MAX_TEXT, name="token URI"))


def encode_set_contract_uri(uri: str) -> bytes:
    """`set_contract_uri(uri)`: another document for the contract (ERC-7572); the owner sends it.

    Raises:
        ValueError: the URI has more than 256 bytes.
    """
    return call("set_contract_uri(string)", text(uri, at_most=MAX_TEXT, name="contract URI"))


def encode_nonces(pass_id: int) -> bytes:
    """`nonces(pass_id)`: how often the pass moved: the nonce of its next permit."""
    return call("nonces(uint256)", pass_id)


def encode_changed_members(batch: int) -> bytes:
    """`changed_members(batch)`: bits of the passes that moved or ended; drops refuse them."""
    return call("changed_members(uint256)", batch)


def encode_singles() -> bytes:
    """`singles()`: how many passes were issued alone."""
    return call("singles()")


def encode_total_supply() -> bytes:
    """`totalSupply()`: passes issued and not ended."""
    return selector("totalSupply()")


def encode_batches() -> bytes:
    """`batches()`: how many batches there are, which is the number of the next one."""
    return selector("batches()")


def encode_addresses(batch: int) -> bytes:
    """`addresses(batch)`: the packed members of a batch, for whoever checks the registry."""
    return selector("addresses(uint256)") + uint(batch)
