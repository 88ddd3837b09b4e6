import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { openExecutor } from '../src/index.ts';
import { availableKinds } from './support/kinds.ts';

test('the kernel decides which one is chosen, and the reason says so', async () => {
  const kinds = await availableKinds();
  const { executor, reason } = openExecutor();
  await using _executor = executor;
  expect(executor.kind).toBe(kinds[0]);
  expect(reason).toMatch(executor.kind === 'uring' ? /^io_uring/ : /^epoll .*because/);
});

test('where rings are forbidden there are threads, and who insists is told why', () => {
  // Python makes a filter that answers io_uring_setup with EPERM, as a container's does, and becomes Node under it.
  const filter = `
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
code = b''.join(struct.pack('<HBBI', *i) for i in (
    (0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)))
data = ctypes.create_string_buffer(code)
program = struct.pack('<HxxxxxxQ', 4, ctypes.addressof(data))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])`;
  const program = fileURLToPath(new URL('./support/print-executor.ts', import.meta.url));
  const output = execFileSync('python3', ['-c', filter, process.execPath, program], { encoding: 'utf8' });
  expect(output.split('\n')).toEqual([
    'epoll | epoll and threads, because there is no io_uring: sysctl kernel.io_uring_disabled or a sandbox forbids it',
    'UNAVAILABLE | There is no io_uring: sysctl kernel.io_uring_disabled or a sandbox forbids it. Use epoll, which is everywhere.',
    '',
  ]);
});

test('options that cannot be are refused', () => {
  for (const options of [{ capacity: 0 }, { capacity: 16_385 }, { capacity: 1.5 }, { threads: 0 }]) {
    expect(() => openExecutor({ kind: 'epoll', ...options })).toThrow(
      expect.objectContaining({ code: 'BAD_REQUEST' }),
    );
  }
});
