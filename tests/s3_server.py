"""An S3 server for tests, that counts what it is asked and fails when it is told to.

In front of moto's server, which keeps everything in the memory of this process; or of a real one, named by
MEMO_TEST_S3_ENDPOINT, to which requests are handed on as they are. Run as a program: it prints its port, and ends
when its standard input does. What is asked below ``/_tests/`` is for itself alone:

- ``POST /_tests/forget``: begin to count afresh, and stop failing;
- ``GET /_tests/requests``: what was asked since, as JSON: ``[["GET", "/bucket/key?query"], …]``;
- ``POST /_tests/fail?method=PUT&part=data/&after=1&how=cut&times=1``: of the requests of that method whose path and
  query hold that part, let so many pass, and then, so many times, cut the connection (``cut``), carry the request out
  and cut the connection then (``lose``), or answer with an error of that status and, if one follows, of that code
  (``503``, ``409:OperationAborted``);
- ``POST /_tests/fill``: the body is JSON: ``{"bucket": …, "objects": {key: text, …}}``. Only in front of moto.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Callable, Iterable
from socket import SHUT_RDWR
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from werkzeug.serving import WSGIRequestHandler, make_server

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Watched:
    """An application that is counted and made to fail."""

    def __init__(self, application: WSGI) -> None:
        self.application = application
        self.requests: list[tuple[str, str]] = []
        self.failing: dict[str, str] | None = None
        self.lock = Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path, query = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]
        if path.startswith("/_tests/"):
            answer = json.dumps(self.control(path.rpartition("/")[2], dict(parse_qsl(query)), environ)).encode()
            start_response("200 OK", [("Content-Length", str(len(answer)))])
            return [answer]
        asked = f"{path}?{query}" if query else path
        with self.lock:
            self.requests.append((method, asked))
            how = self.fails(method, asked)
        if how == "":
            return self.application(environ, start_response)
        status, _, code = how.partition(":")
        if status.isdigit():
            body(environ)
            answer = f"<Error><Code>{code}</Code><Message>As told</Message></Error>".encode() if code else b""
            start_response(f"{status} As Told", [("Content-Length", str(len(answer)))])
            return [answer]
        if how == "lose":
            for _ in self.application(environ, lambda *_: None):
                pass
        environ["werkzeug.socket"].shutdown(SHUT_RDWR)
        raise ConnectionAbortedError

    def fails(self, method: str, asked: str) -> str:
        told = self.failing
        if told is None or told.get("method", method) != method or told.get("part", "") not in asked:
            return ""
        after, times = int(told.get("after", 0)), int(told.get("times", 1_000_000))
        if after > 0:
            told["after"] = str(after - 1)
            return ""
        told["times"] = str(times - 1)
        return told["how"] if times > 0 else ""

    def control(self, what: str, arguments: dict[str, str], environ: dict[str, Any]) -> Any:
        if what == "requests":
            return self.requests
        if what == "forget":
            self.requests, self.failing = [], None
        elif what == "fail":
            self.failing = arguments
        elif what == "fill":
            fill(**json.loads(body(environ)))
        else:
            raise ValueError(what)
        return None


def body(environ: dict[str, Any]) -> bytes:
    if environ.get("wsgi.input_terminated"):
        return bytes(environ["wsgi.input"].read())
    return bytes(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))


def fill(bucket: str, objects: dict[str, str]) -> None:
    from moto.s3.models import s3_backends

    backend = s3_backends["123456789012"]["aws"]
    for key, text in objects.items():
        backend.put_object(bucket, key, text.encode())


def moto() -> WSGI:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    application: WSGI = DomainDispatcherApplication(create_backend_app)
    return application


def forwarding(endpoint: str) -> WSGI:
    address = urlsplit(endpoint).netloc

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        headers = {name[5:].replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")}
        for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if environ.get(name):
                headers[name.replace("_", "-")] = environ[name]
        headers.pop("EXPECT", None)
        headers.pop("CONNECTION", None)
        connection = http.client.HTTPConnection(address)
        try:
            connection.request(environ["REQUEST_METHOD"], environ["RAW_URI"], body(environ), headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        passed = [each for each in answer.getheaders() if each[0].lower() not in {"connection", "transfer-encoding"}]
        if environ["REQUEST_METHOD"] != "HEAD":
            passed = [each for each in passed if each[0].lower() != "content-length"]
            passed.append(("Content-Length", str(len(content))))
        start_response(f"{answer.status} {answer.reason}", passed)
        return [content]

    return application


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        """Say nothing."""

    def connection_dropped(self, *_: Any) -> None:
        """Say nothing."""


def main() -> None:
    endpoint = os.environ.get("MEMO_TEST_S3_ENDPOINT")
    application = Watched(forwarding(endpoint) if endpoint else moto())
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
