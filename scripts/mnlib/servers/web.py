# SPDX-License-Identifier: Apache-2.0
"""Loads for web servers and proxies: files whose content is known, wrk and ab, and an nginx that
runs natively behind a proxy."""

import http.client
import os
import re

from . import net
from .base import Daemon, Wrong, figure_in, find

SIZES = {'one': 1, 'small': 100, 'page': 4096, 'medium': 65_536, 'large': 1_048_579}
CONNECTIONS = 64


def write_files(folder):
    os.makedirs(folder)
    for name, size in SIZES.items():
        with open(os.path.join(folder, name), 'wb') as file:
            file.write(net.content(name, size))
    os.chmod(folder, 0o755)


def get(connection, path):
    connection.request('GET', path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def probe(port):
    connection = http.client.HTTPConnection(net.HOST, port, timeout=net.SECONDS)
    try:
        status, body = get(connection, '/small')
    except http.client.HTTPException as error:
        raise Wrong(f'{type(error).__name__}: {error}') from error
    finally:
        connection.close()
    if (status, body) != (200, net.content('small', SIZES['small'])):
        raise Wrong(f'answered {status} with {len(body)} bytes')


def check_files(port, clients=16, rounds=10):
    """Every file, many times, on connections that stay, must be what was written."""
    expected = {name: net.content(name, size) for name, size in SIZES.items()}

    def one(index):
        connection = http.client.HTTPConnection(net.HOST, port, timeout=net.SECONDS)
        try:
            for turn in range(rounds):
                names = list(expected)
                for name in names[(index + turn) % len(names):] + names:
                    status, body = get(connection, '/' + name)
                    if status != 200 or body != expected[name]:
                        raise Wrong(f'/{name}: status {status}, {len(body)} bytes')
                status, _ = get(connection, '/missing')
                if status != 404:
                    raise Wrong(f'/missing: status {status}')
        except http.client.HTTPException as error:
            raise Wrong(f'{type(error).__name__}: {error}') from error
        finally:
            connection.close()

    net.in_threads(clients, one)


def wrk(server, port, path, connections=CONNECTIONS):
    """Requests a second over connections that stay; every answer must be good."""
    out = server.client('wrk', '-t1', f'-c{connections}', f'-d{server.load_seconds}s',
                        '--timeout', f'{net.SECONDS}s', f'http://{net.HOST}:{port}{path}')
    for bad in ('Socket errors', 'Non-2xx'):
        line = re.search(rf'^.*{bad}.*$', out, re.M)
        if line:
            raise Wrong(f'wrk {path}: {line[0].strip()}')
    return figure_in(r'Requests/sec:\s+([\d.]+)', out)


def ab(server, port, path, requests):
    """Requests a second, a new connection for each; all answered, all of the right length."""
    out = server.client('ab', '-q', '-n', requests, '-c', CONNECTIONS, '-s', net.SECONDS,
                        f'http://{net.HOST}:{port}{path}')
    complete, failed, length = (int(figure_in(rf'{what}:\s+(\d+)', out)) for what in
                                ('Complete requests', 'Failed requests', 'Document Length'))
    if (complete, failed, length) != (requests, 0, SIZES[path.strip('/')]) or 'Non-2xx' in out:
        raise Wrong(f'ab {path}: {complete} of {requests} complete, {failed} failed, '
                    f'{length} bytes')
    return figure_in(r'Requests per second:\s+([\d.]+)', out)


NGINX = '''daemon off;
pid {folder}/pid;
error_log stderr warn;
worker_processes {workers};
{main}
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  scgi_temp_path {folder}/scgi;
  uwsgi_temp_path {folder}/uwsgi;
  server {{
    listen {host}:{port} backlog=4096;
    root {folder}/files;
    {server}
  }}
}}
'''


def nginx_argv(folder, port, main='', server='', workers=1):
    """Writes an nginx configuration and gives the command that uses it."""
    path = os.path.join(folder, 'nginx.conf')
    with open(path, 'w') as file:
        file.write(NGINX.format(folder=folder, host=net.HOST, port=port, main=main, server=server,
                                workers=workers))
    os.chmod(folder, 0o755)
    return [find('nginx'), '-p', folder, '-c', path, '-e', 'stderr']


class Backend:
    """An nginx that runs natively and serves the files."""

    def __init__(self, server):
        folder = server.path('backend')
        os.makedirs(folder)
        write_files(os.path.join(folder, 'files'))
        self.port = net.free_port()
        argv = nginx_argv(folder, self.port, main='user root;')
        self._daemon = Daemon(argv, server.env, folder)
        try:
            self._daemon.wait_until_ready(lambda: probe(self.port), server.start_seconds)
        except Wrong:
            self._daemon.kill()
            raise

    def close(self):
        self._daemon.kill()
