import { type FileDescriptor, pipe } from '@tsvmm/base';
import { VhostUserError } from '../errors.ts';
import { FrontendRequest, ProtocolFeature } from '../protocol/requests.ts';
import {
  readState,
  TRANSFER_ERROR_MASK,
  TRANSFER_NO_DESCRIPTOR,
  TRANSFER_PHASE_STOPPED,
  TransferDirection,
  writeState,
} from '../protocol/state-transfer.ts';
import type { VhostUserClient } from './client.ts';

/** A device that was stopped, for another back end to go on with. */
export interface SuspendedDevice {
  /** What its back end remembered, in a form of its own. */
  readonly state: Uint8Array;
  /** By the number of each queue, the index of the available entry to begin with. */
  readonly nextAvailable: ReadonlyMap<number, number>;
}

/**
 * Has a back end whose queues are stopped give its state.
 * @throws VhostUserError UNSUPPORTED, REFUSED, and those of `VhostUserClient.ask`
 */
export async function saveState(client: VhostUserClient): Promise<Uint8Array> {
  const { reader, writer } = pipe();
  return await exchange(client, TransferDirection.save, writer, reader, readState);
}

/**
 * Has a back end that nothing was started of take a state over.
 * @throws VhostUserError UNSUPPORTED, REFUSED also when it is the state of another device, and those of `VhostUserClient.ask`
 */
export async function loadState(client: VhostUserClient, state: Uint8Array): Promise<void> {
  const { reader, writer } = pipe();
  await exchange(client, TransferDirection.load, reader, writer, (file, signal) =>
    writeState(file, state, signal),
  );
}

/**
 * @param theirs the back end's end of a pipe, and `ours` the other
 * @param carry takes our end over
 */
async function exchange<T>(
  client: VhostUserClient,
  direction: number,
  theirs: FileDescriptor,
  ours: FileDescriptor,
  carry: (file: FileDescriptor, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  using open = new DisposableStack();
  open.use(theirs);
  const own = open.use(ours);
  if (!client.has(ProtocolFeature.DEVICE_STATE)) {
    throw new VhostUserError('UNSUPPORTED', 'the back end cannot hand over the state of its device');
  }
  const parameters = new Uint8Array(Uint32Array.of(direction, TRANSFER_PHASE_STOPPED).buffer);
  const answer = await client.ask(FrontendRequest.SET_DEVICE_STATE_FD, parameters, (reader) => reader.u64(), [
    theirs,
  ]);
  if ((answer & TRANSFER_ERROR_MASK) !== 0n) throw refused('has no state to transfer now');
  if ((answer & TRANSFER_NO_DESCRIPTOR) === 0n)
    throw refused('wants to transfer its state by a file of its own');
  // The pipe ends when the back end alone has its end.
  theirs[Symbol.dispose]();
  const result = await carry(own.duplicate(), client.ended);
  own[Symbol.dispose]();
  const problem = await client.ask(FrontendRequest.CHECK_DEVICE_STATE, new Uint8Array(0), (reader) =>
    reader.u64(),
  );
  if (problem !== 0n) throw refused('could not transfer its state');
  return result;
}

function refused(what: string): VhostUserError {
  return new VhostUserError('REFUSED', `the back end ${what}`);
}
