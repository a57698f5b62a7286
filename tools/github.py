"""What the workflows ask of GitHub, and works without it as far as it can.

    python -m tools.github plan FILE     # show a plan: job summary, comment of the merged request
    python -m tools.github receipt       # staging's receipt of this commit, into build/receipt

Outside of GitHub Actions a plan goes to stdout.
"""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import httpx

from toolkit import settings
from toolkit.errors import FindingsError, MeterledgerError, OperationalError, UsageError

WORKFLOW = "deploy-staging.yml"
ARTIFACT = "receipt"
RECEIPTS = Path("build/receipt")
_COMMENT_LIMIT = 65_536 - 1_000  # of GitHub's, less what stands around the plan
_TIMEOUT_SECONDS = 30.0


class GitHub:
    """The API, as the runner's variables say."""

    def __init__(self) -> None:
        self.repository = _variable("GITHUB_REPOSITORY")
        self.commit = _variable("GITHUB_SHA")
        self._client = httpx.Client(
            base_url=_variable("GITHUB_API_URL"),
            headers={
                "Authorization": f"Bearer {_variable('GITHUB_TOKEN')}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
            timeout=_TIMEOUT_SECONDS,
            follow_redirects=True,  # an artifact lies elsewhere; httpx keeps the token back there
        )

    def get(self, path: str, **query: str) -> httpx.Response:
        """Ask below the repository."""
        return self._send("GET", path, params=query)

    def post(self, path: str, body: dict[str, Any]) -> None:
        """Write below the repository."""
        self._send("POST", path, json=body)

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
        try:
            answer = self._client.request(method, f"/repos/{self.repository}/{path}", **more)
        except httpx.HTTPError as error:
            raise OperationalError(
                f"GitHub cannot be reached: {type(error).__name__}", next_step="run it again"
            ) from error
        if answer.is_error:
            raise OperationalError(
                f"GitHub answers {answer.status_code} to {method} {path}",
                next_step="look at the job's permissions, then run it again",
            )
        return answer


def show_plan(file: Path) -> None:
    """Put a plan where people look: the job's summary, and the pull request that was merged."""
    text = file.read_text("utf-8")
    summary = settings.variable("GITHUB_STEP_SUMMARY")
    if summary is None:
        print(text, end="")
        return
    commit = _variable("GITHUB_SHA")
    body = f"### Plan of {commit[:12]}\n\n{_fenced(text)}\n"
    with Path(summary).open("a", encoding="utf-8") as page:
        page.write(body)
    if settings.variable("GITHUB_TOKEN") is None:
        return
    github = GitHub()
    requests = github.get(f"commits/{github.commit}/pulls").json()
    merged = [one["number"] for one in requests if one.get("merged_at")]
    for number in merged[:1]:
        github.post(f"issues/{number}/comments", {"body": body})
    print(f"comment of #{merged[0]}" if merged else "no pull request was merged: summary only")


def fetch_receipt() -> None:
    """Download what staging's newest green run of this commit left.

    It is signed: meterledger promote judges it. Here it is only found.
    """
    github = GitHub()
    runs = github.get(
        f"actions/workflows/{WORKFLOW}/runs",
        head_sha=github.commit,
        status="success",
        per_page="1",
    ).json()["workflow_runs"]
    again = f"let {WORKFLOW} run on this commit (again), and wait until it is green"
    if not runs:
        raise FindingsError(f"staging has no green run of {github.commit[:12]}", next_step=again)
    kept = github.get(f"actions/runs/{runs[0]['id']}/artifacts", name=ARTIFACT).json()["artifacts"]
    there = [one["id"] for one in kept if not one.get("expired")]
    if not there:
        raise FindingsError(f"run {runs[0]['id']} keeps no receipt any more", next_step=again)
    archive = github.get(f"actions/artifacts/{there[0]}/zip").content
    RECEIPTS.mkdir(parents=True, exist_ok=True)
    for old in RECEIPTS.glob("*.json"):
        old.unlink()
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        # Once a run has made several, the newest: they are named by their time.
        name = max(files.namelist())
        target = RECEIPTS / Path(name).name
        target.write_bytes(files.read(name))
    print(f"staging's receipt, of run {runs[0]['id']}: {target}")


def main(words: list[str]) -> int:
    """Do one of the two; its exit code, as meterledger's are."""
    try:
        match words:
            case ["plan", file] if Path(file).is_file():
                show_plan(Path(file))
            case ["receipt"]:
                fetch_receipt()
            case _:
                raise UsageError(
                    "neither a plan's file nor 'receipt' is named",
                    next_step="make show-plan PLAN=FILE, or make staging-receipt",
                )
    except MeterledgerError as error:
        print(f"error: {error.message}\nnext step: {error.next_step}", file=sys.stderr)
        return error.exit_code
    return 0


def _fenced(text: str) -> str:
    """As a block of code that its own text cannot end."""
    fence = "`" * 3
    while fence in text:
        fence += "`"
    cut = text[:_COMMENT_LIMIT]
    more = "\n… cut: the whole plan is in the run's artifact" if len(cut) < len(text) else ""
    return f"{fence}\n{cut.rstrip()}\n{fence}{more}"


def _variable(name: str) -> str:
    value = settings.variable(name)
    if value is None:
        raise UsageError(
            f"{name} is not set", next_step="run it in GitHub Actions, or set it as a runner does"
        )
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
