# SPDX-License-Identifier: Apache-2.0
"""What scripts/mn, the demo and the test runners share.

preload   can a program be preloaded, and the environment that does it
proctree  what /proc tells about a process and its descendants
process   run a command with a time limit; say where it hangs
measure   run a command once and say what it cost
sample    input data for the programs
compare   the same command at 1:1 and at M:N, in turn; medians and tables
suite     the preload tests and programs, and what each must show
verdict   was libmn at work, and was the result right
traces    reads what MN_TRACE wrote
foreign   text that others wrote, made safe to show
terminal  what the terminal can show, and lines that fit into it
ends      how a tool begins and ends
settings  the MN_ variables: which there are, and which values will do
aside     computes in a process of its own what may take for ever
meant     what somebody meant who wrote a word that is not known
files     files that users name: which are read, and which written
commands  the commands of scripts/mn, a module each
"""
