"""A batch that goes on where an earlier one has ended."""

import dataclasses
from pathlib import Path

from kh_zoo.batches.journal import Journal
from kh_zoo.batches.plan import Plan, PlanError
from kh_zoo.batches.settings import Settings


def resume(plan: Plan, settings: Settings) -> tuple[Plan, dict[Path, Journal]]:
    """Look into the journals of the output folders for what has to be done again.

    Args:
        plan: What `plan_batch` returned. An output that is there but in no journal is finished.
        settings: Of this run.

    Returns:
        The plan, with what has to be done again among the jobs; and the journals of all output
        folders, not open yet.

    Raises:
        PlanError: If an output would replace that of another input, which is still there.
    """
    roots = {job.root for job in (*plan.jobs, *plan.finished) if job.root}
    if not roots:
        return plan, {}
    resolved = settings.resolved()
    journals = {root: Journal(root, resolved) for root in roots}
    jobs, finished = list(plan.jobs), []
    for job in plan.finished:
        if job.root is None:
            finished.append(job)
            continue
        journal = journals[job.root]
        again, reason = journal.judge(job.source, job.target)
        judged = dataclasses.replace(job, reason=reason)
        if not again:
            finished.append(judged)
            continue
        other = journal.other_input(job.source, job.target)
        if other:
            raise PlanError(
                f"`--output` should be another folder: {job.target} was made from {other}, and "
                f"`--overwrite` is needed to replace it. Received: {job.source}"
            )
        jobs.append(judged)
    for journal in journals.values():
        journal.forget()
    jobs.sort(key=lambda job: job.number)
    return dataclasses.replace(plan, jobs=tuple(jobs), finished=tuple(finished)), journals
