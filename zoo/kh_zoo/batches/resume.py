"""A batch that goes on where an earlier one has ended."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from kh_zoo.batches.journal import Journal
from kh_zoo.batches.plan import Job, Plan
from kh_zoo.workers.settings import Settings


def resume(plan: Plan, settings: Settings) -> tuple[Plan, dict[Path, Journal]]:
    """Look into the journals of the output folders for what has to be done again.

    Args:
        plan: What `plan_batch` returned. An output that is there but in no journal is finished; one
            that was named is refused then.
        settings: Of this run.

    Returns:
        The plan, with what has to be done again among the jobs, and what would replace the output
        of another input, which is still there, refused; and the journals of all output folders, not
        open yet.

    Raises:
        PlanError: All outputs are refused.
        OutputError: In the place of a journal is something else.
        ZooError: The model or an option of the settings is none.
    """
    resolved = settings.resolved()
    by_root: defaultdict[Path, list[Job]] = defaultdict(list)
    for job in (*plan.jobs, *plan.finished):
        by_root[job.root].append(job)
    journals = {
        root: Journal(
            root,
            resolved,
            [job.target for job in jobs],
            # Beside their inputs, several runs write a few pictures each.
            shared=all(job.place != "folder" for job in jobs),
        )
        for root, jobs in by_root.items()
    }
    plan = judge(plan, journals)
    plan.check()
    return plan, journals


def judge(plan: Plan, journals: Mapping[Path, Journal]) -> Plan:
    """Move to the jobs of a plan what has to be done again, and to the refused what may not be.

    Args:
        plan: The plan.
        journals: By the output folder; they have looked up what is known of the plan's outputs.
    """
    jobs, finished, refused = list(plan.jobs), [], list(plan.refused)
    for job in plan.finished:
        journal = journals[job.root]
        again, reason = journal.judge(job.source, job.target)
        named = job.place == "named"
        other = journal.other_input(job.source, job.target) if again or named else None
        if named and not journal.knows(job.target):
            reason = (
                f"`output` should be another file: {job.target} is there, and no journal says "
                f"that it was made from this picture; `overwrite` replaces it. "
                f"Received: {job.source}"
            )
            refused.append(dataclasses.replace(job, reason=reason))
        elif other:
            reason = (
                f"`output` should be another one: {job.target} was made from {other}, and "
                f"`overwrite` is needed to replace it. Received: {job.source}"
            )
            refused.append(dataclasses.replace(job, reason=reason))
        elif again:
            jobs.append(dataclasses.replace(job, reason=reason))
        else:
            finished.append(dataclasses.replace(job, reason=reason))
    for journal in journals.values():
        journal.forget()
    jobs.sort(key=lambda job: job.number)
    return dataclasses.replace(
        plan, jobs=tuple(jobs), finished=tuple(finished), refused=tuple(refused)
    )
