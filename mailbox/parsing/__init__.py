"""Reads received mail in processes beside the worker, bounded in CPU time and memory.

Way in: `pool.running()` and `pool.parse`. A message that kills its process is read once more alone, then quarantined.
`worker` runs in the child and must stay without Django: this package hands on no names.
"""
