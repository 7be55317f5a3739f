# SPDX-License-Identifier: Apache-2.0
"""Echoes on 127.0.0.1:PORT, a thread for each connection, until SIGTERM."""

import signal
import socketserver
import sys
import threading


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while True:
            data = self.request.recv(65536)
            if not data:
                break
            self.request.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 4096


with Server(('127.0.0.1', int(sys.argv[1])), Echo) as server:
    # shutdown() waits for serve_forever() to return, so not in the thread that runs it.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
