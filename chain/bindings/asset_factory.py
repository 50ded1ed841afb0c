"""Calls of `AssetFactory`, and the address an asset will have.

An asset is a clone: 45 bytes of proxy (ERC-1167), then its arguments as code. Everything it is
deployed with is therefore part of its address.

References:
    ERC-1167; EIP-1014.
"""

from dataclasses import dataclass

from eth_abi.abi import encode
from eth_typing import ChecksumAddress
from eth_utils.address import to_canonical_address

from .abi import NOBODY, call, creation_code, selector, text
from .create import create2_address
from .membership_pass import MAX_SYMBOL, MAX_TEXT

_PROXY_HEAD = bytes.fromhex("363d3d373d3d3d363d73")
_PROXY_TAIL = bytes.fromhex("5af43d82803e903d91602b57fd5bf3")
_DEPLOY = (
    "bytes32",
    "address",
    "bool",
    "bool",
    "uint64",
    "address",
    "uint16",
    "address",
    "address",
    "string",
    "string",
    "string",
    "string",
)

MAX_ROYALTY = 1000
"""Basis points: ten percent of a sale."""
_SOULBOUND, _REVOCABLE, _ROYALTY = 1, 2, 4


@dataclass(frozen=True)
class Royalty:
    """What a creator asks of every sale (ERC-2981).

    Raises:
        ValueError: not 1 to 1,000 basis points.
    """

    receiver: ChecksumAddress
    basis_points: int

    def __post_init__(self) -> None:
        if not 1 <= self.basis_points <= MAX_ROYALTY:
            raise ValueError(f"{self.basis_points} is not a royalty of 1 to {MAX_ROYALTY}.")


@dataclass(frozen=True)
class AssetArguments:
    """What an asset is deployed with; none of it can change, only be overruled where said.

    Attributes:
        asset_id: 32 bytes, the salt: the same id with the same arguments deploys once.
        registry: the pass contract whose members it is dropped to.
        owner: names minters and metadata; may be handed over later.
        minter: may drop from the start; the owner may name others.
        token_uri: document of every token until the owner sets another; so is `contract_uri`.
        max_supply: the most tokens there may ever be, 1 to 2**64 - 1, or None for no limit.
        soulbound: no token ever moves, but by its holder's permit to reissue it.
        revocable: the owner may end tokens of a soulbound edition.
        royalty: None for none.

    Raises:
        ValueError: a text or number does not fit the contract.
    """

    asset_id: bytes
    registry: ChecksumAddress
    owner: ChecksumAddress
    minter: ChecksumAddress
    name: str
    symbol: str
    token_uri: str
    contract_uri: str
    max_supply: int | None
    soulbound: bool
    revocable: bool = False
    royalty: Royalty | None = None

    def __post_init__(self) -> None:
        if len(self.asset_id) != 32:
            raise ValueError(f"An asset id has 32 bytes, not {len(self.asset_id)}.")
        if self.max_supply is not None and not 1 <= self.max_supply < 2**64:
            raise ValueError(f"{self.max_supply} is not a maximum supply.")
        if self.revocable and not self.soulbound:
            raise ValueError("Only a soulbound edition can be revocable.")
        text(self.name, at_most=MAX_TEXT, name="name")
        text(self.symbol, at_most=MAX_SYMBOL, name="symbol")
        text(self.token_uri, at_most=MAX_TEXT, name="token URI")
        text(self.contract_uri, at_most=MAX_TEXT, name="contract URI")

    @property
    def texts(self) -> tuple[str, str, str, str]:
        """Name, symbol, token URI and contract URI."""
        return self.name, self.symbol, self.token_uri, self.contract_uri


def deploy_data(*, implementation: ChecksumAddress) -> bytes:
    """The data of the transaction that creates the factory, once a chain.

    Args:
        implementation: the `DigitalAsset` whose clones it makes; must exist by then.
    """
    return creation_code("AssetFactory") + encode(("address",), (implementation,))


def encode_deploy(args: AssetArguments) -> bytes:
    """`deploy(...)`: the asset exists. Anybody may send it; a second time it reverts."""
    values = (
        args.asset_id,
        args.registry,
        args.soulbound,
        args.revocable,
        args.max_supply or 0,
        args.royalty.receiver if args.royalty else NOBODY,
        args.royalty.basis_points if args.royalty else 0,
        args.minter,
        args.owner,
        *args.texts,
    )
    return selector(f"deploy({','.join(_DEPLOY)})") + encode(_DEPLOY, values)


def encode_implementation() -> bytes:
    """`implementation()`: the contract whose clones it makes."""
    return call("implementation()")


def asset_address(
    factory: ChecksumAddress, implementation: ChecksumAddress, args: AssetArguments
) -> ChecksumAddress:
    """Where the factory puts an asset with these arguments, before and after it does."""
    return create2_address(factory, args.asset_id, _init_code(implementation, args))


def _init_code(implementation: ChecksumAddress, args: AssetArguments) -> bytes:
    """3d 61 size 80 600b 3d 39 81 f3 returns what stands behind it: the proxy and the arguments."""
    proxy = _PROXY_HEAD + to_canonical_address(implementation) + _PROXY_TAIL
    code = proxy + _packed(args)
    return bytes.fromhex("3d61") + _two(len(code)) + bytes.fromhex("80600b3d3981f3") + code


def _packed(args: AssetArguments) -> bytes:
    """As `contracts/modules/arguments.vy` reads it."""
    texts = [text.encode() for text in args.texts]
    return b"".join(
        (
            to_canonical_address(args.registry),
            _flags(args).to_bytes(4, "big"),
            (args.max_supply or 0).to_bytes(8, "big"),
            to_canonical_address(args.minter),
            *(_two(len(text)) for text in texts),
            to_canonical_address(args.owner),
            *texts,
            _royalty(args.royalty),
        )
    )


def _flags(args: AssetArguments) -> int:
    return (
        (_SOULBOUND if args.soulbound else 0)
        | (_REVOCABLE if args.revocable else 0)
        | (_ROYALTY if args.royalty else 0)
    )


def _royalty(royalty: Royalty | None) -> bytes:
    if royalty is None:
        return b""
    return to_canonical_address(royalty.receiver) + _two(royalty.basis_points)


def _two(number: int) -> bytes:
    return number.to_bytes(2, "big")
