# SPDX-License-Identifier: Apache-2.0
"""Runs test cases of one of CPython's own test modules: one.py RESULTS SECONDS MODULE [CASE...].

Adds a line of JSON to RESULTS as each case begins and ends, so that it is known which of them crashed
or hung; cases that RESULTS has already are not run again. A case that takes longer than SECONDS ends the
process with the stacks of all threads. Run by scripts/cpython.py.
"""

import faulthandler
import json
import os
import sys
import unittest

END = 'the end of the process'


class Results(unittest.TestResult):
    def __init__(self, file, seconds):
        super().__init__()
        self._file = file
        self._seconds = seconds
        self._worst = None

    def note(self, case, result, why=''):
        # One write: children of a test that fork may have the file, too.
        line = json.dumps({'case': case, 'result': result, 'why': why[-4000:]})
        os.write(self._file, line.encode() + b'\n')

    def startTest(self, test):
        super().startTest(test)
        faulthandler.dump_traceback_later(self._seconds, exit=True)
        self._worst = ('passed', '')
        self.note(test.id(), 'begins')

    def stopTest(self, test):
        super().stopTest(test)
        faulthandler.cancel_dump_traceback_later()
        self.note(test.id(), *self._worst)
        self._worst = None

    def _came(self, test, result, error=None):
        why = self._exc_info_to_string(error, test) if error else ''
        if self._worst is None:    # of a class or module as a whole
            self.note(test.id(), result, why)
        elif self._worst[0] != 'failed':
            self._worst = (result, why)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._came(test, 'failed', err)

    def addError(self, test, err):
        super().addError(test, err)
        self._came(test, 'failed', err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._came(test, 'failed', err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._came(test, 'skipped')

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self._came(test, 'fails as expected')

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._came(test, 'failed')


def each(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from each(test)
        else:
            yield test


def main(path, seconds, module, *only):
    from test import support    # pylint: disable=import-outside-toplevel
    support.use_resources = ['network']    # the host's own; nothing that is large or long
    with open(path, 'a+') as file:
        file.seek(0)
        known = {json.loads(line)['case'] for line in file}
    suite = unittest.defaultTestLoader.loadTestsFromName('test.' + module)
    wanted = unittest.TestSuite(test for test in each(suite)
                                if test.id() not in known and (not only or test.id() in only))
    results = Results(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC), float(seconds))
    wanted.run(results)
    faulthandler.dump_traceback_later(float(seconds), exit=True)


if __name__ == '__main__':
    main(*sys.argv[1:])
