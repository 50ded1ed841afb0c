"""The contract of every key-encryption key: one suite, each provider."""

import logging
from collections.abc import Callable
from uuid import UUID

import pytest

from core.errors import AppError, UnavailableError
from core.types import DataKeyId, MerchantId
from tests.wallets.kek_worlds import AWS_VARIABLES, World
from tests.wallets.loopback import Answer, Fault, Front, serving
from tests.wallets.vault_double import TOKEN
from wallets.errors import KekUnavailableError, KeyEncryptionKeyError
from wallets.kek import DekContext, KekProvider, WrappedDek, is_of

CONTEXT = DekContext(MerchantId(UUID(int=1)), DataKeyId(UUID(int=2)))
OTHERS = {
    "merchant": DekContext(MerchantId(UUID(int=3)), DataKeyId(UUID(int=2))),
    "data key": DekContext(MerchantId(UUID(int=1)), DataKeyId(UUID(int=3))),
    "both swapped": DekContext(MerchantId(UUID(int=2)), DataKeyId(UUID(int=1))),
}
ASKING: dict[str, Callable[[KekProvider, bytes], object]] = {
    "generate_dek": lambda kek, _: kek.generate_dek(CONTEXT),
    "wrap": lambda kek, _: kek.wrap(b"d" * 32, CONTEXT),
    "unwrap": lambda kek, blob: kek.unwrap(blob, CONTEXT),
    "rewrap": lambda kek, blob: kek.rewrap(blob, CONTEXT),
    "health": lambda kek, _: kek.health(),
}
NONSENSE = {
    "no json": b"<html>Sign in to the network</html>",
    "another shape": b"[]",
    "nothing in it": b"{}",
    "empty data": b'{"data": {}}',
    "data of another shape": b'{"data": 7, "KeyId": 7, "Plaintext": 7, "KeyMetadata": 7}',
    "short key": b'{"data": {"plaintext": "c2hvcnQ=", "ciphertext": "vault:v1:c2hvcnQ="}}',
    "no base64": b'{"data": {"plaintext": "%%%%", "ciphertext": "%%%%"}}',
    "empty": b"",
}


def seen_in(error: BaseException, caplog: pytest.LogCaptureFixture) -> str:
    """Everything an operator, a client or a log could read of the error."""
    parts = [str(error), repr(error), repr(vars(error)), repr(error.__cause__), caplog.text]
    return "\n".join(parts)


def assert_silent(text: str, *secrets: bytes) -> None:
    for secret in (*secrets, TOKEN.encode(), AWS_VARIABLES["AWS_SECRET_ACCESS_KEY"].encode()):
        assert secret.hex() not in text
        assert repr(secret)[2:-1] not in text


class TestGenerateDek:
    def test_every_data_key_is_another_one(self, world: World) -> None:
        made = [world.provider.generate_dek(CONTEXT) for _ in range(20)]
        assert len({dek for dek, _ in made}) == 20
        assert {len(dek) for dek, _ in made} == {32}

    def test_its_wrapped_form_does_not_show_it(self, world: World) -> None:
        dek, wrapped = world.provider.generate_dek(CONTEXT)
        assert dek not in wrapped.blob

    def test_it_says_which_key_wrapped_it(self, world: World) -> None:
        _, wrapped = world.provider.generate_dek(CONTEXT)
        assert is_of(wrapped.kek_id, world.provider)
        assert not is_of(wrapped.kek_id, world.foreign)


class TestWrap:
    def test_a_given_data_key_opens_again(self, world: World) -> None:
        wrapped = world.provider.wrap(b"d" * 32, CONTEXT)
        assert is_of(wrapped.kek_id, world.provider)
        assert world.provider.unwrap(wrapped.blob, CONTEXT) == b"d" * 32

    @pytest.mark.parametrize("other", OTHERS)
    def test_it_does_not_open_for_another_shard(self, world: World, other: str) -> None:
        wrapped = world.provider.wrap(b"d" * 32, CONTEXT)
        with pytest.raises(KeyEncryptionKeyError):
            world.provider.unwrap(wrapped.blob, OTHERS[other])


