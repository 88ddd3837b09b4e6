import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VirtualMachine, type VirtualMachineConfiguration } from '../src/index.ts';
import { riscv64Image } from './bare-metal.ts';

const SPIN = 0x0000_006f;
let folder: string;
let machine: VirtualMachineConfiguration;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tsvmm-sandbox-'));
  const [kernel, disk] = [join(folder, 'spin.img'), join(folder, 'disk.img')];
  await writeFile(kernel, riscv64Image([SPIN]));
  await writeFile(disk, '');
  await truncate(disk, 2 ** 20);
  machine = {
    kernel,
    memory: { sizeMiB: 64 },
    blocks: [{ path: disk }],
    serials: [{ type: 'sink', hardware: 'virtio-console', console: true }],
  };
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

/** The processes that this one has started: how, and their ids. */
function children(): number[] {
  return readdirSync('/proc/self/task').flatMap((thread) =>
    readFileSync(`/proc/self/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );
}

function status(pid: number): ReadonlyMap<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n');
  return new Map(lines.map((line) => line.split(/:\s*/, 2) as [string, string]));
}

describe("a running machine's devices", () => {
  it('are processes that share nothing with the machine but what they serve with', async () => {
    const others = new Set(children());
    await using vm = await VirtualMachine.create(machine);
    await vm.start();
    const devices = children().filter((pid) => !others.has(pid));
    // Console, disk, random numbers and balloon.
    expect(devices).toHaveLength(4);
    for (const pid of devices) {
      for (const thread of readdirSync(`/proc/${pid}/task`).map(Number)) {
        const fields = status(thread);
        expect(fields.get('CapEff')).toMatch(/^0+$/);
        expect(fields.get('NoNewPrivs')).toBe('1');
        expect(fields.get('Seccomp')).toBe('2');
      }
      for (const namespace of ['user', 'mnt', 'pid', 'net', 'ipc', 'uts']) {
        const link = (process: string) => readlinkSync(`/proc/${process}/ns/${namespace}`);
        expect(link(String(pid))).not.toBe(link('self'));
      }
      expect(readdirSync(`/proc/${pid}/root`)).toEqual([]);
    }
    const files = devices.flatMap((pid) =>
      readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`)),
    );
    const named = files.filter((file) => file.startsWith('/') && !file.startsWith('/memfd:'));
    expect(new Set(named)).toEqual(new Set(['/dev/null', join(folder, 'disk.img')]));
    await vm.stop();
    // They have ended in order: nothing is left of them.
    expect(children().filter((pid) => !others.has(pid))).toEqual([]);
  });

  it('end it when one of them dies, and are named', async () => {
    const others = new Set(children());
    await using vm = await VirtualMachine.create({
      ...machine,
      blocks: [],
      balloon: false,
      serials: [{ type: 'sink' }],
    });
    await vm.start();
    const [rng] = children().filter((pid) => !others.has(pid));
    process.kill(rng ?? -1, 'SIGKILL');
    expect(await vm.exit).toEqual({
      kind: 'crash',
      reason: 'the process of virtio-rng was killed by SIGKILL',
    });
  });

  it('are served by a thread when there is to be no sandbox', async () => {
    const others = new Set(children());
    await using vm = await VirtualMachine.create({ ...machine, sandbox: false });
    await vm.start();
    expect(children().filter((pid) => !others.has(pid))).toEqual([]);
  });
});

it.each([
  [{ root: 'relative' }, 'INVALID_VALUE', 'named by its absolute path'],
  [{ root: '/nowhere' }, 'FILE_NOT_FOUND', "there is no directory '/nowhere'"],
  [{ policyDirectory: '/dev/null' }, 'FILE_UNUSABLE', "'/dev/null' is no directory"],
] as const)('a sandbox of %j is refused', async (sandbox, code, message) => {
  await expect(VirtualMachine.create({ ...machine, sandbox })).rejects.toMatchObject({
    code,
    option: 'sandbox',
    message: expect.stringContaining(message),
  });
});
