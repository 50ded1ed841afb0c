# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version prague
"""
@title Unguarded
@notice Mints whatever it is told, as often as it is told: nothing here refuses a repeat, so whoever
        calls it has to be right.
"""

event Minted:
    batch: indexed(uint256)
    first: uint256
    count: uint256


minted: public(uint256)


@external
def mint(batch: uint256, first: uint256, count: uint256):
    """
    @notice Mints to a range of recipients.
    @param batch Which batch the caller says it is.
    @param first Ordinal of the first recipient.
    @param count How many there are.
    """
    self.minted += count
    log Minted(batch=batch, first=first, count=count)
