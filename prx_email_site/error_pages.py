"""Error pages: what happened, what is preserved, what to do."""

import logging
import re
import sys
from typing import Any

from django.core.exceptions import (
    BadRequest,
    DisallowedHost,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views import defaults

from api.v1.protocol import problems
from mailbox.db.errors import is_trouble
from mailbox.db.lock_timeout import is_locked_by_another
from mailbox.errors import StorageError
from mailbox.features import FeatureOff
from mailbox.lazy_text import Words
from mailbox.logs import event, this_host
from mailbox.storage import out_of_reach as stored_files
from outbox.views.writing import unsent

logger = logging.getLogger(__name__)

# What Django refuses before a view gets the request.
REFUSED: dict[type, Words] = {
    RequestDataTooBig: _("The form is too large: its text may be 10 MB at most. Shorten it, or attach it as a file."),
    TooManyFieldsSent: _("The form has too many fields: tick fewer rows."),
    DisallowedHost: _(
        "This site does not answer to the host name in this address. Open it by its own; whoever runs it adds names to"
        " PRX_EMAIL_ALLOWED_HOSTS."
    ),
    TooManyFilesSent: _("These are too many files for one mail: send some in another, or zip them."),
}


def _is_of_program(request: HttpRequest) -> bool:
    """Whether the answer is read by a program: each one of the API is JSON."""
    return request.path_info.startswith("/api/v1/")


def _page(request: HttpRequest, status: int, **context: Any) -> HttpResponse:
    return render(request, "error.html", {"status": status, **context}, status=status)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """400. Only the text of a BadRequest is shown; others get a sentence of ours."""
    if _is_of_program(request):
        return problems.problem(400, "The request holds something this site does not understand.")
    # A wrong Host header is refused before LanguageMiddleware has its turn.
    language = getattr(request, "LANGUAGE_CODE", "") or translation.get_language_from_request(request)
    with translation.override(language):
        said = str(exception if isinstance(exception, BadRequest) else REFUSED.get(type(exception), ""))
        return _page(
            request,
            400,
            title=gettext("This request cannot be answered"),
            sentence=said or gettext("The address or the form holds something this site does not understand."),
            advice=gettext("Go back, correct it and try again. Nothing was changed."),
        )


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """403: the user's role is too low, or the feature is off."""
    if isinstance(exception, FeatureOff):
        return _page(
            request,
            403,
            title=gettext("This is switched off"),
            sentence=str(exception),
            advice=gettext("Nothing was changed. An administrator of all accounts sets it on the page “Features”."),
        )
    return _page(
        request,
        403,
        title=gettext("Your role does not allow this"),
        sentence=str(exception)
        if exception and str(exception)
        else gettext("This page or button needs a higher role."),
        advice=gettext("Nothing was changed. Ask an administrator for the role, or sign in as another user."),
    )


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404: it does not exist, or belongs to an account that the user may not see; the page does not say which."""
    return _page(
        request,
        404,
        title=gettext("There is nothing here"),
        sentence=gettext(
            "The address is mistyped, what it names was removed, or it belongs to an account you may not see."
        ),
        advice=gettext("Start again from the dashboard."),
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form with a missing or old CSRF token. A mail being written is preserved."""
    if request.POST.get("idempotency_key") and request.path == reverse("outbox:compose"):
        return unsent.page(request)
    return _page(
        request,
        403,
        title=gettext("The form was too old"),
        sentence=gettext(
            "You signed in or out in another tab since this page was loaded, or the browser refuses cookies."
        ),
        advice=gettext("Nothing was changed. Go back, reload the page and send the form again."),
    )


def busy(request: HttpRequest) -> HttpResponse:
    """503: another process has locked the rows for longer than the time-out."""
    return _page(
        request,
        503,
        title=gettext("This is busy"),
        sentence=gettext(
            "Another process is working on what this request would change, and has not let it go in time."
        ),
        advice=gettext("Nothing was changed. Try again in a moment.")
        if request.method == "POST"
        else gettext("Nothing was changed. Reload the page in a moment."),
        **_form_again(request),
    )


_SECRET = re.compile(r"pass|secret|token|otp|code", re.IGNORECASE)


def _form_again(request: HttpRequest) -> dict[str, Any]:
    """The submitted form as context, to be sent again. Secrets are never put into a page: they must be typed again."""
    if request.method != "POST":
        return {}
    try:
        sent, has_files = list(request.POST.lists()), bool(request.FILES)
    except SuspiciousOperation:
        return {}
    if not sent and request.content_type == "multipart/form-data":  # its files could not be written: nothing was read
        return {}
    fields = [(name, value) for name, values in sent for value in values if name != "csrfmiddlewaretoken"]
    kept = [(name, value) for name, value in fields if not _SECRET.search(name)]
    secrets = [name for name, _value in fields if _SECRET.search(name)]
    return {"again": request.get_full_path(), "kept": kept, "secrets": secrets, "has_files": has_files}


def out_of_reach(request: HttpRequest, file: str) -> HttpResponse:
    """503: this host's raw store lacks a file that the database refers to. Logs an event and notes a StoreMiss."""
    host = this_host()
    stored_files.note(file)
    response = _page(
        request,
        503,
        title=gettext("This mail is out of reach on this host"),
        sentence=gettext(
            "The database knows the mail, but the file with its bytes cannot be read on %(host)s. Nothing is lost by "
            "that: another host, or this one once its data folder is back, has it."
        )
        % {"host": host},
        advice=gettext("Try again in a moment; if it stays so, an administrator looks at the data folder (raw store)."),
    )
    response.headers["Retry-After"] = "30"
    return response


def storage_trouble(request: HttpRequest, error: BaseException) -> HttpResponse | None:
    """The page for a lock, or for a database or disk that is unavailable or full; None for other errors."""
    if is_locked_by_another(error):
        return busy(request)
    if not (is_trouble(error) or isinstance(error, StorageError)):
        return None
    event(logger, "storage_away", logging.ERROR, path=request.path, error=f"{type(error).__name__}: {error}"[:200])
    return _unavailable(request)


def _unavailable(request: HttpRequest) -> HttpResponse:
    """503 without the frame, which needs the database. The reply to a COMMIT may be lost, so the page does not say
    whether anything was changed."""
    context = {
        "title": gettext("The database or the disk does not answer"),
        "sentence": gettext(
            "What this page needs cannot be read or written at the moment. Mail that waits still waits, and nothing is "
            "sent twice because of this."
        ),
        "advice": gettext("Try again in a moment. If it stays so, tell whoever runs this site at what time it began."),
        "csrf_token": get_token(request),
        **_form_again(request),
    }
    response = HttpResponse(render_to_string("unavailable.html", context), status=503)
    response.headers["Retry-After"] = "10"
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    """500; or 503 if storage is in trouble, as BusyMiddleware does not see errors of other middleware (sessions)."""
    error = sys.exc_info()[1]
    if _is_of_program(request):
        return problems.problem(500, "This site made a mistake, and wrote it to its log. The request may be done.")
    if error is not None and (answer := storage_trouble(request, error)):
        return answer
    return defaults.server_error(request)
