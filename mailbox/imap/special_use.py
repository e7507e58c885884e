"""Guesses the special use (RFC 6154) of folders from their names, for servers that do not state it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mailbox.imap.fetch import ListedFolder

# Special use -> names that clients and servers give such a folder: the last part, in lower case.
COMMON_NAMES = {
    "\\Sent": (
        "sent", "sent items", "sent messages", "sent mail", "sent-mail",
        "gesendet", "gesendete elemente", "gesendete objekte",
        "envoyés", "éléments envoyés", "messages envoyés", "enviados", "elementos enviados", "itens enviados",
        "inviati", "inviata", "posta inviata", "verzonden", "verzonden items", "skickat", "sendt", "gönderilmiş öğeler",
        "отправленные", "надіслані", "wysłane", "elementy wysłane", "送信済み", "送信済みアイテム", "送信済みメール",
        "已发送", "已发送邮件", "寄件備份", "보낸편지함", "보낸 편지함", "보낸메일함", "المرسلة",
    ),
    "\\Drafts": (
        "drafts", "draft", "entwürfe", "brouillons", "borradores", "rascunhos", "bozze", "concepten", "utkast",
        "черновики", "kopie robocze", "下書き", "草稿", "草稿箱", "草稿匣", "임시보관함", "المسودات",
    ),
    "\\Trash": (
        "trash", "deleted", "deleted items", "deleted messages", "bin", "papierkorb", "gelöscht", "gelöschte elemente",
        "gelöschte objekte", "corbeille", "éléments supprimés", "papelera", "elementos eliminados", "lixeira",
        "itens excluídos", "cestino", "posta eliminata", "prullenbak", "verwijderde items", "papperskorg", "корзина",
        "удаленные", "kosz", "ゴミ箱", "削除済みアイテム", "已删除", "已删除邮件", "垃圾桶", "휴지통", "المهملات",
    ),
    "\\Junk": (
        "junk", "spam", "junk e-mail", "junk email", "junk mail", "bulk", "bulk mail", "spamverdacht",
        "courrier indésirable", "indésirables", "correo no deseado", "lixo eletrônico", "posta indesiderata",
        "ongewenste e-mail", "skräppost", "спам", "迷惑メール", "垃圾邮件", "垃圾郵件", "스팸", "스팸메일함",
    ),
    "\\Archive": (
        "archive", "archives", "archiv", "archivo", "arquivo", "archivio", "archief", "arkiv", "архив",
        "アーカイブ", "归档", "封存", "보관함",
    ),
}  # fmt: skip
_USES = {name: use for use, names in COMMON_NAMES.items() for name in names}


def with_common_uses(folders: Sequence[ListedFolder]) -> list[ListedFolder]:
    """Give each use that the server assigns to no folder to one folder with a name of COMMON_NAMES.

    The folder nearest to the top is taken, and none below the second level: "Sent" or "INBOX.Sent", never
    "Old/2019/Sent".
    """
    taken = {folder.special_use for folder in folders}
    given: dict[str, str] = {}
    for folder in sorted(folders, key=lambda each: (_depth(each), each.name)):
        use = _USES.get(_last_part(folder).casefold(), "")
        if use and folder.selectable and not folder.special_use and use not in taken and _depth(folder) <= 1:
            taken.add(use)
            given[folder.name] = use
    return [replace(folder, special_use=given.get(folder.name, folder.special_use)) for folder in folders]


def _last_part(folder: ListedFolder) -> str:
    return folder.name.rsplit(folder.delimiter, 1)[-1] if folder.delimiter else folder.name


def _depth(folder: ListedFolder) -> int:
    return folder.name.count(folder.delimiter) if folder.delimiter else 0
