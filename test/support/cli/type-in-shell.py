# type-in-shell.py SECONDS TYPED EXPECTED SHELL...: types into a shell on a terminal, then Enter once EXPECTED is shown, and prints what is shown until the command has ended.
import os, pty, re, select, sys, time

seconds, typed, expected, *shell = sys.argv[1:]
deadline = time.monotonic() + float(seconds)
pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(TERM="dumb", PS1="ready> ", COLUMNS="400")
    os.execvp(shell[0], shell)

shown = b""
PROMPT = rb"ready> (?:\x1b[^a-zA-Z]*[a-zA-Z]| )*$"


def wait(pattern, after=0):
    global shown
    while time.monotonic() < deadline:
        if re.search(pattern, shown[after:]):
            return True
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:
                return False
    return False


wait(PROMPT)
before = len(shown)
os.write(terminal, typed.encode())
if wait(re.escape(expected).encode(), before):
    entered = len(shown)
    # Not the next prompt: a shell may show one each time it draws the line anew.
    os.write(terminal, b"; echo e''nd\r")
    wait(rb"\nend\r", entered)
os.kill(pid, 9)
sys.stdout.buffer.write(shown[before:])
