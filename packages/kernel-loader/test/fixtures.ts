import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KernelMemory } from '../src/index.ts';

/** Guest memory in one piece, filled with a pattern so that what must be zeroed shows. */
export class FlatMemory implements KernelMemory {
  readonly base: number;
  readonly bytes: Uint8Array;

  constructor(base = 0x8000_0000, size = 4 << 20) {
    this.base = base;
    this.bytes = new Uint8Array(size).fill(0xa5);
  }
  contains(address: number, length: number): boolean {
    return address >= this.base && address + length <= this.base + this.bytes.length;
  }
  copyIn(address: number, source: Uint8Array): void {
    this.bytes.set(source, address - this.base);
  }
  fill(address: number, length: number, value: number): void {
    this.bytes.fill(value, address - this.base, address - this.base + length);
  }
  at(address: number, length: number): Uint8Array {
    return this.bytes.subarray(address - this.base, address - this.base + length);
  }
}

const LINK = ['-nostdlib', '-static', '-no-pie', '-Wl,--build-id=none', '-Wl,--no-warn-rwx-segments'];

/** A directory with the tool chain's programs at hand. */
export class Workshop implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), 'tsvmm-kernel-'));

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true });
  }

  /** Runs a program in the directory and returns what it printed. */
  run(program: string, ...args: string[]): string {
    return execFileSync(program, args, { cwd: this.#directory, encoding: 'utf8' });
  }

  read(name: string): Buffer {
    return readFileSync(join(this.#directory, name));
  }

  write(name: string, contents: string | Uint8Array): void {
    writeFileSync(join(this.#directory, name), contents);
  }

  /** The ELF file that the compiler and the linker make of an assembly source. */
  elf(compiler: string, source: string, ...options: string[]): Buffer {
    this.write('source.S', source);
    this.run(compiler, ...LINK, ...options, '-o', 'elf', 'source.S');
    return this.read('elf');
  }

  /** The linked file as objcopy flattens it: what memory must look like, up to the last byte that is not zeroed. */
  flat(objcopy: string): Buffer {
    this.run(objcopy, '-O', 'binary', 'elf', 'flat');
    return this.read('flat');
  }

  /** The address of a symbol. */
  symbol(nm: string, name: string): number {
    const line = this.run(nm, 'elf')
      .split('\n')
      .find((line) => line.endsWith(` ${name}`));
    return Number(BigInt(`0x${line?.split(' ')[0]}`) & 0xffff_ffffn);
  }
}

export const RISCV = 'riscv64-linux-gnu-';

/** Code, data and zeroed memory, an entry that is not first, and a hole between the two segments. */
export const PROGRAM = `
  .text
  .skip 64
  .globl _start
_start: .4byte 1, 2, 3
  .data
  .balign 4096
  .fill 5000, 1, 0x77
  .bss
  .skip 9000
`;

/** A raw Image: the 64-byte header of both 64-bit architectures, then 100 bytes. */
export const image = (
  magic: string,
  options: { textOffset?: number; size?: number; flags?: number } = {},
) => `
  .section .text
  .globl _start
_start:
  .4byte 0x5a4d, 0
  .8byte ${options.textOffset ?? 0x200000}, ${options.size ?? 0x10000}, ${options.flags ?? 0}
  .4byte 2, 0
  .8byte 0, 0
  .ascii "${magic}"
  .4byte 0
  .fill 100, 1, 0x33
`;

/** An EFI zboot image around a compressed kernel. */
export function zboot(compression: string, payload: Uint8Array): Uint8Array {
  const offset = 4096;
  const file = new Uint8Array(offset + payload.length + 512);
  const text = new TextEncoder();
  text.encodeInto('MZ\0\0zimg', file);
  new DataView(file.buffer).setUint32(8, offset, true);
  new DataView(file.buffer).setUint32(12, payload.length, true);
  text.encodeInto(compression, file.subarray(24));
  file.set([0xcd, 0x23, 0x82, 0x81], 0x38);
  file.set(payload, offset);
  return file;
}

/** Fields of a bzImage's setup header, by their names in Documentation/arch/x86/boot.rst, with their offsets and widths. */
const SETUP_FIELDS = {
  setup_sects: [0x1f1, 1],
  syssize: [0x1f4, 4],
  boot_flag: [0x1fe, 2],
  jump: [0x200, 2],
  header: [0x202, 4],
  version: [0x206, 2],
  loadflags: [0x211, 1],
  initrd_addr_max: [0x22c, 4],
  kernel_alignment: [0x230, 4],
  relocatable_kernel: [0x234, 1],
  xloadflags: [0x236, 2],
  cmdline_size: [0x238, 4],
  pref_address: [0x258, 8],
  init_size: [0x260, 4],
} as const;

/** A bzImage with a protected-mode kernel of `size` bytes, all 0x66; a modern one unless the fields say otherwise. */
export function bzImage(
  fields: Partial<Record<keyof typeof SETUP_FIELDS, number>> = {},
  size = 4096,
): Uint8Array {
  const all = {
    setup_sects: 3,
    syssize: Math.ceil(size / 16),
    boot_flag: 0xaa55,
    jump: 0x6aeb,
    header: 0x5372_6448,
    version: 0x020f,
    loadflags: 1,
    initrd_addr_max: 0x7fff_ffff,
    kernel_alignment: 0x1_0000,
    relocatable_kernel: 1,
    xloadflags: 3,
    cmdline_size: 2047,
    pref_address: 0x28_0000,
    init_size: 0x8_0000,
    ...fields,
  };
  const offset = ((all.setup_sects || 4) + 1) * 512;
  const file = new Uint8Array(offset + size).fill(0x66, offset);
  const data = new DataView(file.buffer);
  for (const [name, [at, width]] of Object.entries(SETUP_FIELDS)) {
    const value = all[name as keyof typeof SETUP_FIELDS];
    if (width === 1) data.setUint8(at, value);
    else if (width === 2) data.setUint16(at, value, true);
    else if (width === 4) data.setUint32(at, value, true);
    else data.setBigUint64(at, BigInt(value), true);
  }
  return file;
}

/** A kernel of 4,096 bytes with a Multiboot header at its 64th; without addresses unless given. */
export function multiboot(
  flags: number,
  addresses: readonly number[] = [],
  file: Uint8Array = new Uint8Array(4096).fill(0x55),
): Uint8Array {
  const data = new DataView(file.buffer, file.byteOffset, file.length);
  const words = [0x1bad_b002, flags, -(0x1bad_b002 + flags), ...addresses];
  for (const [index, word] of words.entries()) data.setUint32(64 + index * 4, word, true);
  return file;
}
