"""The door before a store: bytes go through unchanged, or not at all, as it is told."""

import http.client
import time
from collections.abc import Iterator

import pytest

from peril.door import Asked, Door, Mode
from tiny_s3 import Behaviour, serving

BODY = bytes(range(256)) * 1000


@pytest.fixture
def store() -> Behaviour:
    return Behaviour(objects={"bucket/a": BODY})


@pytest.fixture
def door(store: Behaviour) -> Iterator[Door]:
    with serving(store) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        with Door("127.0.0.1", (host, int(port))).serving() as opened:
            yield opened


def ask(door: Door, verb: str, path: str, body: bytes | None = None, timeout: float = 5) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(door.host, door.port, timeout=timeout)
    try:
        connection.request(verb, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_an_open_door_passes_everything_on(door: Door, store: Behaviour) -> None:
    assert ask(door, "PUT", "/bucket/b", BODY)[0] == 200
    assert store.objects["bucket/b"] == BODY
    assert ask(door, "GET", "/bucket/a") == (200, BODY)
    assert door.asked == [Asked("PUT", "/bucket/b"), Asked("GET", "/bucket/a")]


def test_a_door_that_is_shut_refuses_and_opens_again(door: Door) -> None:
    door.become(Mode.SHUT)
    with pytest.raises(ConnectionRefusedError):
        ask(door, "GET", "/bucket/a")
    door.become(Mode.OPEN)
    assert ask(door, "GET", "/bucket/a") == (200, BODY)


def test_a_busy_door_answers_503_and_the_store_hears_nothing(door: Door, store: Behaviour) -> None:
    door.become(Mode.BUSY)
    status, said = ask(door, "PUT", "/bucket/b", BODY)
    assert (status, b"SlowDown" in said) == (503, True)
    assert (store.requests, door.refused) == ([], 1)


def test_a_silent_door_takes_a_request_and_lets_it_wait(door: Door, store: Behaviour) -> None:
    door.become(Mode.SILENT)
    with pytest.raises(TimeoutError):
        ask(door, "GET", "/bucket/a", timeout=0.5)
    assert store.requests == []


def test_a_slow_door_takes_its_time(door: Door) -> None:
    door.rate = 512_000
    door.become(Mode.SLOW)
    began = time.monotonic()
    assert ask(door, "GET", "/bucket/a") == (200, BODY)
    assert time.monotonic() - began > 0.4, "256,000 bytes at 512,000 a second"


def test_a_trap_closes_at_the_request_that_it_waits_for(door: Door, store: Behaviour) -> None:
    door.set_trap(lambda asked: Mode.SHUT if asked.verb == "PUT" else None)
    assert ask(door, "GET", "/bucket/a")[0] == 200
    assert not door.sprung.is_set()
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        ask(door, "PUT", "/bucket/b", BODY)
    assert door.sprung.is_set()
    assert "bucket/b" not in store.objects
    with pytest.raises(ConnectionRefusedError):
        ask(door, "GET", "/bucket/a")
    door.become(Mode.OPEN)
    assert ask(door, "PUT", "/bucket/b", BODY)[0] == 200


def test_uploads_are_slow_too(door: Door, store: Behaviour) -> None:
    door.rate = 512_000
    door.become(Mode.SLOW)
    began = time.monotonic()
    assert ask(door, "PUT", "/bucket/b", BODY)[0] == 200
    assert time.monotonic() - began > 0.4
    assert store.objects["bucket/b"] == BODY
