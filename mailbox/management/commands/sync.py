"""manage.py sync [EMAIL]: fetch mail in the foreground, with the same leases and code as the workers."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from math import inf
from typing import Any

from django.conf import settings

from mailbox import network
from mailbox.management.base import RefusingCommand
from mailbox.models import Account, SyncRun, SyncRunFolder
from mailbox.plain_words import on_a_line
from mailbox.scheduler.account_queue import SyncJob, jobs_of
from mailbox.scheduler.runner import run_sync
from mailbox.storage import disk_budget
from mailbox.sync.folders import canonical

WAIT_SECONDS = 120.0  # longest wait for a worker that is syncing the same account


class Command(RefusingCommand):
    help = "Fetch mail now: of one account or of all, a folder or the chosen ones."
    requires_system_checks = ()  # the checks import all pages, which takes longer than a short sync

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", nargs="?", help="default: every account that is switched on")
        parser.add_argument("--folder", help="default: the chosen folders")
        parser.add_argument("--max-messages", type=int, help="a folder and a round")
        parser.add_argument("--all", action="store_true", help="until nothing is left")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        limit = settings.SYNC_MAX_MESSAGES if options["max_messages"] is None else options["max_messages"]
        problem, accounts = _accounts(options["email"])
        if limit < 1:
            problem = "--max-messages must be at least 1."
        if options["folder"] is not None and not _is_name(options["folder"]):
            problem = "--folder is the name of a folder, without control characters; leave it out for the chosen ones."
        if problem:
            self.refuse(problem, as_json=options["json"])
        if network.is_off():
            self.refuse(network.OFF, as_json=options["json"])
        if disk_budget.is_spent():
            words = "The disk has less free than PRX_EMAIL_DISK_RESERVE_MB: nothing is fetched."
            self.refuse(words, as_json=options["json"])
        jobs = [job for account in accounts for job in _jobs(account, options["folder"], limit)]
        seconds = inf if options["all"] else 0
        run = run_sync(jobs, seconds, wait_seconds=WAIT_SECONDS, trigger=SyncRun.Trigger.COMMAND)
        lines = list(run.folders.select_related("account", "folder__sync_state").order_by("pk"))
        left_out = {(job.account_id, canonical(job.folder)) for job in jobs}
        left_out -= {(line.account_id, line.folder_name) for line in lines}
        ok = all(line.ok for line in lines) and not left_out
        if options["json"]:
            self.print_json(_report(run, lines, ok=ok, left_out=len(left_out)))
        else:
            self._tell(lines)
        if left_out and not run.failed:
            self.stderr.write("Another worker is syncing the account at this moment; try again when it is done.")
        for line in lines:
            if not line.ok:
                self.stderr.write(on_a_line(f"{line.account.email} {line.folder_name}: {line.error}"))
        if not ok:
            sys.exit(1)

    def _tell(self, lines: list[SyncRunFolder]) -> None:
        if not lines:
            self.stdout.write("There is nothing to sync.")
        for line in lines:
            self.stdout.write(
                on_a_line(
                    f"{line.account.email} {line.folder_name}: {line.fetched} fetched, {line.updated} updated, "
                    f"{line.quarantined} quarantined, {line.bytes} bytes in {line.seconds:.1f} s. {line.note}"
                ).rstrip()
            )


def _is_name(folder: str) -> bool:
    return bool(folder.strip()) and not any(ord(character) < 32 or ord(character) == 127 for character in folder)


def _accounts(email: str | None) -> tuple[str, list[Account]]:
    if email is None:
        return "", list(Account.objects.syncing())
    found = list(Account.objects.filter(email__iexact=email))
    return ("" if found else f"There is no account {email}; manage.py add_account makes one."), found


def _jobs(account: Account, folder: str | None, limit: int) -> list[SyncJob]:
    return [SyncJob(account.pk, folder, limit)] if folder else jobs_of(account.pk, limit)


def _report(run: SyncRun, lines: list[SyncRunFolder], *, ok: bool, left_out: int) -> dict[str, Any]:
    report: dict[str, Any] = {
        "ok": ok,
        "run_id": str(run.run_id),
        "attempted": run.attempted,
        "succeeded": run.succeeded,
        "failed": run.failed,
        "fetched": sum(line.fetched for line in lines),
        "updated": sum(line.updated for line in lines),
        "quarantined": sum(line.quarantined for line in lines),
        "folders": [_line(line) for line in lines],
    }
    first = next((line for line in lines if not line.ok), None)
    if first is not None:
        report["error"] = {"code": first.error_code, "message": first.error}
    elif left_out:
        report["error"] = {"code": "busy", "message": "Another worker is syncing the account at this moment."}
    return report


def _line(line: SyncRunFolder) -> dict[str, Any]:
    state = getattr(line.folder, "sync_state", None)
    return {
        "account": line.account.email,
        "folder": line.folder_name,
        "ok": line.ok,
        "fetched": line.fetched,
        "updated": line.updated,
        "quarantined": line.quarantined,
        "bytes": line.bytes,
        "seconds": round(line.seconds, 3),
        "more_waiting": bool(state and state.more_waiting),
        "error": {"code": line.error_code, "message": line.error} if not line.ok else None,
        "note": line.note,
    }
