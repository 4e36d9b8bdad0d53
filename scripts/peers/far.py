"""A server that hands out files by ranges and takes its time to begin.

A thread for each connection; the bytes go by sendfile, so that what is measured
is who asks and not who answers. `shaped` is what one connection brings, as on a
way that is long rather than narrow.
"""

import os
import socket
import sys
import threading
import time


class Far:
    """`with Far(folder, delay=0.05) as far: far.url("name")`"""

    def __init__(self, folder, delay=0.0, shaped=None):
        self.folder, self.delay, self.shaped = folder, delay, shaped
        self.requests = 0

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.listen, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.socket.close()

    def url(self, name):
        return f"http://127.0.0.1:{self.port}/{name}"

    def listen(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = connection.makefile("rb")
        try:
            while self.answer(connection, reader):
                pass
        except OSError:
            pass
        finally:
            connection.close()

    def answer(self, connection, reader):
        line = reader.readline().split()
        if len(line) < 2:
            return False
        headers = {}
        while (text := reader.readline().strip()) != b"":
            name, _, value = text.partition(b":")
            headers[name.lower()] = value.strip()
        self.requests += 1
        path = os.path.join(self.folder, os.path.basename(line[1].decode()))
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            asked = headers.get(b"range", b"").removeprefix(b"bytes=").decode()
            first, _, last = asked.partition("-")
            begin = int(first or 0)
            end = min(int(last) + 1 if last else size, size)
            time.sleep(self.delay)
            head = f"HTTP/1.1 {206 if asked else 200} OK\r\nContent-Length: {end - begin}\r\n"
            head += f'Accept-Ranges: bytes\r\nETag: "{size:x}"\r\n'
            if asked:
                head += f"Content-Range: bytes {begin}-{end - 1}/{size}\r\n"
            connection.sendall(head.encode() + b"\r\n")
            if line[0] != b"HEAD":
                self.send(connection, file, begin, end)
        return True

    def send(self, connection, file, begin, end):
        start = time.monotonic()
        at = begin
        while at < end:
            step = end - at if self.shaped is None else min(end - at, 256 << 10)
            at += os.sendfile(connection.fileno(), file.fileno(), at, step)
            if self.shaped is not None:
                due = start + (at - begin) / self.shaped
                time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    # By itself: FOLDER [SECONDS [BYTES_A_SECOND]]
    folder, *rest = sys.argv[1:]
    delay = float(rest[0]) if rest else 0.0
    shaped = float(rest[1]) if len(rest) > 1 else None
    with Far(folder, delay, shaped) as far:
        print(far.port, flush=True)
        threading.Event().wait()
