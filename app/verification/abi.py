"""The few words of contract language that reading ownership needs, written out by hand.

Pure, and on purpose without a library: whoever checks the reader can read all of it.

References:
    Solidity contract ABI specification; ERC-721, ERC-165, ERC-173, ERC-5192.
"""

OWNER_OF = "6352211e"
TOKEN_URI = "c87b56dd"
SUPPORTS_INTERFACE = "01ffc9a7"
LOCKED = "b45a3c0e"
OWNER = "8da5cb5b"
# keccak256("Transfer(address,address,uint256)")
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
SIGNATURES = {
    OWNER_OF: "ownerOf(uint256)",
    TOKEN_URI: "tokenURI(uint256)",
    SUPPORTS_INTERFACE: "supportsInterface(bytes4)",
    LOCKED: "locked(uint256)",
    OWNER: "owner()",
    TRANSFER[2:]: "Transfer(address,address,uint256)",
}

ERC721 = "80ac58cd"
ERC5192 = "b45a3c0e"
ZERO_WORD = "0x" + "0" * 64

_WORD = 32
_LARGEST_STRING = 16_384


def word(value: int) -> str:
    """The uint256 as 64 hexadecimal digits.

    Raises:
        ValueError: outside 0..2^256-1.
    """
    if not 0 <= value < 2**256:
        raise ValueError("outside uint256")
    return f"{value:064x}"


def call(selector: str, *words: str) -> str:
    """Calldata of a function whose arguments are all static words."""
    return "0x" + selector + "".join(words)


def interface_word(interface: str) -> str:
    """A bytes4 as an argument: left-aligned."""
    return interface.ljust(64, "0")


def is_address(answer: bytes) -> bool:
    """True for one word that holds an address, the zero address included."""
    return len(answer) == _WORD and not any(answer[:12])


def decode_address(answer: bytes) -> str | None:
    """The address in lower case; None when the answer is no address or the zero address."""
    if not is_address(answer) or not any(answer):
        return None
    return "0x" + answer[12:].hex()


def decode_bool(answer: bytes) -> bool | None:
    """The boolean; None when the answer is none."""
    number = int.from_bytes(answer, "big")
    return bool(number) if len(answer) == _WORD and number <= 1 else None


def decode_string(answer: bytes) -> str | None:
    """The string; None when the answer is none, or an unreasonable one."""
    start = int.from_bytes(answer[:_WORD], "big")
    if len(answer) < 2 * _WORD or start != _WORD:
        return None
    length = int.from_bytes(answer[_WORD : 2 * _WORD], "big")
    text = answer[2 * _WORD : 2 * _WORD + length]
    if length > _LARGEST_STRING or len(text) != length:
        return None
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return None
