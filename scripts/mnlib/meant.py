# SPDX-License-Identifier: Apache-2.0
"""What somebody meant who wrote a word that is not known."""

import difflib

NEAR = 0.7    # how much of both words is the same, in order


def nearest(word, known):
    """The word of `known` that is most like it, or that it begins, large or small; None: none is like it."""
    small = {each.lower(): each for each in known}
    word = word.lower()
    longer = sorted((each for each in small if word and each.startswith(word)), key=len)
    return small.get(next(iter(longer or difflib.get_close_matches(word, small, 1, NEAR)), None))


def did_you_mean(word, known):
    """What ends a message that a word is not known."""
    found = nearest(word, known)
    return f'; did you mean {found}?' if found else ''
