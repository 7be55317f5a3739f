# SPDX-License-Identifier: Apache-2.0
"""nginx that reads files with aio threads: two workers, each with a pool of 16."""

from . import net, web
from .base import Server

# Without sendfile each read of a file is a task for the pool.
MAIN = '''user root;
master_process on;
thread_pool readers threads=16;
'''
SERVER = '''aio threads=readers;
    sendfile off;
    output_buffers 2 32k;'''


class Nginx(Server):
    name = 'nginx, aio threads'
    programs = ('nginx', 'wrk', 'ab')

    def prepare(self):
        self.port = net.free_port()
        web.write_files(self.path('files'))

    def argv(self):
        return web.nginx_argv(self.folder, self.port, MAIN, SERVER, workers=2)

    def probe(self):
        web.probe(self.port)

    def load(self):
        web.check_files(self.port)
        figures = {'64 KiB': web.wrk(self, self.port, '/medium')}
        web.ab(self, self.port, '/page', 3_000)
        return figures
