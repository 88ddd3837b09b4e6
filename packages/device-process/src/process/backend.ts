import { type FileDescriptor, UnixSocket } from '@tsvmm/base';
import {
  type BackendEnvironment,
  ByteRing,
  ConsoleBackend,
  MultiportConsoleBackend,
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
    const stream = openStream(descriptors[0], descriptor.hasInput);
    return withStreams(new ConsoleBackend(stream.output, stream.input, descriptor.options), [stream]);
  }
  if (descriptor.kind === 'multiport-console') {
    const streams = descriptor.ports.map(({ name, console, hasInput }, index) => {
      return { name, console, ...openStream(descriptors[index], hasInput) };
    });
    return withStreams(new MultiportConsoleBackend(streams), streams);
  }
  const backend = await openBackend(descriptor, environment);
  return { backend, close: async () => await backend[Symbol.asyncDispose]() };
}

/** A console's port: the rings that the back end works with, and what carries them to the process that started this one. */
interface Stream {
  readonly output: ByteRing;
  readonly input: ByteRing | undefined;
  readonly link: RingLink;
}

function openStream(socket: FileDescriptor | undefined, hasInput: boolean): Stream {
  if (socket === undefined) throw new Error('a console came without the socket of its port');
  const output = ByteRing.create();
  const input = hasInput ? ByteRing.create() : undefined;
  return { output, input, link: new RingLink(new UnixSocket(socket), { from: output, to: input }) };
}

function withStreams(backend: VirtioBackend, streams: readonly Stream[]): OpenedBackend {
  return {
    backend,
    close: async () => {
      await backend[Symbol.asyncDispose]();
      for (const { output } of streams) output.close();
      for (const { link } of streams) {
        await link.sent;
        link[Symbol.dispose]();
      }
    },
  };
}
