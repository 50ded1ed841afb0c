# pragma version 0.4.3
# pragma evm-version prague
"""
@title A contract that owns tokens, for tests
@license MIT
@notice Agrees to what the one key it trusts has signed (ERC-1271), or behaves as it was told.
"""

KEY: immutable(address)
behaviour: String[32]
asked: uint256


@deploy
def __init__(key: address):
    KEY = key


@external
def behave(behaviour: String[32]):
    self.behaviour = behaviour


@external
@raw_return
def isValidSignature(digest: bytes32, signature: Bytes[1024]) -> Bytes[64]:
    if self.behaviour == "":
        r: bytes32 = extract32(signature, 0)
        s: bytes32 = extract32(signature, 32)
        if ecrecover(digest, convert(slice(signature, 64, 1), uint256), r, s) == KEY:
            return concat(0x1626ba7e, empty(bytes28))
        return empty(Bytes[64])
    if self.behaviour == "agree":
        return concat(0x1626ba7e, empty(bytes28))
    if self.behaviour == "refuse":
        return concat(0xffffffff, empty(bytes28))
    if self.behaviour == "junk":
        return concat(keccak256("junk"), keccak256("more"))
    if self.behaviour == "short":
        return x"1626ba7e"
    if self.behaviour == "magic in the low bytes":
        return concat(empty(bytes28), 0x1626ba7e)
    if self.behaviour == "more than magic":
        return concat(0x1626ba7e, convert(1, bytes28))
    if self.behaviour == "write":
        self.asked += 1
        return concat(0x1626ba7e, empty(bytes28))
    assert self.behaviour != "revert", "wallet: no"
    return b""
