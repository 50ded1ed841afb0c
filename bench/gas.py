"""What a pass and a drop cost in gas a recipient, against the bare `Transfer`.

Starts its own chain on a free loopback port, deploys the committed artifacts and measures receipts:
everything is included, from the intrinsic gas of the transaction to the data contracts. The figures
are those of the first drop of a fresh asset. `N=1000 python -m bench.gas` measures one size.
"""

import json
import os
import secrets

from eth_typing import ChecksumAddress

from chain.bindings import asset_factory, digital_asset, membership_pass

from .node import SENDER, Node, node

SIZES = (100, 500, 1000, 1228)
EVENT = 1875  # LOG4 without data: 5 * 375 (EIP-150 and the Yellow Paper, appendix G)


def measure(chain: Node, implementation: ChecksumAddress, size: int) -> dict[str, float]:
    """Gas a recipient: a pass, a drop to the whole batch, a drop to every second member."""
    registry = chain.create(
        membership_pass.deploy_data(
            owner=SENDER, minter=SENDER, name="Pass", symbol="PASS", token_uri="", contract_uri=""
        )
    )
    packed = membership_pass.pack_members(secrets.token_bytes(20) for _ in range(size))
    issued = chain.send(membership_pass.encode_issue(0, packed), registry)
    dropped = _drop(chain, implementation, registry, range(size))
    half = _drop(chain, implementation, registry, range(0, size, 2))
    gas = {"pass": int(issued["gasUsed"], 16) / size, "drop": dropped, "half": half}
    return {name: round(value, 1) for name, value in gas.items()}


def _drop(
    chain: Node, implementation: ChecksumAddress, registry: ChecksumAddress, indices: range
) -> float:
    """Gas a recipient of the first drop of a fresh asset."""
    factory = chain.create(asset_factory.deploy_data(implementation=implementation))
    arguments = asset_factory.AssetArguments(
        asset_id=secrets.token_bytes(32),
        registry=registry,
        owner=SENDER,
        minter=SENDER,
        name="Collectible",
        symbol="COLL",
        token_uri="",
        contract_uri="",
        max_supply=None,
        soulbound=False,
    )
    chain.send(asset_factory.encode_deploy(arguments), factory)
    asset = asset_factory.asset_address(factory, implementation, arguments)
    bits = [digital_asset.bitmap(indices)]
    call = digital_asset.encode_drop(round=0, batches=[0], bits=bits, nonce=1)
    return int(chain.send(call, asset)["gasUsed"], 16) / len(indices)


def main() -> None:
    """Prints a row a size, and one JSON object as the last line."""
    sizes = (int(os.environ["N"]),) if os.environ.get("N") else SIZES
    rows = {}
    print(f"gas a recipient; the bare Transfer is {EVENT:,}")
    print(f"{'N':>6}{'pass':>10}{'whole drop':>12}{'over event':>12}{'every second':>14}")
    with node() as chain:
        implementation = chain.create(digital_asset.implementation_deploy_data())
        for size in sizes:
            row = rows[size] = measure(chain, implementation, size)
            over = row["drop"] - EVENT
            print(
                f"{size:>6}{row['pass']:>10,.0f}{row['drop']:>12,.0f}"
                f"{over:>12,.0f}{row['half']:>14,.0f}"
            )
    print(json.dumps({"bench": "gas", "event": EVENT, "gas_per_recipient": rows}))


if __name__ == "__main__":
    main()
