import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type BlockedCall, describeExit } from '../src/index.ts';
import { receive, start, startPlain } from './support.ts';

const NAMESPACES = ['user', 'mnt', 'pid', 'net', 'ipc', 'uts'];

function status(pid: number): ReadonlyMap<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n');
  return new Map(lines.map((line) => line.split(/:\s*/, 2) as [string, string]));
}

describe('a jailed process, from outside', () => {
  test('has no capabilities, can gain none, and is filtered, in every thread', async () => {
    await using jailed = await start('echo');
    const threads = readdirSync(`/proc/${jailed.pid}/task`);
    expect(threads.length).toBeGreaterThan(1);
    for (const thread of threads) {
      const fields = status(Number(thread));
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
        expect(fields.get(set), set).toMatch(/^0+$/);
      }
      expect(fields.get('NoNewPrivs')).toBe('1');
      expect(fields.get('Seccomp')).toBe('2');
    }
  });

  test('shares no namespace with us, and is the first process of its own', async () => {
    await using jailed = await start('echo');
    for (const namespace of NAMESPACES) {
      expect(readlinkSync(`/proc/${jailed.pid}/ns/${namespace}`)).not.toBe(
        readlinkSync(`/proc/self/ns/${namespace}`),
      );
    }
    expect(status(jailed.pid).get('NSpid')?.split('\t').at(-1)).toBe('1');
  });

  test('has an empty root that nothing can be written to', async () => {
    await using jailed = await start('echo');
    expect(readdirSync(`/proc/${jailed.pid}/root`)).toEqual([]);
    const mounts = readFileSync(`/proc/${jailed.pid}/mountinfo`, 'utf8').trim().split('\n');
    expect(mounts).toHaveLength(1);
    expect(mounts[0]).toMatch(/ \/ ro,nosuid,nodev,noexec/);
  });

  test('has no descriptor of ours but those handed over', async () => {
    await using jailed = await start('echo');
    const ours = new Set(readdirSync('/proc/self/fd').flatMap((fd) => linkOf(`/proc/self/fd/${fd}`)));
    const theirs = readdirSync(`/proc/${jailed.pid}/fd`).flatMap((fd) =>
      linkOf(`/proc/${jailed.pid}/fd/${fd}`),
    );
    const shared = theirs.filter((file) => ours.has(file) && !file.startsWith('anon_inode:'));
    // Its output is the other end of a pipe that is ours; /dev/null is everybody's.
    expect(new Set(shared.map((file) => file.replace(/\d+/, 'N')))).toEqual(
      new Set(['/dev/null', 'pipe:[N]']),
    );
  });

  test('ends when its owner disposes it', async () => {
    const jailed = await start('echo');
    await jailed[Symbol.asyncDispose]();
    expect(await jailed.exit).toMatchObject({ kind: 'killed', signal: 'SIGKILL' });
    expect(() => status(jailed.pid)).toThrow('ENOENT');
  });
});

describe('a jailed process, from inside', () => {
  test('talks over its link', async () => {
    await using jailed = await start('echo');
    jailed.link.sendMessage(Buffer.from('hello'));
    expect(await receive(jailed.link)).toBe('hello');
  });

  test('computes: compilers, the collector and timers work without new executable memory', async () => {
    await using jailed = await start('computing');
    expect(Number(await receive(jailed.link))).toSatisfy(Number.isInteger);
    expect(await jailed.exit).toMatchObject({ kind: 'exited', status: 0 });
  });

  test('takes a directory of the host for its root', async () => {
    await using jailed = await start('echo', { root: '/usr/include' });
    expect(readdirSync(`/proc/${jailed.pid}/root`)).toContain('stdio.h');
  });

  test('says why it failed', async () => {
    await using jailed = await start('failing');
    const exit = await jailed.exit;
    expect(exit).toMatchObject({ kind: 'exited', status: 1 });
    expect(describeExit('failing', exit)).toContain('no such luck');
  });

  test('that does not load is not started', async () => {
    await expect(start('unloadable')).rejects.toMatchObject({
      code: 'SETUP_FAILED',
      message: expect.stringContaining('this module does not load'),
    });
  });

  test('runs without a jail, too', async () => {
    await using plain = await startPlain('echo');
    plain.link.sendMessage(Buffer.from('free'));
    expect(await receive(plain.link)).toBe('free');
    expect(readlinkSync(`/proc/${plain.pid}/ns/user`)).toBe(readlinkSync('/proc/self/ns/user'));
  });
});

test('what a policy does not allow is reported, and made, when somebody asks to be told', async () => {
  const calls: BlockedCall[] = [];
  await using jailed = await start('attacker', { onBlockedCall: (call) => calls.push(call) });
  // getppid: nothing at all beside an identity, and not in the policy.
  jailed.link.sendMessage(Buffer.from(JSON.stringify([process.arch === 'x64' ? 110 : 173])));
  expect(await receive(jailed.link)).toBe('0');
  expect(calls).toMatchObject([{ name: 'getppid' }]);
});

function linkOf(path: string): string[] {
  try {
    return [readlinkSync(path)];
  } catch {
    // The descriptor that the listing itself was read through.
    return [];
  }
}
