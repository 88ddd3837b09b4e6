import { flushCompileCache } from 'node:module';
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
import { native } from './native.ts';

/**
 * What the program of a jailed process, which `JailedProcess.start` has started, does when its code is loaded.
 *
 * @param prepare does what must be done outside of the jail: afterwards there is no file system. The packet that the starting
 * side gave as `opening` waits on the link. What it returns is called once, in the jail; the process ends when nothing is left
 * to do then.
 */
export async function runJailed(prepare: (link: UnixSocket) => () => Promise<void> | void): Promise<void> {
  const control = new UnixSocket(new FileDescriptor(CONTROL_DESCRIPTOR));
  const link = new UnixSocket(new FileDescriptor(LINK_DESCRIPTOR));
  const run = prepare(link);
  // Node would do so when it ends, where there are no files.
  flushCompileCache();
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
  await run();
}
