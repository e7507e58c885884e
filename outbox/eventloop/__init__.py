"""Many deliveries in one thread: coroutines over sockets, and one writer that commits for all of them.

Way in: `loop` and `coroutines.to_the_end`.
"""
