"""The client of docs/cutover.sh: inserts, edits and reads one reading after another as a user.

    python3 docs/cutover_writer.py USER ACCEPTED REFUSED PAUSES

Files get a line each: the id of what was confirmed, what was refused, how many ms a request took.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from uuid import uuid4

import psycopg

RATE = 100  # requests a second, unless they take longer
TABLE = "public.electricity_readings"
REQUESTS = (
    f"insert into {TABLE} (id, user_id, date, kwh_value) values (%(id)s, %(user)s, %(day)s, 10)",
    f"update {TABLE} set notes = 'seen' where id = %(id)s",
    f"select 1 from {TABLE} where id = %(id)s and notes = 'seen'",
)


def main(user: str, accepted: str, refused: str, pauses: str) -> None:
    """Write until ended."""
    claims = json.dumps({"role": "authenticated", "sub": user})
    with (
        psycopg.connect(os.environ["DATABASE_URL"]) as connection,
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
