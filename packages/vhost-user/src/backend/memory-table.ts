import { fstatSync } from 'node:fs';
import type { FileDescriptor } from '@tsvmm/base';
import { GuestMemory } from '@tsvmm/vm-memory';
import { VhostUserError } from '../errors.ts';
import type { MemoryRegionDescription } from '../protocol/messages.ts';

/** The front end's memory: what of it the guest has, and where the front end itself sees it. */
export class MemoryTable {
  readonly memory: GuestMemory;
  readonly #regions: readonly MemoryRegionDescription[];

  /**
   * Maps what the descriptors name, one for each region. They stay the caller's, who closes them.
   *
   * @throws VhostUserError PROTOCOL when the regions are not as they must be
   */
  constructor(regions: readonly MemoryRegionDescription[], descriptors: readonly FileDescriptor[]) {
    this.#regions = regions;
    const files = regions.map((region, index) => {
      const fd = descriptors[index]?.number ?? -1;
      const { size } = fstatSync(fd);
      if (region.fileOffset + region.size > size) {
        throw new VhostUserError(
          'PROTOCOL',
          `a memory region ends at byte ${region.fileOffset + region.size} of a file that has ${size}`,
        );
      }
      return { base: region.guestAddress, size: region.size, fd, fileOffset: region.fileOffset };
    });
    try {
      this.memory = GuestMemory.mapFiles(files);
    } catch (cause) {
      throw new VhostUserError('PROTOCOL', "the front end's memory cannot be used", { cause });
    }
  }

  /**
   * The guest-physical address of what the front end has at `userAddress`.
   *
   * @throws VhostUserError PROTOCOL when it is in no region
   */
  guestAddress(userAddress: bigint): number {
    for (const region of this.#regions) {
      const offset = userAddress - region.userAddress;
      if (offset >= 0n && offset < BigInt(region.size)) return region.guestAddress + Number(offset);
    }
    throw new VhostUserError(
      'PROTOCOL',
      `the ring address 0x${userAddress.toString(16)} is in no memory region`,
    );
  }
}
