# pragma version 0.4.3
"""
@title Addresses of created contracts
@license MIT
@notice Recomputes where a contract puts what it creates, so that no address is ever stored.
@dev CREATE derives the address from RLP([sender, nonce]); a contract's first creation has nonce 1 (EIP-161).
     Only nonces from 1 to 65,535 are encoded here: a contract of ours makes no more than that.
"""


@internal
@pure
def address_of(sender: address, nonce: uint256) -> address:
    """
    @notice The address of the contract that `sender` creates with CREATE number `nonce`.
    @param nonce 1 to 65,535; the result means nothing outside.
    """
    maker: bytes20 = convert(sender, bytes20)
    digest: bytes32 = empty(bytes32)
    if nonce < 128:
        digest = keccak256(concat(0xd694, maker, convert(convert(nonce, uint8), bytes1)))
    elif nonce < 256:
        digest = keccak256(concat(0xd794, maker, 0x81, convert(convert(nonce, uint8), bytes1)))
    else:
        digest = keccak256(concat(0xd894, maker, 0x82, convert(convert(nonce, uint16), bytes2)))
    return convert(convert(digest, uint256) & convert(max_value(uint160), uint256), address)
