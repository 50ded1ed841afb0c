"""The faults that `mutants.py` sows. A place is text that stands once in its file.

The first group takes away who may do something, the second what stops a thing from happening twice,
the third what malformed input runs into; then come owners and counts, permits, ends and terms.
"""

from dataclasses import dataclass

PASS, ASSET, DROPS = "MembershipPass.vy", "DigitalAsset.vy", "modules/drops.vy"
MINTS, PERMITS, ROLES = "modules/mints.vy", "modules/permits.vy", "modules/roles.vy"
FACTORY, ANCHOR = "AssetFactory.vy", "Anchor.vy"

PASS_MINTER = 'assert roles.is_minter(FIRST_MINTER, msg.sender), "pass: not a minter"'


@dataclass(frozen=True)
class Fault:
    """One change of the contracts that makes them wrong.

    Attributes:
        file: below `contracts/`.
        before: text that stands there once; `after` takes its place.
        why: what would be possible.
        first: the tests most likely to notice, as pytest's `-k` takes them.
    """

    name: str
    file: str
    before: str
    why: str
    first: str
    after: str = "pass"


WHO = [
    Fault(
        "issue by anybody",
        PASS,
        f"{PASS_MINTER}\n    counts: uint256",
        "anybody issues passes",
        "membership_pass and TestIssue",
        "counts: uint256",
    ),
    Fault(
        "issue_one by anybody",
        PASS,
        f"{PASS_MINTER}\n    assert member",
        "anybody issues single passes",
        "TestIssueOne",
        "assert member",
    ),
    Fault(
        "designs by anybody",
        PASS,
        f"{PASS_MINTER}\n    assert design",
        "anybody changes what a pass looks like",
        "TestDesigns",
        "assert design",
    ),
    Fault(
        "drop by anybody",
        ASSET,
        'assert roles.is_minter(arguments.minter(), msg.sender), "asset: not a minter"',
        "anybody drops and mints",
        "digital_asset_drops and TestRefusals",
    ),
    Fault(
        "pass reissue by anybody",
        PASS,
        "if not roles.is_minter(FIRST_MINTER, msg.sender):",
        "a leaked permit is used by whoever has it",
        "TestReissue",
        "if False:",
    ),
    Fault(
        "asset reissue by anybody",
        ASSET,
        "if not roles.is_minter(arguments.minter(), msg.sender):",
        "a leaked permit is used by whoever has it",
        "TestReissue",
        "if False:",
    ),
    Fault(
        "recover by anybody",
        PASS,
        "roles.check_owner(FIRST_OWNER)\n    assert RECOVERABLE",
        "anybody takes any pass",
        "TestRecover",
        "assert RECOVERABLE",
    ),
    Fault(
        "recover when not agreed",
        PASS,
        'assert RECOVERABLE, "pass: not recoverable"',
        "the owner moves passes of a contract that promised it would not",
        "TestRecover",
    ),
    Fault(
        "pass revoke by anybody",
        PASS,
        "roles.check_owner(FIRST_OWNER)\n    record",
        "anybody ends any pass",
        "TestEnds or TestRevoke",
        "record",
    ),
    Fault(
        "pass burn by anybody",
        PASS,
        'assert msg.sender == holder, "pass: not the holder"',
        "anybody ends any pass",
        "TestEnds or TestBurn",
    ),
    Fault(
        "asset burn by anybody",
        ASSET,
        "    self._check_owner(record, token_id, msg.sender)\n",
        "anybody ends any token",
        "TestEnds or TestBurn",
        "",
    ),
    Fault(
        "asset revoke by anybody",
        ASSET,
        "roles.check_owner(arguments.owner())\n    terms",
        "anybody ends tokens of a revocable edition",
        "TestEnds or TestRevoke",
        "terms",
    ),
    Fault(
        "asset revoke when not agreed",
        ASSET,
        'assert arguments.is_revocable_in(terms), "asset: not revocable"',
        "the owner ends tokens of an edition that promised it would not",
        "TestEnds or TestRevoke",
    ),
    Fault(
        "transfer by anybody",
        ASSET,
        "self._check_allowed(is_approved or self.isApprovedForAll[sender][msg.sender])",
        "anybody moves any token",
        "TestTransferFrom",
    ),
    Fault(
        "transfer from anybody",
        ASSET,
        'assert owner == sender, "asset: not the owner"',
        "whoever calls takes any token by naming itself the sender",
        "TestTransferFrom",
    ),
    Fault(
        "approve by anybody",
        ASSET,
        "self._check_allowed(msg.sender == owner or self.isApprovedForAll[owner][msg.sender])",
        "anybody lets itself move any token",
        "TestApprove",
    ),
    Fault(
        "soulbound moves",
        ASSET,
        'assert movable, "asset: soulbound"',
        "a soulbound token is sold",
        "TestSoulbound",
    ),
    Fault(
        "owner's calls by anybody",
        ROLES,
        'assert msg.sender == self.owner(first), "roles: not the owner"',
        "anybody names minters and metadata",
        "test_roles",
    ),
    Fault(
        "ownership in one step",
        ROLES,
        "    self.pending_owner = new_owner\n",
        "a mistyped owner is final",
        "test_roles",
        "    self.pending_owner = new_owner\n    self._later_owner = new_owner\n",
    ),
    Fault(
        "ownership for anybody",
        ROLES,
        'assert msg.sender == self.pending_owner, "roles: not the pending owner"',
        "anybody takes the contract",
        "test_roles",
    ),
    Fault(
        "ownership taken again",
        ROLES,
        "self.pending_owner = empty(address)",
        "a former owner takes the contract back by the offer of long ago",
        "test_roles",
    ),
    Fault(
        "first minter for ever",
        ROLES,
        "return account == first if decided == 0 else decided == ALLOWED",
        "a dismissed minter mints on",
        "test_roles",
        "return account == first or decided == ALLOWED",
    ),
    Fault(
        "implementation in use",
        "modules/arguments.vy",
        'assert self != IMPLEMENTATION, "asset: not a clone"',
        "the implementation reads its own code as arguments",
        "test_asset_factory",
    ),
    Fault(
        "anchor by anybody",
        ANCHOR,
        'assert roles.is_minter(FIRST_MINTER, msg.sender), "anchor: not allowed"',
        "anybody publishes digests as the merchant",
        "test_anchor",
    ),
]

