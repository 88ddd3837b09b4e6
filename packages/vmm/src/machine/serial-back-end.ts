import { createReadStream } from 'node:fs';
import {
  DiscardSink,
  FileSink,
  type SerialInput,
  type SerialSink,
  StreamSink,
  UnixStreamSink,
} from '@tsvmm/devices';
import { ConfigurationError, type ResolvedSerial } from '../configuration.ts';

/**
 * Opens what a console is connected to on the host: where its output goes and, if it has one, where its input comes from.
 * Standard input is not opened here: it belongs to whoever owns the terminal.
 *
 * @throws DeviceError when a file or socket cannot be opened, ConfigurationError for a type that is not built
 */
export async function openSerialBackEnd(
  serial: ResolvedSerial,
  input: SerialInput | undefined,
): Promise<SerialSink> {
  const sink = await openSink(serial);
  if (input !== undefined && sink instanceof UnixStreamSink && serial.inputUnixStream) {
    void carry(sink.socket, input);
  }
  if (input !== undefined && serial.input !== undefined) {
    void carry(createReadStream(serial.input), input);
  }
  return sink;
}

async function openSink(serial: ResolvedSerial): Promise<SerialSink> {
  const path = serial.path ?? '';
  switch (serial.type) {
    case 'stdout':
      return new StreamSink(process.stdout, 'standard output');
    case 'sink':
      return new DiscardSink();
    case 'file':
      return await FileSink.open(path);
    case 'unix-stream':
      return await UnixStreamSink.connect(path);
    case 'unix':
    case 'syslog':
      throw new ConfigurationError(
        'NOT_BUILT',
        'serials',
        `consoles of type ${serial.type} are not built yet: use file, stdout, sink or unix-stream`,
      );
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
