"""Reads received mail in processes beside the worker, bounded in CPU time and memory.

Way in: `pool.running()` and `pool.read`, or `pool.read_one`. A message that kills its process is read once more alone,
then given up in words: a sync quarantines it. What else reads received mail (`ParseJob.reader`) does so here too.
`worker` runs in the child and must stay without Django: this package hands on no names.
"""