TWICE = [
    Fault(
        "batch number skipped",
        PASS,
        'assert batch == batches, "pass: not the next batch"',
        "data and number of a batch part",
        "membership_pass and TestIssue",
    ),
    Fault(
        "single pass number skipped",
        PASS,
        'assert number == singles, "pass: not the next pass"',
        "a repeated call issues again",
        "TestIssueOne",
    ),
    Fault(
        "wrong data contract",
        ASSET,
        'assert nonce == unsafe_add(1, counts >> 240), "asset: wrong nonce"',
        "the directory points to a contract that is not made; a repeated mint mints again",
        "nonce",
    ),
    Fault(
        "round skipped",
        ASSET,
        'assert round <= rounds, "asset: round skipped"',
        "rounds that nobody counts: balances too low",
        "digital_asset_drops and TestRefusals",
    ),
    Fault(
        "dropped twice",
        DROPS,
        'assert self._is_new(other, entry, chosen), "asset: already dropped"',
        "a repeated drop drops again",
        "is_once_a_round",
    ),
    Fault(
        "dropped twice by bits",
        DROPS,
        "if word & convert(slice(data.code, place, 32), uint256) != 0:",
        "bits in code are not looked at",
        "is_once_a_round",
        "if False:",
    ),
    Fault(
        "dropped twice by lists",
        DROPS,
        "if (chosen[index >> 8] >> (index & 255)) & 1 != 0:",
        "lists are not looked at",
        "test_lists",
        "if False:",
    ),
    Fault(
        "dropped twice by words",
        DROPS,
        'assert word & self._words[key] == 0, "asset: already dropped"',
        "bits in storage are not looked at",
        "test_lists",
    ),
    Fault(
        "listed twice by words",
        ASSET,
        "drops.check_words(round, batch, chosen)",
        "lists do not look at bits in storage",
        "test_lists",
    ),
    Fault(
        "words of a round forgotten",
        ASSET,
        "drops.mark_words(round)",
        "nobody looks at the words of the round",
        "test_lists",
    ),
    Fault(
        "words forgotten",
        ASSET,
        "counts = counts | WORDS_USED",
        "nobody looks at the words that were set",
        "test_lists",
    ),
    Fault(
        "listed twice",
        DROPS,
        'assert (entries >> self._shift(batch)) & WHOLE == 0, "asset: already dropped"',
        "a list on top of what was dropped",
        "test_lists",
    ),
    Fault(
        "group with two data contracts",
        DROPS,
        'assert entries >> 240 == 0, "asset: group has data"',
        "lists of one data contract are looked up in another",
        "test_lists",
    ),
    Fault(
        "bits with two data contracts",
        DROPS,
        "if nonce != 0 and (other == 0 or other == nonce):",
        "two numbers are mixed into a third",
        "group",
        "if nonce != 0:",
    ),
    Fault(
        "rounds share words",
        DROPS,
        "return (round << 19) | (batch << 3)",
        "bits of one round and batch count for another",
        "test_lists",
        "return (round << 3) | (batch << 3)",
    ),
    Fault(
        "asset deployed at random",
        FACTORY,
        "salt=asset_id,",
        "one asset for all ids",
        "test_asset_factory",
        "salt=empty(bytes32),",
    ),
]

