"""Where a contract will be before it is there."""

from eth_typing import ChecksumAddress
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak

_SHORT = 0x80
_LIST = 0xC0


def create_address(sender: ChecksumAddress, nonce: int) -> ChecksumAddress:
    """The contract that `sender` creates with this nonce: keccak(RLP([sender, nonce])).

    A contract's own first creation has nonce 1 (EIP-161), an account's first transaction nonce 0.

    Raises:
        ValueError: the nonce is negative or above 2**64 - 2 (EIP-2681).

    References:
        Ethereum Yellow Paper, section 7; EIP-161; EIP-2681.
    """
    if not 0 <= nonce < 2**64 - 1:
        raise ValueError(f"{nonce} is not the nonce of a creation.")
    digits = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    if nonce == 0 or nonce >= _SHORT:
        digits = bytes([_SHORT + len(digits)]) + digits
    payload = bytes([_SHORT + 20]) + to_canonical_address(sender) + digits
    return to_checksum_address(keccak(bytes([_LIST + len(payload)]) + payload)[-20:])


def create2_address(factory: ChecksumAddress, salt: bytes, init_code: bytes) -> ChecksumAddress:
    """The contract that `factory` creates with this salt and creation code, whenever it does.

    Args:
        salt: 32 bytes.

    Raises:
        ValueError: the salt has another length.

    References:
        EIP-1014.
    """
    if len(salt) != 32:
        raise ValueError(f"A salt has 32 bytes, not {len(salt)}.")
    preimage = b"\xff" + to_canonical_address(factory) + salt + keccak(init_code)
    return to_checksum_address(keccak(preimage)[-20:])
