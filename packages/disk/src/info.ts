import { stat } from 'node:fs/promises';
import { CompositeDisk } from './composite/composite-disk.ts';
import type { Component } from './composite/specification.ts';
import type { Format } from './detect.ts';
import type { Disk } from './disk.ts';
import { checkNesting, type OpenDiskOptions, openDisk, resolveBeside } from './open.ts';
import { Autoclear, Incompatible } from './qcow2/features.ts';
import { type CompressionType, hasLazyRefcounts } from './qcow2/header.ts';
import { recordedFormat } from './qcow2/open.ts';
import { Qcow2Disk } from './qcow2/qcow2-disk.ts';
import type { Snapshot } from './qcow2/snapshots.ts';

/** What is particular to a qcow2 image. */
export interface Qcow2Info {
  readonly version: 2 | 3;
  /** Bytes. */
  readonly clusterSize: number;
  readonly refcountBits: number;
  readonly compressionType: CompressionType;
  readonly extendedL2: boolean;
  readonly lazyRefcounts: boolean;
  readonly isDirty: boolean;
  readonly isCorrupt: boolean;
  readonly dataFile?: string;
  /** The data file alone reads as the disk does. */
  readonly isDataFileRaw: boolean;
  /** The backing image as the image names it. */
  readonly backingFile?: string;
  /** Where that is. */
  readonly backingPath?: string;
  readonly backingFormat?: string;
  readonly snapshots: readonly Snapshot[];
}

/** What an image is. Plain data. */
export interface DiskInfo {
  readonly path: string;
  readonly format: Format;
  /** Bytes of the disk. */
  readonly size: number;
  /** Bytes that the file takes on its own disk. */
  readonly allocatedSize: number;
  readonly qcow2?: Qcow2Info;
  readonly components?: readonly Component[];
}

/** Describes an image without changing it. Its backing images need not be there. */
export async function diskInfo(path: string, options: OpenDiskOptions = {}): Promise<DiskInfo> {
  await using disk = await openDisk(path, { ...options, writable: false, backing: false });
  const { blocks } = await stat(path);
  return {
    path,
    format: disk.format as Format,
    size: disk.size,
    allocatedSize: blocks * 512,
    ...(await particulars(path, disk)),
  };
}

/**
 * Describes an image, its backing image, the backing image of that, and so on.
 * @throws DiskError TOO_DEEP
 */
export async function diskChain(path: string, options: OpenDiskOptions = {}): Promise<readonly DiskInfo[]> {
  const chain: DiskInfo[] = [];
  const { format: _, ...below } = options;
  let next: string | undefined = path;
  for (let current = options; next !== undefined; ) {
    checkNesting(next, chain.length + 1);
    const info: DiskInfo = await diskInfo(next, current);
    chain.push(info);
    const format = info.qcow2?.backingFormat;
    current = format === undefined ? below : { ...below, format: recordedFormat(info.path, format) };
    next = info.qcow2?.backingPath;
  }
  return chain;
}

async function particulars(path: string, disk: Disk): Promise<Pick<DiskInfo, 'qcow2' | 'components'>> {
  if (disk instanceof CompositeDisk) return { components: disk.specification.components };
  if (!(disk instanceof Qcow2Disk)) return {};
  const { header } = disk;
  const { dataFile, backingFile, backingFormat, incompatible } = header;
  return {
    qcow2: {
      version: header.version,
      clusterSize: 2 ** header.clusterBits,
      refcountBits: 2 ** header.refcountOrder,
      compressionType: header.compressionType,
      extendedL2: (incompatible & Incompatible.extendedL2) !== 0,
      lazyRefcounts: hasLazyRefcounts(header),
      isDirty: (incompatible & Incompatible.dirty) !== 0,
      isCorrupt: (incompatible & Incompatible.corrupt) !== 0,
      ...(dataFile === undefined ? {} : { dataFile }),
      isDataFileRaw: (header.autoclear & Autoclear.rawExternalData) !== 0,
      ...(backingFile === undefined ? {} : { backingFile, backingPath: resolveBeside(path, backingFile) }),
      ...(backingFormat === undefined ? {} : { backingFormat }),
      snapshots: await disk.snapshots(),
    },
  };
}
