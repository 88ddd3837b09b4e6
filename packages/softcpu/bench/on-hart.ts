import { HartBlock } from '../src/core/layout.ts';
import { SoftMemory } from '../src/core/memory.ts';
import { Hart } from '../src/riscv64/hart.ts';
import { attachTranslation, startTranslation } from '../src/riscv64/regions.ts';
import { type Outcome, readSegments } from './kernels.ts';

const RAM_BASE = 0x8000_0000;
const RAM_SIZE = 64 << 20;
/** The SiFive test device: a word with the exit status in its high half. */
const TEST_DEVICE = 0x10_0000;

/** What running on a hart tells besides. */
export interface HartOutcome extends Outcome {
  /** Executed by the interpreter, if counted. */
  readonly instructions: number;
  /** Seconds of processor time of the hart's thread. */
  readonly processorTime: number;
}

/** Runs a kernel on a hart of this thread: on the interpreter alone unless `hotThreshold` says when code is hot. */
export async function runOnHart(
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
