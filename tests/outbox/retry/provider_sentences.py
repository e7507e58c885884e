"""What providers and servers say, where they say it, and what it means for the mail that was tried.

Sources: public pages and programs that quote the sentences, by the key behind each.
"""

from __future__ import annotations

from typing import NamedTuple

from outbox.retry.faults import Phase, Verdict

SOURCES = {
    "google": "Gmail SMTP errors and codes, https://support.google.com/a/answer/3726730",
    "google-2": "A guide to SMTP errors, https://kb.raramuridesign.com/a-guide-to-smtp-errors.html",
    "microsoft": "Email non-delivery reports in Exchange Online, "
    "https://learn.microsoft.com/en-us/exchange/troubleshoot/email-delivery/ndr/non-delivery-reports-in-exchange-online",
    "microsoft-submission": "Throttling for SMTP Authenticated Submission, "
    "https://learn.microsoft.com/en-us/exchange/troubleshoot/send-emails/smtp-submission-improvements",
    "microsoft-answers": "How to fix daily email limit, https://learn.microsoft.com/en-us/answers/questions/5853737/",
    "exchange": "Message submission rate, https://portal.iridis.uk/?action=article&cmd=knowledgebase&id=164",
    "yahoo": "Yahoo, https://smtp.codes/yahoo",
    "yahoo-help": "421 4.7.1 [TS03], https://help.yahoo.com/kb/SLN3436.html",
    "amazon": "Errors related to the sending quotas, "
    "https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html",
    "amazon-messages": "Amazon SES email sending errors, "
    "https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-error-messages.html",
    "amazon-codes": "Amazon SES SMTP response codes, https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-smtp.html",
    "microsoft-ndr": "Non-delivery reports of Exchange Online, https://pastebin.com/98tNBPeg and "
    "https://pastebin.com/BkSdGH0x",
    "zoho": "Unusual sending activity detected, https://help.zoho.com/portal/en/community/topic/"
    "unable-to-send-message-reason-550-5-4-6-unusual-sending-activity-detected",
    "netease": "NetEase's codes of refused mail, https://biecuoliao.com/pa/MBRrwEM.html",
    "coremail": "Coremail's codes, https://blog.sina.com.cn/s/blog_8dc13ec50101fxxr.html",
    "coremail-help": "Coremail's sentences, https://www.emailhost.com.cn/service.html?article_category=25&brd=1",
    "gmx": "Error messages, https://postmaster.gmx.com/en/error-messages",
    "united-internet": "1&1, IONOS, GMX, web.de, mail.com, https://smtp.codes/unitedinternet/",
    "ionos": "SMTP-Fehlermeldungen der IONOS Mailserver, "
    "https://www.ionos.de/hilfe/e-mail/postmaster/smtp-fehlermeldungen-der-11-ionos-mailserver",
    "ionos-limits": "What are the mass mailing limits?, "
    "https://www.ionos.ca/help/email/general-topics/what-are-the-mass-mailing-limits/",
    "sendgrid": "Test connection with Sendgrid, https://github.com/mautic/mautic/issues/8721",
    "sendgrid-limits": "Sendgrid api fail, https://github.com/WA-WF-Bot/WA-WF-Bot-Public/issues/282",
    "startmail": "Sent limit, https://support.startmail.com/hc/de/articles/360006737337-Gesendet-empfangen-Limit",
    "ovh": "EmailSmtpPop3Imap, http://gids.ovh.nl/EmailSmtpPop3Imap",
    "cpanel": "Domain exceeded max emails per hour, "
    "https://www.inmotionhosting.com/support/email/domain-exceeded-max-emails-per-hour",
    "cpanel-defers": "Max defers and failures per hour, "
    "https://my.maxer.com/knowledgebase/226/Why-am-I-getting-the-error-Domain-has-exceeded-the-max-defers.html",
    "prolateral": "What does SMTP 554 5.7.1 mean?, https://www.prolateral.com/help/kb/smtp/530-what-does-smtp-554-571-mean.html",
    "bytecamp": "Fehlermeldungen bei Zustellproblemen, https://www.bytecamp.net/de/faq/email/zustellen.html",
    "onesystems": "Häufig vorkommende Fehlermeldungen, https://support.onesystems.ch/722126",
    "postfix": "Postfix, smtpd(8) and its source smtpd.c, https://www.postfix.org/smtpd.8.html",
    "exim": "The Exim specification, https://www.exim.org/exim-html-current/doc/html/spec_html/",
    "dovecot": "Dovecot's submission service, https://doc.dovecot.org/main/core/config/submission.html",
    "sendmail": "Sendmail's operations guide, https://www.sendmail.org/~ca/email/doc8.12/op.html",
    "rfc4954": "RFC 4954, SMTP AUTH, 4 and 6",
    "rfc5321": "RFC 5321, SMTP, 3.8, 4.2 and 4.5.3",
    "rfc3463": "RFC 3463, enhanced codes, 3.8",
    "rfc5248": "RFC 5248, registry of enhanced codes",
}
T, P, S, L, U = Verdict.TRANSIENT, Verdict.PERMANENT, Verdict.SIGN_IN, Verdict.THROTTLED, Verdict.UNCERTAIN
CONNECT, TLS, AUTH, MAIL, RCPT, DATA, DOT = (
    Phase.CONNECT, Phase.TLS, Phase.AUTH, Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT,
)  # fmt: skip


