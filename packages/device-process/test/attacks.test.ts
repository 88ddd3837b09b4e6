import { constants } from 'node:os';
import type { UnixSocket } from '@tsvmm/base';
import { JailedProcess, SYSTEM_CALLS } from '@tsvmm/jail';
import { describe, expect, test } from 'vitest';
import { DEVICE_POLICIES, devicePolicy } from '../src/index.ts';

const AF_INET = 2;
const SOCK_STREAM = 1;
const PTRACE_ATTACH = 16;
const PROT_EXEC = 4;
const ARCHITECTURES: Partial<Record<NodeJS.Architecture, keyof typeof SYSTEM_CALLS>> = {
  x64: 'x86_64',
  arm64: 'aarch64',
  riscv64: 'riscv64',
};
const numbers = SYSTEM_CALLS[ARCHITECTURES[process.arch] ?? 'x86_64'];

/** What a device tries whose guest has taken it over. Its parent is process 0 to it. */
const ATTACKS: readonly (readonly [call: string, arguments_: readonly number[]])[] = [
  ['socket', [AF_INET, SOCK_STREAM]],
  ['execve', [0]],
  ['ptrace', [PTRACE_ATTACH, 1]],
  ['kill', [-1, constants.signals.SIGKILL]],
  ['mprotect', [0, 4096, PROT_EXEC]],
  ['io_uring_setup', [8, 0]],
];

/** A process under a device's policy that makes the system calls that it is told. */
function takenOver(kind: keyof typeof DEVICE_POLICIES): Promise<JailedProcess> {
  return JailedProcess.start({
    name: kind,
    program: new URL('../../jail/test/programs/attacker.ts', import.meta.url),
    jail: { policy: devicePolicy(kind) },
    nodeOptions: ['--experimental-ffi'],
  });
}

function make(link: UnixSocket, call: string, values: readonly number[]): void {
  link.sendMessage(Buffer.from(JSON.stringify([numbers.get(call), ...values])));
}

describe.each(Object.keys(DEVICE_POLICIES) as (keyof typeof DEVICE_POLICIES)[])('a %s device', (kind) => {
  // Where a policy has no io_uring at all, there seems to be none in the kernel.
  const attacks = ATTACKS.filter(
    ([call]) => call !== 'io_uring_setup' || devicePolicy(kind).rules.has('io_uring_enter'),
  );
  test.each(attacks)('is killed at %s(%j)', async (call, values) => {
    await using jailed = await takenOver(kind);
    make(jailed.link, call, values);
    expect(await jailed.exit).toMatchObject({ kind: 'killed', signal: 'SIGKILL', blocked: { name: call } });
  });

  test('finds no files', async () => {
    await using jailed = await takenOver(kind);
    make(jailed.link, 'openat', [0, 0]);
    const buffer = new Uint8Array(16);
    const answer = jailed.link.receiveMessage(buffer);
    expect(Buffer.from(buffer.subarray(0, answer?.length)).toString()).toBe('-1');
  });
});
