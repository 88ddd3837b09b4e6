import { fileURLToPath } from 'node:url';
import { fetchGuest } from '../packages/guest-image/src/index.ts';
import { CompiledKernels, KERNELS, runInQemu } from '../packages/softcpu/bench/kernels.ts';
import { runOnHart } from '../packages/softcpu/bench/on-hart.ts';
import { HOT_THRESHOLD } from '../packages/softcpu/src/index.ts';
import type { BenchmarkRow } from './run.ts';
import { type Boot, boot, longestStretches, type Session } from './support/boot.ts';

const TSVMM = fileURLToPath(new URL('../packages/cli/bin/tsvmm.js', import.meta.url));
const ROUNDS = 3;
const MEBIBYTE = 2 ** 20;
const MEMORY = 512;

export const description =
  'Linux and bare-metal kernels on the software CPU, against one thread of QEMU (speeds)';

/** Both boot the same files, one after the other, and compute the same: so whatever else the machine does hits both. */
export async function run(report: (row: BenchmarkRow) => void): Promise<void> {
  await compareBoots(report);
  await compareKernels(report);
}

/** Work for the guest's shell: hashing, processes, and the shell's own interpreter. */
const SESSION: Session = {
  prompt: 'tsvmm:~#',
  commands: [
    'dd if=/dev/zero bs=64k count=256 2>/dev/null | sha256sum',
    'for i in $(seq 100); do /bin/busybox true; done',
    'i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; echo counted-$i',
    '',
  ].join('\n'),
  end: 'counted-30000',
};

async function compareBoots(report: (row: BenchmarkRow) => void): Promise<void> {
  const { kernel, initrd } = await fetchGuest({ architecture: 'riscv64' });
  const tsvmm = {
    program: process.execPath,
    parameters: [TSVMM, 'run', '-m', String(MEMORY), '-i', initrd, kernel],
  };
  const qemu = {
    program: 'qemu-system-riscv64',
    parameters: [
      ...['-M', 'virt,memory-backend=ram', '-smp', '1', '-m', String(MEMORY), '-accel', 'tcg,thread=single'],
      ...['-object', `memory-backend-memfd,id=ram,size=${MEMORY}M`],
      ...['-display', 'none', '-monitor', 'none', '-serial', 'stdio'],
      ...['-kernel', kernel, '-initrd', initrd, '-append', 'panic=-1 console=ttyS0'],
    ],
  };
  const ours: Boot[] = [];
  const theirs: Boot[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    theirs.push(await boot(qemu, SESSION));
    ours.push(await boot(tsvmm, SESSION));
  }
  const perMinute = (what: string, time: (boot: Boot) => number) => {
    const [our, their] = [ours, theirs].map((boots) => median(boots.map(time))) as [number, number];
    note(`${what}: ${our.toFixed(2)} s, QEMU ${their.toFixed(2)} s`);
    report({ what, ours: 60 / our, peer: 60 / their, unit: 'a minute', ratio: their / our });
  };
  perMinute("boots to the guest's init", ({ toInit }) => toInit);
  perMinute('boots to a shell', ({ toShell }) => toShell);
  perMinute("rounds of a shell's work", ({ commands }) => commands);
  const [our, their] = [ours, theirs].map((boots) =>
    median(boots.map(({ memory }) => memory / MEBIBYTE)),
  ) as [number, number];
  report({ what: 'memory besides RAM', ours: our, peer: their, unit: 'MiB', ratio: their / our });

  const [last] = ours.slice(-1);
  note('Memory of tsvmm besides RAM:');
  for (const { kind, resident } of last?.memoryUses ?? [])
    note(`${(resident / MEBIBYTE).toFixed(1).padStart(8)} MiB  ${kind}`);
  note('Processor time of the threads of tsvmm, until the end of the work:');
  for (const { name, seconds } of last?.threads.slice(0, 8) ?? [])
    note(`${seconds.toFixed(2).padStart(8)} s  ${name}`);
  note("Longest stretches of the boot by the guest's clock, up to the message at their end:");
  for (const { seconds, until } of longestStretches(last?.console ?? '', 8))
    note(`${seconds.toFixed(2).padStart(8)} s  ${until.slice(0, 80)}`);
}

async function compareKernels(report: (row: BenchmarkRow) => void): Promise<void> {
  using kernels = new CompiledKernels();
  const nothing = kernels.compile('integer', 0);
  const idle = median(Array.from({ length: ROUNDS }, () => runInQemu(nothing).time));
  for (const [name, rounds] of Object.entries(KERNELS)) {
    const executable = kernels.compile(name, rounds);
    const { instructions, status } = await runOnHart(executable, { countInstructions: true });
    const times = { qemu: [] as number[], interpreter: [] as number[], regions: [] as number[] };
    for (let round = 0; round < ROUNDS; round++) {
      const qemu = runInQemu(executable);
      const regions = await runOnHart(executable, { hotThreshold: HOT_THRESHOLD });
      const interpreter = await runOnHart(executable);
      for (const outcome of [qemu, regions, interpreter])
        if (outcome.status !== status)
          throw new Error(`${name} computes ${status} in one place and ${outcome.status} in another.`);
      times.qemu.push(qemu.time - idle);
      times.regions.push(regions.time);
      times.interpreter.push(interpreter.time);
    }
    const rate = (samples: readonly number[]) => instructions / median(samples) / 1e6;
    const peer = rate(times.qemu);
    for (const tier of ['regions', 'interpreter'] as const) {
      const ours = rate(times[tier]);
      report({ what: `${name}, ${tier}`, ours, peer, unit: 'Minstructions/s', ratio: ours / peer });
    }
  }
}

/** What is no comparison goes to standard error, where it is in nobody's way who reads the rows. */
function note(text: string): void {
  console.error(text);
}

function median(samples: readonly number[]): number {
  return samples.toSorted((a, b) => a - b)[samples.length >> 1] ?? Number.NaN;
}
