import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SOURCES = join(import.meta.dirname, 'kernels');

/** The kernels, and how many rounds of each take QEMU about a second. */
export const KERNELS: Readonly<Record<string, number>> = {
  integer: 400,
  pointers: 80,
  branches: 1000,
  recursion: 60,
  floating: 150,
};

/** Kernels as executables for `qemu-system-riscv64 -M virt -bios none`, and for a hart. */
export class CompiledKernels implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), 'softcpu-bench-'));

  /** @returns the executable's path. */
  compile(name: string, rounds: number): string {
    const executable = join(this.#directory, `${name}-${rounds}`);
    execFileSync('riscv64-linux-gnu-gcc', [
      ...['-O2', '-march=rv64gc', '-mabi=lp64d', '-mcmodel=medany', '-ffreestanding', '-fno-pic'],
      ...['-fno-stack-protector', '-fno-tree-loop-distribute-patterns', '-ffp-contract=off'],
      ...['-nostdlib', '-static', `-Wl,-T,${join(SOURCES, 'kernel.ld')}`, '-Wl,--build-id=none'],
      ...[`-DROUNDS=${rounds}`, join(SOURCES, 'start.S'), join(SOURCES, `${name}.c`), '-o', executable],
    ]);
    return executable;
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true });
  }
}

export interface Outcome {
  /** What the kernel computed, folded to seven bits. */
  readonly status: number;
  /** Seconds. */
  readonly time: number;
}

/** Runs a kernel in QEMU's translator. */
export function runInQemu(executable: string): Outcome {
  const start = performance.now();
  const { status } = spawnSync(
    'qemu-system-riscv64',
    ['-M', 'virt', '-accel', 'tcg', '-bios', 'none', '-nographic', '-monitor', 'none', '-kernel', executable],
    { stdio: 'ignore', timeout: 120_000 },
  );
  return { status: status ?? -1, time: (performance.now() - start) / 1000 };
}

export interface Segment {
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** The loadable segments of an executable. */
export function readSegments(executable: string): Segment[] {
  const elf = readFileSync(executable);
  const headers = Number(elf.readBigUInt64LE(32));
  const segments: Segment[] = [];
  for (let index = 0; index < elf.readUInt16LE(56); index++) {
    const header = headers + index * 56;
    if (elf.readUInt32LE(header) === 1) {
      const offset = Number(elf.readBigUInt64LE(header + 8));
      const address = Number(elf.readBigUInt64LE(header + 16));
      segments.push({
        address,
        bytes: elf.subarray(offset, offset + Number(elf.readBigUInt64LE(header + 32))),
      });
    }
  }
  return segments;
}
