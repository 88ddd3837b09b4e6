// The test machine's memory and interrupts, for an IoWorker.
import { attachInterrupts, attachMemory, type SharedMachine } from './machine-memory.ts';

export function attachIoEnvironment(data: SharedMachine) {
  return { memory: attachMemory(data), interrupts: attachInterrupts(data) };
}
