"""S3 and what speaks its protocol, through boto3."""

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import boto3
from botocore.config import Config

from attune_contract import uris
from attune_trainer.errors import ObjectNotFoundError
from attune_trainer.storage.base import ObjectInfo
from attune_trainer.storage.errors import translated
from attune_trainer.storage.retry import Retry

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PART_ATTEMPTS = 5
"""How often a part of a file is sent or asked for before the file has failed."""
_BUFFER = 1 << 20


class S3Store:
    """`s3://bucket/key` URIs under one set of keys.

    Args:
        client: a boto3 client for S3 that does not retry by itself.
        whose: where its keys came from, for messages.
        retry: how failures of the store itself are repeated.
        transfers: the client for whole files, which repeats each part by itself: a file of thousands of parts must
            not begin anew because of one. Left out: `client`.
        beat: told of each piece of a file that goes to or fro; called in threads.
    """

    def __init__(
        self,
        client: "S3Client",
        whose: str,
        retry: Retry,
        transfers: "S3Client | None" = None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._whose = whose
        self._retry = retry
        self._transfers = transfers or client
        self._beat = beat

    def head(self, uri: str) -> ObjectInfo:
        """See `Store.head`."""
        bucket, key = _split(uri)
        try:
            answer = self._call(uri, lambda: self._client.head_object(Bucket=bucket, Key=key))
        except ObjectNotFoundError:
            self._demand_bucket(uri)
            raise
        return ObjectInfo(uri, answer["ContentLength"], answer["ETag"].strip('"'), answer.get("VersionId"))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See `Store.list`. Listings tell no version ids; `head` does."""
        bucket, _ = _split(prefix)
        for page in self._pages(prefix):
            for item in page.get("Contents", []):
                yield ObjectInfo(f"s3://{bucket}/{item['Key']}", item["Size"], item["ETag"].strip('"'))

    def folders(self, prefix: str) -> Iterator[str]:
        """See `Store.folders`."""
        _, key = _split(prefix)
        for page in self._pages(prefix, Delimiter="/"):
            yield from (item["Prefix"].removeprefix(key).rstrip("/") for item in page.get("CommonPrefixes", []))

    def open(self, uri: str) -> BinaryIO:
        """See `Store.open`."""
        info = self.head(uri)
        return cast("BinaryIO", io.BufferedReader(_Resuming(self, info), _BUFFER))

    def read(self, uri: str) -> bytes:
        """See `Store.read`."""
        with self.open(uri) as stream:
            return stream.read()

    def get(self, uri: str, path: Path) -> None:
        """See `Store.get`."""
        bucket, key = _split(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._call(uri, lambda: self._transfers.download_file(bucket, key, str(path), Callback=self._moved))

    def put(self, uri: str, data: bytes) -> None:
        """See `Store.put`."""
        bucket, key = _split(uri)
        self._call(uri, lambda: self._client.put_object(Bucket=bucket, Key=key, Body=data))

    def put_file(self, uri: str, path: Path) -> None:
        """See `Store.put_file`."""
        bucket, key = _split(uri)
        self._call(uri, lambda: self._transfers.upload_file(str(path), bucket, key, Callback=self._moved))

    def delete(self, uri: str) -> None:
        """See `Store.delete`."""
        bucket, key = _split(uri)
        self._call(uri, lambda: self._client.delete_object(Bucket=bucket, Key=key))

    def drop_uploads(self, prefix: str) -> None:
        """See `Store.drop_uploads`."""
        bucket, key = _split(prefix)
        asked: Any = {"Bucket": bucket, "Prefix": key}
        while True:
            page = self._call(prefix, partial(self._client.list_multipart_uploads, **asked))
            for each in page.get("Uploads", []):
                self._call(prefix, partial(self._drop_upload, bucket, each["Key"], each["UploadId"]))
            if not page.get("IsTruncated"):
                return
            asked |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def _drop_upload(self, bucket: str, key: str, upload: str) -> None:
        with suppress(self._client.exceptions.NoSuchUpload):  # it was completed or dropped meanwhile
            self._client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)

    def _moved(self, _bytes: int) -> None:
        self._beat()

    def read_from(self, info: ObjectInfo, start: int) -> Any:
        """The body of an object from byte `start` on; the object must still be the one that `info` describes."""
        bucket, key = _split(info.uri)
        return self._call(
            info.uri,
            lambda: self._client.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-", IfMatch=info.etag)["Body"],
        )

    def _pages(self, prefix: str, **more: Any) -> Iterator[Any]:
        bucket, key = _split(prefix)
        asked: Any = {"Bucket": bucket, "Prefix": key, **more}
        while True:
            page = self._call(prefix, partial(self._client.list_objects_v2, **asked))
            yield page
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    def _call(self, uri: str, call: Any) -> Any:
        def once() -> Any:
            with translated(uri, self._whose):
                return call()

        return self._retry(once)

    def _demand_bucket(self, uri: str) -> None:
        """Tells a missing bucket, or keys that nobody knows, from a missing object.

        Some stores answer HEAD with 404 to all three, and HEAD has no body that would say which.
        """
        bucket, key = _split(uri)
        self._call(uri, lambda: self._client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1))

    def again(self, uri: str, call: Any) -> Any:
        """Runs a read of a body under the same translation and patience as every other call."""
        return self._call(uri, call)


class _Resuming(io.RawIOBase):
    """The bytes of one object; a connection that breaks in the middle is opened again at the same place."""

    def __init__(self, store: S3Store, info: ObjectInfo) -> None:
        self._store = store
        self._info = info
        self._position = 0
        self._body: Any = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._info.size:
            return 0
        data = self._store.again(self._info.uri, lambda: self._piece(len(buffer)))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _piece(self, size: int) -> bytes:
        if self._body is None:
            self._body = self._store.read_from(self._info, self._position)
        try:
            data: bytes = self._body.read(min(size, self._info.size - self._position))
        except Exception:
            self._drop()
            raise
        if not data:
            self._drop()
            raise ConnectionError("the connection ended before the object did")
        return data

    def _drop(self) -> None:
        if self._body is not None:
            with suppress(Exception):
                self._body.close()
        self._body = None

    def close(self) -> None:
        self._drop()
        super().close()


def client(keys: dict[str, str], attempts: int = 1) -> "S3Client":
    """A boto3 client.

    Args:
        keys: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL; any that is
            missing is left to the pod's own identity.
        attempts: how often it asks before a request has failed. One where `Retry` repeats the call.
    """
    endpoint = keys.get("AWS_ENDPOINT_URL")
    config = Config(
        connect_timeout=5,
        read_timeout=30,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        # Path style: endpoints of one's own rarely have DNS names per bucket.
        s3={"addressing_style": "path" if endpoint else "auto"},
        # Other stores than AWS do not all know the newer checksums; ours are sha256 in the Outcome.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.client(
        "s3",
        aws_access_key_id=keys.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=keys.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=keys.get("AWS_SESSION_TOKEN"),
        region_name=keys.get("AWS_REGION", "us-east-1" if endpoint else None),
        endpoint_url=endpoint,
        config=config,
    )


def _split(uri: str) -> tuple[str, str]:
    parsed = uris.parse(uri)
    return parsed.authority, parsed.path
