"""Structured logs: one line a fact, bound to the request, task or transaction it belongs to."""

import logging
import sys

import structlog

from core.settings import LogFormat, core_settings


def configure_logging(part: str) -> None:
    """Send every log line of this process to standard error in the configured format.

    Args:
        part: the process's name in the joint log stream: `web`, `worker`, `cohort`.
    """
    settings = core_settings()
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _renderer(settings.log_format),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for noisy in ("httpx", "httpcore", "celery", "kombu", "alembic"):
        logging.getLogger(noisy).setLevel(logging.ERROR if noisy == "kombu" else logging.WARNING)
    structlog.contextvars.bind_contextvars(part=part)


def _renderer(log_format: LogFormat) -> structlog.types.Processor:
    if log_format is LogFormat.JSON:
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
