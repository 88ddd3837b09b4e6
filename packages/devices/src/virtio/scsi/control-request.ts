import type { InflightRequest } from '../inflight.ts';
import { VirtqueueError } from '../queue/errors.ts';
import { Segments } from '../queue/segments.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { LUN_LENGTH, lunOf, TAG_LENGTH, targetOf } from './lun.ts';

/** Types of requests on the control queue (virtio 1.3, section 5.6.6.2). */
export const ControlType = {
  taskManagement: 0,
  queryAsynchronous: 1,
  subscribeAsynchronous: 2,
} as const;

/** Task management functions: the subtypes of the first. */
export const TaskManagement = {
  abortTask: 0,
  abortTaskSet: 1,
  clearAca: 2,
  clearTaskSet: 3,
  nexusReset: 4,
  logicalUnitReset: 5,
  queryTask: 6,
  queryTaskSet: 7,
} as const;

const WORD = 4;

/** A request on the control queue; there are few of them. */
export class ControlRequest implements InflightRequest {
  queue: Virtqueue | undefined;
  /** One of {@link ControlType}, or what the driver wrote. */
  readonly type: number;
  /** Of task management: one of {@link TaskManagement}, or what the driver wrote. */
  readonly subtype: number;
  /** -1 when the driver names none. */
  readonly target: number;
  readonly lun: number;
  /** Of task management. */
  readonly tag = new Uint8Array(TAG_LENGTH);
  readonly #head: number;
  readonly #room = new Segments();

  /**
   * Takes over what a queue has popped.
   * @throws VirtqueueError BAD_REQUEST when the driver's buffers are no request
   */
  constructor(queue: Virtqueue) {
    const { readable } = queue;
    this.queue = queue;
    this.#head = queue.head;
    this.type = takeWord(queue);
    this.subtype = this.type === ControlType.taskManagement ? takeWord(queue) : 0;
    const address = new Uint8Array(LUN_LENGTH);
    if (!readable.takeFirst(address)) throw tooShort(queue);
    this.target = targetOf(address);
    this.lun = lunOf(address);
    if (this.type === ControlType.taskManagement && !readable.takeFirst(this.tag)) throw tooShort(queue);
    this.#room.copyFrom(queue.writable);
  }

  /** Gives the request back to its driver, unless that has forgotten it. @returns the queue it went to */
  finish(response: number): Virtqueue | undefined {
    const { queue } = this;
    this.queue = undefined;
    // No events are subscribed to, whichever were asked for.
    const events = this.type === ControlType.taskManagement ? 0 : WORD;
    const answer = new Uint8Array(events + 1);
    answer[events] = response;
    queue?.push(this.#head, this.#room.scatter(answer));
    return queue;
  }
}

function takeWord(queue: Virtqueue): number {
  const bytes = new Uint8Array(WORD);
  if (!queue.readable.takeFirst(bytes)) throw tooShort(queue);
  return new DataView(bytes.buffer).getUint32(0, true);
}

function tooShort(queue: Virtqueue): VirtqueueError {
  return new VirtqueueError('BAD_REQUEST', `queue ${queue.index}: a control request ends in its middle`);
}
