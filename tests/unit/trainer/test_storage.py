"""Stores: the same behaviour for folders and S3, errors translated, stutters survived, keys read from their folders."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import trainer_factories as make
from attune_contract.enums import Role, Stage
from attune_contract.runconfig import Credentials, RunConfig
from attune_trainer.context import Context
from attune_trainer.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    InvalidConfigurationError,
    ObjectNotFoundError,
    SecretNotFoundError,
    StageError,
    StoreUnreachableError,
)
from attune_trainer.storage import s3
from attune_trainer.storage.base import Store
from attune_trainer.storage.file import FileStore
from attune_trainer.storage.resolve import Stores, read_keys
from attune_trainer.storage.retry import Retry
from tiny_s3 import Behaviour, serving

KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


class Clock:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def behaviour() -> Behaviour:
    return Behaviour()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def s3_store(behaviour: Behaviour, clock: Clock) -> Iterator[s3.S3Store]:
    with serving(behaviour) as endpoint:
        client = s3.client({**KEYS, "AWS_ENDPOINT_URL": endpoint})
        yield s3.S3Store(client, "keys from Secret data-store", Retry(60, clock.now, clock.sleep))


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, s3_store: s3.S3Store) -> tuple[Store, str]:
    return (FileStore(), f"file://{tmp_path}/root") if request.param == "file" else (s3_store, "s3://bucket/root")


def test_objects_come_back_as_they_were_written(place: tuple[Store, str], tmp_path: Path) -> None:
    store, root = place
    (tmp_path / "local").write_bytes(b"from a file")
    store.put(f"{root}/a/one.txt", b"one")
    store.put_file(f"{root}/a/two.txt", tmp_path / "local")
    store.get(f"{root}/a/two.txt", tmp_path / "back" / "two.txt")

    assert store.read(f"{root}/a/one.txt") == b"one"
    assert (tmp_path / "back" / "two.txt").read_bytes() == b"from a file"
    assert store.head(f"{root}/a/two.txt").size == 11


def test_listing_is_by_prefix_and_sorted(place: tuple[Store, str]) -> None:
    store, root = place
    for name in ("b/3", "a/2", "a/1", "ab", "a/deep/4", "c d"):
        store.put(f"{root}/{name}", b"x")

    assert [i.uri for i in store.list(f"{root}/a/")] == [f"{root}/{n}" for n in ("a/1", "a/2", "a/deep/4")]
    assert [i.uri for i in store.list(f"{root}/a")] == [f"{root}/{n}" for n in ("a/1", "a/2", "a/deep/4", "ab")]
    assert list(store.list(f"{root}/none/")) == []


def test_folders_are_those_right_below_a_prefix(place: tuple[Store, str]) -> None:
    store, root = place
    for name in ("runs/b/deep/1", "runs/b/2", "runs/a/3", "runs/file", "other/4"):
        store.put(f"{root}/{name}", b"x")

    assert list(store.folders(f"{root}/runs/")) == ["a", "b"]
    assert list(store.folders(f"{root}/none/")) == []


def test_deleting_twice_is_no_error(place: tuple[Store, str]) -> None:
    store, root = place
    store.put(f"{root}/x", b"x")
    store.delete(f"{root}/x")
    store.delete(f"{root}/x")

    with pytest.raises(ObjectNotFoundError):
        store.head(f"{root}/x")


@pytest.mark.parametrize("method", ["head", "open", "read"])
def test_a_missing_object_is_named(place: tuple[Store, str], method: str) -> None:
    store, root = place
    store.put(f"{root}/there", b"x")
    with pytest.raises(ObjectNotFoundError, match=f"{root}/missing"):
        getattr(store, method)(f"{root}/missing")


@pytest.mark.parametrize(
    ("uri", "change", "error"),
    [
        pytest.param("s3://nowhere/x", {}, BucketNotFoundError, id="no-bucket"),
        pytest.param("s3://bucket/x", {}, ObjectNotFoundError, id="no-object"),
        pytest.param("s3://bucket/x", {"deny": True}, AccessDeniedError, id="denied"),
        pytest.param("s3://bucket/x", {"busy": 10_000}, StoreUnreachableError, id="busy-for-ever"),
    ],
)
@pytest.mark.parametrize("method", ["head", "read", "list"])
def test_errors_are_translated(
    s3_store: s3.S3Store, behaviour: Behaviour, uri: str, change: dict[str, Any], error: type[StageError], method: str
) -> None:
    vars(behaviour).update(change)
    if method == "list" and error is ObjectNotFoundError:
        assert list(s3_store.list(uri)) == []
        return
    with pytest.raises(error, match=uri):
        list(s3_store.list(uri)) if method == "list" else getattr(s3_store, method)(uri)


def test_writing_into_a_missing_bucket_is_translated(s3_store: s3.S3Store, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    with pytest.raises(BucketNotFoundError):
        s3_store.put("s3://nowhere/x", b"x")
    with pytest.raises(BucketNotFoundError):
        s3_store.put_file("s3://nowhere/x", tmp_path / "f")


def test_a_store_that_nobody_runs_is_unreachable(clock: Clock) -> None:
    client = s3.client({**KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    with pytest.raises(StoreUnreachableError, match="cannot be reached"):
        s3.S3Store(client, "", Retry(60, clock.now, clock.sleep)).head("s3://bucket/x")

    assert 50 < clock.time <= 60


def test_a_stuttering_store_is_asked_again(s3_store: s3.S3Store, behaviour: Behaviour, clock: Clock) -> None:
    behaviour.objects["bucket/x"] = b"content"
    behaviour.busy = 4

    assert s3_store.read("s3://bucket/x") == b"content"
    assert clock.time == 0.5 + 1 + 2 + 4


def test_a_read_goes_on_where_the_connection_broke(s3_store: s3.S3Store, behaviour: Behaviour) -> None:
    content = bytes(range(256)) * 8192
    behaviour.objects["bucket/x"] = content
    behaviour.cut = (300_001, 3)

    with s3_store.open("s3://bucket/x") as stream:
        assert stream.read() == content


def test_a_file_does_not_begin_anew_because_of_one_part(behaviour: Behaviour, clock: Clock, tmp_path: Path) -> None:
    """Of thousands of parts one will fail; `Retry` sends all of them again."""
    beats: list[int] = []
    with serving(behaviour) as endpoint:
        keys = {**KEYS, "AWS_ENDPOINT_URL": endpoint}
        transfers = s3.client(keys, s3.PART_ATTEMPTS)
        store = s3.S3Store(s3.client(keys), "", Retry(60, clock.now, clock.sleep), transfers, lambda: beats.append(1))
        (tmp_path / "f").write_bytes(b"content")
        behaviour.busy = 2
        store.put_file("s3://bucket/f", tmp_path / "f")
        sent = len(beats)
        behaviour.busy = 2
        store.get("s3://bucket/f", tmp_path / "back")

    assert (tmp_path / "back").read_bytes() == b"content"
    assert clock.time == 0, "the client repeated its part by itself"
    assert 0 < sent < len(beats), "each piece is a sign of life"


def test_stores_are_opened_with_both_ways_of_asking_again(tmp_path: Path) -> None:
    made: Any = stores(tmp_path, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-west-1"})
    opened = made.open(Role.DATA, "s3://bucket/x")

    assert opened._client.meta.config.retries["total_max_attempts"] == 1
    assert opened._transfers.meta.config.retries["total_max_attempts"] == s3.PART_ATTEMPTS


def test_uploads_that_never_became_objects_go_below_a_prefix_alone(s3_store: s3.S3Store, behaviour: Behaviour) -> None:
    behaviour.uploads = {str(i): f"bucket/runs/mine/{i}" for i in range(5)} | {"9": "bucket/runs/other/x"}
    s3_store.drop_uploads("s3://bucket/runs/mine/")

    assert behaviour.uploads == {"9": "bucket/runs/other/x"}


@pytest.mark.parametrize(
    ("failures", "patience", "calls"),
    [
        pytest.param(0, 60, 1, id="at-once"),
        pytest.param(3, 60, 4, id="after-three"),
        pytest.param(99, 3, 3, id="patience-ends"),
    ],
)
def test_retry(clock: Clock, failures: int, patience: float, calls: int) -> None:
    made = 0

    def call() -> str:
        nonlocal made
        made += 1
        if made <= failures:
            raise StoreUnreachableError("down")
        return "up"

    retry = Retry(patience, clock.now, clock.sleep)
    if failures < calls:
        assert retry(call) == "up"
    else:
        with pytest.raises(StoreUnreachableError):
            retry(call)
    assert made == calls


def stores(tmp_path: Path, files: dict[str, str] | None, *, local: bool = True, **environment: str) -> Stores:
    folder = tmp_path / "secret"
    folder.mkdir()
    for name, value in (files or {}).items():
        (folder / name).write_text(value)
    document = make.document(tmp_path) | {"local": local}
    config = RunConfig.model_validate(document)
    if files is not None:
        given = Credentials(secret="data-store", field="spec.dataset.credentialsSecret", directory=str(folder))
        config = config.model_copy(update={"credentials": {Role.DATA: given}})
    return Stores(config, environment)


def test_a_missing_secret_is_named_with_its_field(tmp_path: Path) -> None:
    with pytest.raises(SecretNotFoundError) as caught:
        stores(tmp_path, {}).open(Role.DATA, "s3://bucket/x")

    assert str(caught.value).startswith(
        "spec.dataset.credentialsSecret: there is no Secret data-store in namespace laptop"
    )


def test_a_secret_without_a_key_is_named_with_the_key(tmp_path: Path) -> None:
    with pytest.raises(AccessDeniedError, match="has no AWS_SECRET_ACCESS_KEY; it has AWS_ACCESS_KEY_ID"):
        stores(tmp_path, {"AWS_ACCESS_KEY_ID": "a"}).open(Role.DATA, "s3://bucket/x")


def test_keys_are_read_anew_so_that_a_rotation_is_seen(tmp_path: Path) -> None:
    made = stores(tmp_path, {"AWS_ACCESS_KEY_ID": "old\n", "AWS_SECRET_ACCESS_KEY": "s"})
    before = made.keys(Role.DATA)["AWS_ACCESS_KEY_ID"]
    (tmp_path / "secret" / "AWS_ACCESS_KEY_ID").write_text("new\n")

    assert (before, made.keys(Role.DATA)["AWS_ACCESS_KEY_ID"]) == ("old", "new")


def test_an_attempt_takes_keys_that_were_rotated_while_it_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(s3, "client", lambda keys, *_: opened.append(keys["AWS_ACCESS_KEY_ID"]))
    made = stores(tmp_path, {"AWS_ACCESS_KEY_ID": "old", "AWS_SECRET_ACCESS_KEY": "s"})
    work = made.config.workload
    output = work.model_copy(update={"output": work.output.model_copy(update={"uri": "s3://bucket/out"})})
    keys = {Role.OUTPUT: made.config.credentials[Role.DATA]}
    config = made.config.model_copy(update={"workload": output, "credentials": keys})
    given: Any = None
    context = Context(config, Stage.TRAIN, {}, tmp_path, given, given, given)
    at_first = context.run
    (tmp_path / "secret" / "AWS_ACCESS_KEY_ID").write_text("new")
    later: Any = context.run_with(Retry(600))

    assert (opened[0], opened[-1]) == ("old", "new")
    assert later.root == at_first.root
    assert later.store._retry.patience == 600


def test_a_mounted_secret_has_hidden_folders_that_are_no_keys(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "HF_TOKEN").write_text("t")
    (tmp_path / "HF_TOKEN").symlink_to(tmp_path / "..data" / "HF_TOKEN")

    assert read_keys(tmp_path) == {"HF_TOKEN": "t"}


def test_without_a_secret_keys_come_from_the_environment(tmp_path: Path) -> None:
    made = stores(tmp_path, None, AWS_ACCESS_KEY_ID="a", PATH="/bin")

    assert made.keys(Role.DATA) == {"AWS_ACCESS_KEY_ID": "a"}


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        pytest.param("file:///x", "file:// is for laptops", id="file-in-a-cluster"),
        pytest.param("hf://org/name", "for models only", id="hub"),
        pytest.param("ftp://x/y", "expected s3://", id="unknown"),
    ],
)
def test_uris_that_have_no_store_in_a_cluster(tmp_path: Path, uri: str, says: str) -> None:
    with pytest.raises(InvalidConfigurationError, match=says):
        stores(tmp_path, None, local=False).open(Role.DATA, uri)
