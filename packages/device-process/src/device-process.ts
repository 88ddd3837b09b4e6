import { serialize } from 'node:v8';
import { BorrowedDescriptor, type FileDescriptor, programUrl, reasonOf, type UnixSocket } from '@tsvmm/base';
import type { DeviceCommand, DeviceReply } from '@tsvmm/devices';
import { FileStorage } from '@tsvmm/disk';
import { type BlockedCall, describeExit, JailedProcess } from '@tsvmm/jail';
import { Channel } from './channel.ts';
import type { ProcessDevice } from './device.ts';
import { DeviceProcessError } from './errors.ts';
import { checkEvent, type OpenRequest, type ProcessEvent, type ProcessRequest } from './protocol.ts';
import { jailFor, type Sandbox } from './sandbox.ts';

/** How a device's process is started, and who is told of what. */
export interface DeviceProcessOptions {
  /** How it is confined; `false` for a plain child process. Confined as it comes unless given. */
  readonly sandbox?: Sandbox | false;
  /** The guest's driver broke the virtio protocol, or the back end failed: a queue is not served any more. */
  readonly onBroken?: (message: string) => void;
  /** The front end has gone; with a problem when it broke the vhost-user protocol. */
  readonly onDisconnected?: (problem: string | undefined) => void;
  /** It made a system call that its policy does not allow, for the first time; with `Sandbox.logFailures`. */
  readonly onBlockedCall?: (message: string) => void;
  /** Gets details, for people. */
  readonly onLog?: (message: string) => void;
  /** The process ended, and nobody asked it to. */
  readonly onFailure?: (error: DeviceProcessError) => void;
}

/**
 * A virtio device in a process of its own, which serves a vhost-user front end.
 *
 * The process is not trusted: what it says is checked, it is never waited for but to start and to finish, and files are only
 * opened for it before a front end comes. It ends with the thread that started it.
 */
export class DeviceProcess implements AsyncDisposable {
  readonly name: string;
  readonly #options: DeviceProcessOptions;
  readonly #jailed: JailedProcess;
  readonly #channel: Channel<ProcessRequest>;
  readonly #ready = Promise.withResolvers<void>();
  readonly #finished = Promise.withResolvers<void>();
  /** What was asked for and is not done, by id. */
  readonly #pending = new Map<number, PromiseWithResolvers<DeviceReply>>();
  #nextId = 0;
  #phase: 'starting' | 'serving' | 'finishing' | 'ended' = 'starting';

