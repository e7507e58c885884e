"""`make bench-programs`: mails that programs hand over, by SMTP and by HTTP.

programs        the suite's context and both measures
clients         twenty sessions at once, the same for us and for the peer, in a process of their own
postfix         the peer: Postfix's smtpd with TLS and sign-in
inside_programs what is asked of an installation
programs_table  each measure and what it is to reach
"""
