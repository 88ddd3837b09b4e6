import { execFile } from 'node:child_process';
import { openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { isTerminal, RawMode, windowSize } from '../src/index.ts';
import { codeOf, python } from './support.ts';

const CHILD = fileURLToPath(new URL('terminal-child.ts', import.meta.url));

/**
 * Python owns a pseudo-terminal and looks at its attributes from outside: before the child runs, while it says it is in
 * raw mode, and after it has ended. The terminal is descriptor 9 of the child: Node itself restores its standard streams at
 * some of these ends, and that must not be what is observed.
 */
const OBSERVER = `
import json, os, pty, signal, sys, termios
child_program, node, ending, signal_name = sys.argv[1:5]
master, slave = pty.openpty()
whole = termios.tcgetattr(slave)
their_input, our_output = os.pipe()
our_input, their_output = os.pipe()
signal.alarm(30)
pid = os.fork()
if pid == 0:
    os.login_tty(os.dup(slave))
    for fd, end in enumerate((their_input, their_output, their_output)): os.dup2(end, fd)
    os.dup2(slave, 9)
    os.execv(node, [node, child_program, ending])
def flags():
    a = termios.tcgetattr(slave)
    return {'icanon': bool(a[3] & termios.ICANON), 'echo': bool(a[3] & termios.ECHO), 'isig': bool(a[3] & termios.ISIG),
            'icrnl': bool(a[0] & termios.ICRNL), 'opost': bool(a[1] & termios.OPOST)}
output = b''
def until(word):
    global output
    while word not in output:
        output += os.read(our_input, 1000)
result = {}
until(b'raw\\n')
result['raw'] = flags()
if ending == 'trap':
    until(b'RuntimeError')
    result['afterTrap'] = flags()
if signal_name and ending != 'handled':
    os.kill(pid, getattr(signal, signal_name))
else:
    os.write(our_output, b'x')
if ending == 'handled':
    os.kill(pid, signal.SIGTERM)
    until(b'handled')
    result['afterHandled'] = flags()
    os.kill(pid, signal.SIGHUP)
if ending == 'dispose':
    until(b'disposed')
    result['disposed'] = termios.tcgetattr(slave) == whole
    os.write(our_output, b'x')
_, status = os.waitpid(pid, 0)
result['restored'] = termios.tcgetattr(slave) == whole
result['status'] = 'SIG' + signal.Signals(os.WTERMSIG(status)).name[3:] if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
print(json.dumps(result))
`;

interface Observation {
  raw: Record<string, boolean>;
  afterTrap?: Record<string, boolean>;
  afterHandled?: Record<string, boolean>;
  disposed?: boolean;
  restored: boolean;
  status: string | number;
}

async function observe(ending: string, signal = ''): Promise<Observation> {
  const { stdout } = await promisify(execFile)('python3', [
    '-c',
    OBSERVER,
    CHILD,
    process.execPath,
    ending,
    signal,
  ]);
  return JSON.parse(stdout);
}

const RAW = { icanon: false, echo: false, isig: false, icrnl: false, opost: true };

describe('RawMode', () => {
  it('is left by disposing', async () => {
    expect(await observe('dispose')).toEqual({ raw: RAW, disposed: true, restored: true, status: 0 });
  });

  it.each([
    ['return', 0],
    ['exit', 3],
    ['throw', 1],
    ['abort', 'SIGABRT'],
  ])('is left at the end of the process by %s', async (ending, status) => {
    expect(await observe(ending)).toEqual({ raw: RAW, restored: true, status });
  });

  it.each([
    'SIGSEGV',
    'SIGBUS',
    'SIGABRT',
    'SIGTERM',
    'SIGHUP',
    'SIGINT',
    'SIGQUIT',
    'SIGILL',
    'SIGFPE',
    'SIGSYS',
    'SIGTRAP',
  ])('is left when the process ends by %s, which it still ends by', async (signal) => {
    expect(await observe('signal', signal)).toEqual({ raw: RAW, restored: true, status: signal });
  });

  it('stays through a WebAssembly trap, which is a signal too', async () => {
    expect(await observe('trap', 'SIGSEGV')).toEqual({
      raw: RAW,
      afterTrap: RAW,
      restored: true,
      status: 'SIGSEGV',
    });
  });

  it('stays through a signal that JavaScript handles', async () => {
    expect(await observe('handled')).toEqual({
      raw: RAW,
      afterHandled: RAW,
      restored: true,
      status: 'SIGHUP',
    });
  });

  it('can leave the characters that send signals alone', async () => {
    const { raw, restored } = await observe('keep-signals', 'SIGTERM');
    expect(raw).toEqual({ ...RAW, isig: true });
    expect(restored).toBe(true);
  });

  it('is for terminals only', () => {
    const nothing = openSync('/dev/null', 'r');
    expect(isTerminal(nothing)).toBe(false);
    expect(isTerminal(1_000_000)).toBe(false);
    expect(codeOf(() => new RawMode(nothing))).toBe('ENOTTY');
    expect(codeOf(() => windowSize(nothing))).toBe('ENOTTY');
  });
});

describe('a terminal', () => {
  it('is in raw mode once, and tells its size', () => {
    const program = `
import fcntl, os, pty, struct, sys, termios
pid, master = pty.fork()
if pid == 0:
    os.read(0, 1)
    os.execv(sys.argv[1], [sys.argv[1], '--input-type=module-typescript', '-e', sys.argv[2]])
fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack('HHHH', 43, 132, 1320, 860))
os.write(master, b'\\n')
output = b''
try:
    while True: output += os.read(master, 1000)
except OSError: pass
print(output.decode())
`;
    const script = `
      import { isTerminal, RawMode, windowSize } from ${JSON.stringify(new URL('../src/index.ts', import.meta.url).href)};
      const mode = new RawMode(0);
      let code;
      try { new RawMode(1); } catch (error) { code = error.code; }
      mode[Symbol.dispose]();
      new RawMode(0)[Symbol.dispose]();
      console.log(JSON.stringify({ terminal: isTerminal(1), code, size: windowSize(0) }));
    `;
    const output = python(program, process.execPath, script);
    expect(JSON.parse(/\{.*\}/.exec(output)?.[0] ?? '')).toEqual({
      terminal: true,
      code: 'EBUSY',
      size: { columns: 132, rows: 43, pixelWidth: 1320, pixelHeight: 860 },
    });
  });
});
