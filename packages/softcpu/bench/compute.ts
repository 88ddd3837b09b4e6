/**
 * Speed of the software CPU on bare-metal kernels, against QEMU's translator, both from a cold start, interleaved:
 *
 *     node packages/softcpu/bench/compute.ts [--rounds=3] [--kernels=integer,pointers] [--threshold=1000]
 */
import { parseArgs } from 'node:util';
import { HartBlock } from '../src/core/layout.ts';
import { SoftMemory } from '../src/core/memory.ts';
import { Hart } from '../src/riscv64/hart.ts';
import { attachTranslation, HOT_THRESHOLD, startTranslation } from '../src/riscv64/regions.ts';
import { CompiledKernels, KERNELS, type Outcome, readSegments, runInQemu } from './kernels.ts';

const RAM_BASE = 0x8000_0000;
const RAM_SIZE = 64 << 20;
/** The SiFive test device: a word with the exit status in its high half. */
const TEST_DEVICE = 0x10_0000;

interface HartOutcome extends Outcome {
  /** Executed by the interpreter, if counted. */
  readonly instructions: number;
  /** Seconds of processor time of the hart's thread. */
  readonly processorTime: number;
}

async function runOnHart(
  executable: string,
  { hotThreshold = 0, countInstructions = false } = {},
): Promise<HartOutcome> {
  const memory = SoftMemory.create({ harts: 1, ramBase: RAM_BASE, ramSize: RAM_SIZE, codeSize: 16 << 20 });
  for (const { address, bytes } of readSegments(executable)) {
    memory.ram.set(bytes, address - RAM_BASE);
  }
  await using translation = startTranslation(memory);
  await translation.ready;
  let status = -1;
  const hart: Hart = new Hart(
    memory,
    0,
    {
      mmioRead: () => false,
      mmioWrite: ({ address, low }) => {
        status = low >>> 16;
        hart.requestStop();
        return address === TEST_DEVICE;
      },
      supervisorCall: () => {},
      readTime: () => 0,
      millisecondsUntil: () => Number.POSITIVE_INFINITY,
    },
    { hotThreshold, countInstructions },
  );
  hart.reset(RAM_BASE, 0, 0);
  if (hotThreshold > 0) {
    attachTranslation(hart, translation.port(0));
  }
  const before = process.threadCpuUsage();
  const start = performance.now();
  hart.run();
  const time = (performance.now() - start) / 1000;
  const { user, system } = process.threadCpuUsage(before);
  const counter = (hart.block + HartBlock.interpreterInstructions) >>> 2;
  const instructions = (memory.u32[counter] ?? 0) + (memory.u32[counter + 1] ?? 0) * 2 ** 32;
  return { status, time, instructions, processorTime: (user + system) / 1e6 };
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
const mips = (instructions: number, time: number): string =>
  (instructions / time / 1e6).toFixed(0).padStart(12);

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    kernels: { type: 'string', default: Object.keys(KERNELS).join() },
    threshold: { type: 'string', default: String(HOT_THRESHOLD) },
  },
});
using kernels = new CompiledKernels();
const idle = median([1, 2, 3].map(() => runInQemu(kernels.compile('integer', 0)).time));
console.log(`QEMU starts and stops in ${idle.toFixed(2)} s, which is subtracted from its times.`);
console.log('kernel        MIPS: QEMU  interpreter      regions   regions/QEMU  interpreter/QEMU');
const logarithms: number[] = [];
for (const name of values.kernels.split(',')) {
  const executable = kernels.compile(name, KERNELS[name] ?? 1);
  const counted = await runOnHart(executable, { countInstructions: true });
  const times = { qemu: [] as number[], interpreter: [] as number[], regions: [] as number[] };
  for (let round = 0; round < Number(values.rounds); round++) {
    const qemu = runInQemu(executable);
    const regions = await runOnHart(executable, { hotThreshold: Number(values.threshold) });
    const interpreter = await runOnHart(executable);
    for (const { status } of [qemu, regions, interpreter]) {
      if (status !== counted.status) {
        throw new Error(`${name} computes ${status} in one place and ${counted.status} in another`);
      }
    }
    times.qemu.push(qemu.time - idle);
    times.regions.push(regions.time);
    times.interpreter.push(interpreter.time);
  }
  const qemu = median(times.qemu);
  const regions = median(times.regions);
  const interpreter = median(times.interpreter);
  logarithms.push(Math.log(qemu / regions));
  const { instructions } = counted;
  const ratios = [regions, interpreter].map((time) => (qemu / time).toFixed(2).padStart(15)).join('');
  console.log(
    `${name.padEnd(12)}${mips(instructions, qemu)} ${mips(instructions, interpreter)} ${mips(instructions, regions)}${ratios}`,
  );
}
const mean = Math.exp(logarithms.reduce((sum, value) => sum + value, 0) / logarithms.length);
console.log(`Regions run at ${mean.toFixed(2)} times QEMU's speed (geometric mean).`);
