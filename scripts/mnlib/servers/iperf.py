# SPDX-License-Identifier: Apache-2.0
"""iperf3: four streams each way; as many bytes received as were sent. A thread for each stream from
3.16 on, no threads before."""

import json

from . import net
from .base import Server, Wrong, figure_in, find

STREAMS = 4


class Iperf(Server):
    name = 'iperf3, 4 streams'
    programs = ('iperf3',)
    unit = 'MB/s'

    def prepare(self):
        self.port = net.free_port()
        self.threads = figure_in(r'iperf 3\.(\d+)', self.client('iperf3', '--version')) >= 16

    def argv(self):
        return [find('iperf3'), '-s', '-B', net.HOST, '-p', str(self.port)]

    def probe(self):
        self._measure('-n', '1000')

    def load(self):
        return {'receives': self._measure('-t', self.load_seconds),
                'sends': self._measure('-t', self.load_seconds, '-R')}

    def _measure(self, *options):
        out = self.client('iperf3', '-c', net.HOST, '-p', self.port, '-P', STREAMS, '-J', *options)
        report = json.loads(out)
        if 'error' in report:
            raise Wrong(f'iperf3: {report["error"]}')
        end = report['end']
        if len(end['streams']) != STREAMS or end['sum_received']['bytes'] <= 0:
            raise Wrong(f'iperf3: {len(end["streams"])} streams, '
                        f'{end["sum_received"]["bytes"]} bytes')
        return end['sum_received']['bits_per_second'] / 8e6
