# SPDX-License-Identifier: Apache-2.0
"""What bash, zsh and fish complete after mn."""

import re

import tables

HEAD = '# Generated (scripts/manual): changes are lost.'


def kind(value):
    """files, programs, processes; '' for what no shell can know."""
    words = {'files': tables.FILES, 'programs': tables.PROGRAMS, 'processes': tables.PROCESSES}
    return next((name for name, values in words.items() if value in values), '')


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def names(options, wanted=lambda option: True):
    return [name for option in options if wanted(option) for name in option.names]


# --- bash

BASH = '''
# The word at which the program to run begins; that of the cursor, or a later one, when none does yet.
# Sets `after` to the option whose value the cursor is at.
_mn_program() {
    local values=" $1 " i=2
    after=
    while ((i < COMP_CWORD)); do
        case ${COMP_WORDS[i]} in
            --) ((i++)); break ;;
            -*) if [[ $values == *" ${COMP_WORDS[i]} "* ]]; then
                    after=${COMP_WORDS[i]}
                    ((i++))
                    [[ ${COMP_WORDS[i]} == = ]] && ((i++))
                    ((i < COMP_CWORD)) && after=
                fi ;;
            *) break ;;
        esac
        ((i++))
    done
    program=$i
}

_mn_values() {
    case $1 in
        files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
        programs) mapfile -t COMPREPLY < <(compgen -c -- "$cur") ;;
        processes) mapfile -t COMPREPLY < <(cd /proc && compgen -W "$(echo [1-9]*)" -- "$cur") ;;
        commands) mapfile -t COMPREPLY < <(compgen -W '@NAMES@' -- "$cur") ;;
    esac
}

_mn() {
    local cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} options values runs after program
    COMPREPLY=()
    [[ $cur == = ]] && cur=
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W '@FIRST@' -- "$cur")
        return
    fi
    case $command in
@COMMANDS@
        *) return ;;
    esac
    _mn_program "$values"
    case $command$after in
@VALUES@
    esac
    [[ -n $after ]] && return
    if [[ $cur == -* && ${COMP_WORDS[COMP_CWORD-1]} != -- ]] && [[ $runs != programs || $program -ge $COMP_CWORD ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    elif [[ $runs != programs ]]; then
        _mn_values $runs
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$program"
    elif ((program < COMP_CWORD)); then
        _mn_values files
    else
        _mn_values programs
    fi
}

complete -F _mn mn'''


def bash(mn, commands):
    known, values = [], []
    for command in commands:
        runs = 'processes' if command.wants_process else 'commands' if command.wants_command else 'programs'
        with_value = names(command.options, lambda option: option.value)
        known.append(f"        {command.name}) options='{' '.join(names(command.options))}' "
                     f"values='{' '.join(with_value)}' runs={runs} ;;")
        for option in command.options:
            if kind(option.value):
                patterns = '|'.join(command.name + name for name in option.names)
                values.append(f'        {patterns}) _mn_values {kind(option.value)} ;;')
    each = ' '.join(command.name for command in commands)
    first = ' '.join([each, *names(mn.options)])
    text = BASH.replace('@FIRST@', first).replace('@NAMES@', each).replace('@COMMANDS@', '\n'.join(known))
    return [HEAD, *text.replace('@VALUES@', '\n'.join(values)).split('\n')]


# --- zsh

ZSH_VALUES = {'files': '_files', 'programs': ' _command_names -e', 'processes': '_pids', '': ' '}


def zsh(mn, commands):
    made = ['#compdef mn', HEAD, '', '_mn() {', '    local context state state_descr line',
            '    typeset -A opt_args', '    local -a known', '    known=(']
    made += [f'        {quoted(f"{command.name}:{command.text}")}' for command in commands]
    made += ['    )', '    _arguments -C \\']
    made += [f'        {zsh_option(option)} \\' for option in mn.options]
    made += ["        '1:command:->command' '*::argument:->argument'",
             '    case $state in', "        command) _describe 'command' known ;;", '        argument)',
             '            case $words[1] in']
    for command in commands:
        made.append(f'                {command.name}) _arguments -S \\')
        made += [f'                    {zsh_option(option)} \\' for option in command.options]
        made.append("                    '1:process:_pids' ;;" if command.wants_process else
                    f"                    '1:command:({' '.join(each.name for each in commands)})' ;;" if command.wants_command else
                    "                    '(-)1:program: _command_names -e' '*::argument:_normal' ;;")
    return [*made, '            esac ;;', '    esac', '}', '', '_mn "$@"']


def zsh_option(option):
    text = re.sub(r'([]:[])', r'\\\1', option.text)
    value = f':{re.sub("[][:]", "", option.value)}:{ZSH_VALUES[kind(option.value)]}' if option.value else ''
    each = [quoted(f'{"*" if option.repeatable else ""}{name}[{text}]{value}') for name in option.names]
    return ' '.join(each)


# --- fish

FISH = '''
function __mn_command
    set -l words (commandline -opc)
    test "$words[2]" = "$argv[1]"
end

function __mn_no_command
    test (count (commandline -opc)) -eq 1
end

# What fish completes for the program to run. $argv: the options of mn's that have values.
function __mn_program
    set -l words (commandline -opc)[3..-1]
    while set -q words[1]
        switch $words[1]
            case --
                set -e words[1]
                break
            case '-*'
                contains -- $words[1] $argv; and set -q words[2]; and set -e words[1]
                set -e words[1]
            case '*'
                break
        end
    end
    set words (string escape -- $words)
    complete -C"$words "(commandline -ct)
end

complete -c mn -f'''


def fish(mn, commands):
    made = [HEAD, *FISH.split('\n')]
    made += [f"complete -c mn -n __mn_no_command -a {command.name} -d {quoted(command.text)}" for command in commands]
    made += [f'complete -c mn -n __mn_no_command {fish_option(option)}' for option in mn.options]
    for command in commands:
        condition = f"complete -c mn -n '__mn_command {command.name}'"
        made += [f'{condition} {fish_option(option)}' for option in command.options]
        if command.wants_process:
            made.append(f"{condition} -a '(__fish_complete_pids)'")
        elif command.wants_command:
            made.append(f"{condition} -a '{' '.join(each.name for each in commands)}'")
        else:
            with_value = ' '.join(names(command.options, lambda option: option.value))
            made.append(f"{condition} -a '(__mn_program {with_value})'")
    return made


FISH_VALUES = {'files': '-r -F', 'programs': "-x -a '(__fish_complete_command)'",
               'processes': "-x -a '(__fish_complete_pids)'", '': '-x'}


def fish_option(option):
    parts = [f'-l {name[2:]}' if name.startswith('--') else f'-s {name[1:]}' for name in option.names]
    if option.value:
        parts.append(FISH_VALUES[kind(option.value)])
    return ' '.join([*parts, '-d', quoted(option.text)])