MALFORMED = [
    Fault(
        "issue of broken addresses",
        PASS,
        'len(packed) % 20 == 0, "pass: length"',
        "addresses are cut",
        "membership_pass and TestIssue",
        'len(packed) != 1, "pass: length"',
    ),
    Fault(
        "issue out of order, rest",
        MINTS,
        "if member <= previous:",
        "an account twice in a batch, and a search that does not find it",
        "membership_pass and TestIssue",
        "if member < previous:",
    ),
    Fault(
        "issue out of order, sixteen",
        MINTS,
        "b = row[9] & ADDRESS\n            if b <= a:",
        "the same among sixteen",
        "membership_pass and TestIssue",
        "b = row[9] & ADDRESS\n            if b < a:",
    ),
    Fault(
        "issue out of order, between",
        MINTS,
        "a = row[0] >> 96\n            if a <= b:",
        "the same from sixteen to sixteen, and the zero address",
        "membership_pass and TestIssue",
        "a = row[0] >> 96\n            if a < b:",
    ),
    Fault(
        "mint out of order",
        ASSET,
        'assert member > previous, "asset: not ascending"',
        "an account twice in a mint",
        "test_mints",
        'assert member >= previous, "asset: not ascending"',
    ),
    Fault(
        "bits beyond the batch",
        ASSET,
        'assert word & ~everybody == 0, "asset: beyond the batch"',
        "tokens of nobody",
        "digital_asset_drops and TestRefusals",
    ),
    Fault(
        "no bits",
        ASSET,
        'assert total != 0, "asset: no bits"',
        "a drop to nobody uses the group's data contract up",
        "digital_asset_drops and TestRefusals",
    ),
    Fault(
        "no such batch",
        ASSET,
        'assert batch < members.MAX_BATCHES and size != 0, "asset: no such batch"',
        "a batch is marked whole before it is issued",
        "digital_asset_drops and TestRefusals",
    ),
    Fault(
        "list beyond the batch",
        ASSET,
        'assert past <= unsafe_mul(20, size), "asset: beyond the batch"',
        "tokens of whatever stands behind",
        "test_lists",
    ),
    Fault(
        "list out of order",
        ASSET,
        "if start < past:",
        "a member twice in a list",
        "test_lists",
        "if unsafe_add(start, 20) < past:",
    ),
    Fault(
        "empty list",
        ASSET,
        "assert is_ascending and count != 0,",
        "a batch is done without anybody",
        "test_lists",
        "assert is_ascending,",
    ),
    Fault(
        "lists left over",
        ASSET,
        "self._check_lengths(at == len(lists))",
        "members who were named have nothing",
        "test_lists",
    ),
    Fault(
        "above the maximum",
        ASSET,
        "assert most == 0 or later & LOW_64 <= most,",
        "an edition of 100 has 101",
        "test_supply or TestSupply",
        "assert most == 0 or counts & LOW_64 <= most,",
    ),
    Fault(
        "numbers of two bytes",
        "modules/creation.vy",
        "(nonce << 64)\n        size = 24",
        "data contracts 128 to 255 are looked for elsewhere",
        "short_form or middle_form",
        "(nonce << 64)\n        size = 23",
    ),
]

