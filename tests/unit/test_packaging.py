"""The wheel carries the SQL, and what is installed from it works outside a checkout."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.support.processes import CHECKOUT
from toolkit import settings
from toolkit.rollout import phases

_PROBE = """
import json, sys, toolkit
from toolkit.resources import statement, supabase_folder
from toolkit.rollout import phases
from toolkit.bootstrap import DefaultPrivileges
print(json.dumps({
    "toolkit": toolkit.__file__,
    "supabase": str(supabase_folder()),
    "phases": [p.name for p in phases() if p.rollback.is_file() and p.verification.is_file()],
    "statement": statement("check_lossless").decode(),
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the checkout, offline, by the backend that is installed."""
    folder = tmp_path_factory.mktemp("dist")
    # The backend writes its target only; the checkout stays as it is.
    code = "import hatchling.build as b, sys; print(b.build_wheel(sys.argv[1]))"
    name = run(sys.executable, "-c", code, folder, cwd=CHECKOUT).splitlines()[-1]
    return folder / name


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """What is in it."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that it is installed into, without what it depends on."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, "--no-deps", "--no-index", "--target", target, wheel, cwd=target)
    return target


def run(*words: str | Path, cwd: Path, path: str = "", **variables: str) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**settings.child_environment(), "PYTHONPATH": path, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def outside(installed: Path) -> str:
    """PYTHONPATH of somebody who has the wheel and its dependencies, and no checkout."""
    return f"{installed}:{sysconfig.get_path('purelib')}"


def test_it_holds_every_file_of_the_phases(names: set[str]) -> None:
    for phase in phases():
        for kind in ("migrations", "rollbacks", "verify"):
            assert f"toolkit/_supabase/{kind}/{phase.migration.name}" in names
    assert {"toolkit/_supabase/config.toml", "toolkit/_supabase/access.toml"} <= names


def test_each_migration_has_its_twins_and_none_is_left_over(names: set[str]) -> None:
    kinds = {
        kind: {Path(name).name for name in names if name.startswith(f"toolkit/_supabase/{kind}/")}
        for kind in ("migrations", "rollbacks", "verify")
    }

    assert len(kinds["migrations"]) == len(phases()) > 5
    assert kinds["migrations"] == kinds["rollbacks"] == kinds["verify"]


def test_it_holds_every_module_and_statement_and_nothing_else(names: set[str]) -> None:
    checkout = {
        path.relative_to(CHECKOUT).as_posix()
        for path in (CHECKOUT / "toolkit").rglob("*")
        if path.suffix in (".py", ".sql", ".css", ".typed") and "__pycache__" not in path.parts
    }
    checkout |= {
        path.relative_to(CHECKOUT).as_posix()
        for path in (CHECKOUT / "functions").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert checkout <= names
    rest = {n for n in names - checkout if not n.startswith("toolkit/_supabase/")}
    assert all(".dist-info/" in name for name in rest), rest
    assert not [name for name in names if "/.temp" in name or name.endswith(".pyc")]


def test_it_is_typed_and_has_the_command(wheel: Path, names: set[str]) -> None:
    [entry_points] = [name for name in names if name.endswith("entry_points.txt")]
    [metadata] = [name for name in names if name.endswith("METADATA")]
    with zipfile.ZipFile(wheel) as archive:
        assert "meterledger = toolkit.cli:main" in archive.read(entry_points).decode()
        told = archive.read(metadata).decode()
    required = [line for line in told.splitlines() if line.startswith("Requires-Dist")]
    always = {
        line.split()[1].split("[")[0].rstrip(";><=.0123456789")
        for line in required
        if "extra ==" not in line
    }

    assert "toolkit/py.typed" in names
    assert always == {"psycopg", "pyjwt", "python-dotenv", "rich", "supabase", "typer"}


def test_installed_elsewhere_it_finds_its_files(installed: Path, tmp_path: Path) -> None:
    told = json.loads(run(sys.executable, "-c", _PROBE, cwd=tmp_path, path=outside(installed)))

    assert told["toolkit"].startswith(str(installed))
    assert told["supabase"] == str(installed / "toolkit" / "_supabase")
    assert told["phases"] == [phase.name for phase in phases()]
    assert told["statement"].startswith("-- The proof of losslessness")


def test_installed_elsewhere_the_command_runs(installed: Path, tmp_path: Path) -> None:
    shown = run(installed / "bin" / "meterledger", "--help", cwd=tmp_path, path=outside(installed))

    assert "demo" in shown


def test_installed_elsewhere_without_a_cli_it_says_so(installed: Path, tmp_path: Path) -> None:
    code = "import sys; from toolkit.cli import run; sys.exit(run(['demo']) != 3)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PATH": str(tmp_path), "PYTHONPATH": outside(installed), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.splitlines()[-2:] == [
        "error: the Supabase CLI is not installed",
        "next: in a checkout: make demo (needs node and npm); elsewhere: npm install supabase",
    ]
