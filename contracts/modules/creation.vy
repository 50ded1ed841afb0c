# pragma version 0.4.3
"""
@title Addresses of created contracts
@license MIT
@notice Recomputes where a contract puts what it creates, so that no address is ever stored.
@dev CREATE derives the address from RLP([sender, nonce]); a contract's first creation has nonce 1 (EIP-161).
     Only nonces from 1 to 65,535 are encoded here: a contract of ours makes no more than that.
"""


# RLP of [sender, nonce] left-aligned in a word, sender and nonce left out: 0xc0 + payload, 0x80 + 20 bytes, and for a
# nonce above 127 also 0x80 + its bytes.
ONE_BYTE: constant(uint256) = 214 * 2**248 + 148 * 2**240  # d6 94
TWO_BYTES: constant(uint256) = 215 * 2**248 + 148 * 2**240 + 129 * 2**72  # d7 94 .. 81
THREE_BYTES: constant(uint256) = 216 * 2**248 + 148 * 2**240 + 130 * 2**72  # d8 94 .. 82
ADDRESS: constant(uint256) = 2**160 - 1


@internal
@pure
def address_of(sender: address, nonce: uint256) -> address:
    """
    @notice The address of the contract that `sender` creates with CREATE number `nonce`.
    @param nonce 1 to 65,535; the result means nothing outside.
    """
    list: uint256 = convert(sender, uint256) << 80
    digest: bytes32 = empty(bytes32)
    if nonce < 128:
        digest = keccak256(slice(convert(list | ONE_BYTE | (nonce << 72), bytes32), 0, 23))
    elif nonce < 256:
        digest = keccak256(slice(convert(list | TWO_BYTES | (nonce << 64), bytes32), 0, 24))
    else:
        digest = keccak256(slice(convert(list | THREE_BYTES | (nonce << 56), bytes32), 0, 25))
    return convert(convert(digest, uint256) & ADDRESS, address)
