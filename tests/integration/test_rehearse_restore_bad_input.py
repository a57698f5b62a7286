"""Each bad dump and each broken run ends in one clear error with the next step."""

from __future__ import annotations

import gzip
import os
import re
import signal
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path

import pytest

from tests.support.database import Database
from tests.support.dumps import CUSTOM, PLAIN, Way, dump_tools, fill_app, make_dump
from tests.support.servers import MakeDatabase
from toolkit import settings
from toolkit.bootstrap import StartingPoint
from toolkit.errors import MeterledgerError, OperationalError, UsageError
from toolkit.local.binaries import Binaries, Source, find_binaries
from toolkit.rehearse.restore import restore_dump

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tools() -> Binaries:
    """pg_dump and pg_restore."""
    return dump_tools()


@pytest.fixture
def app(make_database: MakeDatabase) -> Database:
    """A deployed app with rows in all its tables."""
    database = make_database(StartingPoint.DUAL_WRITE)
    fill_app(database)
    return database


@pytest.fixture
def scratch(make_database: MakeDatabase) -> Database:
    """A fresh database of Supabase's shape."""
    return make_database(StartingPoint.EMPTY)


def refused(
    kind: type[MeterledgerError], dump: Path, scratch: Database, tools: Binaries
) -> MeterledgerError:
    with pytest.raises(MeterledgerError) as error:
        restore_dump(dump, scratch.admin_url, tools)
    assert type(error.value) is kind
    assert error.value.next_step
    return error.value


def shortened(dump: Path, share: float) -> Path:
    data = dump.read_bytes()
    dump.write_bytes(data[: int(len(data) * share)])
    return dump


def test_a_missing_file(scratch: Database, tools: Binaries, tmp_path: Path) -> None:
    error = refused(UsageError, tmp_path / "none.dump", scratch, tools)
    assert "there is no file" in error.message


def test_a_file_that_may_not_be_read(
    scratch: Database, tools: Binaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = tmp_path / "locked.dump"
    dump.write_bytes(b"PGDMP")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # root may read everything
    assert "Permission denied" in refused(OperationalError, dump, scratch, tools).message


@pytest.mark.parametrize(
    ("name", "data", "advice"),
    [
        ("empty", b"", "make one with: pg_dump"),
        ("picture", b"\x89PNG\r\n\x1a\n" + bytes(5000), "make one with: pg_dump"),
        ("zstd", b"\x28\xb5\x2f\xfd" + bytes(100), "packed with zstd"),
        ("zip", b"PK\x03\x04" + bytes(100), "packed with zip"),
        ("utf-16", "-- PostgreSQL database dump\n".encode("utf-16"), "PowerShell"),
        ("cli", b"SET statement_timeout = 0;\nCREATE TABLE a (b int);\n", "supabase db dump"),
        ("gzipped text", gzip.compress(b"hello", mtime=0), "make one with: pg_dump"),
    ],
    ids=lambda value: value if isinstance(value, str) and " with" not in value else "-",
)
def test_files_that_are_no_dump(
    scratch: Database, tools: Binaries, tmp_path: Path, name: str, data: bytes, advice: str
) -> None:
    dump = tmp_path / name
    dump.write_bytes(data)
    error = refused(UsageError, dump, scratch, tools)
    assert "is not a dump made by pg_dump" in error.message
    assert advice in error.next_step


def test_a_folder_that_is_no_dump(scratch: Database, tools: Binaries, tmp_path: Path) -> None:
    assert "without toc.dat" in refused(UsageError, tmp_path, scratch, tools).message


def test_a_tar_of_a_directory_dump(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    folder = make_dump(app, tools, tmp_path, Way("folder", ("--format=directory",)))
    packed = tmp_path / "folder.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(folder, "folder")
    assert "unpack it" in refused(UsageError, packed, scratch, tools).next_step


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.98])
@pytest.mark.parametrize(
    "way",
    [
        PLAIN,
        Way("plain-gzip", gzipped=True),
        CUSTOM,
        Way("custom-gzip", ("--format=custom",), gzipped=True),
        Way("inserts", ("--inserts",)),
    ],
    ids=lambda way: way.name,
)
def test_a_truncated_dump(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path, way: Way, share: float
) -> None:
    dump = shortened(make_dump(app, tools, tmp_path, way), share)
    error = refused(OperationalError, dump, scratch, tools)
    assert "truncated" in error.message
    assert "copy the file again" in error.next_step


