import { EventFd, type FileDescriptor } from '@tsvmm/base';
import type { IntxDescriptor } from '../interrupt.ts';
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
import {
  checkBlockSize,
  type DiskImage,
  type ImageEnvironment,
  inspectImage,
  openImage,
  openImageFile,
  SECTOR,
} from './disk-image.ts';
import { InputBackend } from './input/input-backend.ts';
import { type InputDescription, inputModel } from './input/model.ts';
import { type PmemRange, pmemModel } from './pmem/model.ts';
import { PmemBackend } from './pmem/pmem-backend.ts';
import type { RemoteDescriptor } from './remote/remote-backend.ts';
import { RngBackend, rngModel } from './rng/rng.ts';
import { LogicalUnit } from './scsi/logical-unit.ts';
import { Medium } from './scsi/medium.ts';
import { type ScsiOptions, scsiModel } from './scsi/model.ts';
import { ScsiBackend } from './scsi/scsi-backend.ts';
import type { VirtioDeviceModel } from './transport/registers.ts';
import {
  createVirtioPciParts,
  type Doorbell,
  doorbells,
  type PciClass,
  type VirtioPciParts,
} from './transport/virtio-pci.ts';

/** What the thread or process that serves a device needs to open its back end. */
export type BackendDescriptor =
  | { readonly kind: 'block'; readonly disk: DiskImage; readonly options: Omit<BlockOptions, 'size'> }
  /** Persistent memory: the file, which is none for memory that lasts no longer than the machine. */
  | { readonly kind: 'pmem'; readonly image: DiskImage | undefined }
  | { readonly kind: 'scsi'; readonly disks: readonly ScsiDisk[] }
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

/** A disk of a SCSI adapter. */
export interface ScsiDisk {
  readonly disk: DiskImage;
  /** Logical block size in bytes, a power of two of at least 512; 512 unless given. */
  readonly blockSize?: number;
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
  /** Of a back end in another process: file descriptors of the eventfds by which it interrupts, one for each queue. */
  readonly calls: readonly number[];
  /** File descriptor of the eventfd that wakes the back end for the device's life cycle. */
  readonly control: number;
  readonly backend: BackendDescriptor;
}

const BLOCK_CLASS: PciClass = { baseClass: 0x01, subclass: 0x80 };
const SCSI_CLASS: PciClass = { baseClass: 0x01, subclass: 0x00 };
const PMEM_CLASS: PciClass = { baseClass: 0x01, subclass: 0x08 };
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
  #calls: readonly EventFd[] = [];
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
    this.#kicks = eventFds(model);
    if (backend.kind === 'vhost-user') this.#calls = eventFds(model);
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

  /**
   * A SCSI adapter with disks from images of any format, each of which is logical unit 0 of a target.
   * @throws DeviceError BACKEND_FAILED, BAD_OPTION
   */
  static async scsi(disks: readonly ScsiDisk[], options: ScsiOptions = {}): Promise<VirtioPciDevice> {
    const { name, model, backend } = await describeScsiDevice(disks, options);
    return new VirtioPciDevice(name, model, SCSI_CLASS, backend);
  }

  /**
   * Persistent memory, which is put at `range` by whoever runs the guest.
   * @param image the file that it is; unless given, nothing has to be kept
   */
  static pmem(range: PmemRange, image?: DiskImage): VirtioPciDevice {
    const name = image === undefined ? 'virtio-pmem' : `virtio-pmem ${image.path}`;
    return new VirtioPciDevice(name, pmemModel(range), PMEM_CLASS, { kind: 'pmem', image });
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
    this.#calls = eventFds(this.#model);
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
      kicks: numbersOf(this.#kicks),
      calls: numbersOf(this.#calls),
      control: this.#control.descriptor.number,
      backend: this.#backend,
    };
  }

  /** Where the guest notifies the queues now: for a hypervisor's ioeventfds. Empty while the BAR is not mapped. */
  doorbells(): Doorbell[] {
    return doorbells(this.#parts.space, numbersOf(this.#kicks));
  }

  [Symbol.dispose](): void {
    for (const event of [...this.#kicks, ...this.#calls]) event[Symbol.dispose]();
    this.#control[Symbol.dispose]();
    this.#resource?.[Symbol.dispose]();
  }
}

/** One for each queue. */
function eventFds({ queueSizes }: VirtioDeviceModel): readonly EventFd[] {
  return queueSizes.map(() => EventFd.create());
}

function numbersOf(events: readonly EventFd[]): number[] {
  return events.map(({ descriptor }) => descriptor.number);
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
  const { image, size } = await inspectImage(disk);
  const { readOnly } = image;
  return {
    name: `virtio-blk ${disk.path}`,
    model: blockModel({ ...options, readOnly, size }),
    backend: { kind: 'block', disk: image, options: { ...options, readOnly } },
  };
}

/**
 * A SCSI adapter with disks from images of any format. They are opened here only to learn about them; whoever opens the back
 * end locks them.
 * @throws DeviceError BACKEND_FAILED, BAD_OPTION
 */
export async function describeScsiDevice(
  disks: readonly ScsiDisk[],
  options: ScsiOptions = {},
): Promise<DeviceDescription<'scsi'>> {
  for (const { blockSize = SECTOR } of disks) checkBlockSize(blockSize);
  const inspected = await Promise.all(disks.map(async ({ disk }) => (await inspectImage(disk)).image));
  return {
    name: `virtio-scsi ${disks.map(({ disk }) => disk.path).join(', ')}`,
    model: scsiModel(disks.length, options),
    backend: { kind: 'scsi', disks: inspected.map((disk, target) => ({ ...disks[target], disk })) },
  };
}

/**
 * Opens a device's back end on the thread that will serve it.
 * @throws DeviceError BACKEND_FAILED
 */
export async function openBackend(
  descriptor: LocalBackendDescriptor,
  environment: ImageEnvironment,
): Promise<VirtioBackend> {
  switch (descriptor.kind) {
    case 'block':
      return new BlockBackend(
        await openImage(descriptor.disk, environment),
        descriptor.options,
        environment.executor(descriptor.disk.executor ?? 'auto'),
      );
    case 'pmem':
      return new PmemBackend(descriptor.image && (await openImageFile(descriptor.image, environment)));
    case 'scsi':
      return await openScsi(descriptor.disks, environment);
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

async function openScsi(disks: readonly ScsiDisk[], environment: ImageEnvironment): Promise<ScsiBackend> {
  await using opened = new AsyncDisposableStack();
  const units: LogicalUnit[] = [];
  for (const [target, { disk, blockSize = SECTOR }] of disks.entries()) {
    const medium = opened.use(new Medium(await openImage(disk, environment), blockSize));
    units.push(new LogicalUnit(medium, `tsvmm-${target}`));
  }
  opened.move();
  return new ScsiBackend(units);
}
