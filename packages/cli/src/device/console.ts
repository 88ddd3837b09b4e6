import { createReadStream } from 'node:fs';
import { reasonOf, UnixSocket } from '@tsvmm/base';
import { RingLink } from '@tsvmm/device-process';
import { ByteRing, consoleModel, openSerialSink, SerialInput, SerialOutput } from '@tsvmm/devices';
import type { CommandContext } from '../commands/definition.ts';
import { isGiven, option } from '../disk/arguments.ts';
import { UsageError } from '../errors.ts';
import type { CommandLine } from '../parse.ts';
import { withSignals } from '../signals.ts';
import { frontEnd, serve } from './serve.ts';

/** `tsvmm device console`: what the guest writes and reads passes through this process, which has the files. */
export async function deviceConsole(context: CommandContext): Promise<number> {
  const { line, messages } = context;
  const where = frontEnd(line);
  const inputPath = option(line, 'input-file')?.value;
  return await withSignals(async (signal) => {
    await using resources = new AsyncDisposableStack();
    const output = ByteRing.create();
    const sink = await openSerialSink(sinkOptions(line));
    const onError = (error: Error): void => messages.warn(error.message);
    const drained = resources.use(new SerialOutput(output, sink, { onError }));
    const input = inputPath === undefined ? undefined : ByteRing.create();
    if (input !== undefined && inputPath !== undefined) {
      resources.defer(() => input.close());
      void carry(inputPath, new SerialInput(input, () => {}), onError);
    }
    const [ours, theirs] = UnixSocket.pair();
    using port = theirs;
    const link = resources.use(new RingLink(ours, { from: input, to: output }));
    const device = {
      name: 'virtio-console',
      model: consoleModel({}),
      backend: { kind: 'console', hasInput: input !== undefined, options: {} },
      descriptors: [port.descriptor],
    } as const;
    const status = await serve(context, device, where, signal);
    port[Symbol.dispose]();
    // The process has ended, and what it sent before has come.
    await link.received;
    await drained.finish();
    return status;
  });
}

function sinkOptions(line: CommandLine) {
  const path = option(line, 'output-file')?.value;
  const isLogged = isGiven(line, 'syslog');
  if (path !== undefined && isLogged) {
    throw new UsageError('INVALID_VALUE', 'output goes to one place: give --output-file or --syslog');
  }
  if (isLogged) return { type: 'syslog' } as const;
  return path === undefined ? ({ type: 'stdout' } as const) : ({ type: 'file', path } as const);
}

/** Gives the console what the file has, no faster than the guest takes it. */
async function carry(path: string, input: SerialInput, onError: (error: Error) => void): Promise<void> {
  try {
    for await (const bytes of createReadStream(path)) await input.write(bytes as Buffer);
  } catch (cause) {
    onError(new Error(`no more input from ${path}: ${reasonOf(cause)}`));
  }
}
