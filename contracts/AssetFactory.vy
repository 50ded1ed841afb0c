# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version prague
"""
@title AssetFactory
@license MIT
@notice Deploys digital assets at addresses known in advance. One a chain; it belongs to nobody and keeps nothing.
@dev CREATE2 with the asset's id as salt. Everything an asset is deployed with is part of its code and so of its
     address: whoever calls first can only deploy the very contract that was meant, and a second call reverts.
"""

event AssetDeployed:
    asset: indexed(address)
    asset_id: indexed(bytes32)
    registry: indexed(address)

HEAD_SIZE: constant(uint256) = 45 + 80  # proxy, and the arguments before the texts
SOULBOUND: constant(uint32) = 1
REVOCABLE: constant(uint32) = 2
ROYALTY: constant(uint32) = 4
MAX_ROYALTY: constant(uint16) = 1000  # basis points

IMPLEMENTATION: immutable(address)


@deploy
def __init__(implementation: address):
    """
    @param implementation The DigitalAsset whose clones are made.
    """
    assert implementation.is_contract, "factory: no implementation"
    IMPLEMENTATION = implementation


@external
@view
def implementation() -> address:
    """
    @notice The DigitalAsset whose clones are made.
    """
    return IMPLEMENTATION


@external
def deploy(
    asset_id: bytes32,
    registry: address,
    soulbound: bool,
    revocable: bool,
    max_supply: uint64,
    royalty_receiver: address,
    royalty: uint16,
    minter: address,
    owner: address,
    name: String[256],
    symbol: String[32],
    token_uri: String[256],
    contract_uri: String[256],
) -> address:
    """
    @notice The asset exists, and nobody can change what it was deployed with.
    @param soulbound No token ever moves, but by a holder's permit to reissue it.
    @param revocable The owner may end tokens of a soulbound edition.
    @param max_supply The most tokens there may ever be; zero for no limit.
    @param royalty What the receiver asks of every sale, in basis points, 1,000 at most; zero for none (ERC-2981).
    @dev PUSH2 size follows RETURNDATASIZE: 3d 61 size 80 600b 3d 39 81 f3 returns all that stands behind it, the proxy of
         ERC-1167 and the arguments as modules/arguments.vy reads them.
    """
    assert registry.is_contract, "factory: no registry"
    assert owner != empty(address), "factory: no owner"
    assert soulbound or not revocable, "factory: revocable, but not soulbound"
    assert royalty <= MAX_ROYALTY, "factory: royalty above 10 %"
    assert royalty == 0 or royalty_receiver != empty(address), "factory: no royalty receiver"
    flags: uint32 = (SOULBOUND if soulbound else 0) | (REVOCABLE if revocable else 0) | (ROYALTY if royalty != 0 else 0)
    texts: Bytes[822] = convert(concat(name, symbol, token_uri, contract_uri), Bytes[822])
    if royalty != 0:
        texts = concat(
            convert(concat(name, symbol, token_uri, contract_uri), Bytes[800]),
            convert(royalty_receiver, bytes20), convert(royalty, bytes2),
        )
    size: uint256 = unsafe_add(HEAD_SIZE, len(texts))
    asset: address = raw_create(
        concat(
            0x3d61, self._two_bytes(size), 0x80600b3d3981f3,
            0x363d3d373d3d3d363d73, convert(IMPLEMENTATION, bytes20), 0x5af43d82803e903d91602b57fd5bf3,
            convert(registry, bytes20), convert(flags, bytes4), convert(max_supply, bytes8),
            convert(minter, bytes20),
            self._two_bytes(len(name)), self._two_bytes(len(symbol)),
            self._two_bytes(len(token_uri)), self._two_bytes(len(contract_uri)),
            convert(owner, bytes20), texts,
        ),
        salt=asset_id,
        revert_on_failure=False,
    )
    assert asset != empty(address), "factory: already deployed"
    log AssetDeployed(asset=asset, asset_id=asset_id, registry=registry)
    return asset


@internal
@pure
def _two_bytes(number: uint256) -> bytes2:
    return convert(convert(number, uint16), bytes2)
