// The body of the test machine's I/O thread.
import { GuestMemory } from '@tsvmm/vm-memory';
import { serveDevices } from '../../src/index.ts';
import { attachInterrupts, type SharedMachine } from './machine-memory.ts';

await serveDevices((environment) => {
  const machine = environment as SharedMachine;
  return { memory: GuestMemory.attach(machine.memory), interrupts: attachInterrupts(machine) };
});
