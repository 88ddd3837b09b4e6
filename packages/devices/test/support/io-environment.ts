// The test machine's memory and interrupts, for an IoWorker.
import { GuestMemory } from '@tsvmm/vm-memory';
import { attachInterrupts, type SharedMachine } from './machine-memory.ts';

export function attachIoEnvironment(data: SharedMachine) {
  return { memory: GuestMemory.attach(data.memory), interrupts: attachInterrupts(data) };
}
