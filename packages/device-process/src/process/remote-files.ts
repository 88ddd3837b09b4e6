import type { Executor } from '@tsvmm/async';
import type { FileDescriptor } from '@tsvmm/base';
import { DeviceError } from '@tsvmm/devices';
import { ExecutorStorage, type OpenStorage } from '@tsvmm/disk';
import type { OpenRequest, ProcessRequest } from '../protocol.ts';

type Opened = Extract<ProcessRequest, { readonly kind: 'opened' }>;

/** Files of the host, which the process that started this one opens: here there are none. */
export class RemoteFiles {
  readonly #ask: (request: OpenRequest) => void;
  readonly #waiting = new Map<number, PromiseWithResolvers<FileDescriptor>>();
  #nextId = 0;

  constructor(ask: (request: OpenRequest) => void) {
    this.#ask = ask;
  }

  /** @throws DeviceError BACKEND_FAILED */
  async open(
    executor: Executor,
    ...[path, { writable, lock, direct }]: Parameters<OpenStorage>
  ): Promise<ExecutorStorage> {
    const id = this.#nextId++;
    const waiting = Promise.withResolvers<FileDescriptor>();
    this.#waiting.set(id, waiting);
    this.#ask({ kind: 'open', id, path, writable, lock, direct });
    const descriptor = await waiting.promise;
    return ExecutorStorage.adopt(executor, descriptor.release(), path, { writable, direct });
  }

  /** The answer has come. */
  opened({ id, problem = 'no file came' }: Opened, descriptor: FileDescriptor | undefined): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (descriptor === undefined) waiting?.reject(new DeviceError('BACKEND_FAILED', problem));
    else waiting?.resolve(descriptor);
  }
}
