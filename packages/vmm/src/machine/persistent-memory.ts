import { constants, fstatSync, openSync } from 'node:fs';
import { type AddressRange, alignUp } from '@tsvmm/arch';
import { FileDescriptor, MemFd } from '@tsvmm/base';
import { VirtioPciDevice } from '@tsvmm/devices';
import type { MemoryRegion } from '@tsvmm/hypervisor';
import { ConfigurationError } from '../configuration/error.ts';
import type { ResolvedPmem } from '../configuration/pmem.ts';

const MIB = 2 ** 20;
/** Linux adds memory by sections of this size. */
const ALIGNMENT = 128 * MIB;
/** It maps persistent memory by these at least. */
const UNIT = 2 * MIB;
const PAGE_SIZE = 4096;

/** The persistent memory of a machine, before there is one: the files are open until the machine has them. */
export interface PersistentMemory extends Disposable {
  readonly regions: readonly MemoryRegion[];
  readonly virtioDevices: readonly VirtioPciDevice[];
  /** What is left of the window that the addresses were taken from. */
  readonly window: AddressRange;
}

/**
 * Opens the files and gives them guest-physical addresses.
 *
 * @param window of addresses that nothing else has
 * @throws ConfigurationError FILE_UNUSABLE, DOES_NOT_FIT
 */
export function openPersistentMemory(pmems: readonly ResolvedPmem[], window: AddressRange): PersistentMemory {
  using cleanup = new DisposableStack();
  const regions: MemoryRegion[] = [];
  const virtioDevices: VirtioPciDevice[] = [];
  let { start } = window;
  for (const [index, { path, readOnly }] of pmems.entries()) {
    const file = cleanup.use(openFile(path, readOnly, index));
    const { size: length } = fstatSync(file.number);
    const address = alignUp(start, ALIGNMENT);
    const size = alignUp(length, UNIT);
    start = address + size;
    if (start > window.end) {
      const message = `there are no addresses left for ${length} bytes of persistent memory; lower its size, or the memory's`;
      throw new ConfigurationError('DOES_NOT_FIT', 'pmems', message, { index });
    }
    regions.push({
      ...{ guestAddress: address, size: length, readOnly },
      ...{ descriptor: file.number, descriptorOffset: 0 },
    });
    if (size > length) {
      const rest = cleanup.use(MemFd.create({ name: 'tsvmm-pmem-rest', size: size - length }));
      regions.push({
        ...{ guestAddress: address + length, size: size - length, readOnly },
        ...{ descriptor: rest.descriptor.number, descriptorOffset: 0 },
      });
    }
    virtioDevices.push(VirtioPciDevice.pmem({ start: address, size }, { path, readOnly }));
  }
  const owned = cleanup.move();
  return {
    regions,
    virtioDevices,
    window: { start: pmems.length === 0 ? window.start : alignUp(start, ALIGNMENT), end: window.end },
    [Symbol.dispose]: () => owned.dispose(),
  };
}

/** @throws ConfigurationError FILE_UNUSABLE */
function openFile(path: string, readOnly: boolean, index: number): FileDescriptor {
  const unusable = (reason: string, cause?: unknown) =>
    new ConfigurationError('FILE_UNUSABLE', 'pmems', `the persistent memory ${path} ${reason}`, {
      index,
      cause,
    });
  let number: number;
  try {
    number = openSync(path, readOnly ? constants.O_RDONLY : constants.O_RDWR);
  } catch (cause) {
    throw unusable('cannot be opened', cause);
  }
  using cleanup = new DisposableStack();
  const file = cleanup.use(new FileDescriptor(number));
  const status = fstatSync(number);
  if (!status.isFile()) throw unusable('is not a file; attach a block device as a disk');
  if (status.size % PAGE_SIZE !== 0) {
    throw unusable(
      `has ${status.size} bytes, which is no multiple of ${PAGE_SIZE}: truncate -s %${PAGE_SIZE} makes it one`,
    );
  }
  cleanup.move();
  return file;
}
