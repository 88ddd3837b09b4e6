import { type FileDescriptor, UnixSocket } from '@tsvmm/base';
import { DeviceProcess, type ProcessDevice, RingLink, type Sandbox } from '@tsvmm/device-process';
import {
  ByteRing,
  type DeviceCommand,
  type DeviceDescription,
  type DeviceReply,
  type VirtioPciDevice,
} from '@tsvmm/devices';

/** Whom {@link DeviceProcesses} tell of what. */
export interface DeviceProcessesOptions {
  readonly sandbox: Sandbox;
  /** A device's driver broke the virtio protocol, or its back end failed: it stopped, and the others go on. */
  readonly onBroken: (message: string) => void;
  /** A device made a system call that its policy does not allow, for the first time; with `Sandbox.logFailures`. */
  readonly onBlockedCall: (message: string) => void;
  /** Gets details. */
  readonly onLog: (message: string) => void;
}

/** The state of the rings behind a console's port. */
interface PortRings {
  readonly output: SharedArrayBuffer;
  readonly input: SharedArrayBuffer | undefined;
}

/** The processes that serve a machine's virtio devices, one each. They start while the machine is built. */
export class DeviceProcesses implements AsyncDisposable {
  readonly #options: DeviceProcessesOptions;
  /** By the device's index. */
  readonly #processes = new Map<number, Promise<DeviceProcess>>();
  /** Between the rings of consoles here and in their processes. */
  readonly #links: RingLink[] = [];
  readonly #failure = Promise.withResolvers<Error>();

  constructor(options: DeviceProcessesOptions) {
    this.#options = options;
  }

  /** Resolves when a process has ended that served its device, and nobody asked it to. */
  get failure(): Promise<Error> {
    return this.#failure.promise;
  }

  /**
   * Gives a device a process, which starts now; one that another process serves already keeps that.
   *
   * @param index for those who ask something of it
   */
  add(index: number, device: VirtioPciDevice): void {
    const [ours, theirs] = UnixSocket.pair();
    const description = device.moveBackend(ours.descriptor);
    if (description === undefined) {
      ours[Symbol.dispose]();
      theirs[Symbol.dispose]();
      return;
    }
    const starting = this.#start(description, theirs);
    this.#processes.set(index, starting);
    // `ready` tells of it.
    starting.catch(() => {});
  }

  /**
   * Resolves when all of them serve their devices.
   *
   * @throws DeviceProcessError, JailError of the first that does not
   */
  async ready(): Promise<void> {
    await Promise.all(this.#processes.values());
  }

  /** Whether the device of this index has a process. */
  has(device: number): boolean {
    return this.#processes.has(device);
  }

  /**
   * Asks something of the device of this index.
   *
   * @throws DeviceProcessError DEVICE_FAILED when that is not possible, DIED
   */
  async command(device: number, command: DeviceCommand): Promise<DeviceReply> {
    const process = await this.#processes.get(device);
    return await process?.command(command);
  }

  /**
   * Has them finish what the guest has asked for and bring data to stable storage, and carries to the rings what the guest
   * wrote to consoles.
   *
   * @throws DeviceProcessError DEVICE_FAILED when data could not be brought to safety
   */
  async [Symbol.asyncDispose](): Promise<void> {
    const started = await Promise.allSettled(this.#processes.values());
    this.#processes.clear();
    const ended = await Promise.allSettled(
      started.map(async (result) => {
        if (result.status === 'fulfilled') await result.value[Symbol.asyncDispose]();
      }),
    );
    for (const link of this.#links.splice(0)) {
      await link.received;
      link[Symbol.dispose]();
    }
    for (const result of ended) if (result.status === 'rejected') throw result.reason;
  }

  async #start(description: DeviceDescription, frontEnd: UnixSocket): Promise<DeviceProcess> {
    // Whatever happens, the front end sees that nobody is at the other end.
    using _frontEnd = frontEnd;
    using port = new DisposableStack();
    const process = await DeviceProcess.start(this.#withoutMemory(description, port), {
      ...this.#options,
      onFailure: this.#failure.resolve,
    });
    process.connect(frontEnd);
    return process;
  }

  /** A device's description without memory of this process: a console gets a socket in its place. */
  #withoutMemory({ name, model, backend }: DeviceDescription, owned: DisposableStack): ProcessDevice {
    switch (backend.kind) {
      case 'console': {
        const { input, options } = backend;
        const descriptors = [this.#link(backend, owned)];
        return {
          name,
          model,
          backend: { kind: 'console', hasInput: input !== undefined, options },
          descriptors,
        };
      }
      case 'multiport-console': {
        const ports = backend.ports.map(({ name, console, input }) => {
          return { name, console, hasInput: input !== undefined };
        });
        const descriptors = backend.ports.map((port) => this.#link(port, owned));
        return { name, model, backend: { kind: 'multiport-console', ports }, descriptors };
      }
      case 'input':
        return { name, model, backend: { kind: 'input' }, descriptors: [this.#link(backend, owned)] };
      default:
        return { name, model, backend };
    }
  }

  /** Links a port's rings to a socket. @returns its other end */
  #link({ output, input }: PortRings, owned: DisposableStack): FileDescriptor {
    const [ours, theirs] = UnixSocket.pair();
    owned.use(theirs);
    this.#links.push(new RingLink(ours, { from: input && new ByteRing(input), to: new ByteRing(output) }));
    return theirs.descriptor;
  }
}
