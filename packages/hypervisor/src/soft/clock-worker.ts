import { workerData } from 'node:worker_threads';
import { Request, SoftMemory, type SoftMemoryDescriptor } from '@tsvmm/softcpu';
import { Deadlines } from './clock.ts';
import { timebase } from './timebase.ts';

/** What the clock thread is started with. */
export interface ClockWorkerData {
  readonly memory: SoftMemoryDescriptor;
  readonly deadlines: SharedArrayBuffer;
  readonly epoch: bigint;
}

const data: ClockWorkerData = workerData;
const memory = SoftMemory.attach(data.memory);
const deadlines = new Deadlines(data.deadlines);
const now = timebase(data.epoch);

while (deadlines.wait(now, (hart) => memory.request(hart, Request.timer))) {
  // Everything happens in the condition: the thread sleeps there.
}
