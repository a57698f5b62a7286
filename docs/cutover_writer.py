"""The client of docs/cutover.sh: inserts, edits and reads one reading after another as a user.

    python3 docs/cutover_writer.py USER ACCEPTED REFUSED PAUSES

Files get a line each: the id of what was confirmed, what was refused, how many ms a request took.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from uuid import uuid4

import psycopg

from toolkit.connection import connect
from toolkit.settings import variable

RATE = 100  # requests a second, unless they take longer
REQUESTS = (
    "insert into public.electricity_readings (id, user_id, date, kwh_value)"
    " values (%(id)s, %(user)s, %(day)s, 10)",
    "update public.electricity_readings set notes = 'seen' where id = %(id)s",
    "select 1 from public.electricity_readings where id = %(id)s and notes = 'seen'",
)


def main(user: str, accepted: str, refused: str, pauses: str) -> None:
    """Write until ended."""
    claims = json.dumps({"role": "authenticated", "sub": user})
    with (
        connect(variable("DATABASE_URL") or "") as connection,
        Path(accepted).open("a", buffering=1) as done,
        Path(refused).open("a", buffering=1) as failed,
        Path(pauses).open("a", buffering=1) as waited,
    ):
        while True:
            values = {"id": uuid4(), "user": user, "day": "2026-06-01"}
            for request in REQUESTS:
                begun = time.monotonic()
                try:
                    # As the REST server asks: a transaction each, the role and the claims in it.
                    with connection.transaction():
                        connection.execute(
                            "select set_config('role', 'authenticated', true),"
                            " set_config('request.jwt.claims', %s, true)",
                            (claims,),
                        )
                        count = connection.execute(request.encode(), values).rowcount
                    if count != 1:
                        failed.write(f"{count} rows: {request}\n")
                    elif request == REQUESTS[0]:
                        done.write(f"{values['id']}\n")
                except psycopg.Error as error:
                    failed.write(f"{error.sqlstate} {error}\n")
                took = time.monotonic() - begun
                waited.write(f"{took * 1000:.1f}\n")
                time.sleep(max(0, 1 / RATE - took))


if __name__ == "__main__":
    main(*sys.argv[1:])