  private constructor(jailed: JailedProcess, options: DeviceProcessOptions) {
    this.name = jailed.name;
    this.#jailed = jailed;
    this.#options = options;
    // Whoever waits gets the error; nobody has to.
    this.#finished.promise.catch(() => {});
    this.#channel = new Channel<ProcessRequest>(jailed.link, {
      onMessage: (message, descriptors) => {
        for (const descriptor of descriptors) descriptor[Symbol.dispose]();
        this.#receive(checkEvent(message));
      },
      onEnd: (error) => {
        // Its end says why; one that goes on without talking, or talks nonsense, is ended.
        if (error !== undefined) this.#fail(error);
        jailed.kill();
      },
    });
    void jailed.exit.then((exit) => {
      this.#fail(new DeviceProcessError('DIED', describeExit(this.name, exit)));
    });
  }

  /**
   * Starts the process, and resolves when a front end can come.
   *
   * @throws DeviceProcessError DEVICE_FAILED, DIED
   * @throws JailError when it cannot be confined: NO_NAMESPACES says what to change on this host
   */
  static async start(device: ProcessDevice, options: DeviceProcessOptions = {}): Promise<DeviceProcess> {
    const { name, model, backend, descriptors = [] } = device;
    const { sandbox = {}, onBlockedCall } = options;
    const reported = new Set<string>();
    const report = ({ name: call }: BlockedCall): void => {
      if (reported.has(call)) return;
      reported.add(call);
      onBlockedCall?.(`${name} made the system call ${call}, which its policy does not allow`);
    };
    const jailed = await JailedProcess.start({
      name,
      program: programUrl('process/main', import.meta.url),
      opening: { bytes: serialize({ name, model, backend }), descriptors },
      ...(sandbox !== false && {
        jail: jailFor(backend.kind, sandbox, report),
      }),
    });
    const process = new DeviceProcess(jailed, options);
    try {
      await process.#ready.promise;
    } catch (error) {
      await jailed[Symbol.asyncDispose]();
      throw error;
    }
    return process;
  }

  get pid(): number {
    return this.#jailed.pid;
  }

  /** Serves a front end, in the place of the one before. Takes the connection over. */
  connect(socket: UnixSocket): void {
    using _socket = socket;
    this.#send({ kind: 'connect' }, [socket.descriptor]);
  }

  /**
   * Asks something of the device.
   *
   * @throws DeviceProcessError DEVICE_FAILED when that is not possible, DIED
   */
  async command(command: DeviceCommand): Promise<DeviceReply> {
    const id = this.#nextId++;
    const pending = Promise.withResolvers<DeviceReply>();
    this.#pending.set(id, pending);
    if (this.#phase === 'serving') this.#send({ kind: 'command', id, command });
    else pending.reject(new DeviceProcessError('DIED', `the process of ${this.name} has ended`));
    try {
      return await pending.promise;
    } finally {
      this.#pending.delete(id);
    }
  }

  /**
   * Has it serve what the guest has asked for so far, bring data to stable storage, and end.
   *
   * @throws DeviceProcessError DEVICE_FAILED when data could not be brought to safety
   */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#phase === 'serving') {
      this.#phase = 'finishing';
      this.#send({ kind: 'finish' });
    }
    try {
      if (this.#phase === 'finishing') await this.#finished.promise;
    } finally {
      this.#fail(new DeviceProcessError('DIED', `the process of ${this.name} has ended`));
      this.#channel[Symbol.dispose]();
      await this.#jailed[Symbol.asyncDispose]();
    }
  }

  #receive(event: ProcessEvent): void {
    const { onLog, onBroken, onDisconnected } = this.#options;
    switch (event.kind) {
      case 'open':
        this.#open(event);
        break;
      case 'ready':
        if (this.#phase === 'starting') this.#phase = 'serving';
        this.#ready.resolve();
        break;
      case 'failed':
        this.#fail(new DeviceProcessError('DEVICE_FAILED', event.reason));
        break;
      case 'log':
        onLog?.(event.message);
        break;
      case 'done':
        if (event.problem === undefined) this.#pending.get(event.id)?.resolve(event.reply);
        else this.#pending.get(event.id)?.reject(this.#failure(event.problem));
        break;
      case 'broken':
        onBroken?.(`${this.name} stopped: ${event.reason}`);
        break;
      case 'disconnected':
        onDisconnected?.(event.problem);
        break;
      case 'finished':
        if (event.problem === undefined) this.#finished.resolve();
        else this.#finished.reject(this.#failure(event.problem));
    }
  }

  /** Opens an image with the rights of this process. */
  #open({ id, path, writable, lock, direct }: OpenRequest): void {
    if (this.#phase !== 'starting') {
      throw new DeviceProcessError('PROTOCOL', `${this.name} wants ${path} opened after it was ready`);
    }
    let file: FileStorage;
    try {
      file = FileStorage.open(path, { writable, lock, direct });
    } catch (error) {
      this.#send({ kind: 'opened', id, problem: reasonOf(error) });
      return;
    }
    // Locks belong to what was opened: they stay when this descriptor is closed.
    this.#send({ kind: 'opened', id }, [new BorrowedDescriptor(file.descriptor)]);
    void file[Symbol.asyncDispose]();
  }

  #send(request: ProcessRequest, descriptors: readonly FileDescriptor[] = []): void {
    try {
      if (this.#channel.send(request, descriptors)) return;
      this.#fail(new DeviceProcessError('PROTOCOL', `the process of ${this.name} does not listen`));
      this.#jailed.kill();
    } catch {
      // It has gone, which its end tells of.
    }
  }

  #failure(problem: string): DeviceProcessError {
    return new DeviceProcessError('DEVICE_FAILED', `${this.name}: ${problem}`);
  }

  /** The first reason counts. */
  #fail(cause: unknown): void {
    const phase = this.#phase;
    if (phase === 'ended') return;
    this.#phase = 'ended';
    const error =
      cause instanceof DeviceProcessError
        ? cause
        : new DeviceProcessError('PROTOCOL', `the process of ${this.name} cannot be understood`, { cause });
    this.#ready.reject(error);
    this.#finished.reject(error);
    for (const pending of this.#pending.values()) pending.reject(error);
    if (phase === 'serving') this.#options.onFailure?.(error);
  }
}
