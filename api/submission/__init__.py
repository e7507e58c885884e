"""SMTP submission (`manage.py submission`): programs hand over mail as they would to any mail server.

    protocol    one connection, by aiosmtpd: limits, sign-in, reading of mails
    handler     the replies to its commands
    acceptance  database work, on threads: sign-in, permission, saving the mail
    limits      limits of connections and bytes
    configuration  addresses to listen on, from the settings
    server      listens until it is told to stop

250 is sent only after the row and the raw bytes are durable. Every failure of ours is answered by 4xx, so that the
program keeps the mail and tries again.

RFC 6409 (submission), 3207 (STARTTLS), 8314 (implicit TLS), 4954 (AUTH), 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8),
2920 (PIPELINING), 2034 and 3463 (the three numbers behind the code).
"""
