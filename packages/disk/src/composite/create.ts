import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute, relative, resolve } from 'node:path';
import { DiskError } from '../errors.ts';
import { openDisk } from '../open.ts';
import {
  buildGpt,
  GPT_FOOTER_LENGTH,
  GPT_HEADER_LENGTH,
  isGuid,
  PARTITION_ALIGNMENT,
  type Partition,
} from './gpt.ts';
import { type Component, serializeSpecification } from './specification.ts';

/** A partition of a new composite disk. */
export interface CompositePartition {
  /** At most 36 UTF-16 units, different for each partition. */
  readonly label: string;
  /** An image of any format. */
  readonly path: string;
  /** Guests may write it; its size must then be a multiple of 4 KiB. False unless given. */
  readonly writable?: boolean;
  /** Random unless given. */
  readonly guid?: string;
}

/**
 * Creates a disk with a GUID partition table whose partitions are images that stay where they are. Beside `path` it
 * writes `path.header`, `path.footer` and `path.filler`. Paths are stored relative to the folder of `path`, unless they
 * are absolute.
 * @throws DiskError BAD_OPTION, and those of opening the images
 */
export async function createCompositeDisk(
  path: string,
  partitions: readonly CompositePartition[],
): Promise<void> {
  const folder = dirname(resolve(path));
  const beside = (suffix: string) => `${basename(path)}.${suffix}`;
  const components: Component[] = [{ path: beside('header'), offset: 0, writable: false }];
  const table: Partition[] = [];
  let offset = GPT_HEADER_LENGTH;
  for (const { label, path: image, writable = false, guid = randomUUID() } of partitions) {
    if (!isGuid(guid)) throw new DiskError('BAD_OPTION', `'${guid}' is no GUID for partition '${label}'.`);
    const size = await sizeOf(image);
    const length = Math.ceil(size / PARTITION_ALIGNMENT) * PARTITION_ALIGNMENT;
    if (size === 0) throw new DiskError('BAD_OPTION', `${image}, for partition '${label}', is empty.`);
    if (writable && length !== size) {
      throw new DiskError(
        'BAD_OPTION',
        `${image} has ${size} bytes: a writable partition needs a multiple of ${PARTITION_ALIGNMENT}.`,
      );
    }
    const stored = isAbsolute(image) ? image : relative(folder, resolve(image));
    components.push({ path: stored, offset, writable });
    if (length !== size) components.push({ path: beside('filler'), offset: offset + size, writable: false });
    table.push({ label, start: offset, length, guid });
    offset += length;
  }
  const diskSize = offset + GPT_FOOTER_LENGTH;
  const { header, footer } = buildGpt(table, diskSize);
  components.push({ path: beside('footer'), offset, writable: false });
  await writeFile(`${path}.header`, header);
  await writeFile(`${path}.footer`, footer);
  await writeFile(`${path}.filler`, new Uint8Array(PARTITION_ALIGNMENT));
  await writeFile(path, serializeSpecification({ components, length: diskSize }));
}

async function sizeOf(image: string): Promise<number> {
  await using disk = await openDisk(image, { lock: false });
  return disk.size;
}
