import { reasonOf } from '@tsvmm/base';
import { ByteRing, SerialInput, SerialOutput, UnixStreamSink } from '@tsvmm/devices';
import type { ConfigurationOption } from '../configuration/configuration.ts';
import { ConfigurationError } from '../configuration/error.ts';
import type { Log } from '../log.ts';
import { carry } from './serial-back-end.ts';

/** The rings between a device and a socket. */
export interface StreamRings extends AsyncDisposable {
  /** What the socket's other end sends. */
  readonly received: ByteRing;
  /** What goes there. */
  readonly sent: ByteRing;
}

/** For whom a socket is, in messages. */
export interface StreamUser {
  readonly name: string;
  readonly option: ConfigurationOption;
  readonly index: number;
  readonly log: Log;
}

/**
 * Connects to a Unix stream socket, and carries bytes both ways.
 *
 * @throws ConfigurationError FILE_UNUSABLE when nobody listens there
 */
export async function connectStream(
  path: string,
  { name, option, index, log }: StreamUser,
): Promise<StreamRings> {
  await using cleanup = new AsyncDisposableStack();
  const [received, sent] = [ByteRing.create(), ByteRing.create()];
  const warn = (message: string): void =>
    log({ level: 'warn', target: 'devices', message: `${name}: ${message}` });
  const sink = await connect(path, option, index);
  cleanup.use(new SerialOutput(sent, sink, { onError: (error) => warn(error.message) }));
  const input = new SerialInput(received, () => {});
  cleanup.defer(() => input.close());
  void carry(sink.socket, path, input, warn);
  const owned = cleanup.move();
  return { received, sent, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function connect(path: string, option: ConfigurationOption, index: number): Promise<UnixStreamSink> {
  try {
    return await UnixStreamSink.connect(path);
  } catch (cause) {
    throw new ConfigurationError('FILE_UNUSABLE', option, reasonOf(cause), { index, cause });
  }
}
