import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { VirtualMachineConfiguration } from '../src/configuration/configuration.ts';
import { VirtualMachine, type VmExit } from '../src/virtual-machine.ts';
import {
  bootSector,
  bzImage,
  elf,
  FIRMWARE_DATA,
  firmware,
  flatData,
  inLong,
  load,
  multiboot,
  outByte,
  outLong,
  outLong16,
  outWord,
  poke16,
  print,
  print16,
  pulseReset,
  Register,
  reset,
  say,
  say16,
  tripleFault,
} from './x86-program.ts';

const { ebx, esi } = Register;
const MIB = 2 ** 20;
let folder: string;
let count = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tsvmm-x86-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

async function file(bytes: Uint8Array): Promise<string> {
  const path = join(folder, `file${count++}`);
  await writeFile(path, bytes);
  return path;
}

/** Runs a machine to its end, with its first serial port in a file. */
async function run(
  configuration: VirtualMachineConfiguration,
): Promise<{ readonly exit: VmExit; readonly output: string }> {
  const path = join(folder, `console${count++}`);
  await using vm = await VirtualMachine.create({
    memory: { sizeMiB: 64 },
    rng: false,
    hypervisor: { kind: 'kvm' },
    serials: [{ type: 'file', path }],
    ...configuration,
  });
  await vm.start();
  const exit = await vm.exit;
  return { exit, output: await readFile(path, 'latin1') };
}

async function runKernel(kernel: Uint8Array, configuration: VirtualMachineConfiguration = {}) {
  return await run({ kernel: await file(kernel), ...configuration });
}

