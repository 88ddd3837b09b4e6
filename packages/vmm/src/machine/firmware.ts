import { readFile } from 'node:fs/promises';
import type { Board } from '@tsvmm/arch';
import { type BusEntry, DeviceError, type FwCfgFile, PflashFile } from '@tsvmm/devices';
import type { Vm } from '@tsvmm/hypervisor';
import type { FwCfgConfiguration, PflashConfiguration } from '../configuration/board.ts';
import { ConfigurationError } from '../configuration/error.ts';

/** Reads what firmware is to find in fw_cfg. */
export async function readFwCfgFiles(files: readonly FwCfgConfiguration[]): Promise<readonly FwCfgFile[]> {
  return await Promise.all(
    files.map(async (file) => {
      const data = 'path' in file ? await readFile(file.path) : new TextEncoder().encode(file.string);
      return { name: file.name, data };
    }),
  );
}

/** @throws ConfigurationError when the file cannot be used */
export function openFlash({ path }: PflashConfiguration): PflashFile {
  try {
    return PflashFile.open(path);
  } catch (cause) {
    throw unusable(cause);
  }
}

/**
 * Puts flash memory where the board has it: as memory that is read without an exit, behind which the device answers commands.
 *
 * @throws ConfigurationError for blocks that the contents are not made of
 */
export function placeFlash(
  file: PflashFile,
  { blockSize }: PflashConfiguration,
  placement: NonNullable<Board['flash']>,
  vm: Vm,
): BusEntry {
  const { address, ...usual } = placement;
  const slot = vm.addMemoryRegion({
    guestAddress: address,
    size: file.size,
    descriptor: file.memory,
    descriptorOffset: 0,
    readOnly: true,
  });
  const chips = { ...usual, ...(blockSize !== undefined && { blockSize }) };
  try {
    const device = file.describe(chips, vm.regionDescriptor(slot));
    return { start: address, length: file.size, device };
  } catch (cause) {
    throw unusable(cause);
  }
}

function unusable(cause: unknown): unknown {
  if (!(cause instanceof DeviceError)) return cause;
  return new ConfigurationError('FILE_UNUSABLE', 'pflash', cause.message, { cause });
}
