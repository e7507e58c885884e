"""Which addresses of Redis and of Sentinels are taken, and what they mean."""

from __future__ import annotations

import pytest
from redis.sentinel import SentinelConnectionPool

from prx_email_site import redis_address
from prx_email_site.environment import SettingError
from prx_email_site.settings.broker import broker_address


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("redis+sentinel://one/prx", ([("one", 26379)], "prx", {"db": 0})),
        ("redis+sentinel://one:1,two:2/prx/3", ([("one", 1), ("two", 2)], "prx", {"db": 3})),
        (
            "redis+sentinel://:p%40ss@[::1]:1,two/prx",
            ([("::1", 1), ("two", 26379)], "prx", {"db": 0, "password": "p@ss"}),
        ),
        ("redis+sentinel://ann:secret@one/prx", ([("one", 26379)], "prx", {"db": 0, "username": "ann",
                                                                         "password": "secret"})),
    ],
)  # fmt: skip
def test_sentinels_with_what_their_master_is_told(address: str, expected: object) -> None:
    assert redis_address.read_sentinels(address) == expected


@pytest.mark.parametrize(
    "address",
    [
        *("redis+sentinel://one", "redis+sentinel:///prx", "redis+sentinel://one:x/prx", "redis+sentinel://one/prx/x"),
        *("redis+sentinel://one,,two/prx", "http://one", "one:6379"),
    ],
)
def test_what_cannot_be_read_stops_the_start_with_the_form(address: str) -> None:
    with pytest.raises(SettingError, match=r"PRX_EMAIL_BROKER_URL: .*HOST"):
        broker_address(address)


@pytest.mark.parametrize("address", ["", "redis://one:6379/0", "rediss://one/0", "redis+sentinel://one/prx"])
def test_what_can_be_read_is_left_as_it_is(address: str) -> None:
    assert broker_address(address) == address


def test_limits_hold_for_the_sentinels_too() -> None:
    client = redis_address.connect("redis+sentinel://:secret@one/prx", socket_timeout=3)
    pool = client.connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    (sentinel,) = pool.sentinel_manager.sentinels
    told = (sentinel.connection_pool.connection_kwargs, pool.connection_kwargs)
    assert [each["socket_timeout"] for each in told] == [3, 3]
    assert [each.get("password") for each in told] == [None, "secret"]
