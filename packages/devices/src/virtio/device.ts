import type { Executor, ExecutorKind } from '@tsvmm/async';
import { EventFd, type FileDescriptor, reasonOf } from '@tsvmm/base';
import { ExecutorStorage, type Format, type OpenStorage, openDisk, type Storage } from '@tsvmm/disk';
import { DeviceError } from '../errors.ts';
import type { PciAddress } from '../pci/address.ts';
import { PciConfigurationSpace } from '../pci/configuration-space.ts';
import type { PciDevice } from '../pci/topology.ts';
import { ByteRing } from '../serial/byte-ring.ts';
import type { VirtioBackend } from './backend.ts';
import { BalloonBackend } from './balloon/balloon-backend.ts';
import { type BalloonOptions, balloonModel } from './balloon/model.ts';
import { BlockBackend } from './block/block-backend.ts';
import { type BlockOptions, blockModel } from './block/model.ts';
import {
  ConsoleBackend,
  type ConsoleBackendOptions,
  type ConsoleOptions,
  consoleModel,
} from './console/console.ts';
import {
  MultiportConsoleBackend,
  multiportConsoleModel,
  type PortOptions,
  type PortStreams,
} from './console/multiport.ts';
import { InputBackend } from './input/input-backend.ts';
import { type InputDescription, inputModel } from './input/model.ts';
import type { RemoteDescriptor } from './remote/remote-backend.ts';
import { RngBackend, rngModel } from './rng/rng.ts';
import type { VirtioDeviceModel } from './transport/registers.ts';
import {
  createVirtioPciParts,
  type Doorbell,
  doorbells,
  type PciClass,
  type VirtioPciParts,
} from './transport/virtio-pci.ts';

/** The image behind a disk; plain data. */
export interface DiskImage {
  /** A file or block device of any format of `@tsvmm/disk`, or of the one that is given. */
  readonly path: string;
  readonly format?: Format;
  readonly readOnly?: boolean;
  /** Refuse an image that another program uses: shared for readers, exclusive for a writer; true unless given. */
  readonly lock?: boolean;
  /** Bypasses the host's page cache; false unless given. */
  readonly direct?: boolean;
  /** What its I/O runs on; `auto`, which is io_uring where the kernel has it, unless given. */
  readonly executor?: ExecutorKind | 'auto';
}

/** Formats that can be written; the others can only be read. */
const WRITABLE_FORMATS: readonly string[] = ['raw', 'qcow2', 'composite'];

/** What back ends are opened with on the thread that serves them. */
export interface BackendEnvironment {
  /** The thread's executor of a kind, opened when it is first asked for. */
  executor(kind: ExecutorKind | 'auto'): Executor;
  /** Opens an image, and what it refers to, for a thread without a file system; unless given, they are opened here. */
  openStorage?(executor: Executor, ...image: Parameters<OpenStorage>): Storage | Promise<Storage>;
}

/** What the thread or process that serves a device needs to open its back end. */
export type BackendDescriptor =
  | { readonly kind: 'block'; readonly disk: DiskImage; readonly options: Omit<BlockOptions, 'size'> }
  | {
      readonly kind: 'console';
      readonly output: SharedArrayBuffer;
      readonly input: SharedArrayBuffer | undefined;
      readonly options: ConsoleBackendOptions;
    }
  | {
      readonly kind: 'multiport-console';
      readonly ports: readonly (PortOptions & {
        readonly output: SharedArrayBuffer;
        readonly input: SharedArrayBuffer | undefined;
      })[];
    }
  | { readonly kind: 'rng' }
  | { readonly kind: 'balloon' }
  | { readonly kind: 'input'; readonly input: SharedArrayBuffer; readonly output: SharedArrayBuffer }
  | RemoteDescriptor;

/** A back end that is opened in the process that attaches it. */
export type LocalBackendDescriptor = Exclude<BackendDescriptor, RemoteDescriptor>;

/** INTx of a function: the input of the interrupt controller, and the state of the wire it shares with others. */
export interface IntxDescriptor {
  readonly source: number;
  readonly wire: SharedArrayBuffer;
}

/** A virtio-pci function as plain data: both of its halves are attached from it. */
export interface VirtioPciDescriptor {
  readonly kind: 'virtio-pci';
  /** For messages, e.g. `virtio-blk /images/root.img`. */
  readonly name: string;
  readonly address: PciAddress;
  readonly intx: IntxDescriptor | undefined;
  readonly parts: VirtioPciParts;
  /** File descriptors of the eventfds that a notification of each queue signals. */
  readonly kicks: readonly number[];
  /** File descriptor of the eventfd that wakes the back end for the device's life cycle. */
  readonly control: number;
  readonly backend: BackendDescriptor;
}

