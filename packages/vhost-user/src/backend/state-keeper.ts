import type { FileDescriptor } from '@tsvmm/base';
import { VhostUserError } from '../errors.ts';
import { type PayloadReader, payload } from '../protocol/messages.ts';
import {
  readState,
  TRANSFER_NO_DESCRIPTOR,
  TRANSFER_PHASE_STOPPED,
  TransferDirection,
  writeState,
} from '../protocol/state-transfer.ts';

/** Whose state it is. */
export interface Stateful {
  /** Whether nothing is served, so that its state stays what it is. */
  isStopped(): boolean;
  save(): Uint8Array;
  /** @throws Error when the bytes are not a state of this device */
  load(state: Uint8Array): void;
}

/** Gives a front end the state of a device, or takes one over ("Migrating back-end state"): DEVICE_STATE. */
export class StateKeeper implements Disposable {
  readonly #device: Stateful;
  readonly #ending = new AbortController();
  /** Whether the last transfer went well, when it is over. */
  #transfer: Promise<boolean> | undefined;

  constructor(device: Stateful) {
    this.#device = device;
  }

  /**
   * SET_DEVICE_STATE_FD.
   * @param descriptor stays the caller's
   * @returns the payload of the reply
   */
  begin(reader: PayloadReader, descriptor: FileDescriptor): Uint8Array {
    const direction = reader.u32();
    const phase = reader.u32();
    if (phase !== TRANSFER_PHASE_STOPPED) throw reader.error(`there is no phase ${phase} of a migration`);
    if (direction !== TransferDirection.save && direction !== TransferDirection.load) {
      throw reader.error(`a state goes in no direction ${direction}`);
    }
    if (!this.#device.isStopped()) return payload.u64(TRANSFER_NO_DESCRIPTOR | 1n);
    const { signal } = this.#ending;
    const file = descriptor.duplicate();
    const transfer =
      direction === TransferDirection.save
        ? writeState(file, this.#device.save(), signal)
        : readState(file, signal).then((state) => this.#device.load(state));
    this.#transfer = transfer.then(
      () => true,
      () => false,
    );
    return payload.u64(TRANSFER_NO_DESCRIPTOR);
  }

  /** CHECK_DEVICE_STATE. @returns the payload of the reply, when the transfer is over */
  async check(reader: PayloadReader): Promise<Uint8Array> {
    if (this.#transfer === undefined) throw reader.error('no state was transferred');
    return payload.u64((await this.#transfer) ? 0n : 1n);
  }

  [Symbol.dispose](): void {
    this.#ending.abort(new VhostUserError('DISCONNECTED', 'the front end has gone'));
  }
}
