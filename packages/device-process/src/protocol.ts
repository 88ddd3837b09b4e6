import type { DeviceCommand, DeviceReply } from '@tsvmm/devices';
import { DeviceProcessError } from './errors.ts';

/** What the process is told. Before anything else it gets its device: a `ProcessDevice` in the form of `v8.serialize`. */
export type ProcessRequest =
  /** The answer to `open`: the file comes as a descriptor, unless there is a problem. */
  | { readonly kind: 'opened'; readonly id: number; readonly problem?: string }
  /** A front end: the descriptor is a connected vhost-user socket. */
  | { readonly kind: 'connect' }
  /** Answered by `done` with the same id. */
  | { readonly kind: 'command'; readonly id: number; readonly command: DeviceCommand }
  /** Serve what the guest has asked for, bring data to safety, and end. */
  | { readonly kind: 'finish' };

/** How the process wants a file opened. */
export interface OpenRequest {
  readonly kind: 'open';
  readonly id: number;
  readonly path: string;
  readonly writable: boolean;
  readonly lock: boolean;
  readonly direct: boolean;
}

/** What the process says. */
export type ProcessEvent =
  /** An image, or a file that one names; until it is `ready`. */
  | OpenRequest
  /** A front end can come. */
  | { readonly kind: 'ready' }
  /** The device cannot be served; the process ends. */
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'log'; readonly message: string }
  /** What was asked for is done, and that is the answer; with a problem when it cannot be done. */
  | { readonly kind: 'done'; readonly id: number; readonly reply?: DeviceReply; readonly problem?: string }
  /** The guest's driver broke the virtio protocol, or the back end failed: a queue is not served any more. */
  | { readonly kind: 'broken'; readonly reason: string }
  /** The front end has gone; with a problem when it broke the protocol. */
  | { readonly kind: 'disconnected'; readonly problem?: string }
  /** What was asked for by `finish` is done; with a problem when data could not be brought to safety. */
  | { readonly kind: 'finished'; readonly problem?: string };

/** Longest packet in either direction: a path, or a message for people. */
export const MAXIMUM_PACKET = 32_768;

type Field = 'text' | 'optional-text' | 'number' | 'boolean' | 'optional-reply';

const EVENT_FIELDS: Readonly<Record<ProcessEvent['kind'], Readonly<Record<string, Field>>>> = {
  open: { id: 'number', path: 'text', writable: 'boolean', lock: 'boolean', direct: 'boolean' },
  ready: {},
  failed: { reason: 'text' },
  log: { message: 'text' },
  done: { id: 'number', reply: 'optional-reply', problem: 'optional-text' },
  broken: { reason: 'text' },
  disconnected: { problem: 'optional-text' },
  finished: { problem: 'optional-text' },
};

/**
 * Checks what a process said, which may be anything: it may have been taken over by its guest.
 *
 * @throws DeviceProcessError PROTOCOL
 */
export function checkEvent(value: unknown): ProcessEvent {
  const refuse = (problem: string): never => {
    throw new DeviceProcessError('PROTOCOL', `the process of a device said something odd: ${problem}`);
  };
  if (typeof value !== 'object' || value === null || !('kind' in value)) return refuse('no event');
  const { kind } = value;
  if (typeof kind !== 'string' || !Object.hasOwn(EVENT_FIELDS, kind)) return refuse('an unknown event');
  const fields = new Map<string, unknown>(Object.entries(value));
  for (const [name, type] of Object.entries(EVENT_FIELDS[kind as ProcessEvent['kind']])) {
    if (!isField(fields.get(name), type)) return refuse(`${kind} without a proper ${name}`);
  }
  return value as ProcessEvent;
}

function isField(value: unknown, type: Field): boolean {
  switch (type) {
    case 'text':
      return typeof value === 'string';
    case 'optional-text':
      return value === undefined || typeof value === 'string';
    case 'optional-reply':
      return value === undefined || isReply(value);
    default:
      return typeof value === type;
  }
}

/** Whether something is what a command answers: the statistics of a balloon. */
function isReply(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || !('balloon' in value)) return false;
  return Object.values(value).every((statistic) => typeof statistic === 'number');
}
