"""What clients of electricity_readings ask through the REST API, one call after another."""

from __future__ import annotations

from uuid import UUID

from tests.support.rest_calls import Ask

ALICE, BOB, CAROL = UUID(int=0xA), UUID(int=0xB), UUID(int=0xC)  # Carol's profile is gone
TABLE = "electricity_readings"
BACK = "return=representation"
SINGLE = {"Accept": "application/vnd.pgrst.object+json"}
_PAGE = "select=*&order=date.desc,created_at.desc,id&limit=5"


def reading_id(number: int) -> str:
    return str(UUID(int=1000 + number))


def row(number: int, **columns: object) -> dict[str, object]:
    """A reading of Alice's."""
    known = {"user_id": str(ALICE), "date": "2024-03-05", "kwh_value": 17.25}
    written = {"created_at": f"2024-03-05T01:02:{number % 60:02}.456+00:00"}
    return {"id": reading_id(number), **known, **written, **columns}


def without(values: dict[str, object], *names: str) -> dict[str, object]:
    return {name: value for name, value in values.items() if name not in names}


def one(number: int, query: str = "") -> str:
    return f"{TABLE}?id=eq.{reading_id(number)}{query}"


def insert(body: object, query: str = "", prefer: str = BACK, who: str = "alice") -> Ask:
    return Ask("POST", TABLE + query, body, prefer, who)


def upsert(body: object, kind: str, query: str = "") -> Ask:
    return insert(body, query, f"resolution={kind}-duplicates,{BACK}")


