"""Metadata documents: known answers, and what may not stand in them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minting.cid import cid_of_bytes
from minting.errors import MetadataInvalidError
from minting.metadata import contract_document, metadata_document, pass_document

IMAGE = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"


def document(**changes: Any) -> bytes:
    """A document with every mandatory field."""
    fields: dict[str, Any] = {
        "name": "First Tide",
        "description": "Café on the estuary.",
        "image_cid": IMAGE,
        "issuer": "Alder & Tide Coffee",
        "version": 1,
    }
    return metadata_document(**{**fields, **changes})


class TestMetadataDocument:
    def test_is_these_bytes(self) -> None:
        assert (
            document(max_supply=1000)
            == (
                '{"attributes":[],"description":"Café on the estuary.",'
                f'"image":"ipfs://{IMAGE}","name":"First Tide",'
                '"properties":{"edition":{"maxSupply":1000},"issuer":"Alder & Tide Coffee",'
                '"localized":{},"version":1}}'
            ).encode()
        )

    def test_has_this_cid(self) -> None:
        assert (
            cid_of_bytes(document(max_supply=1000))
            == "bafkreieyqi4eh5nfkdgjnkyqlmsbxire76gbaviuzcwt2p36wiyq6b3rye"
        )

    def test_carries_everything_it_was_given(self) -> None:
        found = json.loads(
            document(
                external_url="https://example.com/first-tide",
                attributes=[{"trait_type": "Roast", "value": "Medium"}],
                localized={"fr": {"name": "Première marée", "description": "…"}},
            )
        )
        assert found["external_url"] == "https://example.com/first-tide"
        assert found["attributes"] == [{"trait_type": "Roast", "value": "Medium"}]
        assert found["properties"]["localized"]["fr"]["name"] == "Première marée"
        assert found["properties"]["edition"] == {"maxSupply": None}

    def test_is_the_same_for_the_same_text_typed_otherwise(self) -> None:
        assert document(name="Cafe\u0301") == document(name="Caf\u00e9")

    def test_does_not_depend_on_the_order_of_keys(self) -> None:
        one = document(attributes=[{"trait_type": "Roast", "value": 1}])
        other = document(attributes=[{"value": 1, "trait_type": "Roast"}])
        assert one == other

    @pytest.mark.parametrize(
        "attribute",
        [
            {"trait_type": "Weight", "value": 1.5},
            {"trait_type": "Weight", "value": b"1"},
            {"trait_type": "Weight", "value": 2**53},
            {"trait_type": "Weight", "value": "\ud800"},
            {"trait_type": "Weight"},
            {"trait_type": " ", "value": 1},
            {"value": 1},
            {"trait_type": "Owner", "value": 1, "email": "member@example.com"},
        ],
    )
    def test_refuses_what_programs_read_differently(self, attribute: dict[str, Any]) -> None:
        with pytest.raises(MetadataInvalidError) as caught:
            document(attributes=[attribute])
        assert "attributes" in caught.value.fields

    @given(
        name=st.text(st.characters(exclude_categories=["Cs"])),
        values=st.lists(st.text(max_size=9) | st.integers(-(10**9), 10**9) | st.booleans()),
    )
    def test_is_canonical_for_any_text(self, name: str, values: list[Any]) -> None:
        attributes = [{"trait_type": "t", "value": value} for value in values]
        try:
            found = document(name=name, attributes=attributes)
        except MetadataInvalidError:
            return
        again = json.dumps(
            json.loads(found), sort_keys=True, ensure_ascii=False, separators=(",", ":")
        )
        assert again.encode() == found


class TestContractDocument:
    def test_is_these_bytes(self) -> None:
        found = contract_document(
            name="First Tide",
            description="An edition.",
            image_cid=IMAGE,
            symbol="TIDE",
            external_link="https://example.com",
        )
        assert (
            found
            == (
                '{"description":"An edition.","external_link":"https://example.com",'
                f'"image":"ipfs://{IMAGE}","name":"First Tide","symbol":"TIDE"}}'
            ).encode()
        )

    def test_leaves_out_what_there_is_not(self) -> None:
        assert contract_document(name="A", description="") == b'{"description":"","name":"A"}'


class TestPassDocument:
    def test_is_these_bytes(self) -> None:
        assert pass_document(name="Alder Pass", issuer="Alder") == (
            b'{"attributes":[],"description":"Membership pass of Alder. It cannot be transferred.",'
            b'"name":"Alder Pass","properties":{"issuer":"Alder"}}'
        )

    def test_says_nothing_about_a_member(self) -> None:
        keys = json.loads(pass_document(name="Alder Pass", issuer="Alder")).keys()
        assert keys == {"attributes", "description", "name", "properties"}

    def test_refuses_a_fraction(self) -> None:
        with pytest.raises(MetadataInvalidError):
            pass_document(name="A", issuer="B", attributes=[{"trait_type": "x", "value": 0.1}])
