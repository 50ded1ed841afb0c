# pragma version 0.4.3
# pragma evm-version prague
"""
@title A contract that is given tokens, for tests
@license MIT
@notice Remembers what `safeTransferFrom` told it, and answers as it was told to.
"""

interface Tokens:
    def ownerOf(token_id: uint256) -> address: view
    def transferFrom(sender: address, receiver: address, token_id: uint256): nonpayable

behaviour: String[32]
caller: public(address)
operator: public(address)
sender: public(address)
token_id: public(uint256)
data: public(Bytes[1024])
calls: public(uint256)
owner_then: public(address)


@external
def behave(behaviour: String[32]):
    self.behaviour = behaviour


@external
@raw_return
def onERC721Received(operator: address, sender: address, token_id: uint256, data: Bytes[1024]) -> Bytes[64]:
    self.caller = msg.sender
    self.operator = operator
    self.sender = sender
    self.token_id = token_id
    self.data = data
    self.calls += 1
    self.owner_then = staticcall Tokens(msg.sender).ownerOf(token_id)
    assert self.behaviour != "revert", "receiver: no"
    if self.behaviour == "panic":
        raise
    if self.behaviour == "wrong":
        return concat(0x150b7a03, empty(bytes28))
    if self.behaviour == "zero":
        return abi_encode(empty(bytes32))
    if self.behaviour == "nothing":
        return b""
    if self.behaviour == "pass on":
        extcall Tokens(msg.sender).transferFrom(self, sender, token_id)
    if self.behaviour == "needs data" and data != b"please":
        raise "receiver: no data"
    return concat(0x150b7a02, empty(bytes28))
