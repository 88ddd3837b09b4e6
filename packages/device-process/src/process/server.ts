import type { Executor } from '@tsvmm/async';
import { type FileDescriptor, type MemFd, reasonOf, UnixSocket } from '@tsvmm/base';
import { type DeviceCommand, DeviceError, type VirtioBackend } from '@tsvmm/devices';
import { VhostUserDevice } from '@tsvmm/vhost-user';
import { Channel } from '../channel.ts';
import type { ProcessDevice } from '../device.ts';
import type { ProcessEvent, ProcessRequest } from '../protocol.ts';
import { type OpenedBackend, openProcessBackend } from './backend.ts';
import { RemoteFiles } from './remote-files.ts';

/** What a {@link DeviceServer} has of the host. */
export interface HostResources {
  readonly descriptors: readonly FileDescriptor[];
  /** Memory for a front end that asks for a record of requests in flight. */
  readonly inflightFile: MemFd;
  executor(): Executor;
}

/** Serves one device to whatever front end comes, and follows the process that started this one. */
export class DeviceServer {
  readonly #device: ProcessDevice;
  readonly #host: HostResources;
  readonly #channel: Channel<ProcessEvent>;
  readonly #files: RemoteFiles;
  #opened: OpenedBackend | undefined;
  #connection: VhostUserDevice | undefined;

  constructor(link: UnixSocket, device: ProcessDevice, host: HostResources) {
    this.#device = device;
    this.#host = host;
    this.#channel = new Channel<ProcessEvent>(link, {
      // The other side is whoever started this process: what it says is as it should be.
      onMessage: (message, descriptors) => this.#receive(message as ProcessRequest, descriptors),
      // Nobody is left to serve for.
      onEnd: () => process.exit(0),
    });
    this.#files = new RemoteFiles((request) => this.#tell(request));
  }

  log(message: string): void {
    this.#tell({ kind: 'log', message });
  }

  /** Opens the back end and says that it is ready, or why not. */
  async open(): Promise<void> {
    const { backend } = this.#device;
    try {
      const { descriptors, executor } = this.#host;
      this.#opened = await openProcessBackend(backend, descriptors, {
        executor,
        openStorage: (on, path, options) => this.#files.open(on, path, options),
      });
    } catch (error) {
      this.#tell({ kind: 'failed', reason: reasonOf(error) });
      process.exit(1);
    }
    this.#tell({ kind: 'ready' });
  }

  #tell(event: ProcessEvent): void {
    this.#channel.sendBlocking(event);
  }

  #receive(request: ProcessRequest, descriptors: readonly FileDescriptor[]): void {
    const [descriptor] = descriptors;
    if (request.kind === 'opened') this.#files.opened(request, descriptor);
    else if (request.kind === 'command') void this.#command(request.id, request.command);
    else if (request.kind === 'finish') void this.#finish();
    else if (descriptor !== undefined) this.#connect(new UnixSocket(descriptor));
  }

  #connect(socket: UnixSocket): void {
    this.#connection?.[Symbol.dispose]();
    const { name, model } = this.#device;
    const connection = new VhostUserDevice(socket, {
      name,
      model,
      backend: this.#backend,
      inflightFile: this.#host.inflightFile,
      onBroken: (error) => this.#tell({ kind: 'broken', reason: reasonOf(error) }),
      onEnd: (error) => {
        if (this.#connection === connection) this.#connection = undefined;
        this.#tell({ kind: 'disconnected', ...(error && { problem: error.message }) });
      },
    });
    this.#connection = connection;
  }

  async #command(id: number, command: DeviceCommand): Promise<void> {
    try {
      const backend = this.#backend;
      if (backend.command === undefined) throw new DeviceError('BAD_OPTION', 'It takes no commands.');
      const reply = await backend.command(command);
      this.#tell({ kind: 'done', id, ...(reply && { reply }) });
    } catch (error) {
      this.#tell({ kind: 'done', id, problem: reasonOf(error) });
    }
  }

  async #finish(): Promise<void> {
    let problem: string | undefined;
    try {
      await this.#connection?.settle();
      this.#connection?.[Symbol.dispose]();
      await this.#opened?.close();
    } catch (error) {
      problem = reasonOf(error);
    }
    this.#tell({ kind: 'finished', ...(problem !== undefined && { problem }) });
    process.exit(0);
  }

  get #backend(): VirtioBackend {
    if (this.#opened === undefined) throw new Error('a front end came before the back end was open');
    return this.#opened.backend;
  }
}
