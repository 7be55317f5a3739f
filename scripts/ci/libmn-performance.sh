#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fails when your program gained less from libmn than it used to. Copy this file and change the
# three lines below. The first run writes the baseline: commit it. Exit status: mn ci --help.
set -eu

program=${PROGRAM:-./app --benchmark}      # what to measure; some tenths of a second at least
baseline=${BASELINE:-libmn-baseline.json}  # ratios of M:N to 1:1: they hold on other machines, too
fail_below=${FAIL_BELOW:-0.95}             # how much of the baseline's ratio there must be

# A figure of the program's own instead of wall time:  --metric 'qps: ([\d.]+)'
# A server and its load:  --server './app -p 8080' --wait 8080 --load 'wrk http://localhost:8080'
# shellcheck disable=SC2086  # one word for each argument
exec mn ci --baseline "$baseline" --write-baseline --fail-below "$fail_below" \
  --timeout 300 --max-seconds 600 -- $program
