import { readSync, writeSync } from 'node:fs';
import { type FileDescriptor, Readiness, Watcher } from '@tsvmm/base';
import { VhostUserError } from '../errors.ts';

/** SET_DEVICE_STATE_FD, "Device state transfer parameters": which way, as the back end sees it, and when. */
export const TransferDirection = { save: 0, load: 1 } as const;
/** The device is stopped: the only phase that there is. */
export const TRANSFER_PHASE_STOPPED = 0;
/** The answer: an error in the low byte, and whether the back end sends no descriptor to be used instead. */
export const TRANSFER_ERROR_MASK = 0xffn;
export const TRANSFER_NO_DESCRIPTOR = 0x100n;

/** Most bytes of a device's state. */
const MAX_STATE = 65_536;
const CHUNK = 4096;

/**
 * Writes a state into a pipe, and closes it.
 * @param file is taken over
 * @throws VhostUserError DISCONNECTED when nobody reads any more, or the signal says so
 */
export async function writeState(
  file: FileDescriptor,
  state: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  let done = 0;
  await transfer(file, Readiness.writable, signal, () => {
    if (done < state.length) done += writeSync(file.number, state, done);
    return done === state.length;
  });
}

/**
 * Reads a state from a pipe, to its end.
 * @param file is taken over
 * @throws VhostUserError DISCONNECTED when the signal says so, PROTOCOL when there is no end
 */
export async function readState(file: FileDescriptor, signal: AbortSignal): Promise<Uint8Array> {
  const state = Buffer.alloc(MAX_STATE + CHUNK);
  let length = 0;
  await transfer(file, Readiness.readable, signal, () => {
    const count = readSync(file.number, state, length, CHUNK, null);
    length += count;
    if (length > MAX_STATE) {
      throw new VhostUserError('PROTOCOL', `the state of a device has more than ${MAX_STATE} bytes`);
    }
    return count === 0;
  });
  return state.subarray(0, length);
}

/** Does a step whenever the descriptor is ready, until one of them is the last. */
async function transfer(
  file: FileDescriptor,
  interest: number,
  signal: AbortSignal,
  step: () => boolean,
): Promise<void> {
  using owned = file;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (cause: unknown) => {
    const broken = new VhostUserError('DISCONNECTED', "a device's state did not get through", { cause });
    reject(cause instanceof VhostUserError ? cause : broken);
  };
  const abort = () => fail(signal.reason);
  signal.addEventListener('abort', abort);
  try {
    using _watcher = new Watcher(owned.number, interest, () => {
      try {
        if (step()) resolve();
      } catch (error) {
        fail(error);
      }
    });
    await promise;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
