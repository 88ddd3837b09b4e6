import { type AddressRange, loadFirmware } from '@tsvmm/arch';
import type { ByteSource } from '@tsvmm/kernel-loader';
import type { GuestMemory } from '@tsvmm/vm-memory';
import { HIGH_RAM_START } from '../layout.ts';

/** What a PC shows of the end of its firmware below 1 MiB, where code in real mode reaches it. */
const SHADOW_SIZE = 128 * 1024;

/**
 * Writes a BIOS or UEFI image so that it ends at 4 GiB, and its last 128 KiB so that they end at 1 MiB as well. The first
 * vCPU needs no registers: its reset state is to begin 16 bytes before the end.
 *
 * @throws MachineError IMAGE_READ
 */
export async function bootFirmware(
  memory: GuestMemory,
  source: ByteSource,
  { end }: AddressRange,
): Promise<void> {
  const image = await loadFirmware(memory, source, end - source.size);
  const shadow = Math.min(SHADOW_SIZE, source.size);
  memory.copyWithin(HIGH_RAM_START - shadow, image.end - shadow, shadow);
}
