// The body of a machine's I/O thread.
import { serveDevices } from '@tsvmm/devices';
import { attachInterrupts, type InterruptsDescriptor } from '@tsvmm/hypervisor';
import { VhostUserFrontend } from '@tsvmm/vhost-user';
import { GuestMemory, type GuestMemoryDescriptor } from '@tsvmm/vm-memory';

/** What the I/O thread needs to reach the machine, as plain data. */
export interface IoEnvironmentData {
  readonly memory: GuestMemoryDescriptor;
  readonly interrupts: InterruptsDescriptor;
}

await serveDevices(async (environment) => {
  const { memory, interrupts } = environment as IoEnvironmentData;
  const attached = GuestMemory.attach(memory);
  return {
    memory: attached,
    interrupts: await attachInterrupts(interrupts),
    openRemote: (descriptor, device) => VhostUserFrontend.open(descriptor, device, attached),
  };
});
