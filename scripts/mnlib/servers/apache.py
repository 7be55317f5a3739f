# SPDX-License-Identifier: Apache-2.0
"""apache2 with the worker MPM: two processes of 32 threads, a graceful restart under load."""

import os
import signal
import threading

from . import net, web
from .base import Server, Wrong, find

MODULES = '/usr/lib/apache2/modules'
CONFIGURATION = '''ServerRoot {folder}
ServerName localhost
DefaultRuntimeDir {folder}
PidFile {folder}/pid
Listen {host}:{port}
ListenBacklog 1024
User www-data
Group www-data
LoadModule mpm_worker_module {modules}/mod_mpm_worker.so
LoadModule authz_core_module {modules}/mod_authz_core.so
ServerLimit 4
StartServers 2
ThreadsPerChild 32
MaxRequestWorkers 128
MinSpareThreads 32
MaxSpareThreads 128
MaxKeepAliveRequests 0
GracefulShutdownTimeout 20
ErrorLog {folder}/error.log
LogLevel warn
DocumentRoot {folder}/files
<Directory {folder}/files>
  Require all granted
</Directory>
'''


class Apache(Server):
    name = 'apache2, mpm_worker'
    programs = ('apache2', 'wrk', 'ab')

    def prepare(self):
        self.port = net.free_port()
        web.write_files(self.path('files'))
        self.write('apache2.conf', CONFIGURATION.format(folder=self.folder, host=net.HOST,
                                                        port=self.port, modules=MODULES))

    def argv(self):
        return [find('apache2'), '-DFOREGROUND', '-f', self.path('apache2.conf')]

    def probe(self):
        web.probe(self.port)

    def probe_restarted(self):
        with open(self.path('error.log'), errors='replace') as log:
            if log.read().count('resuming normal operations') < 2:
                raise Wrong('did not restart')

    def load(self):
        web.check_files(self.port)
        figures = {'keep-alive': web.wrk(self, self.port, '/page'),
                   'new connections': web.ab(self, self.port, '/page',
                                             4_000 if self.quick else 20_000)}
        # Children that are replaced finish what they have begun.
        restart = threading.Timer(0.1, os.kill, (self.daemon.pid, signal.SIGUSR1))
        restart.start()
        try:
            web.ab(self, self.port, '/medium', 4_000)
        finally:
            restart.join()
        # A SIGTERM that comes while apache turns to its next generation is forgotten, natively too
        # (its unset_signals()).
        self.daemon.wait_until_ready(self.probe_restarted, self.start_seconds)
        return figures

    def logs(self):
        return [self.path('error.log')]
