// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

// What `bench.peers` measures: the token of each library with the cheapest airdrop around it. It asks
// nobody for permission, and identifiers start at one, so no drop pays for a counter's first write.

import {ERC1155 as OpenZeppelinERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";
import {ERC721 as OpenZeppelinERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ERC721A as ChiruLabsERC721A} from "erc721a/contracts/ERC721A.sol";
import {ERC1155 as SoladyERC1155} from "solady/src/tokens/ERC1155.sol";
import {ERC721 as SoladyERC721} from "solady/src/tokens/ERC721.sol";

contract OpenZeppelin721 is OpenZeppelinERC721("Collectible", "COLL") {
    uint256 private _next = 1;

    function airdrop(address[] calldata to) external {
        uint256 id = _next;
        unchecked {
            for (uint256 i; i < to.length; ++i) _mint(to[i], id++);
        }
        _next = id;
    }
}

// `_update` alone would cost 2,800 less, but leaves out the recipient's check that ERC-1155 demands.
contract OpenZeppelin1155 is OpenZeppelinERC1155("") {
    function airdrop(address[] calldata to) external {
        // Outside the loop, where it would cost memory again and again.
        bytes memory data;
        unchecked {
            for (uint256 i; i < to.length; ++i) _mint(to[i], 1, 1, data);
        }
    }
}

contract Solady721 is SoladyERC721 {
    uint256 private _next = 1;

    function name() public pure override returns (string memory) {
        return "Collectible";
    }

    function symbol() public pure override returns (string memory) {
        return "COLL";
    }

    function tokenURI(uint256) public pure override returns (string memory) {
        return "";
    }

    function airdrop(address[] calldata to) external {
        uint256 id = _next;
        unchecked {
            for (uint256 i; i < to.length; ++i) _mint(to[i], id++);
        }
        _next = id;
    }
}

contract Solady1155 is SoladyERC1155 {
    function uri(uint256) public pure override returns (string memory) {
        return "";
    }

    function airdrop(address[] calldata to) external {
        bytes memory data;
        unchecked {
            for (uint256 i; i < to.length; ++i) _mint(to[i], 1, 1, data);
        }
    }
}

contract ERC721A is ChiruLabsERC721A("Collectible", "COLL") {
    function _startTokenId() internal pure override returns (uint256) {
        return 1;
    }

    function airdrop(address[] calldata to) external {
        unchecked {
            for (uint256 i; i < to.length; ++i) _mint(to[i], 1);
        }
    }
}
