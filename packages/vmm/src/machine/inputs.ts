import { readFileSync } from 'node:fs';
import { reasonOf } from '@tsvmm/base';
import {
  type InputDescription,
  inputEvents,
  readCustomInput,
  touchEvents,
  VirtioPciDevice,
} from '@tsvmm/devices';
import { ConfigurationError } from '../configuration/error.ts';
import { isTouchKind, type ResolvedInput } from '../configuration/input.ts';
import type { Log } from '../log.ts';
import { connectStream } from './stream-rings.ts';

/** The input devices of a machine, and the sockets that their events come from. */
export interface Inputs extends AsyncDisposable {
  readonly virtioDevices: readonly VirtioPciDevice[];
}

/**
 * Connects to the sockets and makes a device for each.
 *
 * @throws ConfigurationError FILE_UNUSABLE when nobody listens at a socket, or a file does not describe a device
 */
export async function createInputs(inputs: readonly ResolvedInput[], log: Log): Promise<Inputs> {
  await using cleanup = new AsyncDisposableStack();
  const virtioDevices: VirtioPciDevice[] = [];
  for (const [index, resolved] of inputs.entries()) {
    const description = orUnusable(index, () => describeInput(resolved));
    const { name } = description;
    const stream = await connectStream(resolved.path, { name, option: 'inputs', index, log });
    const { received, sent } = cleanup.use(stream);
    virtioDevices.push(cleanup.use(VirtioPciDevice.input(description, received, sent)));
  }
  const owned = cleanup.move();
  return { virtioDevices, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** @throws {Error} of the file of a custom device */
function describeInput({ kind, configPath, width, height, name, serial }: ResolvedInput): InputDescription {
  if (configPath !== undefined) {
    const custom = readCustomInput(readFileSync(configPath, 'utf8'));
    return { ...custom, name: custom.name ?? name, serial: custom.serial ?? serial };
  }
  if (kind === 'custom') throw new TypeError('a custom device was resolved without its file');
  const has = isTouchKind(kind) ? touchEvents(kind, { width, height }) : inputEvents(kind);
  return { name, serial, ...has };
}

/** @throws ConfigurationError FILE_UNUSABLE with whatever was thrown */
function orUnusable<T>(index: number, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    throw new ConfigurationError('FILE_UNUSABLE', 'inputs', reasonOf(cause), { index, cause });
  }
}
