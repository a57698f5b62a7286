"""Which API is proven, and with which keys."""

from __future__ import annotations

from dataclasses import dataclass, field

from toolkit.environments.keys import check_key, check_url


@dataclass(frozen=True)
class ApiTarget:
    """A Supabase project as a client knows it.

    Attributes:
        url: of the project, without /rest/v1.
        anon_key: the public key; the older kind (a JWT) or a publishable one.
        service_key: of the app's servers; without it, nothing is probed as service_role.
        jwt_secret: what HS256 tokens are signed with; without it, tokens that only its holder
            can make are not probed.
        refresh: call refresh_readings_mv() once as service_role, which recomputes everybody's
            readings.
        scratch: nothing in the database is anybody's, so that a write without any filter may
            be sent. On a database in use it would be the very accident it looks for.
    """

    url: str
    anon_key: str = field(repr=False)
    service_key: str | None = field(default=None, repr=False)
    jwt_secret: str | None = field(default=None, repr=False)
    refresh: bool = False
    scratch: bool = False

    @property
    def base(self) -> str:
        """The URL without a slash at its end."""
        return self.url.rstrip("/")

    def check(self) -> None:
        """Look at what can be told without asking anybody.

        Raises:
            UsageError: the URL or a key cannot be what it is said to be.
        """
        check_url(self.url)
        check_key("anon key", self.anon_key, "anon")
        if self.service_key is not None:
            check_key("service key", self.service_key, "service_role")
