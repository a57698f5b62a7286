"""Instants and days in the app's time zone, fast enough for millions of rows.

An instant is an int: microseconds since 1970-01-01 in UTC. A day is an int: days since
1970-01-01. The generator never looks at today's date, or two runs would differ.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTES = [f"{minute // 60:02d}:{minute % 60:02d}" for minute in range(24 * 60)]
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class Clock:
    """Converts between instants, local days and the text that PostgreSQL reads."""

    def __init__(self, time_zone: str) -> None:
        self._zone = ZoneInfo(time_zone)
        self._offsets: dict[int, int | None] = {}
        self._day_texts: dict[int, str] = {}
        self._midnights: dict[int, int] = {}

    def at(
        self, year: int, month: int, day: int, hour: int = 19, minute: int = 0, second: int = 0
    ) -> int:
        """The instant at which the app's users see that wall-clock time."""
        return _since_epoch(datetime(year, month, day, hour, minute, second, tzinfo=self._zone))

    def local_day(self, instant: int) -> int:
        """The app's day of an instant."""
        utc_day = instant // DAY
        if utc_day not in self._offsets:
            first, last = self._offset(utc_day * DAY), self._offset(utc_day * DAY + DAY - 1)
            self._offsets[utc_day] = first if first == last else None
        offset = self._offsets[utc_day]
        if offset is None:  # the clocks change on that day
            offset = self._offset(instant)
        return (instant + offset) // DAY

    def midnight(self, day: int) -> int:
        """The instant at which the app's day begins."""
        found = self._midnights.get(day)
        if found is None:
            start = datetime.fromordinal(day + _EPOCH_ORDINAL).replace(tzinfo=self._zone)
            found = self._midnights[day] = _since_epoch(start)
        return found

    def day_text(self, day: int) -> str:
        """YYYY-MM-DD."""
        found = self._day_texts.get(day)
        if found is None:
            found = date.fromordinal(day + _EPOCH_ORDINAL).isoformat()
            self._day_texts[day] = found
        return found

    def text(self, instant: int) -> str:
        """YYYY-MM-DD hh:mm:ss.uuuuuu+00, of one width, so that it sorts as time does."""
        day, rest = divmod(instant, DAY)
        minute, micros = divmod(rest, MINUTE)
        second, micros = divmod(micros, SECOND)
        return f"{self.day_text(day)} {_MINUTES[minute]}:{second:02d}.{micros:06d}+00"

    def _offset(self, instant: int) -> int:
        moment = (_EPOCH + timedelta(microseconds=instant)).astimezone(self._zone)
        return (moment.utcoffset() or timedelta()) // timedelta(microseconds=1)


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    """The instant of a wall-clock time in UTC."""
    return _since_epoch(datetime(year, month, day, hour, minute, second, tzinfo=UTC))


def _since_epoch(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
