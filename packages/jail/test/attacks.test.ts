import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import { describeExit, SYSTEM_CALLS } from '../src/index.ts';
import { hostArchitecture } from '../src/seccomp/system-calls.ts';
import { receive, start } from './support.ts';

const numbers = SYSTEM_CALLS[hostArchitecture()];
const AF_UNIX = 1;
const AF_INET = 2;
const SOCK_STREAM = 1;
const PTRACE_ATTACH = 16;
const CLONE_NEWUSER = 0x10000000;

/** What a compromised device tries. Its parent is process 0 to it: it cannot even name another process. */
const KILLED: readonly (readonly [call: string, arguments_: readonly number[]])[] = [
  ['socket', [AF_INET, SOCK_STREAM]],
  ['socket', [AF_UNIX, SOCK_STREAM]],
  ['connect', [0]],
  ['execve', [0]],
  ['execveat', [0]],
  ['ptrace', [PTRACE_ATTACH, 1]],
  ['process_vm_readv', [1]],
  ['kill', [-1, constants.signals.SIGKILL]],
  ['tgkill', [1, 1, constants.signals.SIGKILL]],
  ['clone', [constants.signals.SIGCHLD]],
  ['unshare', [CLONE_NEWUSER]],
  ['setns', [0]],
  ['mount', [0]],
  ['pivot_root', [0]],
  ['chroot', [0]],
  ['setuid', [0]],
  ['bpf', [0]],
  ['userfaultfd', [0]],
  ['io_uring_enter', [0]],
  ['perf_event_open', [0]],
  ['init_module', [0]],
  ['keyctl', [0]],
  ['openat2', [0]],
  ['memfd_create', [0]],
  ['mprotect', [0, 4096, 4]],
  ['mprotect', [0, 4096, 7]],
  ['mmap', [0, 4096, 7, 0x22, -1]],
  ['ioctl', [0, 0x5412]],
  ['prctl', [22]],
  ['seccomp', [1]],
];

describe('a device that was taken over', () => {
  test.each(KILLED)('is killed at %s(%j)', async (call, values) => {
    await using jailed = await start('attacker');
    jailed.link.sendMessage(Buffer.from(JSON.stringify([numbers.get(call), ...values])));
    const exit = await jailed.exit;
    expect(exit).toMatchObject({ kind: 'killed', signal: 'SIGKILL', blocked: { name: call } });
    expect(describeExit('block', exit)).toMatch(
      `block was killed by SIGKILL: it made the system call ${call}(`,
    );
    expect(await receive(jailed.link)).toBeUndefined();
  });

  test('finds no files, and cannot get an io_uring', async () => {
    await using jailed = await start('attacker');
    for (const [call, errno] of [
      ['openat', 'ENOENT'],
      ['statx', 'ENOENT'],
      ['io_uring_setup', 'ENOSYS'],
    ] as const) {
      jailed.link.sendMessage(Buffer.from(JSON.stringify([numbers.get(call), 0, 0])));
      // The C library's own -1; errno is in the thread.
      expect(await receive(jailed.link), errno).toBe('-1');
    }
  });

  test.runIf(process.arch === 'x64')('is killed at calls of the x32 ABI', async () => {
    await using jailed = await start('attacker');
    // getpid through x32, which the policy allows by its own number.
    jailed.link.sendMessage(Buffer.from(JSON.stringify([0x40000000 + (numbers.get('getpid') ?? 0)])));
    expect(await jailed.exit).toMatchObject({ kind: 'killed', signal: 'SIGSYS' });
  });
});