class TestUnwrap:
    def test_gives_back_the_data_key(self, world: World) -> None:
        dek, wrapped = world.provider.generate_dek(CONTEXT)
        assert world.provider.unwrap(wrapped.blob, CONTEXT) == dek

    @pytest.mark.parametrize("other", OTHERS)
    def test_another_context_is_refused(self, world: World, other: str) -> None:
        _, wrapped = world.provider.generate_dek(CONTEXT)
        with pytest.raises(KeyEncryptionKeyError) as caught:
            world.provider.unwrap(wrapped.blob, OTHERS[other])
        assert not caught.value.retryable

    def test_a_foreign_key_is_refused(self, world: World) -> None:
        _, wrapped = world.foreign.generate_dek(CONTEXT)
        with pytest.raises(KeyEncryptionKeyError):
            world.provider.unwrap(wrapped.blob, CONTEXT)

    def test_every_flipped_byte_is_refused(self, world: World) -> None:
        dek, wrapped = world.provider.generate_dek(CONTEXT)
        for place in range(len(wrapped.blob)):
            changed = bytearray(wrapped.blob)
            changed[place] ^= 1
            with pytest.raises(KeyEncryptionKeyError) as caught:
                world.provider.unwrap(bytes(changed), CONTEXT)
            assert dek.hex() not in str(caught.value)

    @pytest.mark.parametrize("blob", [b"x", b"\xff" * 60, b"vault:v1:", b"vault:v0:AAAA"])
    def test_what_is_no_wrapped_key_is_refused(self, world: World, blob: bytes) -> None:
        with pytest.raises(KeyEncryptionKeyError):
            world.provider.unwrap(blob, CONTEXT)


class TestRewrap:
    def test_the_same_data_key_is_in_another_blob(self, world: World) -> None:
        dek, wrapped = world.provider.generate_dek(CONTEXT)
        again = world.provider.rewrap(wrapped.blob, CONTEXT)
        assert again.blob != wrapped.blob
        assert world.provider.unwrap(again.blob, CONTEXT) == dek

    def test_it_carries_the_newest_version(self, world: World) -> None:
        _, wrapped = world.provider.generate_dek(CONTEXT)
        world.rotate()
        again = world.provider.rewrap(wrapped.blob, CONTEXT)
        assert again.kek_id == world.provider.health()

    @pytest.mark.parametrize("other", OTHERS)
    def test_another_context_is_refused(self, world: World, other: str) -> None:
        _, wrapped = world.provider.generate_dek(CONTEXT)
        with pytest.raises(KeyEncryptionKeyError):
            world.provider.rewrap(wrapped.blob, OTHERS[other])

    def test_a_foreign_key_is_refused(self, world: World) -> None:
        _, wrapped = world.foreign.generate_dek(CONTEXT)
        with pytest.raises(KeyEncryptionKeyError):
            world.provider.rewrap(wrapped.blob, CONTEXT)


class TestHealth:
    def test_it_names_what_a_new_data_key_would_carry(self, world: World) -> None:
        _, wrapped = world.provider.generate_dek(CONTEXT)
        assert world.provider.health() == wrapped.kek_id

    @pytest.mark.parametrize("fault", [Fault.DROPPED, Answer(503, b"{}")], ids=["gone", "503"])
    def test_what_is_down_is_not_healthy(
        self, remote: World, front: Front, fault: Fault | Answer
    ) -> None:
        front.fault = fault
        with pytest.raises(KekUnavailableError):
            remote.provider.health()


