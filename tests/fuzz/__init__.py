"""Fuzzing by hand with Atheris, which follows what code an input reaches: `make fuzz TARGET=mime SECONDS=600`.

    targets   what is called with any bytes, and what must hold then: only stated errors, what a database holds, and
              time and memory that grow with the length of the input alone
    servers   the same of whole conversations with an IMAP and an SMTP server that says these bytes
    seeds     what it begins with: the recipes of the tests

Not a part of `make test`: an input that fails is written down as a case of an ordinary test, by its kind.
"""
