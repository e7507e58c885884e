"""The figures of a team's machines: an object store beside files, two hosts beside one (machines, its table), and the
servers for them (servers)."""
