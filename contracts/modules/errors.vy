# pragma version 0.4.3
"""
@title Refusals
@license MIT
@notice The one place where a call is refused and says why.
@dev An `assert` with a reason encodes it on the spot, 115 bytes of code each time; a call of `refuse` takes half of that
     and costs nothing as long as nothing is refused. DigitalAsset would not fit a contract (EIP-170) otherwise.
"""


@internal
@pure
def refuse(reason: String[32]):
    """
    @notice Reverts with this reason.
    """
    raise reason
