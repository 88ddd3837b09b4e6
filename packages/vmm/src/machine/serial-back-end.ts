import { createReadStream } from 'node:fs';
import {
  openSerialSink,
  type SerialInput,
  type SerialSink,
  type SerialSinkOptions,
  UnixStreamSink,
} from '@tsvmm/devices';
import type { ResolvedSerial } from '../configuration.ts';

/**
 * Opens what a console is connected to on the host: where its output goes and, if it has one, where its input comes from.
 * Standard input is not opened here: it belongs to whoever owns the terminal.
 *
 * @throws DeviceError when a file, a socket or the system log cannot be opened
 */
export async function openSerialBackEnd(
  serial: ResolvedSerial,
  input: SerialInput | undefined,
): Promise<SerialSink> {
  const sink = await openSerialSink(sinkOptions(serial));
  if (input !== undefined && sink instanceof UnixStreamSink && serial.inputUnixStream) {
    void carry(sink.socket, input);
  }
  if (input !== undefined && serial.input !== undefined) {
    void carry(createReadStream(serial.input), input);
  }
  return sink;
}

function sinkOptions({ type, path = '' }: ResolvedSerial): SerialSinkOptions {
  switch (type) {
    case 'file':
    case 'unix':
    case 'unix-stream':
      return { type, path };
    default:
      return { type };
  }
}

/** Gives the console what the source has, no faster than the guest takes it. A source that fails has ended. */
async function carry(source: AsyncIterable<Uint8Array>, input: SerialInput): Promise<void> {
  try {
    for await (const bytes of source) {
      await input.write(bytes);
    }
  } catch {
    // A peer that hangs up is the end of the input, which a serial line does not show.
  }
}