CHANGES = [
    Fault(
        "drop to a changed pass",
        ASSET,
        'assert chosen[word] & changed[word] == 0, "asset: pass changed"',
        "the token goes to who had the pass once",
        "test_changes",
    ),
    Fault(
        "list with a changed pass",
        ASSET,
        "if has_changed:",
        "the same by lists",
        "test_changes",
        "if False:",
    ),
    Fault(
        "change without its bit",
        PASS,
        "self._mark_changed(pass_id >> 16, pass_id & 65535)",
        "drops do not see the change",
        "test_changes",
    ),
    Fault(
        "change without the batch's bit",
        PASS,
        "    self._changed_batches[batch >> 8] |= 1 << (batch & 255)\n",
        "drops do not look",
        "test_changes",
        "",
    ),
    Fault(
        "ended pass comes back",
        PASS,
        "if record != 0:\n        return",
        "the first holder has the pass again",
        "TestEnds",
        "if record & ADDRESS != 0:\n        return",
    ),
    Fault(
        "ended pass is counted",
        PASS,
        "self._counts = unsafe_sub(self._counts, 1)",
        "the supply is too high",
        "TestEnds",
    ),
    Fault(
        "reissued pass is had twice",
        PASS,
        "self._received[holder] = unsafe_sub(self._received[holder], 1)",
        "a balance too high",
        "test_changes",
    ),
    Fault(
        "moved pass is still counted",
        PASS,
        "self._records[(batch << 16) | index] == 0:\n            balance",
        "a balance too high",
        "test_changes",
        "True:\n            balance",
    ),
]

OWNERS = [
    Fault(
        "transfer event the wrong way",
        ASSET,
        "log mints.Transfer(sender=owner, receiver=receiver, token_id=token_id)",
        "every indexer has it the wrong way round",
        "TestTransferFrom",
        "log mints.Transfer(sender=receiver, receiver=owner, token_id=token_id)",
    ),
    Fault(
        "approval outlives a transfer",
        ASSET,
        "self._approved[token_id] = empty(address)",
        "who was approved by the former owner is said to be approved",
        "TestApprove",
    ),
    Fault(
        "nothing received",
        ASSET,
        "self._held[receiver] += 1",
        "a balance too low",
        "TestBalanceOf",
    ),
    Fault(
        "nothing given away",
        ASSET,
        "self._held[owner] -= 1",
        "a balance too high",
        "TestBalanceOf",
    ),
    Fault(
        "burned token is counted",
        ASSET,
        "self._counts += ONE_BURNED",
        "the supply is too high",
        "test_supply",
    ),
    Fault(
        "burned token comes back",
        ASSET,
        "if owner == empty(address) and record & BURNED == 0:",
        "the first owner has the token again",
        "test_supply",
        "if owner == empty(address):",
    ),
    Fault(
        "receiver's refusal ignored",
        ASSET,
        'assert answer == 0x150b7a02, "asset: receiver refused"',
        "tokens are stuck in contracts that did not ask for them",
        "TestSafeTransferFrom",
    ),
]