// Where KVM is, also without hardware behind it: these programs are of a few instructions.
describe.runIf(process.arch === 'x64' && existsSync('/dev/kvm'))('an x86_64 machine', () => {
  const params = ['first', 'second=2'];
  const line = 'pci=noearly panic=-1 first second=2';
  /** Linux: "HdrS" in boot_params, where RSI points, and the command line. */
  const linux = [...print(esi, 0x202, 4), ...load(ebx, esi, 0x228), ...print(ebx, 0, line.length), ...reset];

  it.each([
    ['a bzImage with a 64-bit entry', bzImage(linux, true)],
    ['a bzImage without one', bzImage(linux, false)],
    ['an ELF file of 64 bits', elf(linux, 64)],
    ['an ELF file of 32 bits', elf(linux, 32)],
  ])("starts %s by Linux's boot protocol", async (_, kernel) => {
    const { exit, output } = await runKernel(kernel, { params });
    expect(output).toBe(`HdrS${line}`);
    expect(exit).toEqual({ kind: 'reset', reason: expect.stringContaining('0xCF9') });
  });

  it.each([32, 64] as const)('starts an ELF file of %i bits with a PVH note by that', async (bits) => {
    const code = [...print(ebx, 0, 4), ...load(esi, ebx, 24), ...print(esi, 0, line.length), ...reset];
    const { output } = await runKernel(elf(code, bits, true), { params });
    expect(output).toBe(`\x78\xc5\x6e\x33${line}`);
  });

  it('starts a Multiboot kernel, with the initrd as its module', async () => {
    const initrd = await file(new TextEncoder().encode('contents of the module'));
    const code = [
      ...load(esi, ebx, 16),
      ...print(esi, 0, line.length),
      ...load(esi, ebx, 24),
      ...load(esi, esi, 0),
      ...print(esi, 0, 8),
      ...reset,
    ];
    const { output } = await runKernel(multiboot(code), { params, initrd });
    expect(output).toBe(`${line}contents`);
  });

  it('starts firmware at the reset vector, whose end is also below 1 MiB', async () => {
    const { output, exit } = await run({ bios: await file(firmware(say16('BIOS'))) });
    expect(output).toBe('BIOS');
    expect(exit.kind).toBe('reset');
  });

  it('keeps what firmware writes to its flash, right below it, in a file', async () => {
    const contents = new Uint8Array(8192).fill(0x7f);
    const pflash = { path: await file(contents) };
    const [first, last] = [0xffff_0000 - contents.length, 0xffff_0000 - 1];
    // Intel's commands: program a byte, read the status, read the contents.
    const program = (address: number, value: number) => [
      ...[...poke16(address, 0x40), ...poke16(address, value), ...print16(address), ...poke16(address, 0xff)],
    ];
    const code = [
      ...[...flatData, ...print16(first), ...print16(last)],
      ...[...program(first, 0x42), ...program(last, 0x43), ...print16(first), ...print16(last)],
    ];
    const bios = await file(firmware(code));
    expect((await run({ bios, pflash })).output).toBe('\x7f\x7f\x80\x80BC');
    expect((await run({ bios, pflash })).output).toBe('BC\x80\x80BC');
    contents[0] = 0x42;
    contents[contents.length - 1] = 0x43;
    expect(await readFile(pflash.path)).toEqual(Buffer.from(contents));
  });

  it('gives firmware its files by DMA', async () => {
    const path = await file(new TextEncoder().encode('a file'));
    const fwCfg = [
      { name: 'opt/org.example/text', string: 'text' },
      { name: 'opt/org.example/file', path },
    ];
    // fw_cfg.rst of QEMU: select the second file (0x21) and read (0x0a) six bytes to 0x8000.
    const description = [0, 0x21, 0, 0x0a, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0x80, 0];
    const address = Buffer.alloc(4);
    address.writeUInt32BE(FIRMWARE_DATA);
    const code = [
      ...[...flatData, ...outLong16(0x514, 0), ...outLong16(0x518, address.readUInt32LE())],
      ...Array.from({ length: 6 }, (_, index) => print16(0x8000 + index)).flat(),
    ];
    const { output } = await run({ bios: await file(firmware(code, description)), fwCfg });
    expect(output).toBe('a file');
  });

  it("runs SeaBIOS, which boots from the first disk's boot sector", { timeout: 120_000 }, async () => {
    const { exit, output } = await run({
      bios: '/usr/share/seabios/bios-256k.bin',
      blocks: [{ path: await file(bootSector('boot sector')) }],
    });
    expect(output).toBe('boot sector');
    expect(exit.kind).toBe('stop');
  });

  it('is turned off by ACPI, and by a triple fault', async () => {
    const s5 = await runKernel(multiboot([...say('S5'), ...outWord(0xc004, 1 << 13), ...say('!')]));
    expect(s5).toEqual({ output: 'S5', exit: { kind: 'stop', reason: expect.any(String) } });
    const fault = await runKernel(multiboot(tripleFault));
    expect(fault.exit).toEqual({ kind: 'stop', reason: 'triple fault' });
  });

  it('is reset by its keyboard controller, unless it has none', async () => {
    const kernel = multiboot([...pulseReset, ...reset]);
    const { exit } = await runKernel(kernel);
    expect(exit).toEqual({ kind: 'reset', reason: expect.stringContaining('keyboard controller') });
    const without = await runKernel(kernel, { i8042: false });
    expect(without.exit).toEqual({ kind: 'reset', reason: expect.stringContaining('0xCF9') });
  });

  it('is told of a panic by pvpanic, at the slot behind those of balloon and USB', async () => {
    const address = (register: number) => outLong(0xcf8, 0x8000_0000 + (3 << 11) + register);
    const code = [
      ...address(4),
      ...outLong(0xcfc, 2),
      ...address(0x10),
      ...inLong(0xcfc),
      // mov byte [eax], 1
      ...[0xc6, 0x00, 0x01],
      ...reset,
    ];
    const { exit } = await runKernel(multiboot(code));
    expect(exit.kind).toBe('panic');
  });

  it('has a timer that counts, and interrupt controllers, wherever these are', async () => {
    const code = [
      // Opens the gate of counter 2, and has it count 4,096 ticks: 3.4 ms.
      ...outByte(0x61, 1),
      ...outByte(0x43, 0xb0),
      ...outByte(0x42, 0x00),
      ...outByte(0x42, 0x10),
      // in al, 0x61; test al, 0x20; jz: until its output is high
      ...[0xe4, 0x61, 0xa8, 0x20, 0x74, 0xfa],
      // The mask of the first 8259 is what was written to it: in al, 0x21; cmp al, 0xa5; jne to itself
      ...outByte(0x21, 0xa5),
      ...[0xe4, 0x21, 0x3c, 0xa5, 0x75, 0xfe],
      ...reset,
    ];
    for (const kind of ['kernel', 'split'] as const) {
      const { exit } = await runKernel(multiboot(code), { irqchip: { kind } });
      expect([kind, exit.kind]).toEqual([kind, 'reset']);
    }
  });

  it('leaves no descriptor and no thread behind', { timeout: 120_000 }, async () => {
    // hlt, for ever: interrupts are off
    const kernel = await file(multiboot([0xf4, 0xeb, 0xfd]));
    const cycle = async (): Promise<void> => {
      await using vm = await VirtualMachine.create({
        kernel,
        hypervisor: { kind: 'kvm' },
        cpus: { count: 2 },
        serials: [{ type: 'sink' }],
      });
      await vm.start();
      await vm.stop();
    };
    const counts = () => ['fd', 'task'].map((name) => readdirSync(`/proc/self/${name}`).length);
    await cycle();
    const before = counts();
    for (let index = 0; index < 5; index++) await cycle();
    expect(counts()).toEqual(before);
  });

  it.each<[string, VirtualMachineConfiguration, object]>([
    ['too many CPUs', { cpus: { count: 255 } }, { name: 'ConfigurationError', code: 'OUT_OF_RANGE' }],
    [
      'a command line that is too long',
      { params: ['x'.repeat(3000)] },
      { name: 'MachineError', code: 'COMMAND_LINE', message: expect.stringContaining('2047') },
    ],
    [
      'PCI in the middle of the interrupt controllers',
      { pci: { memory: { start: 0xfe00_0000, size: 0x100_0000 } } },
      { name: 'MachineError', code: 'OVERLAP' },
    ],
    [
      'files for firmware of one name',
      { fwCfg: ['a', 'b'].map((text) => ({ name: 'name', string: text })) },
      { name: 'DeviceError', code: 'BAD_OPTION' },
    ],
    [
      'all interrupt controllers in this process',
      { irqchip: { kind: 'userspace' } },
      { name: 'ConfigurationError', option: 'irqchip', message: expect.stringContaining('split') },
    ],
    [
      "aarch64's interrupt translation service",
      { irqchip: { kind: 'kernel', allowVgicIts: true } },
      { name: 'MachineError', code: 'UNSUPPORTED', message: expect.stringContaining('--irqchip') },
    ],
  ])('is refused with %s', async (_, configuration, error) => {
    await expect(runKernel(bzImage(linux, true), configuration)).rejects.toMatchObject(error);
  });

  it('is refused with an initrd that does not fit', async () => {
    const initrd = await file(new Uint8Array(63 * MIB));
    await expect(runKernel(bzImage(linux, true), { initrd })).rejects.toMatchObject({
      name: 'MachineError',
      code: 'MEMORY_TOO_SMALL',
      message: expect.stringContaining('--mem'),
    });
  });
});

it('is refused with what is missing where there is no KVM', async () => {
  const kernel = await file(bzImage(reset, true));
  const missing = { kind: 'kvm', device: join(folder, 'no-kvm') } as const;
  await expect(run({ kernel, hypervisor: missing })).rejects.toMatchObject({
    name: 'HypervisorError',
    message: expect.stringMatching(/no-kvm|KVM/),
  });
  await expect(run({ kernel, hypervisor: { kind: 'soft' } })).rejects.toMatchObject({ code: 'UNSUPPORTED' });
});
