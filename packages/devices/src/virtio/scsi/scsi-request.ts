import type { InflightRequest } from '../inflight.ts';
import { VirtqueueError } from '../queue/errors.ts';
import { Segments } from '../queue/segments.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { Cdb, MAX_CDB_LENGTH } from './cdb.ts';
import { lunOf, TAG_LENGTH, TAG_OFFSET, targetOf } from './lun.ts';
import type { RequestSizes } from './model.ts';
import { CheckCondition, SENSE_LENGTH, Sense, writeSense } from './sense.ts';

/** What became of a request (virtio 1.3, section 5.6.6.1). */
export const ScsiResponse = {
  ok: 0,
  overrun: 1,
  aborted: 2,
  badTarget: 3,
  reset: 4,
  failure: 9,
  functionSucceeded: 10,
  functionRejected: 11,
  incorrectLun: 12,
} as const;

/** Status codes (SAM-5, section 5.3). */
const GOOD = 0x00;
const CHECK_CONDITION = 0x02;

/** LUN, tag, task attribute, priority and CRN; the CDB follows. */
const HEADER_LENGTH = 19;
/** Sense length, residual, status qualifier, status and response; sense data follows. */
const RESPONSE_LENGTH = 12;

/** A command needs more room, or more data, than came with it. */
class Overrun extends Error {}

/** A command of a driver. Made when all others are in use, and used again. */
export class ScsiRequest implements InflightRequest {
  queue: Virtqueue | undefined;
  readonly cdb = new Cdb();
  /** -1 when the driver names none. */
  target = -1;
  lun = 0;
  /** As it stands in the request. */
  readonly tag = new Uint8Array(TAG_LENGTH);
  /** What it is answered with, of {@link ScsiResponse}, whatever becomes of it: a task management function ended it. */
  endedBy: number | undefined;
  #head = 0;
  #sizes: RequestSizes = { cdb: 0, sense: 0 };
  readonly #header = new Uint8Array(HEADER_LENGTH);
  readonly #response = new Uint8Array(RESPONSE_LENGTH + SENSE_LENGTH);
  readonly #responseView = new DataView(this.#response.buffer);
  readonly #responseRoom = new Segments();
  readonly #dataOut = new Segments();
  readonly #dataIn = new Segments();
  /** Bytes that the driver has brought, and made room for. */
  #offered = 0;
  /** Bytes that were moved, of either. */
  #moved = 0;
  #answered = 0;

  /**
   * Takes over what a queue has popped.
   * @throws VirtqueueError BAD_REQUEST when the driver's buffers are no request
   */
  take(queue: Virtqueue, sizes: RequestSizes): void {
    const { readable, writable } = queue;
    const { bytes } = this.cdb;
    this.queue = queue;
    this.endedBy = undefined;
    this.#head = queue.head;
    this.#sizes = sizes;
    bytes.fill(0);
    if (
      sizes.cdb > MAX_CDB_LENGTH ||
      !readable.takeFirst(this.#header) ||
      !readable.takeFirst(bytes.subarray(0, sizes.cdb)) ||
      !writable.moveFirst(RESPONSE_LENGTH + sizes.sense, this.#responseRoom)
    ) {
      throw new VirtqueueError(
        'BAD_REQUEST',
        `queue ${queue.index}: a SCSI request with a CDB of ${sizes.cdb} bytes and ${sizes.sense} of sense data does not fit into its buffers`,
      );
    }
    this.target = targetOf(this.#header);
    this.lun = lunOf(this.#header);
    for (let i = 0; i < TAG_LENGTH; i++) this.tag[i] = this.#header[TAG_OFFSET + i] ?? 0;
    this.#dataOut.copyFrom(readable);
    this.#dataIn.copyFrom(writable);
    this.#offered = readable.byteLength + writable.byteLength;
    this.#moved = 0;
    this.#answered = 0;
    this.#setResult(ScsiResponse.ok, GOOD);
  }

  /** Gives the driver `data`, or as much as its allocation length says. @throws Overrun */
  answer(data: Uint8Array, allocationLength = this.cdb.length): undefined {
    const given = data.subarray(0, Math.min(data.length, allocationLength));
    if (given.length > this.#dataIn.byteLength) throw new Overrun();
    this.#answered = this.#moved = this.#dataIn.scatter(given);
  }

  /** The room for `length` bytes that the driver gets. @throws Overrun */
  takeRoom(length: number): Segments {
    if (!this.#dataIn.truncate(length)) throw new Overrun();
    this.#answered = this.#moved = length;
    return this.#dataIn;
  }

  /** The `length` bytes that the driver brings, where they lie. @throws Overrun */
  takeData(length: number): Segments {
    if (!this.#dataOut.truncate(length)) throw new Overrun();
    this.#moved = length;
    return this.#dataOut;
  }

  /** A copy of what the driver brings, of `length` bytes as its command says. @throws Overrun */
  takeParameters(length: number): Uint8Array {
    if (length > this.#dataOut.byteLength) throw new Overrun();
    const bytes = new Uint8Array(length);
    this.#dataOut.takeFirst(bytes);
    this.#moved = length;
    return bytes;
  }

  /** The command was not served. */
  fail(error: unknown): void {
    this.#answered = this.#moved = 0;
    if (error instanceof Overrun) this.#setResult(ScsiResponse.overrun, GOOD);
    else if (error instanceof CheckCondition) this.#setSense(error);
    else this.#setSense(new CheckCondition(this.#diskError));
  }

  /** There is nothing that could serve it. @param response one of {@link ScsiResponse} */
  refuse(response: number): void {
    this.#setResult(response, GOOD);
  }

  /** Gives the request back to its driver, unless that has forgotten it. @returns the queue it went to */
  finish(): Virtqueue | undefined {
    const { queue } = this;
    this.queue = undefined;
    if (!queue) return undefined;
    if (this.endedBy !== undefined) this.#setResult(this.endedBy, GOOD);
    this.#responseView.setUint32(4, this.#offered - this.#moved, true);
    const senseLength = this.#responseView.getUint32(0, true);
    this.#responseRoom.scatter(this.#response.subarray(0, RESPONSE_LENGTH + senseLength));
    queue.push(this.#head, RESPONSE_LENGTH + this.#sizes.sense + this.#answered);
    return queue;
  }

  /** What an error of the disk is to the driver, which reports it with the block. */
  get #diskError(): Sense {
    const { operation } = this.cdb;
    return operation === 'read' || operation === 'verify' ? Sense.unrecoveredReadError : Sense.writeError;
  }

  #setSense({ sense, field }: CheckCondition): void {
    this.#setResult(ScsiResponse.ok, CHECK_CONDITION);
    this.#responseView.setUint32(0, Math.min(SENSE_LENGTH, this.#sizes.sense), true);
    writeSense(this.#response.subarray(RESPONSE_LENGTH), sense, field);
  }

  #setResult(response: number, status: number): void {
    this.#response.fill(0, 0, RESPONSE_LENGTH);
    this.#response[10] = status;
    this.#response[11] = response;
  }
}
