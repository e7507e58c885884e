"""Claims rows, sends them and writes down what came of it: the machine behind "never lost, never twice".

Way in: `deliver.deliver_account` and `worker`. A claim is one conditional UPDATE; each later step is conditional on its
token.
"""
