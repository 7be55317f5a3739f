# SPDX-License-Identifier: Apache-2.0
"""haproxy with four threads in front of a native nginx."""

import signal

from . import net, web
from .base import Server, find

CONFIGURATION = '''global
  nbthread 4
  maxconn 4000
  no strict-limits
defaults
  mode http
  timeout connect 30s
  timeout client 60s
  timeout server 60s
frontend front
  bind {host}:{port} backlog 4096
  default_backend files
backend files
  http-reuse always
  server nginx {host}:{backend}
'''


class Haproxy(Server):
    name = 'haproxy, nbthread 4'
    programs = ('haproxy', 'nginx', 'wrk', 'ab')
    stop_signal = signal.SIGUSR1    # its "soft stop"; in the foreground SIGTERM just kills it
    _backend = None

    def prepare(self):
        self.port = net.free_port()
        self._backend = web.Backend(self)
        self.write('haproxy.cfg', CONFIGURATION.format(host=net.HOST, port=self.port,
                                                       backend=self._backend.port))

    def argv(self):
        return [find('haproxy'), '-db', '-f', self.path('haproxy.cfg')]

    def probe(self):
        web.probe(self.port)

    def load(self):
        web.check_files(self.port)
        figures = {'keep-alive': web.wrk(self, self.port, '/page')}
        web.ab(self, self.port, '/page', 3_000)
        return figures

    def close(self):
        if self._backend:
            self._backend.close()
