import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { quote } from './checks.ts';
import type { ConfigurationOption, ResolvedConfiguration } from './configuration.ts';
import { ConfigurationError } from './error.ts';
import { checkSandbox } from './sandbox.ts';

const MIB = 1024 * 1024;

/**
 * Looks at the files a configuration names, so that a mistake is told before anything is built.
 * What is opened later can still fail; this is only the better message.
 *
 * @throws {ConfigurationError} FILE_NOT_FOUND, FILE_UNUSABLE or DOES_NOT_FIT
 */
export async function checkConfigurationFiles(configuration: ResolvedConfiguration): Promise<void> {
  const memoryBytes = configuration.memory.sizeMiB * MIB;
  const { kernel, bios, pflash, fwCfg = [], acpiTables } = configuration;
  if (kernel !== undefined) await checkFile('kernel', kernel, 'the kernel', constants.O_RDONLY, 'file');
  if (bios !== undefined) await checkFile('bios', bios, 'the firmware', constants.O_RDONLY, 'file');
  if (pflash !== undefined)
    await checkFile('pflash', pflash.path, 'the flash image', constants.O_RDWR, 'file');
  for (const [index, file] of fwCfg.entries()) {
    if (!('path' in file)) continue;
    await checkFile('fwCfg', file.path, 'the file for fw_cfg', constants.O_RDONLY, 'file', index);
  }
  for (const [index, table] of acpiTables.entries()) {
    await checkFile('acpiTables', table, 'the ACPI table', constants.O_RDONLY, 'file', index);
  }
  if (configuration.initrd !== undefined) {
    const size = await checkFile('initrd', configuration.initrd, 'the initrd', constants.O_RDONLY, 'file');
    if (size >= memoryBytes) {
      const needed = nextPowerOfTwo(Math.ceil((size * 2) / MIB));
      throw new ConfigurationError(
        'DOES_NOT_FIT',
        'initrd',
        `the initrd ${quote(configuration.initrd)} of ${toMiB(size)} MiB does not fit into ${configuration.memory.sizeMiB} MiB of memory; give the guest at least ${needed} MiB`,
      );
    }
  }
  await checkSandbox(configuration.sandbox);
  for (const [index, { path, readOnly }] of configuration.pmems.entries()) {
    const flags = readOnly ? constants.O_RDONLY : constants.O_RDWR;
    await checkFile('pmems', path, 'the persistent memory', flags, 'file', index);
  }
  for (const option of ['blocks', 'scsiDisks'] as const) {
    for (const [index, { path, readOnly }] of configuration[option].entries()) {
      const flags = readOnly ? constants.O_RDONLY : constants.O_RDWR;
      await checkFile(option, path, 'the disk', flags, 'disk', index);
    }
  }
}

/** Opens and closes the file at `path`; returns its size in bytes (0 for a device). */
async function checkFile(
  option: ConfigurationOption,
  path: string,
  what: string,
  flags: number,
  kind: 'file' | 'disk',
  index?: number,
): Promise<number> {
  const details = index === undefined ? {} : { index };
  const unusable = (reason: string, cause?: unknown) =>
    new ConfigurationError('FILE_UNUSABLE', option, `${what} ${quote(path)} ${reason}`, {
      ...details,
      cause,
    });
  try {
    const status = await stat(path);
    if (status.isDirectory()) throw unusable(`is a directory; name a file in it`);
    // Opening a FIFO would wait for its other end.
    if (status.isFIFO() || status.isSocket() || status.isCharacterDevice()) {
      throw unusable(`is neither a file nor a block device`);
    }
    await using _file = await open(path, flags);
    if (kind === 'file' && status.isFile() && status.size === 0) throw unusable('is empty');
    return status.size;
  } catch (error) {
    if (error instanceof ConfigurationError) throw error;
    switch ((error as NodeJS.ErrnoException).code) {
      case 'ENOENT':
      case 'ENOTDIR':
        throw new ConfigurationError(
          'FILE_NOT_FOUND',
          option,
          `${what} ${quote(path)} does not exist; check the path`,
          { ...details, cause: error },
        );
      case 'EACCES':
      case 'EPERM':
        throw unusable(
          `may not be ${flags === constants.O_RDONLY ? 'read' : 'written'}; check its mode`,
          error,
        );
      case 'EROFS':
        throw unusable('is on a read-only file system; attach it read-only', error);
      default:
        throw unusable(`cannot be opened: ${(error as Error).message}`, error);
    }
  }
}

function toMiB(bytes: number): string {
  return (bytes / MIB).toFixed(bytes < 10 * MIB ? 1 : 0);
}

function nextPowerOfTwo(value: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, value)));
}
