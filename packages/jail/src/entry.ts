// The program of a jailed process: `node entry.js MODULE`.
import { FileDescriptor, UnixSocket } from '@tsvmm/base';
import {
  BEGIN,
  CONTROL_DESCRIPTOR,
  LINK_DESCRIPTOR,
  LOADED,
  packetText,
  receivePacket,
  SEALED,
} from './handshake.ts';
import type { JailedModule } from './jailed-module.ts';
import { native } from './native.ts';

const control = new UnixSocket(new FileDescriptor(CONTROL_DESCRIPTOR));
const link = new UnixSocket(new FileDescriptor(LINK_DESCRIPTOR));
const module = (await import(process.argv[2] ?? '')) as JailedModule;
await module.prepare?.(link);
control.sendMessage(Buffer.from(LOADED));
for (;;) {
  const packet = await receivePacket(control);
  // The other side has given up.
  if (packet === undefined) process.exit(0);
  if (packetText(packet) === BEGIN) break;
  using listener = new FileDescriptor(native.installFilter(packet.bytes, true));
  control.sendMessage(Buffer.from(SEALED), [listener]);
}
control[Symbol.dispose]();
await module.run(link);
