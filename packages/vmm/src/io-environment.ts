import type { IoEnvironment } from '@tsvmm/devices';
import { attachInterrupts, type InterruptsDescriptor } from '@tsvmm/hypervisor';
import { GuestMemory, type GuestMemoryDescriptor } from '@tsvmm/vm-memory';

/** What the I/O thread needs to reach the machine, as plain data. */
export interface IoEnvironmentData {
  readonly memory: GuestMemoryDescriptor;
  readonly interrupts: InterruptsDescriptor;
}

/** Called by the I/O thread of @tsvmm/devices. */
export function attachIoEnvironment(data: unknown): IoEnvironment {
  const { memory, interrupts } = data as IoEnvironmentData;
  return { memory: GuestMemory.attach(memory), interrupts: attachInterrupts(interrupts) };
}
