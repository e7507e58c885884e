"""Parses received mail in child processes with limits of CPU time and memory.

Way in: `pool.running()` and `pool.read`, or `pool.read_one`. A message that kills its process is read once more alone;
if it does so again, its result is a text that says why, and a sync quarantines the message. Other code that reads
received mail runs in these processes too: it names its function in `ParseJob.reader`.

`parser` and `parse_job` run in the child and must not import Django, so this package re-exports no names.
"""
