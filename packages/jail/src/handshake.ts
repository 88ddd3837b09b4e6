import type { FileDescriptor, UnixSocket } from '@tsvmm/base';

/**
 * What the two sides say on the control socket (seqpacket): the process says that it has LOADED its code; it gets its filter
 * (the bytes of the program, always a multiple of eight), and answers that it is SEALED, with the filter's listener; it is
 * told to BEGIN. Without a jail there is no filter.
 */
export const LOADED = 'loaded';
export const SEALED = 'sealed';
export const BEGIN = 'begin';

/** Longest packet: a filter of the most instructions that the kernel takes. */
const MAXIMUM_PACKET = 4096 * 8;

/** Descriptors of the process, after its standard input, output and error. */
export const CONTROL_DESCRIPTOR = 3;
export const LINK_DESCRIPTOR = 4;

export interface Packet {
  readonly bytes: Uint8Array;
  readonly descriptors: readonly FileDescriptor[];
}

/** The next packet; undefined when the other side has closed its end. */
export async function receivePacket(socket: UnixSocket): Promise<Packet | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Packet | undefined>();
  const buffer = new Uint8Array(MAXIMUM_PACKET);
  using _watcher = socket.onReadable(() => {
    try {
      const message = socket.tryReceiveMessage(buffer, 1);
      if (message === undefined) return;
      const { length, descriptors } = message;
      resolve(length === 0 ? undefined : { bytes: buffer.subarray(0, length), descriptors });
    } catch (error) {
      reject(error);
    }
  });
  return await promise;
}

export function packetText(packet: Packet | undefined): string | undefined {
  return packet && Buffer.from(packet.bytes).toString();
}
