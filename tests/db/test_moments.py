"""Moments: kept in UTC to the microsecond, and written for SQLite as SQLAlchemy itself writes them."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import DateTime
from sqlalchemy.dialects import sqlite

from feedback_app.db.base import UTCDateTime

zones = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
write: Any = UTCDateTime().bind_processor(sqlite.dialect())


@given(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=zones))  # noqa: DTZ001 - ends, which have the zones
def test_a_moment_is_written_as_sqlalchemy_writes_it_and_read_as_it_was(moment: datetime) -> None:
    theirs: Any = DateTime().dialect_impl(sqlite.dialect())
    written = write(moment)
    assert written == theirs.bind_processor(sqlite.dialect())(moment.astimezone(UTC).replace(tzinfo=None))
    read = theirs.result_processor(sqlite.dialect(), None)
    assert read(written).replace(tzinfo=UTC) == moment


def test_a_moment_without_its_zone_is_refused() -> None:
    assert write(None) is None
    with pytest.raises(ValueError, match="time zone"):
        write(datetime(2007, 10, 10))  # noqa: DTZ001 - that is the point
