// What runs in the process of a device: everything is loaded, and made that needs the host, before the jail closes; images are
// read, and the guest is served, in it.
import { deserialize } from 'node:v8';
import { type Executor, type OpenedExecutor, openExecutor } from '@tsvmm/async';
import type { FileDescriptor, MemFd, UnixSocket } from '@tsvmm/base';
import type { DiskImage } from '@tsvmm/devices';
import { createInflightFile } from '@tsvmm/vhost-user';
import type { ProcessBackend, ProcessDevice } from '../device.ts';
import { MAXIMUM_PACKET } from '../protocol.ts';
import { DeviceServer } from './server.ts';

/** As many as a console can have ports. */
const MAXIMUM_DESCRIPTORS = 31;

let device: ProcessDevice;
let descriptors: readonly FileDescriptor[];
let opened: OpenedExecutor | undefined;
let inflightFile: MemFd;

/** Called by the entry of @tsvmm/jail, in the file system of the host. */
export function prepare(link: UnixSocket): void {
  const buffer = new Uint8Array(MAXIMUM_PACKET);
  const packet = link.receiveMessage(buffer, MAXIMUM_DESCRIPTORS);
  if (packet === undefined || packet.length === 0) throw new Error('the process was not told its device');
  device = deserialize(buffer.subarray(0, packet.length)) as ProcessDevice;
  descriptors = packet.descriptors;
  const { backend, model } = device;
  // In the jail neither memory files can be made nor an io_uring.
  inflightFile = createInflightFile(model);
  const image = imageOf(backend);
  if (image !== undefined) opened = openExecutor({ kind: image.executor ?? 'auto' });
}

/** Called by the entry of @tsvmm/jail, in the jail. */
export async function run(link: UnixSocket): Promise<void> {
  const executor = (): Executor => {
    if (opened === undefined) throw new Error(`a ${device.backend.kind} device has no files`);
    return opened.executor;
  };
  const server = new DeviceServer(link, device, { descriptors, inflightFile, executor });
  if (opened !== undefined) server.log(`${device.name} does its I/O on ${opened.reason}`);
  await server.open();
}

/** An image that the device has: all of them do their I/O in the same way. */
function imageOf(backend: ProcessBackend): DiskImage | undefined {
  switch (backend.kind) {
    case 'block':
      return backend.disk;
    case 'scsi':
      return backend.disks[0]?.disk;
    default:
      return undefined;
  }
}
