# pragma version 0.4.3
"""
@title Arguments of a clone
@license MIT
@notice What an asset was deployed with. A clone is 45 bytes of proxy (ERC-1167) followed by its arguments, so they cost
        200 gas a byte at deployment and one cold read of code in use, instead of 22,100 gas a slot.
@dev After the proxy:
         0  registry 20 | flags 4 | max supply 8
        32  minter 20 | lengths of the four texts, 2 each
        60  owner 20
        80  name | symbol | token URI | contract URI
     `self.code` would be the code of the implementation, because the compiler takes CODECOPY for it; a variable of the
     same address is read by EXTCODECOPY. The implementation itself has no arguments, so reading them there reverts:
     with it every function that needs one, and nobody can mint, own or approve anything on it.
"""

from . import errors

PROXY_SIZE: constant(uint256) = 45
TERMS: constant(uint256) = PROXY_SIZE
TEXTS: constant(uint256) = PROXY_SIZE + 80
MAX_TEXT: constant(uint256) = 256
SOULBOUND: constant(uint256) = 2**64
REVOCABLE: constant(uint256) = 2**65
ROYALTY: constant(uint256) = 2**66
IMPLEMENTATION: immutable(address)


@deploy
def __init__():
    IMPLEMENTATION = self


@internal
@view
def terms() -> uint256:
    """
    @notice Registry, flags and maximum supply in one word: whoever needs two of them reads once.
    """
    return self.read(TERMS)


@internal
@pure
def registry_in(terms: uint256) -> address:
    return convert(terms >> 96, address)


@internal
@pure
def max_supply_in(terms: uint256) -> uint256:
    """
    @return The most tokens there may ever be, zero for no limit.
    """
    return terms & convert(max_value(uint64), uint256)


@internal
@pure
def is_soulbound_in(terms: uint256) -> bool:
    return terms & SOULBOUND != 0


@internal
@pure
def is_revocable_in(terms: uint256) -> bool:
    return terms & REVOCABLE != 0


@internal
@view
def minter() -> address:
    return convert(self.read(PROXY_SIZE + 32) >> 96, address)


@internal
@view
def owner() -> address:
    return convert(self.read(PROXY_SIZE + 48) & convert(max_value(uint160), uint256), address)


@internal
@view
def text(number: uint256) -> String[MAX_TEXT]:
    """
    @param number 0 name, 1 symbol, 2 token URI, 3 contract URI.
    """
    lengths: uint256 = self.read(PROXY_SIZE + 32)
    start: uint256 = TEXTS
    for before: uint256 in range(number, bound=3):
        start = unsafe_add(start, self._length(lengths, before))
    return self._read(start, self._length(lengths, number))


@internal
@view
def royalty() -> uint256:
    """
    @return Basis points << 160 | receiver; 0 for no royalty.
    """
    if self.read(TERMS) & ROYALTY == 0:
        return 0
    lengths: uint256 = self.read(PROXY_SIZE + 32)
    end: uint256 = TEXTS + 22
    for number: uint256 in range(4):
        end = unsafe_add(end, self._length(lengths, number))
    last: uint256 = self.read(unsafe_sub(end, 32))
    return ((last & convert(max_value(uint16), uint256)) << 160) | ((last >> 16) & convert(max_value(uint160), uint256))


@internal
@pure
def _length(lengths: uint256, number: uint256) -> uint256:
    return (lengths >> unsafe_sub(80, unsafe_mul(16, number))) & convert(max_value(uint16), uint256)


@internal
@view
def _read(start: uint256, length: uint256) -> String[MAX_TEXT]:
    """
    @dev Code is read in pieces of a constant size, so the last word is read where it ends and shifted into place:
         nothing is read behind the last text.
    """
    words: uint256[8] = empty(uint256[8])
    for number: uint256 in range(8):
        done: uint256 = unsafe_mul(32, number)
        if done >= length:
            break
        excess: uint256 = unsafe_sub(max(unsafe_add(done, 32), length), length)
        words[number] = self.read(unsafe_sub(unsafe_add(start, done), excess)) << unsafe_mul(8, excess)
    return convert(slice(abi_encode(words), 0, length), String[MAX_TEXT])


@internal
@view
def read(place: uint256) -> uint256:
    """
    @notice The word of code at this place.
    """
    if self == IMPLEMENTATION:
        errors.refuse("asset: not a clone")
    me: address = self
    return convert(slice(me.code, place, 32), uint256)
