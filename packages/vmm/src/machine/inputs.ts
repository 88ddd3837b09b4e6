import { readFileSync } from 'node:fs';
import { reasonOf } from '@tsvmm/base';
import {
  ByteRing,
  type InputDescription,
  inputEvents,
  readCustomInput,
  SerialInput,
  SerialOutput,
  touchEvents,
  UnixStreamSink,
  VirtioPciDevice,
} from '@tsvmm/devices';
import { ConfigurationError } from '../configuration/error.ts';
import { isTouchKind, type ResolvedInput } from '../configuration/input.ts';
import type { Log } from '../log.ts';
import { carry } from './serial-back-end.ts';

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
    const { path } = resolved;
    const [events, status] = [ByteRing.create(), ByteRing.create()];
    const description = orUnusable(index, () => describeInput(resolved));
    const { name } = description;
    virtioDevices.push(cleanup.use(VirtioPciDevice.input(description, events, status)));
    const warn = (message: string): void =>
      log({ level: 'warn', target: 'devices', message: `${name}: ${message}` });
    const sink = await connect(path, index);
    cleanup.use(new SerialOutput(status, sink, { onError: (error) => warn(error.message) }));
    const input = new SerialInput(events, () => {});
    cleanup.defer(() => input.close());
    void carry(sink.socket, path, input, warn);
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

async function connect(path: string, index: number): Promise<UnixStreamSink> {
  try {
    return await UnixStreamSink.connect(path);
  } catch (cause) {
    const reason = reasonOf(cause);
    throw new ConfigurationError('FILE_UNUSABLE', 'inputs', reason, { index, cause });
  }
}
