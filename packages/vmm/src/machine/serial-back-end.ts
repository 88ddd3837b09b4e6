import { createReadStream } from 'node:fs';
import { reasonOf } from '@tsvmm/base';
import {
  openSerialSink,
  type SerialInput,
  type SerialSink,
  type SerialSinkOptions,
  UnixStreamSink,
  withTimestamps,
} from '@tsvmm/devices';
import type { ResolvedSerial } from '../configuration/serial.ts';

/**
 * Opens what a console is connected to on the host: where its output goes and, if it has one, where its input comes from.
 * Standard input is not opened here: it belongs to whoever owns the terminal.
 *
 * @param onInputError told when the input cannot be read any more, or at all; the console goes on without it
 * @throws DeviceError when a file, a socket or the system log cannot be opened
 */
export async function openSerialBackEnd(
  serial: ResolvedSerial,
  input: SerialInput | undefined,
  onInputError: (message: string) => void,
): Promise<SerialSink> {
  const sink = await openSerialSink(sinkOptions(serial));
  if (input !== undefined && sink instanceof UnixStreamSink && serial.inputUnixStream) {
    void carry(sink.socket, serial.path ?? 'the socket', input, onInputError);
  }
  if (input !== undefined && serial.input !== undefined) {
    void carry(createReadStream(serial.input), serial.input, input, onInputError);
  }
  return serial.outTimestamp ? withTimestamps(sink) : sink;
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

/** Gives a device what the source has, no faster than the guest takes it. */
export async function carry(
  source: AsyncIterable<Uint8Array>,
  name: string,
  input: SerialInput,
  onError: (message: string) => void,
): Promise<void> {
  try {
    for await (const bytes of source) {
      await input.write(bytes);
    }
  } catch (error) {
    const reason = reasonOf(error);
    onError(`no more input from ${name}: ${reason}`);
  }
}
