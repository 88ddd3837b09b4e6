import { DeviceError } from '../errors.ts';
import { BRIDGE_WINDOW_ALIGNMENT } from './bridge-header.ts';
import { PCI_BAR_COUNT, type PciConfigurationSpace } from './configuration-space.ts';
import type { PciBridgeDevice, PciWindow } from './topology.ts';

/** What is on a bus: the functions, and the buses behind those that are bridges. */
export interface PopulatedBus {
  readonly spaces: readonly PciConfigurationSpace[];
  readonly bridges: readonly { readonly device: PciBridgeDevice; readonly bus: PopulatedBus }[];
}

/** Addresses that a BAR or a bridge's window needs. */
interface Request {
  readonly size: number;
  readonly alignment: number;
  readonly isHigh: boolean;
  place(address: number): void;
}

/**
 * Gives every BAR an address and every bridge its windows, as firmware would: 64-bit BARs in `high` if there is one, all
 * others in `low`. Behind bridges only BARs that are prefetchable too can be high.
 * @throws DeviceError OUT_OF_SPACE
 */
export function assignBars(root: PopulatedBus, low: PciWindow, high: PciWindow | undefined): void {
  const requests = requestsOf(root, (space, index) => space.isBar64Bit(index));
  const isHigh = (request: Request) => high !== undefined && request.isHigh;
  place(
    requests.filter((request) => !isHigh(request)),
    low,
  );
  if (high) place(requests.filter(isHigh), high);
}

function requestsOf(
  { spaces, bridges }: PopulatedBus,
  isHigh: (space: PciConfigurationSpace, index: number) => boolean,
): Request[] {
  const bars = spaces.flatMap((space) =>
    Array.from({ length: PCI_BAR_COUNT }, (_, index) => ({
      size: space.barSize(index),
      alignment: space.barSize(index),
      isHigh: isHigh(space, index),
      place: (address: number) => space.setBarAddress(index, address),
    })),
  );
  return [...bars.filter(({ size }) => size > 0), ...bridges.flatMap(windowsOf)];
}

/** Both windows of a bridge, with room for what is behind it and what may come. */
function windowsOf({ device, bus }: PopulatedBus['bridges'][number]): Request[] {
  const { header, hotPlugRoom } = device;
  const inside = requestsOf(bus, (space, index) => space.isBar64Bit(index) && space.isBarPrefetchable(index));
  const window = (isHigh: boolean, room: number, set: (start: number, end: number) => void): Request => {
    const members = inside.filter((request) => request.isHigh === isHigh);
    const size = alignUp(pack(members, 0) + room, BRIDGE_WINDOW_ALIGNMENT);
    return {
      size,
      alignment: Math.max(BRIDGE_WINDOW_ALIGNMENT, ...members.map(({ alignment }) => alignment)),
      isHigh,
      place: (address) => {
        pack(members, address, (member, at) => member.place(at));
        set(address, address + size);
      },
    };
  };
  return [
    window(false, hotPlugRoom.memory, (start, end) => header.setMemoryWindow(start, end)),
    window(true, hotPlugRoom.prefetchable, (start, end) => header.setPrefetchableWindow(start, end)),
  ];
}

function place(requests: readonly Request[], { start, size }: PciWindow): void {
  const end = start + size;
  if (pack(requests, start) > end) {
    const bytes = requests.reduce((sum, request) => sum + request.size, 0);
    throw new DeviceError(
      'OUT_OF_SPACE',
      `The PCI window at 0x${start.toString(16)} is too small for BARs and bridges of ${bytes} bytes: enlarge it.`,
    );
  }
  pack(requests, start, (request, address) => request.place(address));
}

/** Lines requests up from `start` on. @returns the end of the last */
function pack(
  requests: readonly Request[],
  start: number,
  put: (request: Request, address: number) => void = () => {},
): number {
  let next = start;
  // What is aligned most goes first: then alignment costs nothing.
  for (const request of requests.toSorted((a, b) => b.alignment - a.alignment)) {
    const address = alignUp(next, request.alignment);
    put(request, address);
    next = address + request.size;
  }
  return next;
}

const alignUp = (value: number, alignment: number): number => Math.ceil(value / alignment) * alignment;
