# pragma version 0.4.3
"""
@title Permits
@license MIT
@notice A holder agrees to one move of one token by signing it (EIP-712); whoever submits it pays.
@dev The receiver is part of what is signed, so that whoever copies the call out of the pool changes nothing. The nonce
     is how often the token has moved: one signature moves it once. The domain is computed at every use, because the
     chain id may change under a contract (EIP-712 asks for the chain the contract is on).
"""

DOMAIN: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
VERSION: constant(bytes32) = keccak256("1")
TRANSFER: constant(bytes32) = keccak256(
    "TransferPermit(address from,address to,uint256 tokenId,uint256 nonce,uint256 deadline)"
)
REISSUE: constant(bytes32) = keccak256(
    "ReissuePermit(address from,address to,uint256 tokenId,uint256 nonce,uint256 deadline)"
)
HALF_ORDER: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168
CONTRACT_AGREES: constant(bytes32) = 0x1626ba7e00000000000000000000000000000000000000000000000000000000
MAX_SIGNATURE: constant(uint256) = 1024


@internal
@view
def domain_separator(name: String[256]) -> bytes32:
    """
    @notice The EIP-712 domain of this contract: its name, version 1, the chain and its address.
    """
    return keccak256(abi_encode(DOMAIN, keccak256(name), VERSION, chain.id, self))


@internal
@view
def is_agreed(
    kind: bytes32,
    name: String[256],
    holder: address,
    receiver: address,
    token_id: uint256,
    nonce: uint256,
    deadline: uint256,
    signature: Bytes[MAX_SIGNATURE],
) -> bool:
    """
    @notice Whether the holder signed exactly this move.
    @param kind TRANSFER or REISSUE.
    @dev The key first, then the contract (ERC-1271): since EIP-7702 an account with a key may have code, too. A
         signature with a high s is the mirror of a valid one and is refused (EIP-2).
    """
    message: bytes32 = keccak256(abi_encode(kind, holder, receiver, token_id, nonce, deadline))
    digest: bytes32 = keccak256(concat(0x1901, self.domain_separator(name), message))
    if len(signature) == 65:
        r: bytes32 = extract32(signature, 0)
        s: bytes32 = extract32(signature, 32)
        v: uint256 = convert(slice(signature, 64, 1), uint256)
        if convert(s, uint256) <= HALF_ORDER and (v == 27 or v == 28):
            signer: address = ecrecover(digest, v, r, s)
            if signer != empty(address) and signer == holder:
                return True
    if not holder.is_contract:
        return False
    success: bool = False
    answer: Bytes[32] = b""
    success, answer = raw_call(
        holder,
        abi_encode(digest, signature, method_id=0x1626ba7e),
        max_outsize=32,
        is_static_call=True,
        revert_on_failure=False,
    )
    return success and len(answer) == 32 and convert(answer, bytes32) == CONTRACT_AGREES
