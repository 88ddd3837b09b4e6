import { VHD_COOKIE } from './formats/vhd.ts';
import { VHDX_SIGNATURE } from './formats/vhdx-header.ts';
import { DESCRIPTOR_START } from './formats/vmdk/descriptor.ts';
import { SPARSE_MAGIC } from './formats/vmdk/sparse-extent.ts';
import { SegmentList } from './segments.ts';
import type { Storage } from './storage/storage.ts';

/** The formats there are. */
export const FORMATS = [
  'raw',
  'qcow2',
  'composite',
  'android-sparse',
  'zstd',
  'vmdk',
  'vhdx',
  'vhd',
] as const;
export type Format = (typeof FORMATS)[number];

export const COMPOSITE_MAGIC = 'composite_disk\x1d';
const QCOW2_MAGIC = 'QFI\xfb';
const ANDROID_SPARSE_MAGIC = 0xed26_ff3a;
const ZSTD_MAGIC = 0xfd2f_b528;
/** The magics of zstd's skippable frames: the last four bits are free. */
const ZSTD_SKIPPABLE = 0x184d_2a50;
/** Bytes at the start of an image that say what it is. */
export const DETECTION_LENGTH = 512;

/**
 * What an image is, by its first bytes; what nothing else claims is raw. So is a fixed VHD, which only its last sector
 * marks: a guest whose disk is raw could write that too.
 */
export async function detectFormat(storage: Storage): Promise<Format> {
  const bytes = new Uint8Array(DETECTION_LENGTH);
  await storage.read(0, SegmentList.of(bytes));
  return formatOfStart(bytes) ?? 'raw';
}

/** The format that claims these first {@link DETECTION_LENGTH} bytes; undefined when none does. */
export function formatOfStart(bytes: Uint8Array): Exclude<Format, 'raw'> | undefined {
  const startsWith = (magic: string) =>
    [...magic].every((character, i) => bytes[i] === character.charCodeAt(0));
  if (startsWith(COMPOSITE_MAGIC)) return 'composite';
  if (startsWith(QCOW2_MAGIC)) return 'qcow2';
  const word = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  if (word === ANDROID_SPARSE_MAGIC) return 'android-sparse';
  if (word === ZSTD_MAGIC || (word & 0xffff_fff0) >>> 0 === ZSTD_SKIPPABLE) return 'zstd';
  if (startsWith(SPARSE_MAGIC) || startsWith(DESCRIPTOR_START)) return 'vmdk';
  if (startsWith(VHDX_SIGNATURE)) return 'vhdx';
  if (startsWith(VHD_COOKIE)) return 'vhd';
  return undefined;
}
