"""What the broker is told: a message counts as done when its work is, and not before."""

from core import jobs


class TestAcknowledgement:
    def test_a_message_whose_worker_died_is_delivered_again(self) -> None:
        settings = jobs.celery_app().conf
        assert settings.task_acks_late is True
        assert settings.task_reject_on_worker_lost is True

    def test_messages_carry_ids_and_nothing_that_is_executed(self) -> None:
        settings = jobs.celery_app().conf
        assert settings.accept_content == ["json"]
        assert settings.task_ignore_result is True
