import { Worker } from 'node:worker_threads';
import { reasonOf } from '@tsvmm/base';
import { DeviceError } from '../errors.ts';
import type { XhciDescriptor } from '../usb/xhci/device.ts';
import type { DeviceCommand, DeviceReply } from '../virtio/command.ts';
import type { VirtioPciDescriptor } from '../virtio/device.ts';
import type { BrokenDevice } from '../virtio/lifecycle.ts';
import { abandonDevice } from '../virtio/transport/registers.ts';
import type { IoWorkerData, IoWorkerEvent, IoWorkerRequest } from './protocol.ts';

/** What an {@link IoWorker} serves. */
export interface IoWorkerOptions {
  readonly devices: readonly VirtioPciDescriptor[];
  /** None unless given. */
  readonly usbControllers?: readonly XhciDescriptor[];
  /** The thread's module, which calls `serveDevices`. */
  readonly program: URL;
  /** Plain data with which it reaches guest memory and interrupts. */
  readonly environment: unknown;
  /** A device stopped: its driver broke the protocol, or its back end failed. The other devices go on. */
  readonly onBroken?: (broken: BrokenDevice) => void;
  /** Gets what is worth knowing, for people. */
  readonly onLog?: (message: string) => void;
  /** The worker itself died, and all of its devices with it. */
  readonly onFailure?: (error: DeviceError) => void;
}

const THREAD_ENDED = 'the I/O thread has ended';

/** A thread that serves virtio devices' queues. */
export class IoWorker implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #exited: Promise<unknown>;
  #failure: DeviceError | undefined;
  /** Back ends are open, and the thread was not asked to end. */
  #serving = false;
  #stopping = false;
  #ended = false;
  readonly #devices: readonly VirtioPciDescriptor[];
  /** Those that are not answered, by their ids. */
  readonly #commands = new Map<number, PromiseWithResolvers<DeviceReply>>();
  #nextId = 0;

  private constructor(worker: Worker, { devices, onFailure }: IoWorkerOptions) {
    this.#worker = worker;
    this.#devices = devices;
    worker.on('message', (event: IoWorkerEvent) => this.#answer(event));
    this.#exited = new Promise((resolve) => worker.once('exit', resolve));
    void this.#exited.then(() => {
      this.#ended = true;
      for (const pending of this.#commands.values()) pending.reject(new Error(THREAD_ENDED));
      this.#commands.clear();
    });
    worker.once('error', (cause) => {
      this.#failure = new DeviceError(
        'BACKEND_FAILED',
        'The I/O thread ended with an error; its devices are dead.',
        {
          cause,
        },
      );
      for (const device of devices) abandonDevice(device.parts.state);
      if (this.#serving) onFailure?.(this.#failure);
    });
  }

  /**
   * Starts the thread and opens all back ends.
   * @throws DeviceError BACKEND_FAILED when one of them cannot be opened; the message and cause say which
   */
  static async start(options: IoWorkerOptions): Promise<IoWorker> {
    const { devices, usbControllers = [], environment, program, onBroken, onLog } = options;
    const workerData: IoWorkerData = { devices, usbControllers, environment };
    const worker = new Worker(program, { workerData, name: 'tsvmm-io' });
    const started = new IoWorker(worker, options);
    const ready = Promise.withResolvers<void>();
    worker.on('message', (event: IoWorkerEvent) => {
      if (event.kind === 'broken') onBroken?.(event.broken);
      else if (event.kind === 'log') onLog?.(event.message);
      else if (event.kind === 'ready') ready.resolve();
    });
    worker.once('error', ready.reject);
    try {
      await ready.promise;
    } catch (cause) {
      const what = reasonOf(cause);
      throw new DeviceError('BACKEND_FAILED', `The I/O thread could not start: ${what}`, { cause });
    }
    started.#serving = true;
    return started;
  }

  /**
   * Asks something of a device.
   * @param device index in {@link IoWorkerOptions.devices}
   * @throws DeviceError BACKEND_FAILED, which says why that is not possible
   */
  async command(device: number, command: DeviceCommand): Promise<DeviceReply> {
    if (this.#ended) throw new DeviceError('BACKEND_FAILED', THREAD_ENDED);
    const id = this.#nextId++;
    const pending = Promise.withResolvers<DeviceReply>();
    this.#commands.set(id, pending);
    const request: IoWorkerRequest = { kind: 'command', id, device, command };
    this.#worker.postMessage(request);
    try {
      return await pending.promise;
    } catch (cause) {
      const name = this.#devices[device]?.name ?? `device ${device}`;
      const reason = reasonOf(cause);
      throw new DeviceError('BACKEND_FAILED', `${name}: ${reason}`, { cause });
    }
  }

  #answer(event: IoWorkerEvent): void {
    if (event.kind !== 'done' && event.kind !== 'refused') return;
    const pending = this.#commands.get(event.id);
    this.#commands.delete(event.id);
    if (event.kind === 'done') pending?.resolve(event.reply);
    else pending?.reject(new Error(event.reason));
  }

  /**
   * Serves what the guest has asked for so far, brings disks to stable storage and ends the thread. The vCPUs must
   * have stopped.
   * @throws DeviceError BACKEND_FAILED when data could not be brought to safety
   */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#serving = false;
    const stop: IoWorkerRequest = { kind: 'stop' };
    this.#worker.postMessage(stop);
    await this.#exited;
    if (this.#failure) throw this.#failure;
  }
}