INSERTS = {
    "insert": insert(row(10), prefer="return=minimal"),
    "insert, and get it back": insert(row(12, kwh_value=17.255)),
    "insert a top-up, numbers as text": insert(
        row(
            13,
            kwh_value="40",
            token_amount="20.5",
            token_cost="28894.00",
            notes="é\n'\"\N{MIDDLE DOT}",
        )
    ),
    "insert, some columns back": insert(row(14), "?select=id,kwh_value"),
    "insert, with an embed": insert(row(15), "?select=id,user_profiles(id,role)"),
    "insert without an id": insert(
        without(row(16), "id", "created_at"), "?select=user_id,date,kwh_value,notes,token_amount"
    ),
    "insert an odd amount": insert(row(19, token_amount=-3.125, token_cost=0)),
    "insert an array": insert([row(20), row(21)]),
    "insert the named columns": insert(
        [row(22), without(row(23), "created_at")],
        "?columns=id,user_id,date,kwh_value&select=id,notes",
        f"{BACK},missing=default",
    ),
    "insert with defaults for what is missing": insert(
        [without(row(25), "id", "created_at")],
        "?columns=id,user_id,date,kwh_value,created_at&select=date,kwh_value",
        f"{BACK},missing=default",
    ),
    "insert nothing": insert([]),
    "insert one, as an object": Ask("POST", TABLE, row(26), BACK, headers=SINGLE),
    "insert, counted": insert(row(27), prefer=f"{BACK},count=exact"),
}
ERRORS = {
    "no kWh": insert(without(row(30), "kwh_value")),
    "no date": insert(without(row(30), "date")),
    "no id": insert(row(30, id=None)),
    "no user": insert(without(row(30), "user_id")),
    "below zero": insert(row(30, kwh_value=-1)),
    "one of two below zero": insert([row(31), row(30, kwh_value=-1)]),
    "an id that is taken": insert(row(10)),
    "an id twice": insert([row(32), row(32)]),
    "for somebody else": insert(row(33, user_id=str(BOB))),
    "for somebody else, under a taken id": insert(row(10, user_id=str(BOB))),
    "without a profile": insert(row(34, user_id=str(CAROL)), who="carol"),
    "without a profile, by the service": insert(row(34, user_id=str(CAROL)), who="service"),
    "a taken id, by the service": insert(row(10), who="service"),
    "no number": insert(row(35, kwh_value="abc")),
    "no day": insert(row(35, date="2024-02-30")),
    "too large": insert(row(35, kwh_value=1e9)),
    "no uuid": insert(row(35, id="x")),
    "an unknown column": insert(row(35, colour="x")),
    "an unknown column back": insert(row(36), "?select=colour"),
    "no object": insert("text"),
}
UPDATES = {
    "patch": Ask("PATCH", one(10), {"notes": "n"}),
    "patch, and get it back": Ask("PATCH", one(10), {"kwh_value": 5.555}, BACK),
    "patch, some columns back": Ask("PATCH", one(10, "&select=id,notes"), {"notes": "m"}, BACK),
    "patch none": Ask("PATCH", one(99), {"notes": "n"}),
    "patch none, and get it back": Ask("PATCH", one(99), {"notes": "n"}, BACK),
    "patch none, as an object": Ask("PATCH", one(99), {"notes": "n"}, BACK, headers=SINGLE),
    "patch one, as an object": Ask("PATCH", one(10), {"notes": "o"}, BACK, headers=SINGLE),
    "patch many, counted": Ask(
        "PATCH", f"{TABLE}?date=eq.2024-03-05", {"notes": "all"}, "count=exact"
    ),
    "patch two by limit": Ask(
        "PATCH", f"{TABLE}?date=eq.2024-03-05&order=id&limit=2&select=id", {"notes": "l"}, BACK
    ),
    "patch somebody else's": Ask("PATCH", one(2), {"notes": "x"}, BACK),
    "give away": Ask("PATCH", one(10), {"user_id": str(BOB)}, BACK),
    "patch below zero": Ask("PATCH", one(10), {"kwh_value": -1}, BACK),
    "patch to no date": Ask("PATCH", one(10), {"date": None}, BACK),
    "patch to a taken id": Ask("PATCH", one(10), {"id": reading_id(12)}, BACK),
    "give to nobody, by the service": Ask(
        "PATCH", one(12), {"user_id": str(CAROL)}, BACK, "service"
    ),
    "patch to another id": Ask("PATCH", one(14), {"id": reading_id(114)}, BACK),
    "patch into a top-up": Ask("PATCH", one(12), {"token_amount": 10, "token_cost": 14447}, BACK),
    "patch the day": Ask("PATCH", one(12), {"date": "2024-03-07"}, BACK),
    "patch nothing": Ask("PATCH", one(12), {}, BACK),
    "patch, with an embed": Ask(
        "PATCH", one(12, "&select=id,user_profiles(id)"), {"notes": "e"}, BACK
    ),
}
DELETES = {
    "delete none": Ask("DELETE", one(99)),
    "delete none, and get it back": Ask("DELETE", one(99), None, BACK),
    "delete": Ask("DELETE", one(20)),
    "delete, and get it back": Ask("DELETE", one(21), None, BACK),
    "delete again": Ask("DELETE", one(21), None, BACK),
    "delete somebody else's": Ask("DELETE", one(2), None, BACK),
    "delete two, counted": Ask(
        "DELETE", f"{TABLE}?id=in.({reading_id(22)},{reading_id(26)})", None, "count=exact"
    ),
    "insert what was deleted": insert(row(21)),
}
READS = {
    "page": Ask("GET", f"{TABLE}?{_PAGE}"),
    "page by days": Ask("GET", f"{TABLE}?{_PAGE}&date=gte.2024-03-05&date=lte.2024-03-06"),
    "page by instants": Ask(
        "GET",
        f"{TABLE}?{_PAGE}&date=gte.2024-03-05T00:00:00.000Z&date=lte.2024-03-06T00:00:00.000Z",
    ),
    "page with the exact count": Ask("GET", f"{TABLE}?{_PAGE}&offset=2", None, "count=exact"),
    "range": Ask(
        "GET",
        f"{TABLE}?select=id,kwh_value&order=id",
        None,
        "count=exact",
        headers={"Range": "1-3"},
    ),
    "range beyond the end": Ask(
        "GET", f"{TABLE}?select=id&offset=1000&limit=5", None, "count=exact"
    ),
    "head": Ask("HEAD", f"{TABLE}?select=id", None, "count=exact"),
    "one, as an object": Ask("GET", one(10), headers=SINGLE),
    "none, as an object": Ask("GET", one(99), headers=SINGLE),
    "as CSV": Ask("GET", f"{TABLE}?{_PAGE}", headers={"Accept": "text/csv"}),
    "or": Ask("GET", f"{TABLE}?{_PAGE}&or=(kwh_value.gt.20,notes.is.null)"),
    "cast": Ask("GET", f"{TABLE}?select=id,kwh:kwh_value::text&order=id&limit=3"),
    "an unknown column read": Ask("GET", f"{TABLE}?select=colour"),
    "a bad value": Ask("GET", f"{TABLE}?id=eq.x"),
    "embed the profile": Ask("GET", f"{TABLE}?select=id,user_profiles(*)&order=id&limit=2"),
    "embed the profile, inner": Ask(
        "GET",
        f"{TABLE}?select=id,user_profiles!inner(id)&user_profiles.role=eq.user&order=id&limit=2",
    ),
    "embed the profile by its key": Ask(
        "GET",
        f"{TABLE}?select=id,user_profiles!electricity_readings_user_id_fkey(id)&order=id&limit=2",
    ),
    "embed the profile by its column": Ask(
        "GET", f"{TABLE}?select=id,user_id(id)&order=id&limit=2"
    ),
    "embed the profile, renamed": Ask(
        "GET", f"{TABLE}?select=id,owner:user_profiles(id)&order=id&limit=2"
    ),
    "embed the profile, spread": Ask(
        "GET", f"{TABLE}?select=id,...user_profiles(role)&order=id&limit=2"
    ),
    "embed the readings": Ask(
        "GET", f"user_profiles?select=id,{TABLE}(*)&{TABLE}.order=date.desc,id&{TABLE}.limit=3"
    ),
    "embed the readings, inner": Ask(
        "GET", f"user_profiles?select=id,{TABLE}!inner(id)&{TABLE}.kwh_value=gt.30&{TABLE}.order=id"
    ),
    "embed the readings, counted": Ask("GET", f"user_profiles?select=id,{TABLE}(count)"),
    "positions": Ask(
        "POST",
        "rpc/calculate_user_positions?select=calculated_position,event_date&order=event_date.desc&limit=2",
        {"p_user_id": str(ALICE)},
    ),
    "the new view": Ask("GET", f"electricity_readings_v?{_PAGE}", None, "count=exact"),
    "read by the service": Ask(
        "GET",
        f"{TABLE}?select=id,user_id,kwh_value&order=id&limit=3",
        None,
        "count=exact",
        "service",
    ),
    "read the new view signed out": Ask("GET", "electricity_readings_v?select=id", who="nobody"),
    "insert by the service": insert(row(61, user_id=str(BOB)), who="service"),
    "patch by the service": Ask("PATCH", one(61), {"notes": "s"}, BACK, "service"),
    "delete by the service": Ask("DELETE", one(61), None, BACK, "service"),
}
SAME = INSERTS | ERRORS | UPDATES | DELETES | READS

