"""Forms as they arrive, with room for the largest: a rule of 400 conditions, pasted cells.

How large a whole body may be is decided before (`app.web.security`), so this only keeps the parser
from refusing what the product offers.
"""

from starlette.datastructures import FormData
from starlette.requests import Request

MOST_FIELDS = 20_000
MOST_FIELD_BYTES = 16 << 20


async def read_form(request: Request) -> FormData:
    """Everything the form sent; a second call has the same."""
    return await request.form(max_fields=MOST_FIELDS, max_part_size=MOST_FIELD_BYTES)
