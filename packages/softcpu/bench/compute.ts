/**
 * Speed of the software CPU on bare-metal kernels, against QEMU's translator, both from a cold start, interleaved:
 *
 *     node packages/softcpu/bench/compute.ts [--rounds=3] [--kernels=integer,pointers] [--threshold=1000]
 */
import { parseArgs } from 'node:util';
import { HOT_THRESHOLD } from '../src/riscv64/regions.ts';
import { CompiledKernels, KERNELS, runInQemu } from './kernels.ts';
import { runOnHart } from './on-hart.ts';

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
