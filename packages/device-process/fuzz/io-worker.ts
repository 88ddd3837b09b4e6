// The thread that serves devices: the front ends of their processes, and interrupts that lead nowhere.
import { type RemoteDescriptor, type RemoteDevice, serveDevices, UNCONNECTED_LINE } from '@tsvmm/devices';
import { VhostUserFrontend } from '@tsvmm/vhost-user';
import { GuestMemory, type GuestMemoryDescriptor } from '@tsvmm/vm-memory';

await serveDevices(async (environment) => {
  // What the machine passed.
  const memory = GuestMemory.attach(environment as GuestMemoryDescriptor);
  return {
    memory,
    interrupts: { msi: { send() {} }, line: () => UNCONNECTED_LINE },
    openRemote: (remote: RemoteDescriptor, device: RemoteDevice) =>
      VhostUserFrontend.open(remote, device, memory),
  };
});
