"""Real servers for the tests and the demo, each on free ports of 127.0.0.1 and in a temporary folder."""
