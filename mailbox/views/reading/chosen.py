"""The account or folder that a message list is narrowed to, from the URL's query."""

from __future__ import annotations

from django.http import Http404, HttpRequest

from mailbox.models import Account, Folder
from mailbox.views.requests import number_of, of_accounts


def chosen_folder(request: HttpRequest) -> Folder | None:
    """The folder of `?folder=`, with its account; None without one. Raises Http404 for one the user may not see."""
    pk = number_of(request, "folder")
    if pk is None:
        return None
    folder: Folder | None = of_accounts(Folder.objects.filter(pk=pk), request).select_related("account").first()
    if folder is None:
        raise Http404("No such folder.")
    return folder


def chosen_account(request: HttpRequest, accounts: list[Account], folder: Folder | None) -> Account | None:
    """The account of the folder, else of `?account=`; None for all. Raises Http404 for one not in `accounts`."""
    pk = number_of(request, "account")
    if folder:
        if pk not in (None, folder.account_id):
            raise Http404("No such folder of this account.")
        return folder.account
    if pk is None:
        return None
    for account in accounts:
        if account.pk == pk:
            return account
    raise Http404("No such account.")
