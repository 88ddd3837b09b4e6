import type { Board, PlatformDevices } from '@tsvmm/arch';
import { reasonOf } from '@tsvmm/base';
import {
  type BusDescriptor,
  type BusEntry,
  describeBus,
  PCI_PORT_IO_LENGTH,
  type PciAddress,
  PcieRootPortDevice,
  PciTopology,
  PvpanicDevice,
  VirtioPciDevice,
} from '@tsvmm/devices';
import { describeVhostUserDevice } from '@tsvmm/vhost-user';
import type { ResolvedBlock } from '../configuration/block.ts';
import type { ResolvedConfiguration } from '../configuration/configuration.ts';
import { ConfigurationError } from '../configuration/error.ts';
import type { ResolvedScsiDisk } from '../configuration/scsi.ts';
import type { ResolvedVhostUser } from '../configuration/vhost-user.ts';
import type { Consoles } from './consoles.ts';
import type { DeviceProcesses } from './device-processes.ts';
import type { Inputs } from './inputs.ts';
import type { PersistentMemory } from './persistent-memory.ts';
import type { Usb } from './usb.ts';

/** Everything on the machine's buses, before the guest starts. */
export interface Devices extends Disposable {
  readonly mmio: BusDescriptor;
  /** The bus of I/O ports, which is empty but on x86_64. */
  readonly pio: BusDescriptor;
  readonly pci: PciTopology;
  /** The index in `pci.virtioDevices` of the console that has standard input and a size, -1 if there is none. */
  readonly terminal: number;
  /** The first disk's index in `pci.virtioDevices`; the others follow it. */
  readonly firstDisk: number;
  /** The balloon's index there, if there is one. */
  readonly balloon: number | undefined;
  readonly pvpanic: PvpanicDevice;
}

/** What devices are made of that was there before. */
export interface DeviceParts {
  /** What the board has there, beside PCI and consoles. */
  readonly buses: Pick<PlatformDevices, 'mmio' | 'pio'>;
  readonly consoles: Consoles;
  readonly inputs: Inputs;
  readonly persistentMemory: PersistentMemory;
  readonly usb: Usb | undefined;
}

/**
 * Creates the devices, starts their processes (unless a thread is to serve them), and gives them addresses, in crosvm's order
 * of PCI slots: console, block, scsi, pmem, rng, input, balloon, xHCI, pvpanic, root ports.
 *
 * @throws DeviceError when an image cannot be opened, or there is no room
 */
