import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempDisposableSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { riscv64Image } from '../packages/vmm/test/bare-metal.ts';
import { bzImage, say } from '../packages/vmm/test/x86-program.ts';
import type { BenchmarkRow } from './run.ts';
import { childrenOf } from './support/processor-time.ts';
import { median } from './support/timing.ts';

const BIN = fileURLToPath(new URL('../packages/cli/bin/tsvmm.js', import.meta.url));
const ROUNDS = 15;
const DISKS = 3;

interface Machine {
  readonly hypervisor: 'soft' | 'kvm';
  /** Writes one byte to its console, and does nothing any more. */
  readonly kernel: Uint8Array;
  /** What the kernel writes to, on standard output, and a virtio console, which is one of the six devices. */
  readonly consoles: readonly string[];
}

/** By SBI's debug console (DBCN). */
const RISCV64_PROGRAM = [
  0x4442_48b7, // lui a7, 0x44424
  0x34e8_8893, // addi a7, a7, 0x34e
  0x0020_0813, // li a6, 2: write a byte
  0x0210_0513, // li a0, '!'
  0x0000_0073, // ecall
  0x0000_006f, // j .
];

const SOFT: Machine = {
  hypervisor: 'soft',
  kernel: riscv64Image(RISCV64_PROGRAM),
  consoles: ['--serial', 'hardware=virtio-console,type=stdout,console'],
};

const KVM: Machine = {
  hypervisor: 'kvm',
  // again: hlt; jmp again
  kernel: bzImage([...say('!'), 0xf4, 0xeb, 0xfd], true),
  consoles: ['--serial', 'type=stdout', '--serial', 'hardware=virtio-console,type=sink,console'],
};

export const description =
  'from the start of tsvmm run to the kernel with six devices, each in a jailed process, against one thread for all';

export async function run(report: (row: BenchmarkRow) => void): Promise<void> {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'tsvmm-bench-start-'));
  const disks = Array.from({ length: DISKS }, (_, index) => join(folder.path, `disk${index}.img`));
  for (const disk of disks) {
    writeFileSync(disk, '');
    truncateSync(disk, 2 ** 20);
  }
  const hasKvm = process.arch === 'x64' && existsSync('/dev/kvm');
  for (const machine of hasKvm ? [SOFT, KVM] : [SOFT]) await compare(machine, folder.path, disks, report);
}

async function compare(
  { hypervisor, kernel, consoles }: Machine,
  folder: string,
  disks: readonly string[],
  report: (row: BenchmarkRow) => void,
): Promise<void> {
  const image = join(folder, hypervisor);
  writeFileSync(image, kernel);
  const args = [
    ...['run', '--hypervisor', hypervisor, ...consoles],
    ...disks.flatMap((disk) => ['-b', disk]),
    image,
  ];
  const [jailed, thread]: [number[], number[]] = [[], []];
  let sizes: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await started(args, async (time, { pid = -1 }) => {
      jailed.push(time);
      while (!haveStarted(childrenOf(pid))) await setTimeout(20);
      sizes = childrenOf(pid).map(proportionalSize);
    });
    await started([...args.slice(0, 1), '--disable-sandbox', ...args.slice(1)], (time) => thread.push(time));
  }
  const [ours, peer] = [median(jailed), median(thread)];
  report({ what: `start to kernel entry, ${hypervisor}`, ours, peer, unit: 'ms', ratio: peer / ours });
  const idle = await emptyNode();
  const size = sizes.reduce((sum, each) => sum + each, 0) / sizes.length;
  const what = `memory of a device's process, of ${sizes.length} (PSS), against node without work, ${hypervisor}`;
  report({ what, ours: size, peer: idle, unit: 'MiB', ratio: idle / size });
}

/** Runs tsvmm until its kernel has written, and says how many milliseconds that took. */
async function started(
  args: readonly string[],
  then: (time: number, child: ChildProcess) => unknown,
): Promise<void> {
  const start = performance.now();
  const child = spawn(process.execPath, [BIN, '--log-level=warn', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  await new Promise((resolve, reject) => {
    child.stdout.once('data', resolve);
    child.once('exit', () => reject(new Error('tsvmm ended before its kernel began')));
  });
  await then(performance.now() - start, child);
  child.kill('SIGKILL');
  await ended;
}

/** Whether every device has its process, and each is confined: the kernel does not wait for that. */
function haveStarted(devices: readonly number[]): boolean {
  const isConfined = (pid: number) => /^Seccomp:\s+2$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return devices.length === DISKS + 3 && devices.every(isConfined);
}

/** MiB that a process takes, of what it shares with others its part (proc_pid_smaps(5)). */
function proportionalSize(pid: number): number {
  const [, kilobytes] = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}

/** The same of as many nodes that do nothing. */
async function emptyNode(): Promise<number> {
  const children = Array.from({ length: DISKS + 3 }, () =>
    spawn(process.execPath, ['-e', 'console.log(1); setInterval(() => {}, 1e6)'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  );
  await Promise.all(children.map(({ stdout }) => new Promise((resolve) => stdout.once('data', resolve))));
  const sizes = children.map(({ pid = -1 }) => proportionalSize(pid));
  for (const child of children) child.kill('SIGKILL');
  return sizes.reduce((sum, each) => sum + each, 0) / sizes.length;
}
