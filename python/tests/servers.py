"""Servers to read from and write to, in this process: of files, and of objects."""

import contextlib
import hashlib
import http.server
import re
import threading
import urllib.parse

from conftest import MIB, pattern


class Handler(http.server.BaseHTTPRequestHandler):
    """What both have in common: answers with a length, and ranges of a content."""

    protocol_version = "HTTP/1.1"

    def say(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def say_content(self, content, tag):
        headers = {"ETag": f'"{tag}"', "Accept_Ranges": "bytes"}
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not span:
            return self.say(200, content, **headers)
        start, end = int(span[1]), min(int(span[2] or len(content) - 1), len(content) - 1)
        headers["Content_Range"] = f"bytes {start}-{end}/{len(content)}"
        return self.say(206, content[start : end + 1], **headers)

    def log_message(self, *_words):
        pass


class Files(Handler):
    """Serves `server.content` to those who send `server.wanted`."""

    def answer(self):
        server = self.server
        if self.path == "/hangs" and "Range" in self.headers:
            server.hung.set()
            server.go_on.wait(60)
        name, value = server.wanted
        if self.headers.get(name) != value:
            return self.say(401)
        return self.say_content(server.content, "1")

    do_GET = do_HEAD = answer

    def do_CONNECT(self):
        # A proxy: what comes next on this connection is for the server.
        self.server.connected.append(self.path)
        self.send_response(200)
        self.end_headers()


class Service(Handler):
    """As much of S3 as a copy needs; it looks for a key, and at no signature."""

    def answer(self):
        server = self.server
        path, _, query = self.path.partition("?")
        query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        credential = query.get("X-Amz-Credential", "nobody")
        server.askers.add((credential.split("/")[0], query.get("X-Amz-Security-Token")))
        key = urllib.parse.unquote(path)
        upload = query.get("uploadId")
        if self.command in ("GET", "HEAD") and "uploads" not in query and not upload:
            return self.read(server.objects.get(key))
        if self.command == "POST" and upload:
            parts = server.uploads.pop(upload)
            server.objects[key] = b"".join(parts[number] for number in sorted(parts))
            return self.say_result("CompleteMultipartUpload", b"<ETag>x</ETag>")
        if self.command == "POST":
            server.uploads["1"] = {}
            return self.say_result("InitiateMultipartUpload", b"<UploadId>1</UploadId>")
        if self.command == "GET":
            return self.say_result("ListMultipartUploads", b"<IsTruncated>false</IsTruncated>")
        if self.command == "PUT":
            if upload:
                server.uploads[upload][int(query["partNumber"])] = body
            else:
                server.objects[key] = body
            return self.say(200, ETag=f'"{hashlib.md5(body).hexdigest()}"')
        return self.say(405)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def read(self, content):
        if content is None:
            return self.say(404, b"<Error><Code>NoSuchKey</Code><Message>x</Message></Error>")
        return self.say_content(content, hashlib.md5(content).hexdigest())

    def say_result(self, name, fields):
        name = name.encode() + b"Result"
        return self.say(200, b"<" + name + b">" + fields + b"</" + name + b">")


@contextlib.contextmanager
def serving(handler, **state):
    """A server with `state` for its handler, until the end of a `with`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    vars(server).update(state)
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def of_files():
    hung, go_on = threading.Event(), threading.Event()
    state = {"content": pattern(3 * MIB), "wanted": ("X-None", None), "connected": []}
    with serving(Files, hung=hung, go_on=go_on, **state) as server:
        server.proxy, server.address = server.address, server.address + "/image"
        try:
            yield server
        finally:
            go_on.set()


@contextlib.contextmanager
def of_objects():
    with serving(Service, objects={}, uploads={}, askers=set()) as server:
        server.told = {
            "endpoint_url": server.address,
            "aws_access_key_id": "AKID",
            "aws_secret_access_key": "secret-word",
        }
        yield server