AGREED = [
    Fault(
        "pass permit for ever",
        PASS,
        'assert block.timestamp <= deadline, "pass: permit expired"',
        "an old permit is used",
        "test_permits or reissue",
    ),
    Fault(
        "asset permit for ever",
        ASSET,
        'assert block.timestamp <= deadline, "asset: permit expired"',
        "an old permit is used",
        "test_permits",
    ),
    Fault(
        "pass permit of anybody",
        PASS,
        'assert agreed, "pass: permit invalid"',
        "a minter moves any pass",
        "test_permits or reissue",
    ),
    Fault(
        "asset permit of anybody",
        ASSET,
        'assert agreed, "asset: permit invalid"',
        "anybody moves any token",
        "test_permits",
    ),
    Fault(
        "asset permit without nonce",
        ASSET,
        "token_id, self._times(record), deadline, signature",
        "a permit holds again when the token comes back",
        "test_permits",
        "token_id, 0, deadline, signature",
    ),
    Fault(
        "pass permit without nonce",
        PASS,
        "pass_id, self._times(record), deadline, signature",
        "a permit holds again when the pass comes back",
        "test_permits or reissue",
        "pass_id, 0, deadline, signature",
    ),
    Fault(
        "permit without receiver",
        PERMITS,
        "abi_encode(kind, holder, receiver, token_id, nonce, deadline)",
        "whoever copies the call out of the pool takes the token",
        "test_permits",
        "abi_encode(kind, holder, holder, token_id, nonce, deadline)",
    ),
    Fault(
        "permit of another token",
        PERMITS,
        "abi_encode(kind, holder, receiver, token_id, nonce, deadline)",
        "one permit for all tokens",
        "test_permits",
        "abi_encode(kind, holder, receiver, empty(uint256), nonce, deadline)",
    ),
    Fault(
        "permit of another contract",
        PERMITS,
        "VERSION, chain.id, self",
        "one permit for all contracts",
        "test_permits",
        "VERSION, chain.id, empty(address)",
    ),
    Fault(
        "signature with a high s",
        PERMITS,
        "convert(s, uint256) <= HALF_ORDER and ",
        "a second signature for the same permit",
        "test_permits",
        "",
    ),
    Fault(
        "signature of anybody",
        PERMITS,
        "signer != empty(address) and signer == holder",
        "anybody signs for the holder",
        "test_permits",
        "signer != empty(address)",
    ),
    Fault(
        "contract that answers anything",
        PERMITS,
        " and convert(answer, bytes32) == CONTRACT_AGREES",
        "a contract that knows nothing of permits agrees",
        "test_permits",
        "",
    ),
]

TERMS = [
    Fault(
        "reissue of what is not soulbound",
        ASSET,
        'assert arguments.is_soulbound_in(arguments.terms()), "asset: not soulbound"',
        "a ReissuePermit moves what a TransferPermit should",
        "TestReissue",
    ),
    Fault(
        "royalty above the most",
        ASSET,
        "assert basis_points <= MAX_ROYALTY and",
        "the owner asks for the whole price",
        "test_royalty",
        "assert",
    ),
    Fault(
        "royalty above the most at first",
        FACTORY,
        'assert royalty <= MAX_ROYALTY, "factory: royalty above 10 %"',
        "the owner asks for the whole price",
        "test_royalty",
    ),
    Fault(
        "royalty's flag in its share",
        ASSET,
        "(royalty & ~DECIDED) >> 160",
        "an absurd share once it was set",
        "test_royalty",
        "royalty >> 160",
    ),
    Fault(
        "maximum raised",
        ASSET,
        "(before == 0 or later < before) and",
        "the promise of fewer is taken back",
        "test_supply",
        "",
    ),
    Fault(
        "maximum below the minted",
        ASSET,
        " and counts & LOW_64 <= later,",
        "more tokens than there can be",
        "test_supply",
        ",",
    ),
    Fault(
        "revocable, but not soulbound",
        FACTORY,
        'assert soulbound or not revocable, "factory: revocable, but not soulbound"',
        "the owner ends tokens that were sold",
        "test_asset_factory",
    ),
    Fault(
        "asset without owner",
        FACTORY,
        'assert owner != empty(address), "factory: no owner"',
        "an asset nobody can ever change",
        "test_asset_factory",
    ),
]

FAULTS = [*WHO, *TWICE, *MALFORMED, *CHANGES, *OWNERS, *AGREED, *TERMS]
