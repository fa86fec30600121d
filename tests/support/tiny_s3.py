"""An S3 endpoint of a hundred lines on loopback, for what a healthy server never does: to stutter, refuse and hang up.

The real server's behaviour is tested on the cluster; here the client is, over real HTTP.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Behaviour:
    """What the server has and does.

    Args:
        objects: content by `bucket/key`.
        buckets: names that exist.
        busy: how many of the next requests are answered with 503.
        deny: whether every request is refused.
        cut: hang up after so many bytes of a body, this often: (bytes, times).
        uploads: `bucket/key` of uploads in parts that never became objects, by their id.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    buckets: set[str] = field(default_factory=lambda: {"bucket"})
    busy: int = 0
    deny: bool = False
    cut: tuple[int, int] = (0, 0)
    uploads: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    """Serves until the block ends; gives the endpoint's URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(behaviour))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _handler(state: Behaviour) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - a server's verbs, each simple
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _dispatch(self) -> None:
            path = unquote(urlsplit(self.path).path).strip("/")
            query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.requests.append(f"{self.command} {path}")
            bucket = path.partition("/")[0]
            if state.busy > 0:
                state.busy -= 1
                self._error(503, "SlowDown")
            elif state.deny:
                self._error(403, "InvalidAccessKeyId")
            elif bucket not in state.buckets:
                self._error(404, "NoSuchBucket")
            elif "uploads" in query:
                self._list_uploads(bucket, query)
            elif "uploadId" in query:
                gone = state.uploads.pop(query["uploadId"][0], None)
                self._answer(204, b"") if gone else self._error(404, "NoSuchUpload")
            elif "/" not in path:
                self._list(bucket, query)
            else:
                self._object(path, body)

        do_GET = do_HEAD = do_PUT = do_DELETE = _dispatch  # noqa: N815 - the standard library's names

        def _object(self, path: str, body: bytes) -> None:
            if self.command == "PUT":
                state.objects[path] = body
                self._answer(200, b"")
            elif self.command == "DELETE":
                state.objects.pop(path, None)
                self._answer(204, b"")
            elif path not in state.objects:
                self._error(404, "NoSuchKey")
            else:
                self._read(state.objects[path])

        def _read(self, content: bytes) -> None:
            etag = f'"{abs(hash(content)):x}"'
            if self.headers.get("If-Match") not in {None, etag, etag.strip('"')}:
                self._error(412, "PreconditionFailed")
                return
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            start = int(asked[1]) if asked else 0
            size, times = state.cut
            if times and self.command == "GET":
                state.cut = (size, times - 1)
                self._answer(206, content[start:], {"ETag": etag}, only=size)
            else:
                self._answer(206 if asked else 200, content[start:], {"ETag": etag})

        def _list(self, bucket: str, query: dict[str, list[str]]) -> None:
            prefix = f"{bucket}/{query.get('prefix', [''])[0]}"
            after = query.get("continuation-token", [""])[0]
            found = sorted(k for k in state.objects if k.startswith(prefix) and k > after)
            if query.get("delimiter") == ["/"]:
                names = sorted({k.removeprefix(prefix).partition("/")[0] for k in found if "/" in k[len(prefix) :]})
                folders = "".join(
                    f"<CommonPrefixes><Prefix>{prefix.partition('/')[2]}{name}/</Prefix></CommonPrefixes>"
                    for name in names
                )
                answer = f"<ListBucketResult><IsTruncated>false</IsTruncated>{folders}</ListBucketResult>"
                self._answer(200, answer.encode())
                return
            page, rest = found[:2], found[2:]
            items = "".join(
                f"<Contents><Key>{k.partition('/')[2]}</Key><Size>{len(state.objects[k])}</Size>"
                f'<ETag>"{abs(hash(state.objects[k])):x}"</ETag></Contents>'
                for k in page
            )
            more = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if rest else ""
            cut = f"<IsTruncated>{str(bool(rest)).lower()}</IsTruncated>"
            self._answer(200, f"<ListBucketResult>{cut}{more}{items}</ListBucketResult>".encode())

        def _list_uploads(self, bucket: str, query: dict[str, list[str]]) -> None:
            prefix, after = f"{bucket}/{query.get('prefix', [''])[0]}", query.get("upload-id-marker", [""])[0]
            found = sorted(i for i, key in state.uploads.items() if key.startswith(prefix) and i > after)
            page, rest = found[:2], found[2:]
            items = "".join(
                f"<Upload><Key>{state.uploads[i].partition('/')[2]}</Key><UploadId>{i}</UploadId></Upload>"
                for i in page
            )
            marks = (
                f"<NextKeyMarker>x</NextKeyMarker><NextUploadIdMarker>{page[-1]}</NextUploadIdMarker>" if rest else ""
            )
            cut = f"<IsTruncated>{str(bool(rest)).lower()}</IsTruncated>"
            self._answer(200, f"<ListMultipartUploadsResult>{cut}{marks}{items}</ListMultipartUploadsResult>".encode())

        def _error(self, status: int, code: str) -> None:
            self._answer(status, f"<Error><Code>{code}</Code><Message>as told</Message></Error>".encode())

        def _answer(
            self, status: int, body: bytes, headers: dict[str, str] | None = None, only: int | None = None
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[:only])
            if only is not None and only < len(body):
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler
