"""What blocks is called beside the event loop, also by a process that is about to end."""

from __future__ import annotations

import subprocess
import sys

import pytest

from outbox.delivery.database import complete
from outbox.smtp.blocking_calls import in_thread

ENDS = """
import asyncio, threading
from outbox.smtp.blocking_calls import in_thread
async def goes_on():
    main = threading.main_thread()
    while main.is_alive():
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)  # else asyncio's own threads are not forbidden yet
    print(await in_thread(lambda: "called"))
threading.Thread(target=lambda: asyncio.run(goes_on())).start()
"""


def test_the_tasks_of_a_process_whose_main_thread_has_ended_may_still_connect() -> None:
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("called\n", "")


def test_what_the_call_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        complete(in_thread(lambda: 1 // 0))
