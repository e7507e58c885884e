"""The pages that say why a person was not signed in.

The limit on wrong passwords is django-axes's, set in prx_email_site.settings.sign_in.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from mailbox.lazy_text import Words

REASONS: dict[str, tuple[Words, Words, Words]] = {
    "inactive": (
        _("This user is switched off"),
        _("Who you are is known, and an administrator has switched your user off."),
        _("Ask an administrator to switch it on again."),
    ),
    "no_role": (
        _("You have no role here"),
        _("Your company's sign-on knows you, and none of your groups there has a role in PRX-Email."),
        _("Ask whoever manages your company's groups for one of those that have."),
    ),
    "too_many_groups": (
        _("Your groups are not known"),
        _("You are in so many groups that your company's sign-on names none of them. Your roles stay as they are."),
        _("Ask whoever manages it to name only the groups that count here, such as those assigned to PRX-Email."),
    ),
    "unverified": (
        _("Your e-mail address is not verified"),
        _("A user here has your address, and your company's sign-on does not say that it was verified to be yours."),
        _("Have it verified there, or sign in with your password."),
    ),
    "ambiguous": (
        _("Several users here have your address"),
        _("Your company's sign-on names an e-mail address, and it does not tell which of these users you are."),
        _("Ask an administrator to give each user an address of their own."),
    ),
    "superuser": (
        _("This user signs in with its password"),
        _("A user with all rights has your address. Such a user is never taken over by what a sign-on says."),
        _("Sign in with the password, or ask an administrator to take the address off that user."),
    ),
    "cancelled": (
        _("You were not signed in"),
        _("Your company's sign-on was not given your consent."),
        _("Begin again when you want to."),
    ),
    "stale": (
        _("This sign-in is over"),
        _("The answer of your company's sign-on belongs to no sign-in of this browser, or was used already."),
        _("Begin again from the sign-in page."),
    ),
    "failed": (
        _("The sign-on's answer was refused"),
        _("Your company's sign-on did not say, in the form that is agreed (OpenID Connect), who you are."),
        _("Try again; if it goes on, an administrator finds the reason in the log."),
    ),
    "link_over": (
        _("This link is over"),
        _("It was used already, it is too old, or something about your user has changed since it was made."),
        _("Ask for another one: on the sign-in page, or an administrator."),
    ),
    "email_link_over": (
        _("This link is over"),
        _("It is too old, it is another person's, or you asked for another address since."),
        _("Your address stays as it is. Ask for the change again on your profile page."),
    ),
    "unreachable": (
        _("Your company's sign-on does not answer"),
        _("It could not be reached, or answered with an error."),
        _("Try again in a minute."),
    ),
}


def refused(request: HttpRequest, reason: str, status: int = 403) -> HttpResponse:
    """The page for this reason, a key of REASONS. `status`: 403, or 410 for a link that is over."""
    title, sentence, advice = REASONS[reason]
    context = {"status": status, "title": title, "sentence": sentence, "advice": advice}
    return render(request, "error.html", context, status=status)


def closed_for_a_while(
    request: HttpRequest, title: Words, sentence: Words, advice: Words, minutes: int
) -> HttpResponse:
    """The answer after too many attempts: 429 (RFC 6585, 4) with Retry-After."""
    context = {"status": 429, "title": title, "sentence": sentence, "advice": advice}
    response = render(request, "error.html", context, status=429)
    response.headers["Retry-After"] = str(minutes * 60)
    return response
