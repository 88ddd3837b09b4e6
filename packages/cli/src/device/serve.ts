import { FileDescriptor, UnixSocket } from '@tsvmm/base';
import type { VirtioBackend, VirtioDeviceModel } from '@tsvmm/devices';
import { number } from '@tsvmm/keyvalue';
import { VhostUserDevice, type VhostUserError, VhostUserServer } from '@tsvmm/vhost-user';
import type { CommandContext } from '../commands/definition.ts';
import { option } from '../disk/arguments.ts';
import { UsageError } from '../errors.ts';
import { ExitStatus } from '../exit-status.ts';
import { readValue } from '../read-value.ts';

/** A device that is ready for a front end. */
export interface ServedDevice {
  readonly name: string;
  readonly model: VirtioDeviceModel;
  readonly backend: VirtioBackend;
}

/** Serves a device to the one front end that the command line says how to reach, until that goes or `signal` aborts. */
export async function serve(
  { line, messages }: CommandContext,
  device: ServedDevice,
  signal: AbortSignal,
): Promise<number> {
  const path = option(line, 'socket-path');
  const descriptor = option(line, 'fd');
  if ((path === undefined) === (descriptor === undefined)) {
    throw new UsageError(
      'INVALID_VALUE',
      'say where the front end is: with --socket-path PATH, or with --fd N',
    );
  }
  const { promise, resolve } = Promise.withResolvers<VhostUserError | undefined>();
  const options = {
    ...device,
    onBroken: (error: unknown) => messages.error(`${device.name} stopped: ${reasonOf(error)}`),
    onEnd: resolve,
  };
  using _connection =
    path === undefined
      ? new VhostUserDevice(inherited(descriptor?.value ?? ''), options)
      : VhostUserServer.listen(path.value ?? '', options);
  if (path !== undefined) messages.info(`${device.name} waits for a front end at ${path.value}`);
  signal.addEventListener('abort', () => resolve(undefined), { once: true });
  const error = await promise;
  if (error === undefined) return ExitStatus.success;
  messages.error(error.message);
  return ExitStatus.failure;
}

function inherited(text: string): UnixSocket {
  return new UnixSocket(new FileDescriptor(readValue('--fd', text, number({ min: 0, max: 2 ** 31 - 1 }))));
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
