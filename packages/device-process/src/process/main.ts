// The program of a device's process: everything is loaded, and made that needs the host, before the jail closes; images are
// read, and the guest is served, in it.
import { deserialize } from 'node:v8';
import { type Executor, openExecutor } from '@tsvmm/async';
import type { DiskImage } from '@tsvmm/devices';
import { runJailed } from '@tsvmm/jail/process';
import { createInflightFile } from '@tsvmm/vhost-user';
import type { ProcessBackend, ProcessDevice } from '../device.ts';
import { MAXIMUM_PACKET } from '../protocol.ts';
import { DeviceServer } from './server.ts';

/** As many as a console can have ports. */
const MAXIMUM_DESCRIPTORS = 31;

await runJailed((link) => {
  const buffer = new Uint8Array(MAXIMUM_PACKET);
  const packet = link.receiveMessage(buffer, MAXIMUM_DESCRIPTORS);
  if (packet === undefined || packet.length === 0) throw new Error('the process was not told its device');
  const device = deserialize(buffer.subarray(0, packet.length)) as ProcessDevice;
  const { descriptors } = packet;
  const { name, backend, model } = device;
  // In the jail neither memory files can be made nor an io_uring.
  const inflightFile = createInflightFile(model);
  const image = imageOf(backend);
  const opened = image && openExecutor({ kind: image.executor ?? 'auto' });
  const executor = (): Executor => {
    if (opened === undefined) throw new Error(`a ${backend.kind} device has no files`);
    return opened.executor;
  };
  return async () => {
    const server = new DeviceServer(link, device, { descriptors, inflightFile, executor });
    if (opened !== undefined) server.log(`${name} does its I/O on ${opened.reason}`);
    await server.open();
  };
});

/** An image that the device has: all of them do their I/O in the same way. */
function imageOf(backend: ProcessBackend): DiskImage | undefined {
  switch (backend.kind) {
    case 'block':
      return backend.disk;
    case 'pmem':
      return backend.image;
    case 'scsi':
      return backend.disks[0]?.disk;
    default:
      return undefined;
  }
}