export async function createDevices(
  configuration: ResolvedConfiguration,
  board: Board,
  { buses, consoles, inputs, persistentMemory, usb }: DeviceParts,
  processes: DeviceProcesses | undefined,
): Promise<Devices> {
  using cleanup = new DisposableStack();
  const {
    configuration: space,
    configurationPorts,
    lowWindow,
    spareWindow,
    pinSources,
    rootPorts,
  } = board.pci;
  const highWindow = persistentMemory.window;
  const pci = cleanup.use(new PciTopology({ intxSources: pinSources }));
  const add = (device: VirtioPciDevice, address?: PciAddress): void => {
    processes?.add(pci.virtioDevices.length, device);
    pci.add(device, address);
  };
  // Whoever has an address gets it before others look for a free one.
  const placed = consoles.virtioDevices.toSorted((a, b) => Number(!a.address) - Number(!b.address));
  for (const { device, address } of placed) add(device, address);
  const terminal = placed.findIndex(({ device }) => device === consoles.terminal);
  for (const [index, block] of configuration.blocks.entries()) {
    add(await createBlock(block, index));
  }
  if (configuration.scsiDisks.length > 0) add(await createScsi(configuration.scsiDisks));
  for (const device of persistentMemory.virtioDevices) add(device);
  if (configuration.rng) {
    add(VirtioPciDevice.rng());
  }
  for (const device of inputs.virtioDevices) add(device);
  const balloon = configuration.balloon === undefined ? undefined : pci.virtioDevices.length;
  if (configuration.balloon !== undefined) {
    add(VirtioPciDevice.balloon(configuration.balloon));
  }
  for (const [index, device] of configuration.vhostUser.entries()) {
    pci.add(await createVhostUser(device, index, configuration.vhostUserConnectTimeLimit), device.pciAddress);
  }
  if (usb) pci.add(usb.controller);
  const pvpanic = new PvpanicDevice();
  pci.add(pvpanic);
  for (let slot = 0; slot < rootPorts; slot++) pci.addBridge(new PcieRootPortDevice(slot));
  const low = { start: lowWindow.start, size: lowWindow.end - lowWindow.start };
  const high = { start: highWindow.start, size: highWindow.end - highWindow.start };
  pci.assignBars(low, high);
  const root = pci.descriptor();
  const mmio = describeBus([
    ...buses.mmio,
    ...consoles.busEntries.mmio,
    {
      start: space.address,
      length: space.size,
      device: { kind: 'pci-config', mechanism: space.kind, root },
    },
    ...[lowWindow, highWindow, ...(spareWindow ? [spareWindow] : [])].map(
      ({ start, end }): BusEntry => ({ start, length: end - start, device: { kind: 'pci-window', root } }),
    ),
  ]);
  const ports: BusEntry[] = [...buses.pio, ...consoles.busEntries.pio];
  if (configurationPorts !== undefined) {
    const device = { kind: 'pci-config', mechanism: 'port-io', root } as const;
    ports.push({ start: configurationPorts, length: PCI_PORT_IO_LENGTH, device });
  }
  const pio = describeBus(ports);
  const owned = cleanup.move();
  const firstDisk = consoles.virtioDevices.length;
  return { mmio, pio, pci, terminal, firstDisk, balloon, pvpanic, [Symbol.dispose]: () => owned.dispose() };
}

/** @throws ConfigurationError naming the disk, when its image cannot be opened */
async function createBlock(block: ResolvedBlock, index: number): Promise<VirtioPciDevice> {
  const { path, readOnly, direct, lock, asyncExecutor: executor, blockSize, sparse, packedQueue, id } = block;
  try {
    return await VirtioPciDevice.block(
      { path, readOnly, direct, lock, executor },
      { blockSize, sparse, packedQueue, ...(id !== undefined && { id }) },
    );
  } catch (cause) {
    const reason = reasonOf(cause);
    throw new ConfigurationError('FILE_UNUSABLE', 'blocks', reason, { index, cause });
  }
}

/** @throws ConfigurationError when an image cannot be opened: its message names that */
async function createScsi(disks: readonly ResolvedScsiDisk[]): Promise<VirtioPciDevice> {
  try {
    return await VirtioPciDevice.scsi(
      disks.map(({ path, readOnly, lock, asyncExecutor: executor, blockSize }) => {
        return { disk: { path, readOnly, lock, executor }, blockSize };
      }),
    );
  } catch (cause) {
    throw new ConfigurationError('FILE_UNUSABLE', 'scsiDisks', reasonOf(cause), { cause });
  }
}

/** @throws ConfigurationError naming the device, when its back end is not there or cannot be used */
async function createVhostUser(
  { type, socket: path, maxQueueSize }: ResolvedVhostUser,
  index: number,
  connectTimeLimit: number,
): Promise<VirtioPciDevice> {
  try {
    const { name, model, pciClass, ...found } = await describeVhostUserDevice({
      type,
      socket: path,
      connectTimeLimit,
      ...(maxQueueSize !== undefined && { maxQueueSize }),
    });
    return VirtioPciDevice.remote(name, model, pciClass, found.socket, found.path);
  } catch (cause) {
    const reason = reasonOf(cause);
    throw new ConfigurationError('FILE_UNUSABLE', 'vhostUser', reason, { index, cause });
  }
}