class Case(NamedTuple):
    phase: Phase
    said: str
    verdict: Verdict
    source: str


# Before MAIL no mail is to blame: the queue waits, or the account has to sign in.
BEFORE_MAIL = [
    Case(CONNECT, "421 4.7.0 Try again later, closing connection. (EHLO)", L, "google"),
    Case(CONNECT, "421 4.3.0 Temporary System Problem. Try again later", L, "google"),
    Case(CONNECT, "421 4.7.0 IP not in whitelist for RCPT domain, closing connection.", L, "google"),
    Case(CONNECT, "554-gmx.net (mxgmx104) Nemesis ESMTP Service not available\nNo SMTP service\nIP address is block "
                  "listed.", T, "gmx"),
    Case(CONNECT, "554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using ix.dnsbl.manitu.net", T,
         "onesystems"),
    Case(CONNECT, "554 Transaction failed", T, "united-internet"),
    Case(CONNECT, "421 Max message per connection reached, closing transmission channel", L, "yahoo"),
    Case(CONNECT, "550 black ip.", T, "coremail"),
    Case(CONNECT, "421 HL:IFC", L, "netease"),
    Case(CONNECT, "554 5.3.2 No SMTP service here", T, "rfc5321"),
    Case(CONNECT, "421 4.3.2 All server ports are busy", L, "postfix"),
    Case(TLS, "550 5.7.1 Invalid EHLO argument", T, "rfc5321"),
    Case(TLS, "501 Syntactically invalid EHLO argument(s)", T, "exim"),
    Case(TLS, "555 helohost error.", T, "coremail"),
    Case(TLS, "504 5.5.2 <vm>: Helo command rejected: need fully-qualified hostname", T, "postfix"),
    Case(TLS, "454 4.7.0 TLS not available due to local problem", T, "postfix"),
    Case(TLS, "502 5.5.1 Error: command not implemented", T, "postfix"),
    Case(TLS, "530 5.7.0 Must issue a STARTTLS command first", T, "postfix"),
    Case(AUTH, "535 5.7.8 Username and Password not accepted.", S, "google"),
    Case(AUTH, "534 5.7.9 Application-specific password required.", S, "google"),
    Case(AUTH, "534 5.7.14 Please log in through your web browser and then try again.", S, "google"),
    Case(AUTH, "454 4.7.0 Too many login attempts, please try again later.", L, "google"),
    Case(AUTH, "454 4.7.0 Cannot authenticate due to temporary system problem. Try again later.", L, "google"),
    Case(AUTH, "555 5.5.2 Syntax error, cannot decode response.", T, "google"),
    Case(AUTH, "500 5.5.2 Line too long", T, "dovecot"),
    Case(AUTH, "504 5.5.4 Unrecognized authentication type.", T, "rfc4954"),
    Case(AUTH, "504 5.7.4 Unrecognized Authentication Type", T, "google"),
    Case(AUTH, "538 5.7.11 Encryption required for requested authentication mechanism", S, "rfc4954"),
    Case(AUTH, "525 5.7.13 User Account Disabled", S, "rfc5248"),
    Case(AUTH, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.", S,
         "microsoft"),
    Case(AUTH, "535 5.7.3 Authentication unsuccessful", S, "microsoft"),
    Case(AUTH, "535 Authentication Credentials Invalid", S, "amazon-codes"),
    Case(AUTH, "550 user is locked.", S, "coremail"),
    Case(AUTH, "451 Authentication failed: Maximum credits exceeded", L, "sendgrid"),
    Case(AUTH, "451 auth mode unsupported.", T, "coremail"),
    Case(AUTH, "451 Requested mail action not taken: too much fail authentication", L, "netease"),
    Case(AUTH, "535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6", S, "postfix"),
    Case(AUTH, "554 5.7.0 Rejected", T, "rfc4954"),
]  # fmt: skip
# We send too much: the queue stops at the first, also where the words are said with 5xx.
LIMITS = [
    Case(MAIL, "550 5.4.5 Daily user sending limit exceeded.", L, "google"),
    Case(RCPT, "550 5.4.5 Daily SMTP relay limit exceeded for user.", L, "google"),
    Case(DOT, "550 5.4.5 Daily user sending limit exceeded.", L, "google"),
    Case(MAIL, "550 5.7.1 Daily SMTP relay sending limit exceeded for this customer.", L, "google-2"),
    Case(RCPT, "421 4.7.28 Our system has detected an unusual rate of unsolicited mail originating from your IP "
               "address.", L, "google"),
    Case(DOT, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due "
              "to a permanent exception with message The message can't be submitted because the sender's submission "
              "quota was exceeded.", L, "microsoft-submission"),
    Case(DOT, "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException."
              "MapiExceptionShutoffQuotaExceeded", L, "microsoft-submission"),
    Case(DOT, "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; Failed to process message due to a "
              "permanent exception with message WASCL UserAction verdict is not None.", L, "microsoft"),
    Case(MAIL, "550 5.1.8 Access denied, bad outbound sender", L, "microsoft-answers"),
    Case(DOT, "550 5.7.705 Access denied, tenant has exceeded threshold.", L, "microsoft-ndr"),
    Case(DOT, "550 5.7.501 Access denied, spam abuse detected.", L, "microsoft-ndr"),
    Case(MAIL, "450 Requested mail action not taken: mailbox unavailable\nMail send limit exceeded.", L,
         "ionos-limits"),
    Case(MAIL, "451 You've exceeded your messaging limits", L, "sendgrid-limits"),
    Case(MAIL, "550 5.7.1 Your mail limit has been reached.", L, "startmail"),
    Case(DOT, "550 5.4.6 Unusual sending activity detected.", L, "zoho"),
    Case(DATA, "432 4.3.2 Concurrent connections limit exceeded.", L, "microsoft-submission"),
    Case(MAIL, "421 4.4.2 Message submission rate for this client has exceeded the configured limit", L, "exchange"),
    Case(MAIL, "421 4.7.0 [TSS04] Messages from 192.0.2.7 temporarily deferred due to unexpected volume or user "
               "complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes", L, "yahoo"),
    Case(MAIL, "421 4.7.1 [TS03] All messages from 192.0.2.7 will be permanently deferred", L, "yahoo-help"),
    Case(DOT, "454 Throttling failure: Maximum sending rate exceeded.", L, "amazon"),
    Case(DOT, "454 Throttling failure: Daily message quota exceeded.", L, "amazon"),
    Case(RCPT, "550 Domain example.com has exceeded the max emails per hour (313/250 (125%)) allowed. Message "
               "discarded.", L, "cpanel"),
    Case(DOT, "550 Domain example.com has exceeded the max defers and failures per hour (10/10 (90%)) allowed. Message "
              "discarded.", L, "cpanel-defers"),
    Case(RCPT, "554 5.7.1 <ann@example.com>: Recipient address rejected: You have exceeded your Outmail quota.", L,
         "prolateral"),
    Case(MAIL, "421 Rate limit reached. Please try again later", L, "ionos"),
    Case(DOT, "550 sending quota exceeded", L, "coremail-help"),
    Case(DOT, "550 5.7.1 Our system has detected an unusual rate of unsolicited mail originating from your IP address.",
         L, "google"),
    Case(DOT, "554 Message rejected: Sending paused for this account.", L, "amazon-messages"),
    Case(MAIL, "554 MI:SFQ", L, "netease"),
    Case(RCPT, "550 RP:QRC", L, "netease"),
    Case(MAIL, "452 4.3.2 Connection rate limit exceeded.", L, "sendmail"),
    Case(MAIL, "450 4.7.1 Error: too much mail from 192.0.2.7", L, "postfix"),
]  # fmt: skip
# The mail, its addresses or the recipient's mailbox: nobody else waits for it.
THIS_MAIL = [
    Case(RCPT, "550 5.1.1 The email account that you tried to reach does not exist.", P, "google"),
    Case(RCPT, "452 4.2.2 The email account that you tried to reach is over quota.", T, "google"),
    Case(RCPT, "552 5.2.2 The email account that you tried to reach is over quota.", P, "google"),
    Case(RCPT, "450 4.2.1 The user you are trying to contact is receiving mail too quickly.", T, "google"),
    Case(RCPT, "550 5.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional "
               "messages from being delivered.", P, "google"),
    Case(RCPT, "452 4.5.3 Your message has too many recipients.", T, "google-2"),
    Case(DOT, "552 5.3.4 Your message exceeded Google's message size limits.", P, "google"),
    Case(DOT, "550 5.7.1 Our system has detected that this message is likely unsolicited mail.", P, "google"),
    Case(DOT, "451 4.3.0 Mail server temporarily rejected message.", T, "google-2"),
    Case(RCPT, "432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded", L, "microsoft"),
    Case(MAIL, "554 5.2.252 SendAsDenied; ann@example.com not allowed to send as bob@example.com", P, "microsoft"),
    Case(RCPT, "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", P, "microsoft"),
    Case(DOT, "554 Message rejected: Email address is not verified.", P, "amazon-codes"),
    Case(RCPT, "550 <ann@example.com>: Requested action not taken: mailbox unavailable", P, "united-internet"),
    Case(RCPT, "450 Reject due to policy violations", T, "ionos"),
    Case(DOT, "451 Requested action aborted: local error in processing", T, "ionos"),
    Case(DOT, "451 DT:SPM ,please try again", T, "netease"),
    Case(DOT, "554 DT:SPM", P, "netease"),
    Case(DOT, "552 message is too long.", P, "coremail"),
    Case(RCPT, "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction "
               "check failed because the sender was not authenticated when sending to this group", P, "microsoft"),
    Case(RCPT, "550 5.7.1 RESOLVER.RST.AuthRequired; authentication required", P, "microsoft"),
    Case(RCPT, "550 5.7.1 Delivery not authorized, message refused", P, "rfc3463"),
    Case(DOT, "554 5.4.6 Too many hops 26 (25 max)", P, "sendmail"),
    Case(DOT, "554 5.4.0 Error: too many hops", P, "postfix"),
    Case(DOT, "554 5.4.14 Hop count exceeded - possible mail loop ATTR34", P, "microsoft"),
    Case(DOT, "552 message rejected by anti-spam engine.", P, "coremail"),
    Case(DOT, "452 4.3.1 Insufficient system storage", T, "postfix"),
    Case(DOT, "451 4.7.1 Service unavailable - try again later", T, "postfix"),
    Case(DOT, "450 4.2.0 Recipient address rejected: Greylisted", T, "bytecamp"),
    Case(RCPT, "554 5.7.1 <ann@example.com>: Relay access denied", P, "onesystems"),
    Case(DOT, "571 5.7.1 message classified as spam (Nachricht als Spam eingestuft)", P, "bytecamp"),
    Case(DOT, "451 4.3.0 Temporary internal failure", T, "dovecot"),
    Case(RCPT, "451 4.4.0 Temporary failure", T, "dovecot"),  # nothing was given yet
    Case(DATA, "421 4.4.2 mail.example.com Error: timeout exceeded", L, "postfix"),  # without the end of the mail
]  # fmt: skip
# In answer to the end of the mail: the one who talks to us has lost another, who may have taken it.
OPEN = [
    Case(DOT, "421 4.4.0 Lost connection to relay server", U, "dovecot"),
    Case(DOT, "451 4.4.0 Remote server not answering (timeout while waiting for reply to DATA reply)", U, "dovecot"),
    Case(DOT, "451 4.4.2 Timeout - closing connection.", U, "google-2"),
    Case(DOT, "421 4.4.2 mail.example.com Error: timeout exceeded", U, "postfix"),
    Case(DOT, "421 4.3.2 Service shutting down", U, "postfix"),
    Case(DOT, "421 Service not available, closing transmission channel", U, "rfc5321"),
    Case(DOT, "451 4.7.0 Timeout waiting for client input", U, "exchange"),
    Case(DOT, "451 4.7.0 Temporary server error. Please try again later. PRX5", U, "microsoft"),
    Case(DOT, "441 4.4.1 Error encountered while communicating with primary target IP address", U, "microsoft"),
    Case(DOT, "450 4.4.316 Connection refused [Message=Socket error code 10061]", U, "microsoft"),
    Case(DOT, "554 5.4.7 Message expired", U, "microsoft"),
    Case(DOT, "451 Sorry, I wasn't able to establish an SMTP connection. (#4.4.1)", U, "ovh"),
    Case(DOT, "450 rcpt handle timeout", U, "coremail-help"),
    Case(DOT, "421 lost input connection", U, "exim"),
    Case(DOT, "421 SMTP incoming data timeout - closing connection.", U, "exim"),
    Case(DOT, "451 4.3.0 Connection to the backend was closed unexpectedly", U, "dovecot"),
    Case(DOT, "554 The connection to the next server was dropped", U, "rfc5321"),
    Case(DOT, "450 the next host did not respond: timed out", U, "exim"),
]  # fmt: skip
CASES = [*BEFORE_MAIL, *LIMITS, *THIS_MAIL, *OPEN]