const BLOCK_CLASS: PciClass = { baseClass: 0x01, subclass: 0x80 };
const CONSOLE_CLASS: PciClass = { baseClass: 0x07, subclass: 0x80 };
const INPUT_CLASS: PciClass = { baseClass: 0x09, subclass: 0x80 };
const RNG_CLASS: PciClass = { baseClass: 0x08, subclass: 0x80 };
const BALLOON_CLASS: PciClass = { baseClass: 0x08, subclass: 0x80 };

/**
 * A virtio device on PCI, as the thread that builds the machine holds it: it owns the eventfds, so it has to outlive
 * everything that is attached from its descriptor.
 */
export class VirtioPciDevice implements PciDevice {
  readonly name: string;
  readonly hasInterrupt = true;
  readonly space: PciConfigurationSpace;
  readonly #model: VirtioDeviceModel;
  readonly #parts: VirtioPciParts;
  #backend: BackendDescriptor;
  readonly #kicks: readonly EventFd[];
  readonly #control = EventFd.create();
  /** What the back end's descriptor refers to. */
  #resource: Disposable | undefined;

  private constructor(
    name: string,
    model: VirtioDeviceModel,
    pciClass: PciClass,
    backend: BackendDescriptor,
    resource?: Disposable,
  ) {
    this.name = name;
    this.#model = model;
    this.#resource = resource;
    this.#parts = createVirtioPciParts(model, pciClass);
    this.space = new PciConfigurationSpace(this.#parts.space);
    this.#backend = backend;
    this.#kicks = model.queueSizes.map(() => EventFd.create());
  }

  /**
   * A disk from an image of any format.
   * @throws DeviceError BACKEND_FAILED, BAD_OPTION
   */
  static async block(
    disk: DiskImage,
    options: Omit<BlockOptions, 'size' | 'readOnly'> = {},
  ): Promise<VirtioPciDevice> {
    const { name, model, backend } = await describeBlockDevice(disk, options);
    return new VirtioPciDevice(name, model, BLOCK_CLASS, backend);
  }

  /** A console with one port. */
  static console(
    output: ByteRing,
    input?: ByteRing,
    { inputAfterOutput = false, ...options }: ConsoleOptions & ConsoleBackendOptions = {},
  ): VirtioPciDevice {
    return new VirtioPciDevice('virtio-console', consoleModel(options), CONSOLE_CLASS, {
      kind: 'console',
      output: output.state,
      input: input?.state,
      options: { inputAfterOutput },
    });
  }

  /**
   * A console with several ports.
   * @throws DeviceError BAD_OPTION
   */
  static multiportConsole(ports: readonly PortStreams[]): VirtioPciDevice {
    return new VirtioPciDevice('virtio-console', multiportConsoleModel(ports), CONSOLE_CLASS, {
      kind: 'multiport-console',
      ports: ports.map(({ name, console, output, input }) => {
        return { name, console, output: output.state, input: input?.state };
      }),
    });
  }

  /** A source of random numbers. */
  static rng(): VirtioPciDevice {
    return new VirtioPciDevice('virtio-rng', rngModel(), RNG_CLASS, { kind: 'rng' });
  }

  /**
   * An input device.
   * @param events what the guest gets: struct virtio_input_event, one after the other
   * @param status what it says, in the same form
   * @throws DeviceError BAD_OPTION
   */
  static input(description: InputDescription, events: ByteRing, status: ByteRing): VirtioPciDevice {
    const backend: BackendDescriptor = { kind: 'input', input: events.state, output: status.state };
    return new VirtioPciDevice(
      `virtio-input ${description.name}`,
      inputModel(description),
      INPUT_CLASS,
      backend,
    );
  }

  /** A balloon that takes memory from the guest. */
  static balloon(options: BalloonOptions = {}): VirtioPciDevice {
    return new VirtioPciDevice('virtio-balloon', balloonModel(options), BALLOON_CLASS, { kind: 'balloon' });
  }

  /**
   * A device whose back end is another process, of whatever kind its model says. It takes the descriptor of the socket over.
   */
  static remote(
    name: string,
    model: VirtioDeviceModel,
    pciClass: PciClass,
    socket: FileDescriptor,
    path?: string,
  ): VirtioPciDevice {
    const backend: RemoteDescriptor = {
      kind: 'vhost-user',
      socket: socket.number,
      path,
      configLength: model.config.length,
    };
    return new VirtioPciDevice(name, model, pciClass, backend, socket);
  }

  /**
   * Leaves the back end to another process, to which the socket is connected. It takes the socket's descriptor over.
   * @returns what that process is to serve; undefined when the back end is in another process already
   */
  moveBackend(socket: FileDescriptor): DeviceDescription | undefined {
    const backend = this.#backend;
    if (backend.kind === 'vhost-user') return undefined;
    const configLength = this.#model.config.length;
    this.#backend = { kind: 'vhost-user', socket: socket.number, path: undefined, configLength };
    this.#resource = socket;
    return { name: this.name, model: this.#model, backend };
  }

  /** Plain data to attach the device's halves from. */
  descriptor(address: PciAddress, intx?: IntxDescriptor): VirtioPciDescriptor {
    return {
      kind: 'virtio-pci',
      name: this.name,
      address,
      intx,
      parts: this.#parts,
      kicks: this.#kickDescriptors,
      control: this.#control.descriptor.number,
      backend: this.#backend,
    };
  }

  /** Where the guest notifies the queues now: for a hypervisor's ioeventfds. Empty while the BAR is not mapped. */
  doorbells(): Doorbell[] {
    return doorbells(this.#parts.space, this.#kickDescriptors);
  }

  get #kickDescriptors(): number[] {
    return this.#kicks.map((kick) => kick.descriptor.number);
  }

  [Symbol.dispose](): void {
    for (const kick of this.#kicks) kick[Symbol.dispose]();
    this.#control[Symbol.dispose]();
    this.#resource?.[Symbol.dispose]();
  }
}

/** A device before there is a transport for it. */
export interface DeviceDescription<
  Kind extends LocalBackendDescriptor['kind'] = LocalBackendDescriptor['kind'],
> {
  /** For messages, e.g. `virtio-blk /images/root.img`. */
  readonly name: string;
  readonly model: VirtioDeviceModel;
  readonly backend: Extract<LocalBackendDescriptor, { readonly kind: Kind }>;
}

/**
 * A disk from an image of any format. It is opened here only to learn its size; whoever opens the back end locks it.
 * @throws DeviceError BACKEND_FAILED, BAD_OPTION
 */
export async function describeBlockDevice(
  disk: DiskImage,
  options: Omit<BlockOptions, 'size' | 'readOnly'> = {},
): Promise<DeviceDescription<'block'>> {
  const { path, format } = disk;
  await using image = await orFailed(openDisk(path, { lock: false, ...(format && { format }) }));
  const readOnly = disk.readOnly === true || !WRITABLE_FORMATS.includes(image.format);
  return {
    name: `virtio-blk ${path}`,
    model: blockModel({ ...options, readOnly, size: image.size }),
    backend: { kind: 'block', disk: { ...disk, readOnly }, options: { ...options, readOnly } },
  };
}

/**
 * Opens a device's back end on the thread that will serve it.
 * @throws DeviceError BACKEND_FAILED
 */
export async function openBackend(
  descriptor: LocalBackendDescriptor,
  environment: BackendEnvironment,
): Promise<VirtioBackend> {
  switch (descriptor.kind) {
    case 'block':
      return await openBlock(descriptor.disk, descriptor.options, environment);
    case 'console':
      return new ConsoleBackend(
        new ByteRing(descriptor.output),
        descriptor.input && new ByteRing(descriptor.input),
        descriptor.options,
      );
    case 'multiport-console':
      return new MultiportConsoleBackend(
        descriptor.ports.map(({ output, input, ...options }) => {
          return { ...options, output: new ByteRing(output), input: input && new ByteRing(input) };
        }),
      );
    case 'rng':
      return new RngBackend();
    case 'input':
      return new InputBackend(new ByteRing(descriptor.input), new ByteRing(descriptor.output));
    case 'balloon':
      return new BalloonBackend();
  }
}

async function openBlock(
  image: DiskImage,
  options: Omit<BlockOptions, 'size'>,
  environment: BackendEnvironment,
): Promise<BlockBackend> {
  const { path, format, readOnly = false, lock = true, direct = false, executor: kind = 'auto' } = image;
  const executor = environment.executor(kind);
  const openStorage = environment.openStorage?.bind(environment) ?? ExecutorStorage.open;
  const disk = await orFailed(
    openDisk(path, {
      writable: !readOnly,
      lock,
      direct,
      ...(format && { format }),
      openStorage: (name, storageOptions) => openStorage(executor, name, storageOptions),
    }),
  );
  return new BlockBackend(disk, options);
}

/** @throws DeviceError BACKEND_FAILED for what goes wrong with an image */
async function orFailed<T>(opening: Promise<T>): Promise<T> {
  try {
    return await opening;
  } catch (cause) {
    const reason = reasonOf(cause);
    throw new DeviceError('BACKEND_FAILED', reason, { cause });
  }
}
