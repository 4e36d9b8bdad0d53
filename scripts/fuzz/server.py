"""A small server of one object, which breaks off or is busy now and then."""

import http.server
import random
import re
import threading


class Quiet(http.server.ThreadingHTTPServer):
    """Clients that are killed break their connections: nothing to say of that."""

    daemon_threads = True

    def handle_error(self, *_):
        pass


class Server:
    """Serves `object` at `address` until it is closed."""

    def __init__(self):
        self.object = b""
        self.version = 0
        self.faults = 0.0
        self.ranges = True
        self.random = random.Random(0)
        self.lock = threading.Lock()
        self.http = Quiet(("127.0.0.1", 0), handler(self))
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}/object"

    def show(self, content, faults, ranges, seed):
        """Another object, and how often an answer is spoilt."""
        with self.lock:
            self.object, self.faults, self.ranges = content, faults, ranges
            self.version += 1
            self.random = random.Random(seed)

    def close(self):
        self.http.shutdown()
        self.http.server_close()


def handler(server):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.answer(False)

        def do_GET(self):
            self.answer(True)

        def answer(self, with_body):
            with server.lock:
                content, tag = server.object, f'"{server.version}"'
                chance = server.random.random()
                cut = server.random.random()
                ranges, faults = server.ranges, server.faults
            if self.headers.get("If-Match", tag) != tag:
                return self.head(412, 0)
            if chance < faults / 3:
                return self.head(503, 0, [("Retry-After", "0")])
            start, end, status = 0, len(content), 200
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if wanted and ranges:
                start = int(wanted[1])
                end = min(len(content), int(wanted[2]) + 1) if wanted[2] else len(content)
                status = 206
                if start >= len(content):
                    return self.head(416, 0, [("Content-Range", f"bytes */{len(content)}")])
            fields = [("ETag", tag)]
            if ranges:
                fields.append(("Accept-Ranges", "bytes"))
            if status == 206:
                fields.append(("Content-Range", f"bytes {start}-{end - 1}/{len(content)}"))
            self.head(status, end - start, fields)
            if not with_body:
                return None
            body = content[start:end]
            if chance < faults and len(body) > 1 and ranges:
                body = body[:int(cut * len(body))]
                self.close_connection = True
            try:
                self.wfile.write(body)
            except OSError:
                self.close_connection = True
            return None

        def head(self, status, length, fields=()):
            self.send_response(status)
            for name, value in fields:
                self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()

    return Handler
