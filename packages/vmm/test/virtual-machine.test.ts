import { readdirSync } from 'node:fs';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VirtualMachine } from '../src/virtual-machine.ts';
import { riscv64Image } from './bare-metal.ts';

const SRST = [
  0x5352_58b7, // lui a7, 0x53525
  0x3548_889b, // addiw a7, a7, 0x354
  0x0000_0813, // li a6, 0
];
const CALL = 0x0000_0073;
const SPIN = 0x0000_006f;

/** A kernel that calls SBI's system reset with the type in a0 and the reason in a1. */
function resetKernel(type: number, reason: number): Uint8Array {
  return riscv64Image([0x0000_0513 | (type << 20), 0x0000_0593 | (reason << 20), ...SRST, CALL, SPIN]);
}

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tsvmm-vmm-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

async function kernel(name: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
}

describe('VirtualMachine', () => {
  it.each([
    ['stop', 0, 0],
    ['reset', 1, 0],
    ['crash', 0, 1],
  ] as const)('ends with %s as the guest asked', async (kind, type, reason) => {
    await using vm = await VirtualMachine.create({
      kernel: await kernel(`${kind}.img`, resetKernel(type, reason)),
      serials: [{ type: 'sink' }],
    });
    await vm.start();
    expect((await vm.exit).kind).toBe(kind);
  });

  it('says when it has no power button', async () => {
    await using vm = await VirtualMachine.create({
      kernel: await kernel('no-button.img', riscv64Image([SPIN])),
      serials: [{ type: 'sink' }],
    });
    expect(() => vm.pressPowerButton()).toThrow(
      expect.objectContaining({ name: 'VirtualMachineError', code: 'UNSUPPORTED' }),
    );
  });

  it('is stopped while its guest computes', async () => {
    await using vm = await VirtualMachine.create({
      kernel: await kernel('spin.img', riscv64Image([SPIN])),
      serials: [{ type: 'sink' }],
      cpus: { count: 2 },
    });
    await vm.start();
    await vm.stop();
    expect(await vm.exit).toEqual({ kind: 'stop', reason: 'the virtual machine was stopped' });
    await expect(vm.start()).rejects.toMatchObject({ code: 'INVALID_STATE' });
  });

  it('leaves no descriptor and no thread behind', async () => {
    const spin = await kernel('leak.img', riscv64Image([SPIN]));
    const cycle = async (): Promise<void> => {
      await using vm = await VirtualMachine.create({ kernel: spin, serials: [{ type: 'sink' }] });
      await vm.start();
      await vm.stop();
    };
    const count = () => ({
      descriptors: readdirSync('/proc/self/fd').length,
      threads: readdirSync('/proc/self/task').length,
    });
    await cycle();
    const before = count();
    for (let index = 0; index < 5; index++) {
      await cycle();
    }
    expect(count()).toEqual(before);
    // Six machines, whose guests compute while their devices' processes start.
  }, 120_000);

  it('warns of an input that cannot be read, and runs without it', async () => {
    const { promise: warned, resolve } = Promise.withResolvers<string>();
    await using vm = await VirtualMachine.create(
      {
        kernel: await kernel('input.img', riscv64Image([SPIN])),
        serials: [{ type: 'sink', input: join(folder, 'missing') }],
      },
      { log: ({ level, message }) => level === 'warn' && resolve(message) },
    );
    await vm.start();
    expect(await warned).toMatch(/ttyS0: no more input from .*missing: ENOENT/);
    await vm.stop();
  });

  it('is refused what its board does not have', async () => {
    const machine = { kernel: await kernel('no-acpi.img', riscv64Image([SPIN])) };
    for (const [options, text] of [
      [{ acpiTables: [machine.kernel] }, '--acpi-table'],
      [{ smbios: { uuid: '0' } }, '--smbios'],
      [{ pci: { memory: { start: 0, size: 4096 } } }, '--pci'],
    ] as const) {
      await expect(VirtualMachine.create({ ...machine, ...options })).rejects.toMatchObject({
        name: 'MachineError',
        code: 'UNSUPPORTED',
        message: expect.stringContaining(text),
      });
    }
  });

  it('has all interrupt controllers in this process, and guests that are none themselves', async () => {
    const machine = {
      kernel: await kernel('irqchip.img', resetKernel(0, 0)),
      serials: [{ type: 'sink' }],
      hypervisor: { kind: 'soft' },
    } as const;
    for (const kind of ['kernel', 'split'] as const) {
      await expect(VirtualMachine.create({ ...machine, irqchip: { kind } })).rejects.toMatchObject({
        name: 'ConfigurationError',
        option: 'irqchip',
        message: expect.stringContaining('userspace'),
      });
    }
    await expect(VirtualMachine.create({ ...machine, nested: 'on' })).rejects.toMatchObject({
      name: 'HypervisorError',
      code: 'UNSUPPORTED',
    });
    await using _vm = await VirtualMachine.create({
      ...machine,
      irqchip: { kind: 'userspace' },
      nested: 'auto',
    });
  });

  it('says what to do about an image that does not fit or is broken off', async () => {
    const path = await kernel('truncated.img', resetKernel(0, 0));
    await truncate(path, 40);
    await expect(VirtualMachine.create({ kernel: path, serials: [{ type: 'sink' }] })).rejects.toMatchObject({
      name: 'KernelImageError',
    });
    const initrd = await kernel('initrd', new Uint8Array(40 * 2 ** 20));
    await expect(
      VirtualMachine.create({
        kernel: await kernel('good.img', resetKernel(0, 0)),
        initrd,
        memory: { sizeMiB: 41 },
        serials: [{ type: 'sink' }],
      }),
    ).rejects.toMatchObject({ code: 'MEMORY_TOO_SMALL', message: expect.stringContaining('--mem') });
  });
});
