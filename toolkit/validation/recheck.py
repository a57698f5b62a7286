"""A finding counts when it is seen twice: in a second snapshot, for the same rows."""

from __future__ import annotations

from dataclasses import replace

from toolkit.validation.report import CheckResult, Finding, Verdict

# So many rows of a check are remembered to look for them again; where there are more, nothing
# that writers do meanwhile explains them.
REMEMBERED = 10_000
# The checks over rows, and the phases' own, some of which count rows. The others ask about objects,
# plans and one user's answers.
ROW_CHECKS = frozenset(
    {
        *("books_balance", "lossless", "archive_kept", "projection_is_live", "mv_is_projection"),
        *("kwh_sums", "reference", "phases"),
    }
)


def due(results: list[CheckResult]) -> frozenset[str]:
    """The checks whose findings must be looked for again."""
    return frozenset(
        result.name
        for result in results
        if result.verdict is Verdict.FAIL
        and result.name in ROW_CHECKS
        and 0 < result.count <= REMEMBERED
    )


def seen_twice(first: CheckResult, second: CheckResult) -> CheckResult:
    """The first result without what had moved on by the second snapshot.

    Args:
        first: with its findings remembered, not only those that are shown.
        second: the same check of the later snapshot, likewise.

    Returns:
        A failure with the findings of rows that both name; a note where none stayed.
    """
    if second.count > REMEMBERED or not all(map(_about, (*first.findings, *second.findings))):
        return first
    again = {_about(finding) for finding in second.findings}
    stayed = tuple(finding for finding in first.findings if _about(finding) in again)
    moved = first.count - len(stayed)
    if not moved:
        return first
    figures = {**first.figures, "moved_meanwhile": moved}
    if stayed:
        return replace(first, count=len(stayed), findings=stayed, figures=figures)
    return replace(
        first,
        verdict=Verdict.NOTE,
        findings=tuple(
            replace(finding, text=f"moved meanwhile: {finding.text}") for finding in first.findings
        ),
        next_step="the rows were in order a moment later: validate again when less is written, "
        "should it come back",
        figures=figures,
    )


def shown(result: CheckResult, keep: int) -> CheckResult:
    """The result with as many findings as are to be shown; phases are few, and shown all."""
    if result.name == "phases":
        return result
    return replace(result, findings=result.findings[:keep])


def _about(finding: Finding) -> tuple[str | None, ...] | None:
    """The row, user or phase that a finding is about; None where it names none of them."""
    if finding.user_id is not None or finding.row_id is not None:
        return (finding.user_id, finding.row_id)
    phase, holds, _ = finding.text.partition(" does not hold")
    return (phase,) if holds else None
