import { type AddressRange, MachineError } from '@tsvmm/arch';
import type { ByteSource } from '@tsvmm/kernel-loader';
import type { GuestMemory } from '@tsvmm/vm-memory';
import { HIGH_RAM_START } from '../layout.ts';

/** What a PC shows of the end of its firmware below 1 MiB, where code in real mode reaches it. */
const SHADOW_SIZE = 128 * 1024;

/**
 * Writes a BIOS or UEFI image so that it ends at 4 GiB, and its last 128 KiB so that they end at 1 MiB as well. The first
 * vCPU needs no registers: its reset state is to begin 16 bytes before the end.
 */
export async function bootFirmware(
  memory: GuestMemory,
  source: ByteSource,
  { end }: AddressRange,
): Promise<void> {
  const image = memory.bytes(end - source.size, source.size);
  for (let done = 0; done < source.size; ) {
    const count = await source.read(done, image.subarray(done));
    if (count <= 0) {
      throw new MachineError(
        'IMAGE_READ',
        `the firmware ended after ${done} of ${source.size} bytes: it was changed while it was read, start again`,
      );
    }
    done += count;
  }
  const shadow = Math.min(SHADOW_SIZE, source.size);
  memory.copyIn(HIGH_RAM_START - shadow, image.subarray(source.size - shadow));
}
