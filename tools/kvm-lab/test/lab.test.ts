import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import { fetchGuest } from '../../../packages/guest-image/src/index.ts';
import { setUp } from '../lab.ts';
import { Level1 } from '../level1.ts';

const CLI = fileURLToPath(new URL('../cli.ts', import.meta.url));
const kvmLab = (...words: string[]) =>
  spawnSync(process.execPath, [CLI, ...words], { encoding: 'utf8', maxBuffer: 2 ** 26 });

/** Time for a download, a boot and the tests, on a busy machine. */
const PATIENCE = 900_000;

test("Debian boots on KVM's hardware virtualization", { timeout: PATIENCE }, async () => {
  // The lab's hosts have no way to packages: what they start is made here.
  await fetchGuest({ architecture: 'x86_64' });
  const first = ['-t', 'boots to a shell'];
  const { status, stdout, stderr } = kvmLab('test', 'x86_64', '--', 'test/kvm/boot', ...first);
  expect(status, stdout + stderr).toBe(0);
  // It fails where there is no KVM for stock kernels, so it ran in the lab.
  expect(stripVTControlCharacters(stdout)).toMatch(/Tests +1 passed/);
});

describe('an L1', { timeout: PATIENCE }, () => {
  test('has a KVM with hardware behind it, and gives what a command says and how it ends', async () => {
    const lab = await setUp('x86_64');
    await using level1 = await Level1.start(lab, { memory: 1024 });
    const script = 'grep -c -w svm /proc/cpuinfo; test -c /dev/kvm && echo "$0"; echo no >&2; exit 3';
    expect(await level1.run(['sh', '-c', script, "a 'word'\n"])).toEqual({
      status: 3,
      stdout: "2\na 'word'\n\n",
      stderr: 'no\n',
    });
    // Nothing that it writes reaches the host.
    expect(await level1.run(['sh', '-c', `echo broken > ${CLI}; cat ${CLI}`])).toMatchObject({
      stdout: 'broken\n',
    });
    expect(kvmLab('--help').stdout).toContain('kvm-lab: a host with a real KVM');

    const running = level1.run(['sh', '-c', 'echo b > /proc/sysrq-trigger']);
    await expect(running).rejects.toThrow(expect.objectContaining({ code: 'ENDED' }));
  });

  test('that cannot boot says what its console showed', async () => {
    const lab = await setUp('x86_64');
    const starting = Level1.start({ ...lab, root: '/nonexistent' });
    await expect(starting).rejects.toThrow(
      expect.objectContaining({ code: 'BOOT_FAILED', message: expect.stringContaining('/nonexistent') }),
    );
  });
});
