import { type FileDescriptor, UnixSocket } from '@tsvmm/base';
import {
  ByteRing,
  ConsoleBackend,
  type ImageEnvironment,
  InputBackend,
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
  environment: ImageEnvironment,
): Promise<OpenedBackend> {
  if (descriptor.kind === 'console') {
    const stream = openStream(descriptors[0], inputRing(descriptor));
    return withStreams(new ConsoleBackend(stream.output, stream.input, descriptor.options), [stream]);
  }
  if (descriptor.kind === 'multiport-console') {
    const streams = descriptor.ports.map((port, index) => {
      const { name, console } = port;
      return { name, console, ...openStream(descriptors[index], inputRing(port)) };
    });
    return withStreams(new MultiportConsoleBackend(streams), streams);
  }
  if (descriptor.kind === 'input') {
    const events = ByteRing.create();
    const stream = openStream(descriptors[0], events);
    return withStreams(new InputBackend(events, stream.output), [stream]);
  }
  const backend = await openBackend(descriptor, environment);
  return { backend, close: async () => await backend[Symbol.asyncDispose]() };
}

/** A console's port, or the events of an input device: the rings that the back end works with, and what carries them to the process that started this one. */
interface Stream {
  readonly output: ByteRing;
  readonly input: ByteRing | undefined;
  readonly link: RingLink;
}

function inputRing({ hasInput }: { readonly hasInput: boolean }): ByteRing | undefined {
  return hasInput ? ByteRing.create() : undefined;
}

function openStream(socket: FileDescriptor | undefined, input: ByteRing | undefined): Stream {
  if (socket === undefined) throw new Error('a device came without the socket of its stream');
  const output = ByteRing.create();
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
