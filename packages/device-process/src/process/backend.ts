import { type FileDescriptor, UnixSocket } from '@tsvmm/base';
import {
  type BackendEnvironment,
  ByteRing,
  ConsoleBackend,
  type ConsoleBackendOptions,
  openBackend,
  type VirtioBackend,
} from '@tsvmm/devices';
import type { ProcessBackend } from '../device.ts';
import { RingLink } from '../ring-link.ts';

/** A back end, and what ends with it. */
export interface OpenedBackend {
  readonly backend: VirtioBackend;
  /** Brings to safety, or on its way, what the guest has given it. */
  close(): Promise<void>;
}

/** @throws DeviceError BACKEND_FAILED */
export async function openProcessBackend(
  descriptor: ProcessBackend,
  descriptors: readonly FileDescriptor[],
  environment: BackendEnvironment,
): Promise<OpenedBackend> {
  if (descriptor.kind === 'console') {
    const [port] = descriptors;
    if (port === undefined) throw new Error('a console came without the socket of its port');
    return openConsole(new UnixSocket(port), descriptor.hasInput, descriptor.options);
  }
  const backend = await openBackend(descriptor, environment);
  return { backend, close: async () => await backend[Symbol.asyncDispose]() };
}

function openConsole(socket: UnixSocket, hasInput: boolean, options: ConsoleBackendOptions): OpenedBackend {
  const output = ByteRing.create();
  const input = hasInput ? ByteRing.create() : undefined;
  const link = new RingLink(socket, { from: output, to: input });
  const backend = new ConsoleBackend(output, input, options);
  return {
    backend,
    close: async () => {
      await backend[Symbol.asyncDispose]();
      output.close();
      await link.sent;
      link[Symbol.dispose]();
    },
  };
}
