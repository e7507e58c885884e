"""Raw SQL for the statements that each mail needs: by the ORM they would take most of a worker's time.

Every UPDATE is conditional, and its row count is the result (see mailbox.db.statements).
"""

# ruff: noqa: S608 - statements are put together from the constants below, never from anybody's input.

from __future__ import annotations

# Literal values, so that both databases use the partial index `outbox_waiting`.
DUE = """"status" IN ('pending', 'failed') AND "hold" = '' AND "next_attempt_at" <= %s"""
OURS = """"id" = %s AND "status" = 'sending' AND "claim_token" = %s"""
# The age of a scheduled mail counts from its time to send: otherwise a first failure could give it up as too old.
NEEDED = """"id", "account_id", "claim_token", "last_attempt", "next_attempt_at", "retries", "requested_by_id",
"failure_mode", "mail_from", "mime_digest", "needs_smtputf8", "dsn_parameters", "private_part",
"message_id", COALESCE("send_at", "created_at")"""

_NEXT = f"""(SELECT "id" FROM "outbox" WHERE "account_id" = %s AND {DUE} ORDER BY "next_attempt_at", "id" LIMIT %s)"""
# On the right side of SET, "status" is the value before the UPDATE, on both databases.
_CLAIM = f"""UPDATE "outbox" SET "status" = 'sending', "former_status" = "status", "claim_token" = %s || "id",
"claimed_by" = %s, "lease_expires_at" = %s, "data_at" = NULL, "last_attempt" = "last_attempt" + 1,
"updated_at" = %s WHERE "id" IN {{which}} AND {DUE}
RETURNING {NEEDED}"""
CLAIM_ONE = _CLAIM.format(which="(%s)")
CLAIM_NEXT = _CLAIM.format(which=_NEXT)
# PostgreSQL: skip rows that another worker is claiming (SKIP LOCKED). ARRAY makes it evaluate the sub-query only once.
CLAIM_NEXT_UNLOCKED = _CLAIM.replace("IN {which}", "= ANY(ARRAY{which})").format(
    which=_NEXT.replace("LIMIT %s", "LIMIT %s FOR UPDATE SKIP LOCKED")
)
DOT = f"""UPDATE "outbox" SET "data_at" = %s, "lease_expires_at" = %s, "updated_at" = %s WHERE {OURS}
AND "data_at" IS NULL"""
NO_DOT = f"""UPDATE "outbox" SET "data_at" = NULL, "lease_expires_at" = %s, "updated_at" = %s WHERE {OURS}"""
DOT_OF_ATTEMPT = """UPDATE "delivery_attempts" SET "phase" = 'dot', "data_at" = %s, "transcript" = %s
WHERE "id" = %s"""
_FINALIZE = """UPDATE "outbox" SET "status" = %s, "hold" = %s, "retries" = %s, "next_attempt_at" = %s,
"error_code" = %s, "error" = %s, "updated_at" = %s, "sent_at" = %s, "provider_message_id" = %s,
"data_at" = CASE WHEN %s THEN COALESCE("data_at", %s) END,
"claim_token" = '', "claimed_by" = '', "lease_expires_at" = NULL WHERE """
FINALIZE = _FINALIZE + OURS
# Only an attempt that committed "dot" leaves an uncertain row. Nobody else writes our attempt's `data_at`, so the
# sub-query is not out of date in any snapshot; all else is a condition on the row's own columns: see `last_attempt`.
FINALIZE_UNCERTAIN = f"""{_FINALIZE}"id" = %s AND "status" = 'failed' AND "hold" = 'uncertain' AND "last_attempt" = %s
AND EXISTS (SELECT 1 FROM "delivery_attempts" WHERE "id" = %s AND "data_at" IS NOT NULL)"""
# An outcome that was saved becomes uncertain.
DOUBT = f"""{_FINALIZE}"id" = %s AND "status" IN ('sent', 'failed') AND "hold" <> 'uncertain' AND "last_attempt" = %s"""
FINISH_ATTEMPT = """UPDATE "delivery_attempts" SET "outcome" = %s, "phase" = %s, "reply_code" = %s, "reply" = %s,
"transcript" = %s, "finished_at" = %s WHERE "id" = %s"""
ACCEPTED = """UPDATE "outbox_recipients" SET "status" = 'accepted', "reply_code" = %s, "reply" = %s, "accepted_at" = %s
WHERE "outbox_id" = %s AND "address" IN ({places})"""
REFUSED = """UPDATE "outbox_recipients" SET "status" = 'refused', "reply_code" = %s, "reply" = %s
WHERE "outbox_id" = %s AND "address" = %s"""
# UPDATE first, as the hour's row usually exists: SQLite writes a page more for INSERT ... ON CONFLICT DO UPDATE.
COUNT_MORE = """UPDATE "counters" SET "value" = "value" + 1 WHERE "account_id" = %s AND "name" = %s AND "hour" = %s"""
COUNT = """INSERT INTO "counters" ("account_id", "name", "hour", "value") VALUES (%s, %s, %s, 1)
ON CONFLICT ("account_id", "name", "hour") DO UPDATE SET "value" = "counters"."value" + 1"""
LACKING = """SELECT "address", "status", "reply_code", "reply", "dsn_parameters" FROM "outbox_recipients"
WHERE "outbox_id" = %s AND "status" <> 'accepted' ORDER BY "id\""""
