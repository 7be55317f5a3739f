# SPDX-License-Identifier: Apache-2.0
"""What a comparison is written as.

words    sentences and the table of mn compare
figures  JSON; schema.json describes it
page     one HTML page, with the plots of plots
summary  the Markdown of mn ci
machine  what it was measured on
"""