# What a view does otherwise. Each with rows of its own, and nothing is read afterwards.
UPSERTS = {
    "upsert a new one": upsert(row(40), "merge"),
    "upsert it again": upsert(row(40, notes="merged"), "merge"),
    "insert unless it is there": upsert(row(42), "ignore"),
    "insert unless it is there, and it is": upsert(row(42, notes="ignored"), "ignore"),
    "insert what is not there of two": upsert([row(42), row(43)], "ignore"),
    "upsert by id, a new one": upsert(row(44), "merge", "?on_conflict=id"),
    "upsert by id, again": upsert(row(44, notes="merged"), "merge", "?on_conflict=id"),
    "insert by id unless it is there": upsert(row(45), "ignore", "?on_conflict=id"),
    "put, there": Ask("PUT", one(10), row(10, notes="put"), BACK),
    "put, not there": Ask("PUT", one(47), row(47), BACK),
}
OTHERS = {
    "the place of a new one": insert(row(50), prefer="return=headers-only"),
    "not a number": insert(row(51, kwh_value="NaN")),
    "no created_at": insert(row(52, created_at=None)),
    "read signed out": Ask("GET", f"{TABLE}?select=id", who="nobody"),
    "insert signed out": insert(row(60), who="nobody"),
    "patch signed out": Ask("PATCH", one(10), {"notes": "x"}, BACK, "nobody"),
    "delete signed out": Ask("DELETE", one(10), None, BACK, "nobody"),
    "embed the readings signed out": Ask(
        "GET", f"user_profiles?select=id,{TABLE}(id)", who="nobody"
    ),
    "another user's id": insert(row(2)),
}
EVERYTHING = SAME | UPSERTS | OTHERS
