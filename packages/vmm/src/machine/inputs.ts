import { reasonOf } from '@tsvmm/base';
import {
  ByteRing,
  inputEvents,
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
 * @throws ConfigurationError FILE_UNUSABLE when nobody listens at a socket
 */
export async function createInputs(inputs: readonly ResolvedInput[], log: Log): Promise<Inputs> {
  await using cleanup = new AsyncDisposableStack();
  const virtioDevices: VirtioPciDevice[] = [];
  for (const [index, { kind, path, width, height, name, serial }] of inputs.entries()) {
    const [events, status] = [ByteRing.create(), ByteRing.create()];
    const has = isTouchKind(kind) ? touchEvents(kind, { width, height }) : inputEvents(kind);
    virtioDevices.push(cleanup.use(VirtioPciDevice.input({ name, serial, ...has }, events, status)));
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

async function connect(path: string, index: number): Promise<UnixStreamSink> {
  try {
    return await UnixStreamSink.connect(path);
  } catch (cause) {
    const reason = reasonOf(cause);
    throw new ConfigurationError('FILE_UNUSABLE', 'inputs', reason, { index, cause });
  }
}