@pytest.mark.timeout(60)  # pg_restore alone would read the missing rows for ever
@pytest.mark.parametrize("packed", ["tar", "gzip before the cut", "gzip after the cut"])
@pytest.mark.parametrize("member", ["toc.dat", "rows"])
def test_a_truncated_tar(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path, member: str, packed: str
) -> None:
    dump = make_dump(app, tools, tmp_path, Way("tar", ("--format=tar",)))
    with tarfile.open(dump) as archive:
        rows = max(
            (item for item in archive if re.fullmatch(r"\d+\.dat", item.name)),
            key=lambda item: item.size,
        )
        cut = archive.getmember("toc.dat") if member == "toc.dat" else rows
    data = dump.read_bytes()
    end = cut.offset_data + cut.size // 2
    if packed == "gzip before the cut":
        whole, part = gzip.compress(data), gzip.compress(data[:end])
        dump.write_bytes(whole[: len(part) - 8])
    else:
        dump.write_bytes(data[:end] if packed == "tar" else gzip.compress(data[:end]))
    assert "truncated" in refused(OperationalError, dump, scratch, tools).message


def test_a_directory_dump_that_lacks_a_file(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    folder = make_dump(app, tools, tmp_path, Way("folder", ("--format=directory",)))
    largest = max(folder.glob("*.dat.gz"), key=lambda file: file.stat().st_size)
    largest.unlink()
    assert "truncated" in refused(OperationalError, folder, scratch, tools).message


@pytest.mark.parametrize("way", [CUSTOM, Way("plain-gzip", gzipped=True)], ids=lambda w: w.name)
def test_a_damaged_dump(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path, way: Way
) -> None:
    dump = make_dump(app, tools, tmp_path, way)
    data = bytearray(dump.read_bytes())
    rows = len(data) * 9 // 10  # behind the table of contents
    data[rows : rows + 40] = bytes(40)
    dump.write_bytes(data)
    refused(OperationalError, dump, scratch, tools)


def test_a_dump_of_a_newer_server(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    dump = make_dump(app, tools, tmp_path, PLAIN)
    text = re.sub(r"from database version \S+", "from database version 19.1", dump.read_text())
    dump.write_text(text, "utf-8")
    error = refused(OperationalError, dump, scratch, tools)
    assert "of a PostgreSQL 19 database" in error.message
    assert "PostgreSQL 19" in error.next_step


def test_a_dump_for_a_real_older_server(make_database: MakeDatabase, tmp_path: Path) -> None:
    new = make_database(StartingPoint.LEGACY_ONLY, major=17)
    old = make_database(StartingPoint.EMPTY, major=15)
    tools = find_binaries(major=17)
    dump = make_dump(new, tools, tmp_path, CUSTOM)
    error = refused(OperationalError, dump, old, tools)
    assert "of a PostgreSQL 17 database" in error.message
    assert old.value("select to_regclass('public.user_profiles') is null") is True


def test_an_archive_that_pg_restore_is_too_old_for(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    dump = make_dump(app, tools, tmp_path, CUSTOM)
    data = bytearray(dump.read_bytes())
    data[6] = 99  # PGDMP, major, minor version of the format
    dump.write_bytes(data)
    error = refused(OperationalError, dump, scratch, tools)
    assert "made by a newer pg_dump" in error.message
    assert "--format=plain" in error.next_step


def test_programs_without_pg_restore(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    dump = make_dump(app, tools, tmp_path, CUSTOM)
    bare = Binaries(bindir=tmp_path, version="17.0", source=Source.FORCED, origin="test")
    assert "without pg_restore" in refused(OperationalError, dump, scratch, bare).message
    plain = make_dump(app, tools, tmp_path, PLAIN)
    assert restore_dump(plain, scratch.admin_url, bare).auth_users_kept == 3


def test_rows_only(app: Database, scratch: Database, tools: Binaries, tmp_path: Path) -> None:
    dump = make_dump(app, tools, tmp_path, CUSTOM, "--data-only")
    assert "--data-only" in refused(UsageError, dump, scratch, tools).message


@pytest.mark.parametrize("table", ["electricity_readings", "user_profiles"])
def test_a_dump_that_lacks_a_table(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path, table: str
) -> None:
    dump = make_dump(app, tools, tmp_path, CUSTOM, f"--exclude-table=public.{table}")
    error = refused(UsageError, dump, scratch, tools)
    assert f"no table public.{table}" in error.message


def test_a_dump_of_another_app(
    make_database: MakeDatabase, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    dump = make_dump(make_database(StartingPoint.EMPTY), tools, tmp_path, CUSTOM)
    error = refused(UsageError, dump, scratch, tools)
    assert "no table public.electricity_readings and public.user_profiles" in error.message


def test_a_dump_without_the_rows_that_others_point_at(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    dump = make_dump(app, tools, tmp_path, CUSTOM, "--exclude-table-data=public.user_profiles")
    error = refused(OperationalError, dump, scratch, tools)
    assert "fk constraint public." in error.message
    assert "--exclude" in error.next_step


def test_rows_that_break_their_foreign_key_in_the_live_database_too(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    with app.admin() as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "insert into public.electricity_readings (user_id, date, kwh_value) "
            "values (gen_random_uuid(), '2024-01-01', 1)"
        )
        connection.commit()
    dump = make_dump(app, tools, tmp_path, CUSTOM)
    report = restore_dump(dump, scratch.admin_url, tools)
    assert [entry.type for entry in report.left_out] == ["FK CONSTRAINT"]
    assert "holds for new rows only" in report.left_out[0].reason
    with scratch.connect() as connection:
        found = connection.execute(
            "select convalidated from pg_constraint where contype = 'f' "
            "and conrelid = 'public.electricity_readings'::regclass"
        ).fetchall()
    assert found == [(False,)]


def test_a_needed_table_that_cannot_be_had_here(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    with app.admin() as connection:
        connection.execute("create schema storage; create domain storage.url as text")
        connection.execute(
            "alter table public.electricity_readings alter meter_photo_url type storage.url"
        )
    dump = make_dump(app, tools, tmp_path, CUSTOM)
    error = refused(OperationalError, dump, scratch, tools)
    assert 'table public.electricity_readings of the dump cannot be restored: schema "storage"' in (
        error.message
    )


@pytest.mark.parametrize("way", [CUSTOM, Way("inserts", ("--inserts",))], ids=lambda w: w.name)
def test_a_full_disk(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path, way: Way
) -> None:
    """The server itself says what a full disk makes it say, while it loads the rows."""
    with app.connect() as connection:
        connection.execute(
            "create function public.fill() returns boolean language plpgsql as $$ begin"
            " if current_database() <> %s then"
            " raise exception using errcode = 'disk_full', message = 'could not extend file';"
            " end if; return true; end $$;"
            " alter table public.token_events add check (public.fill())".replace(
                "%s", f"'{app.name}'"
            ).encode()
        )
    dump = make_dump(app, tools, tmp_path, way)
    error = refused(OperationalError, dump, scratch, tools)
    assert error.message.startswith("the disk is full")
    assert "table data public.token_events" in error.message
    assert "free some space" in error.next_step


def test_a_server_that_dies(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    def end_our_session(table: str, rows: int) -> None:
        if table == "public.electricity_readings":
            with app.admin() as connection:
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s",
                    (scratch.name,),
                )

    dump = make_dump(app, tools, tmp_path, CUSTOM)
    with pytest.raises(OperationalError, match="the scratch server stopped working"):
        restore_dump(dump, scratch.admin_url, tools, end_our_session)


INTERRUPTED = """
import sys, time
from pathlib import Path
from toolkit.local.temporary import temporary_server
from toolkit.rehearse.restore import restore_dump

def wait(table, rows):
    print(table, flush=True)
    time.sleep(30)

with temporary_server(base=Path(sys.argv[2])) as server:
    print(server.status().pid, flush=True)
    restore_dump(Path(sys.argv[1]), server.admin_url(), server.binaries, wait)
"""


@pytest.mark.parametrize("way", [CUSTOM, PLAIN], ids=lambda way: way.name)
def test_ctrl_c_leaves_no_server_and_no_file(
    app: Database, tools: Binaries, tmp_path: Path, way: Way
) -> None:
    base = tmp_path / "base"
    base.mkdir()
    dump = make_dump(app, tools, tmp_path, way)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED), dump, base],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=settings.child_environment({"PYTHONPATH": str(CHECKOUT)}),
    )
    assert process.stdout is not None
    postmaster = int(process.stdout.readline())
    assert process.stdout.readline().startswith("public.")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole foreground group
    _, errors = process.communicate(timeout=60)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert list(base.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(postmaster, 0)
