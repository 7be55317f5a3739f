# SPDX-License-Identifier: Apache-2.0
"""Servers that nobody here wrote, under load: one module each."""

from .memcached import Memcached

ALL = [Memcached]
