import { once } from 'node:events';
import { watch } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchGuest } from '@tsvmm/guest-image';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { VirtualMachine } from '../src/virtual-machine.ts';

const MIB = 2 ** 20;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tsvmm-virtio-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

/** The bytes of host memory that a process has of files it shares, as guest memory is. */
async function residentSharedMemory(): Promise<number> {
  const status = await readFile('/proc/self/status', 'latin1');
  return Number(/^RssShmem:\s*(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

/** A guest whose shell is typed at, and read from, by the host. */
class Shell {
  readonly #vm: VirtualMachine;
  readonly #log: string;
  #seen = 0;

  constructor(vm: VirtualMachine, log: string) {
    this.#vm = vm;
    this.#log = log;
  }

  /** Types lines, and resolves with what they print when they are done. */
  async run(...lines: readonly string[]): Promise<string> {
    const watcher = watch(this.#log);
    try {
      let changed = once(watcher, 'change');
      // The terminal shows what is typed, so the mark must not stand there as it is printed.
      const text = `${lines.join('\n')}\necho do''ne\n`;
      await this.#vm.console?.input.write(new TextEncoder().encode(text));
      for (;;) {
        const output = (await readFile(this.#log, 'latin1')).replaceAll('\r', '');
        const end = /^done$/m.exec(output.slice(this.#seen));
        if (end) {
          const printed = output.slice(this.#seen, this.#seen + end.index);
          this.#seen += end.index + end[0].length;
          return printed;
        }
        await changed;
        changed = once(watcher, 'change');
      }
    } finally {
      watcher.close();
    }
  }
}

test("Linux's drivers work the devices", { timeout: 300_000 }, async () => {
  const guest = await fetchGuest({ architecture: 'riscv64' });
  const [log, agent, agentInput] = ['console.log', 'agent', 'agent-input'].map((name) => join(folder, name));
  if (!log || !agent || !agentInput) throw new Error('three names make three paths');
  await writeFile(agentInput, 'from the host\n');
  await using vm = await VirtualMachine.create({
    kernel: guest.kernel,
    initrd: guest.initrd,
    memory: { sizeMiB: 256, initialMiB: 224 },
    balloon: { pageReporting: true },
    serials: [
      { hardware: 'virtio-console', num: 1, type: 'file', path: join(folder, 'hvc0') },
      { hardware: 'virtio-console', num: 2, name: 'agent', type: 'file', path: agent, input: agentInput },
      {
        ...{ hardware: 'virtio-console', num: 3, name: 'login', type: 'file', path: log },
        ...{ console: true, stdin: true },
      },
    ],
  });
  await vm.start();
  const shell = new Shell(vm, log);

  // ---- Consoles: one of its own, and two ports of another, of which one is a terminal
  const ports = await shell.run(
    'cat /sys/class/virtio-ports/*/name; ls /sys/class/virtio-ports /dev/hvc* | sort',
  );
  expect(ports).toMatch(/^agent$/m);
  expect(ports).toMatch(/^login$/m);
  // What came before somebody read was not lost.
  expect(await shell.run('head -n 1 /dev/vport1p0')).toMatch(/^from the host$/m);
  await shell.run('echo to the host > /dev/vport1p0; echo one > /dev/hvc0; tty');

  // ---- Balloon
  const { balloon } = vm;
  if (!balloon) throw new Error('a machine has a balloon');
  // The 5th character from the left is feature bit 5, VIRTIO_BALLOON_F_REPORTING.
  expect(await shell.run('cut -c6 /sys/bus/virtio/drivers/virtio_balloon/virtio*/features')).toMatch(/^1$/m);
  // It holds what the guest was not to have at first.
  await balloon.set(32 * MIB, { wait: true });
  const small = await balloon.stats();
  expect(small.balloon).toBe(32 * MIB);
  // What the guest has touched, the host keeps; what goes into the balloon, it does not.
  const fill = 'dd if=/dev/zero of=/tmp/full bs=1M count=90 2>&1';
  expect(await shell.run(fill)).toContain('90+0 records out');
  const before = await residentSharedMemory();
  await shell.run('rm /tmp/full');
  await balloon.set(128 * MIB, { wait: true });
  const after = await residentSharedMemory();
  expect(before - after).toBeGreaterThan(64 * MIB);
  expect(after).toBeLessThan(128 * MIB);
  const large = await balloon.stats();
  expect(large.balloon).toBe(128 * MIB);
  expect((small.freeMemory ?? 0) - (large.freeMemory ?? 0)).toBeGreaterThan(60 * MIB);
  expect(large.totalMemory).toBeLessThan(256 * MIB);
  await balloon.set(0, { wait: true });
  expect((await balloon.stats()).freeMemory).toBeGreaterThan(96 * MIB);
  // Free pages that the driver reports go, too.
  expect(await shell.run(fill)).toContain('90+0 records out');
  const filled = await residentSharedMemory();
  await shell.run('rm /tmp/full');
  while ((await residentSharedMemory()) > filled - 64 * MIB) await balloon.stats();
  await expect(balloon.set(257 * MIB)).rejects.toMatchObject({ code: 'OUT_OF_RANGE' });

  await vm.stop();
  expect(await readFile(agent, 'latin1')).toBe('to the host\n');
  expect(await readFile(join(folder, 'hvc0'), 'latin1')).toMatch(/^one\r?$/m);
});
