import type { IoEnvironment } from '@tsvmm/devices';
import { attachInterrupts, type InterruptsDescriptor } from '@tsvmm/hypervisor';
import { VhostUserFrontend } from '@tsvmm/vhost-user';
import { GuestMemory, type GuestMemoryDescriptor } from '@tsvmm/vm-memory';

/** What the I/O thread needs to reach the machine, as plain data. */
export interface IoEnvironmentData {
  readonly memory: GuestMemoryDescriptor;
  readonly interrupts: InterruptsDescriptor;
}

/** Called by the I/O thread of @tsvmm/devices. */
export async function attachIoEnvironment(data: unknown): Promise<IoEnvironment> {
  const { memory, interrupts } = data as IoEnvironmentData;
  const attached = GuestMemory.attach(memory);
  return {
    memory: attached,
    interrupts: await attachInterrupts(interrupts),
    openRemote: (descriptor, device) => VhostUserFrontend.open(descriptor, device, attached),
  };
}
