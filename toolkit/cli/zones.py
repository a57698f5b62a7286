"""The option --time-zone: a typing error is told before anything is started."""

from __future__ import annotations

import zoneinfo

from toolkit.errors import UsageError

DEFAULT = "UTC"


def known_zone(name: str | None) -> str:
    """The zone that was asked for; UTC if none was.

    Raises:
        UsageError: there is no such zone. (A system without time zone data knows none at all,
            and leaves the question to the server.)
    """
    if name is None:
        return DEFAULT
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        if not name or zoneinfo.available_timezones():
            raise UsageError(
                f"there is no time zone {name!r}",
                next_step="give an IANA name, for example --time-zone Asia/Jakarta, or leave the "
                "option out for UTC",
            ) from error
    return name
