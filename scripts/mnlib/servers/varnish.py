# SPDX-License-Identifier: Apache-2.0
"""varnish in front of a native nginx: most answers come from its cache, a worker thread each."""

import http.client

from . import net, web
from .base import Server, Wrong, find

VCL = '''vcl 4.1;
backend files {{ .host = "{host}"; .port = "{backend}"; }}
sub vcl_recv {{ if (req.url == "/one") {{ return (pass); }} }}
sub vcl_backend_response {{ set beresp.ttl = 10m; }}
sub vcl_deliver {{ set resp.http.X-Hits = obj.hits; }}
'''


class Varnish(Server):
    name = 'varnish'
    programs = ('varnishd', 'nginx', 'wrk', 'ab', 'gcc')
    _backend = None

    def prepare(self):
        self.port = net.free_port()
        self._backend = web.Backend(self)
        self.write('files.vcl', VCL.format(host=net.HOST, backend=self._backend.port))

    def argv(self):
        return [find('varnishd'), '-F', '-n', self.path('varnish'), '-j', 'none', '-a',
                f'{net.HOST}:{self.port}', '-T', 'none', '-s', 'malloc,64m', '-f',
                self.path('files.vcl'), '-p', 'thread_pools=2', '-p', 'thread_pool_min=50',
                '-p', 'thread_pool_max=500']

    def probe(self):
        web.probe(self.port)

    def load(self):
        web.check_files(self.port)
        figures = {'keep-alive': web.wrk(self, self.port, '/page')}
        web.ab(self, self.port, '/page', 3_000)
        web.ab(self, self.port, '/one', 1_000)
        connection = http.client.HTTPConnection(net.HOST, self.port, timeout=net.SECONDS)
        connection.request('GET', '/page')
        hits = connection.getresponse().headers['X-Hits']
        connection.close()
        if int(hits) < 1_000:
            raise Wrong(f'/page came from the cache {hits} times only')
        return figures

    def close(self):
        if self._backend:
            self._backend.close()
