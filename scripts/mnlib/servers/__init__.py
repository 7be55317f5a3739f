# SPDX-License-Identifier: Apache-2.0
"""Servers that nobody here wrote, under load: one module each."""

from .apache import Apache
from .echo import Echo
from .haproxy import Haproxy
from .iperf import Iperf
from .mariadb import MariaDb
from .memcached import Memcached
from .nginx import Nginx
from .redis import Redis
from .stunnel import Stunnel
from .unbound import Unbound
from .varnish import Varnish

ALL = [Memcached, Redis, MariaDb, Stunnel, Apache, Nginx, Haproxy, Varnish, Unbound, Echo, Iperf]
