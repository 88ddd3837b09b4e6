import type { UnixSocket } from '@tsvmm/base';
import { rngModel } from '@tsvmm/devices';
import type { ProcessDevice } from '../src/index.ts';

export const RNG: ProcessDevice = { name: 'virtio-rng', model: rngModel(), backend: { kind: 'rng' } };

/** A front end's request without a payload (vhost-user, "Message format"). */
export function request(number: number, ...words: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.of(number, 1, 4 * words.length, ...words).buffer);
}

/** The answer to a request. */
export async function ask(socket: UnixSocket, message: Uint8Array): Promise<DataView> {
  const { promise, resolve } = Promise.withResolvers<DataView>();
  const buffer = new Uint8Array(1024);
  using _watcher = socket.onReadable(() => {
    const answer = socket.tryReceiveMessage(buffer);
    if (answer !== undefined) resolve(new DataView(buffer.buffer, 0, answer.length));
  });
  socket.sendMessage(message);
  return await promise;
}

export const GET_FEATURES = 1;
export const GET_CONFIG = 24;