@pytest.mark.parametrize("name", ASKING)
class TestOutage:
    def wrapped(self, remote: World) -> tuple[bytes, WrappedDek]:
        return remote.provider.generate_dek(CONTEXT)

    def refused(
        self, kek: KekProvider, name: str, blob: bytes, caplog: pytest.LogCaptureFixture
    ) -> tuple[AppError, str]:
        """The one error an outage may end in, and all that can be read of it."""
        caplog.set_level(logging.DEBUG)
        with pytest.raises(KekUnavailableError, match="nothing is lost") as caught:
            ASKING[name](kek, blob)
        assert isinstance(caught.value, UnavailableError)
        assert caught.value.retryable
        assert kek.id not in str(caught.value)
        return caught.value, seen_in(caught.value, caplog)

    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_a_failing_server_is_a_reason_to_try_later(
        self,
        remote: World,
        front: Front,
        name: str,
        status: int,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        dek, wrapped = self.wrapped(remote)
        front.fault = Answer(status, b"<html>failure</html>")
        _, seen = self.refused(remote.provider, name, wrapped.blob, caplog)
        assert_silent(seen, dek, b"d" * 32)

    def test_it_is_asked_once_and_not_in_a_storm(
        self, remote: World, front: Front, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        _, wrapped = self.wrapped(remote)
        front.asked.clear()
        front.fault = Answer(503, b"{}")
        self.refused(remote.provider, name, wrapped.blob, caplog)
        assert len(front.asked) == 1

    @pytest.mark.parametrize("fault", [Fault.DROPPED, Fault.CUT])
    def test_an_ended_connection_is_a_reason_to_try_later(
        self,
        remote: World,
        front: Front,
        name: str,
        fault: Fault,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        dek, wrapped = self.wrapped(remote)
        front.fault = fault
        _, seen = self.refused(remote.provider, name, wrapped.blob, caplog)
        assert_silent(seen, dek, b"d" * 32)

    def test_a_slow_answer_runs_out_of_time(
        self, remote: World, front: Front, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        dek, wrapped = self.wrapped(remote)
        front.fault = Fault.HELD
        error, seen = self.refused(remote.impatient, name, wrapped.blob, caplog)
        assert "no answer within 0.2 seconds" in str(error)
        assert_silent(seen, dek, b"d" * 32)

    @pytest.mark.parametrize("kind", NONSENSE)
    def test_an_answer_without_sense_is_not_used(
        self, remote: World, front: Front, name: str, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        dek, wrapped = self.wrapped(remote)
        front.fault = Answer(200, NONSENSE[kind])
        _, seen = self.refused(remote.provider, name, wrapped.blob, caplog)
        assert_silent(seen, dek, b"d" * 32)

    def test_it_works_again_afterwards(
        self, remote: World, front: Front, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        _, wrapped = self.wrapped(remote)
        front.fault = Fault.DROPPED
        self.refused(remote.provider, name, wrapped.blob, caplog)
        front.fault = None
        assert ASKING[name](remote.provider, wrapped.blob)


class TestAnswersOutOfPlace:
    def test_an_answer_that_comes_too_late_is_nobodys(self, remote: World, front: Front) -> None:
        _, first = remote.provider.generate_dek(CONTEXT)
        dek, second = remote.provider.generate_dek(CONTEXT)
        front.fault = Fault.HELD
        with pytest.raises(KekUnavailableError):
            remote.impatient.unwrap(first.blob, CONTEXT)
        front.fault = None
        front.release()
        assert [remote.impatient.unwrap(second.blob, CONTEXT) for _ in range(3)] == [dek] * 3

    def test_an_answer_that_comes_twice_is_not_that_of_the_next_question(
        self, remote: World, front: Front
    ) -> None:
        made = [remote.provider.generate_dek(CONTEXT) for _ in range(6)]
        front.fault = Fault.TWICE
        opened = [remote.provider.unwrap(wrapped.blob, CONTEXT) for _, wrapped in made]
        assert opened == [dek for dek, _ in made]

    def test_another_address_is_not_followed(self, remote: World, front: Front) -> None:
        with serving(lambda _request: Answer(200, b"{}")) as elsewhere:
            front.fault = Answer(307, b"", {"Location": elsewhere.url})
            with pytest.raises(KekUnavailableError):
                remote.provider.health()
            assert (len(front.asked), len(elsewhere.asked)) == (1, 0)


class TestSecrecy:
    def test_success_writes_no_key_into_the_log(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        dek, wrapped = world.provider.generate_dek(CONTEXT)
        world.provider.unwrap(wrapped.blob, CONTEXT)
        world.provider.rewrap(wrapped.blob, CONTEXT)
        world.provider.wrap(dek, CONTEXT)
        seen = "\n".join([caplog.text, repr(world.provider), repr(vars(world.provider))])
        assert_silent(seen, dek)
