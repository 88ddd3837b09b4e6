"""Runs a program on a terminal of its own and says what it did to it.

Arguments: a JSON list of steps, then the program and its arguments. A step is ["expect", TEXT], which waits for the
program to print it, ["send", TEXT], ["signal", NUMBER] or ["modes"], which notes the terminal's modes. Prints JSON.
"""

import fcntl
import json
import os
import select
import sys
import termios

DEADLINE_SECONDS = 30


def main():
    steps, program = json.loads(sys.argv[1]), sys.argv[2:]
    master, slave = os.openpty()
    before = modes(slave)
    child = os.fork()
    if child == 0:
        os.close(master)
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for standard in range(3):
            os.dup2(slave, standard)
        os.close(slave)
        os.execvp(program[0], program)
    output, noted, seen = b"", [], 0

    def read():
        nonlocal output
        if not select.select([master], [], [], DEADLINE_SECONDS)[0]:
            os.kill(child, 9)
            sys.exit("nothing happened after: " + output.decode("latin1"))
        output += os.read(master, 65536)

    for kind, *argument in steps:
        if kind == "expect":
            wanted = argument[0].encode("latin1")
            while (at := output.find(wanted, seen)) < 0:
                read()
            seen = at + len(wanted)
        elif kind == "send":
            os.write(master, argument[0].encode("latin1"))
        elif kind == "signal":
            os.kill(child, argument[0])
        else:
            noted.append(modes(slave))
    status = None
    while status is None:
        done, code = os.waitpid(child, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(code)
        # The slave is open here too, so that the end of the program is not the end of the output.
        while select.select([master], [], [], 0 if done else 0.02)[0]:
            output += os.read(master, 65536)
    result = {
        "status": status,
        "output": output.decode("latin1"),
        "before": before,
        "during": noted,
        "after": modes(slave),
    }
    print(json.dumps(result))


def modes(descriptor):
    """The input, output, control and local modes."""
    return termios.tcgetattr(descriptor)[:4]


main()
