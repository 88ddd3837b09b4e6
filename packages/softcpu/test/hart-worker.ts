import { workerData } from 'node:worker_threads';
import { SoftMemory, type SoftMemoryDescriptor } from '../src/core/memory.ts';
import { Hart } from '../src/riscv64/hart.ts';
import type { Fence, HartHost } from '../src/riscv64/hart-host.ts';

/** What a worker runs: one hart, from `pc` until it writes anywhere outside of RAM. */
export interface HartWorkerData {
  readonly memory: SoftMemoryDescriptor;
  readonly id: number;
  readonly pc: number;
  /** What `ecall` from S-mode asks of all harts. */
  readonly fence: Fence;
}

const { memory: descriptor, id, pc, fence }: HartWorkerData = workerData;
const memory = SoftMemory.attach(descriptor);
const host: HartHost = {
  mmioRead: () => false,
  mmioWrite: () => {
    hart.requestStop();
    return true;
  },
  supervisorCall: () =>
    hart.remoteFence(
      Array.from({ length: memory.harts }, (_, other) => other),
      fence,
    ),
  readTime: () => 0,
  millisecondsUntil: () => Number.POSITIVE_INFINITY,
};
const hart = new Hart(memory, id, host);
hart.reset(pc, id, 0);
hart.run();
