import { FileDescriptor, UnixListener, UnixSocket } from '@tsvmm/base';
import { DeviceProcess, type ProcessDevice, type Sandbox } from '@tsvmm/device-process';
import { number } from '@tsvmm/keyvalue';
import type { CommandContext } from '../commands/definition.ts';
import { option } from '../disk/arguments.ts';
import { UsageError } from '../errors.ts';
import { ExitStatus } from '../exit-status.ts';
import type { CommandLine } from '../parse.ts';
import { readValue } from '../read-value.ts';
import { sandboxValue } from '../run/sandbox-value.ts';

/** Where the front end of a device is. */
export type FrontEnd = { readonly path: string } | { readonly descriptor: number };

/** @throws UsageError unless the command line says where, in one way */
export function frontEnd(line: CommandLine): FrontEnd {
  const path = option(line, 'socket-path');
  const descriptor = option(line, 'fd');
  if (path !== undefined && descriptor === undefined) return { path: path.value ?? '' };
  if (descriptor === undefined || path !== undefined) {
    throw new UsageError(
      'INVALID_VALUE',
      'say where the front end is: with --socket-path PATH, or with --fd N',
    );
  }
  return { descriptor: readValue('--fd', descriptor.value ?? '', number({ min: 0, max: 2 ** 31 - 1 })) };
}

/** Serves a device to one front end in a process of its own, until that front end goes or `signal` aborts. */
export async function serve(
  { line, messages }: CommandContext,
  device: ProcessDevice,
  where: FrontEnd,
  signal: AbortSignal,
): Promise<number> {
  const end = Promise.withResolvers<string | undefined>();
  await using process = await DeviceProcess.start(device, {
    sandbox: line.options.reduce<Sandbox | false>(sandboxValue, {}),
    onBroken: (message) => messages.error(message),
    onBlockedCall: (message) => messages.warn(message),
    onLog: (message) => messages.report('debug', message),
    onDisconnected: end.resolve,
    onFailure: (error) => end.resolve(error.message),
  });
  signal.addEventListener('abort', () => end.resolve(undefined), { once: true });
  if ('path' in where) {
    using listener = UnixListener.listen(where.path, { replaceDead: true });
    messages.info(`${device.name} waits for a front end at ${where.path}`);
    const connection = await Promise.race([connected(listener), end.promise]);
    if (connection instanceof UnixSocket) process.connect(connection);
  } else {
    process.connect(new UnixSocket(new FileDescriptor(where.descriptor)));
  }
  const problem = await end.promise;
  if (problem === undefined) return ExitStatus.success;
  messages.error(problem);
  return ExitStatus.failure;
}

/** The first connection that comes. */
async function connected(listener: UnixListener): Promise<UnixSocket> {
  const { promise, resolve } = Promise.withResolvers<UnixSocket>();
  using _watcher = listener.onConnection(resolve);
  return await promise;
}
