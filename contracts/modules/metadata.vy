# pragma version 0.4.3
"""
@title Metadata addresses
@license MIT
@notice One document for all tokens and one for the contract, both replaceable (ERC-4906, ERC-7572).
@dev The documents of deployment are passed in as `first`; storage holds only what replaced them. URIs up to 256 bytes.
"""

event BatchMetadataUpdate:
    from_token_id: uint256
    to_token_id: uint256

event MetadataUpdate:
    token_id: uint256

event ContractURIUpdated:
    pass

MAX_TEXT: constant(uint256) = 256

_token_uri: String[MAX_TEXT]  # empty until replaced
_contract_uri: String[MAX_TEXT]


@internal
@view
def token_uri(first: String[MAX_TEXT]) -> String[MAX_TEXT]:
    return first if len(self._token_uri) == 0 else self._token_uri


@internal
@view
def contract_uri(first: String[MAX_TEXT]) -> String[MAX_TEXT]:
    return first if len(self._contract_uri) == 0 else self._contract_uri


@internal
def set_token_uri(uri: String[MAX_TEXT]):
    """
    @notice Every token has this document; an empty one restores the document of deployment.
    """
    self._token_uri = uri
    log BatchMetadataUpdate(from_token_id=0, to_token_id=max_value(uint256))


@internal
def set_contract_uri(uri: String[MAX_TEXT]):
    """
    @notice The contract has this document; an empty one restores the document of deployment.
    """
    self._contract_uri = uri
    log ContractURIUpdated()
