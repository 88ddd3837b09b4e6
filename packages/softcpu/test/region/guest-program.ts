import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HartBlock } from '../../src/core/layout.ts';
import { SoftMemory } from '../../src/core/memory.ts';
import type { RegionInstaller } from '../../src/core/region/region-installer.ts';
import { Hart } from '../../src/riscv64/hart.ts';
import {
  attachSynchronousTranslation,
  type SynchronousRegionOptions,
} from '../../src/riscv64/synchronous-regions.ts';

/** Where programs are linked to start: their ELF headers are on the page before. */
const RAM_BASE = 0x7fff_0000;
export const CODE_BASE = 0x8000_0000;
const RAM_SIZE = 1 << 20;

/** A guest program, assembled and linked: an executable for Linux and for a bare hart. */
export class GuestProgram implements Disposable {
  readonly elf: Uint8Array;
  readonly #directory: string;

  /** @param options more of them for the compiler. */
  constructor(assembly: string, options: readonly string[] = []) {
    this.#directory = mkdtempSync(join(tmpdir(), 'region-test-'));
    const source = join(this.#directory, 'program.S');
    writeFileSync(source, assembly);
    execFileSync('riscv64-linux-gnu-gcc', [
      ...['-march=rv64gc_zba_zbb_zbs', '-mabi=lp64d', '-nostdlib', '-static'],
      ...[
        `-Wl,-Ttext=0x${CODE_BASE.toString(16)}`,
        '-Wl,--build-id=none',
        ...options,
        source,
        '-o',
        this.#executable,
      ],
    ]);
    this.elf = readFileSync(this.#executable);
  }

  /** What the program writes when QEMU runs it. */
  runInQemu(): Buffer {
    return execFileSync('qemu-riscv64-static', [this.#executable], { timeout: 30_000 });
  }

  /** Addresses of labels. */
  symbols(): ReadonlyMap<string, number> {
    const lines = execFileSync('riscv64-linux-gnu-nm', [this.#executable], { encoding: 'utf8' }).split('\n');
    return new Map(
      lines.map((line) => {
        const [address = '', , name = ''] = line.split(' ');
        return [name, Number.parseInt(address, 16)];
      }),
    );
  }

  /** Bytes at an address, zero where the program has none. */
  read(address: number, size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    for (const segment of segments(this.elf)) {
      const from = Math.max(address, segment.address);
      const to = Math.min(address + size, segment.address + segment.bytes.length);
      if (from < to) {
        bytes.set(segment.bytes.subarray(from - segment.address, to - segment.address), from - address);
      }
    }
    return bytes;
  }

  get #executable(): string {
    return join(this.#directory, 'program');
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true });
  }
}

/** A hart with a program in its memory, and Linux's `write` and `exit` as SBI calls. */
export class BareMachine {
  readonly memory = SoftMemory.create({ harts: 1, ramBase: RAM_BASE, ramSize: RAM_SIZE, codeSize: 1 << 20 });
  readonly hart: Hart;
  readonly regions: RegionInstaller | undefined;
  readonly output: number[] = [];

  /** @param hotThreshold taken jumps after which a region is made, on the spot; 0: never. */
  constructor(elf: Uint8Array, hotThreshold: number, options?: SynchronousRegionOptions) {
    const { memory } = this;
    this.hart = new Hart(
      memory,
      0,
      {
        mmioRead: () => false,
        mmioWrite: () => false,
        supervisorCall: () => this.#call(),
        readTime: () => 0,
        millisecondsUntil: () => Number.POSITIVE_INFINITY,
      },
      { hotThreshold },
    );
    for (const { address, bytes } of segments(elf)) {
      memory.ram.set(bytes, address - RAM_BASE);
    }
    this.hart.reset(CODE_BASE, 0, 0);
    // Floating point on, as for a process.
    memory.u32[(this.hart.block + HartBlock.sstatus) >>> 2] = 1 << 13;
    if (hotThreshold > 0) {
      this.regions = attachSynchronousTranslation(this.hart, options);
    }
  }

  #call(): void {
    const { hart, memory, output } = this;
    if (hart.register(17) === 64) {
      const from = hart.register(11) - RAM_BASE;
      output.push(...memory.ram.subarray(from, from + hart.register(12)));
    } else {
      hart.requestStop();
    }
  }
}

/** Gives the offsets of a program's labels from an address. */
export function symbols(program: GuestProgram, base: number): (name: string) => number {
  const addresses = program.symbols();
  return (name) => (addresses.get(name) ?? Number.NaN) - base;
}

/** The loadable segments of an executable. */
function* segments(elf: Uint8Array): Iterable<{ readonly address: number; readonly bytes: Uint8Array }> {
  const view = new DataView(elf.buffer, elf.byteOffset, elf.length);
  const headers = Number(view.getBigUint64(32, true));
  for (let index = 0; index < view.getUint16(56, true); index++) {
    const header = headers + index * 56;
    if (view.getUint32(header, true) === 1) {
      const offset = Number(view.getBigUint64(header + 8, true));
      const address = Number(view.getBigUint64(header + 16, true));
      const size = Number(view.getBigUint64(header + 32, true));
      yield { address, bytes: elf.subarray(offset, offset + size) };
    }
  }
}
