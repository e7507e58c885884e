"""SMTP submission (`manage.py submission`): programs hand over mail as they would to any mail server.

    protocol    one connection, by aiosmtpd: limits, sign-in, the reading of a mail
    acceptance  what is asked of the database, in threads: who it is, may it, write the mail down
    limits      how many connections and bytes at once
    configuration  what it listens on, from the settings
    server      listens until it is told to stop

250 is said after the row and its bytes are durable, never before; whatever goes wrong on our side is a 4xx, so that the
program keeps the mail and tries again.

RFC 6409 (submission), 3207 (STARTTLS), 8314 (implicit TLS), 4954 (AUTH), 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8),
2920 (PIPELINING), 2034 and 3463 (the three numbers behind the code).
"""
