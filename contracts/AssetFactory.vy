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
    return IMPLEMENTATION


@external
def deploy(
    asset_id: bytes32,
    registry: address,
    soulbound: bool,
    max_supply: uint64,
    minter: address,
    owner: address,
    name: String[256],
    symbol: String[32],
    token_uri: String[256],
    contract_uri: String[256],
) -> address:
    """
    @notice The asset exists, and nobody can change what it was deployed with.
    @param max_supply The most tokens there may ever be; zero for no limit.
    @dev PUSH2 size follows RETURNDATASIZE: 3d 61 size 80 600b 3d 39 81 f3 returns all that stands behind it, the proxy of
         ERC-1167 and the arguments as modules/arguments.vy reads them.
    """
    assert registry.is_contract, "factory: no registry"
    assert owner != empty(address), "factory: no owner"
    texts: Bytes[800] = convert(concat(name, symbol, token_uri, contract_uri), Bytes[800])
    size: uint256 = unsafe_add(HEAD_SIZE, len(texts))
    asset: address = raw_create(
        concat(
            0x3d61, self._two_bytes(size), 0x80600b3d3981f3,
            0x363d3d373d3d3d363d73, convert(IMPLEMENTATION, bytes20), 0x5af43d82803e903d91602b57fd5bf3,
            convert(registry, bytes20), convert(convert(soulbound, uint32), bytes4), convert(max_supply, bytes8),
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
