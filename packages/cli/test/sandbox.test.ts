import { spawnSync } from 'node:child_process';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { riscv64Image } from '../../vmm/test/bare-metal.ts';
import { BIN, tsvmm } from './support/cli.ts';

const directory = mkdtempDisposableSync(join(tmpdir(), 'tsvmm-sandbox-'));
afterAll(() => directory[Symbol.dispose]());

/** A kernel that turns the machine off: SBI's system reset, of no type and for no reason. */
const kernel = join(directory.path, 'Image');
const [TYPE, REASON] = [0x0000_0513, 0x0000_0593];
writeFileSync(kernel, riscv64Image([TYPE, REASON, 0x5352_58b7, 0x3548_889b, 0x0000_0813, 0x0000_0073]));

/** The program in a user namespace in which there can be no more of them. */
function withoutNamespaces(...args: readonly string[]) {
  const script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" "$@"';
  return spawnSync(
    'unshare',
    ['--user', '--map-root-user', 'sh', '-c', script, process.execPath, BIN, ...args],
    {
      encoding: 'utf8',
      input: '',
    },
  );
}

test('where there are no namespaces, the message says what to set, and that it goes without', () => {
  const { status, stderr } = withoutNamespaces('run', kernel);
  expect(stderr).toContain(
    "set 'sysctl user.max_user_namespaces=10000', or run without sandboxes (--disable-sandbox)",
  );
  expect(status).toBe(1);
  expect(withoutNamespaces('run', '--disable-sandbox', kernel).status).toBe(0);
});

test('a policy that forbids what a device needs ends the machine, and names both', () => {
  writeFileSync(join(directory.path, 'rng_device.policy'), '@include common.policy\nrecvmsg: kill\n');
  const policies = ['--seccomp-policy-dir', directory.path];
  const { status, stderr } = tsvmm(['run', ...policies, kernel]);
  expect(stderr).toContain(
    'the process of virtio-rng was killed by SIGKILL: it made the system call recvmsg(',
  );
  expect(status).toBe(1);
  const tried = tsvmm(['run', ...policies, '--seccomp-log-failures', kernel]);
  expect(tried.stderr).toContain('virtio-rng made the system call recvmsg, which its policy does not allow');
  expect(tried.status).toBe(0);
});

test.each([
  [['--pivot-root', 'relative'], '--pivot-root: the root of sandboxes is named by its absolute path'],
  [['--seccomp-policy-dir', 'nowhere'], "--seccomp-policy-dir: there is no directory 'nowhere'"],
])('%j is refused', (args, message) => {
  const { status, stderr } = tsvmm(['run', ...args, kernel], { cwd: directory.path });
  expect(stderr).toContain(message);
  expect(status).toBe(1);
});
