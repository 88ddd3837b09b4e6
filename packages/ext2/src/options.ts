import { randomUUID } from 'node:crypto';
import { Ext2Error } from './errors.ts';
import { type Features, type FilesystemType, featuresOf } from './layout/features.ts';
import { Geometry } from './layout/geometry.ts';
import { journalLength } from './layout/journal.ts';

/** What a file system is like. With `uuid`, `hashSeed` and `time`, the same entries give the same bytes. */
export interface FilesystemOptions {
  /** `'ext4'` unless given. */
  readonly type?: FilesystemType;
  /** Bytes: 1024, 2048 or 4096, which is it unless given. */
  readonly blockSize?: number;
  /** Inodes for as many files and directories, at least; by `inodeRatio` unless given. */
  readonly inodes?: number;
  /** Bytes of the file system for each inode; 16384 unless given. */
  readonly inodeRatio?: number;
  /** Up to 16 bytes of UTF-8. */
  readonly label?: string;
  /** Random unless given. */
  readonly uuid?: string;
  /** What names are hashed with, in the form of a UUID; random unless given. */
  readonly hashSeed?: string;
  /** Seconds since 1970: when it was made, and what has no time of its own; now unless given. */
  readonly time?: number;
  /** ext4's journal; true unless given. File systems below 2048 blocks have none. */
  readonly journal?: boolean;
  /** Bytes up to which it can grow while mounted; 1024 times its size unless given, as far as there is room for it. */
  readonly resizeLimit?: number;
}

/** Options with what they leave open filled in, for a file system of a size. */
export interface Parameters {
  readonly type: FilesystemType;
  readonly geometry: Geometry;
  readonly features: Features;
  readonly uuid: Uint8Array;
  readonly hashSeed: Uint8Array;
  readonly label: Uint8Array;
  readonly time: number;
  /** Blocks; 0 for none. */
  readonly journalLength: number;
}

const DEFAULT_BLOCK_SIZE = 4096;
const DEFAULT_INODE_RATIO = 16_384;
const MAX_LABEL = 16;
/** Where the seconds of a superblock end: 8 bits more than 32. */
const MAX_TIME = 2 ** 40 - 1;

/** @throws Ext2Error BAD_OPTION, TOO_LARGE, NO_SPACE */
export function resolveOptions(options: FilesystemOptions, size: number): Parameters {
  const { type = 'ext4', journal = type === 'ext4', inodeRatio = DEFAULT_INODE_RATIO } = options;
  const blockSize = blockSizeOf(options);
  const refuse = (what: string) => new Ext2Error('BAD_OPTION', what);
  if (type !== 'ext2' && type !== 'ext4') throw refuse(`There is ext2 and ext4, not ${String(type)}.`);
  if (journal && type === 'ext2') throw refuse('ext2 has no journal: leave it out, or choose ext4.');
  if (!Number.isSafeInteger(size) || size < 0) throw refuse(`A file system cannot have ${size} bytes.`);
  if (!(inodeRatio >= 1024 && inodeRatio <= 2 ** 26)) {
    throw refuse(`An inode for each ${inodeRatio} bytes: choose 1024 to 67108864.`);
  }
  const { inodes = Math.ceil(size / inodeRatio), resizeLimit } = options;
  if (!Number.isSafeInteger(inodes) || inodes < 0) throw refuse(`There cannot be ${inodes} inodes.`);
  const time = Math.floor(options.time ?? Date.now() / 1000);
  if (!(time >= 0 && time <= MAX_TIME)) throw refuse(`${time} is no time of a superblock.`);
  const label = Buffer.from(options.label ?? '');
  if (label.length > MAX_LABEL || label.includes(0)) {
    throw refuse(`The label ${JSON.stringify(options.label)} has to have at most ${MAX_LABEL} bytes.`);
  }
  const geometry = new Geometry({
    type,
    blockSize,
    size,
    inodes,
    ...(resizeLimit !== undefined && { resizeLimit }),
  });
  const length = journal ? journalLength(geometry.blockCount) : 0;
  const resizeInode = geometry.reservedDescriptorBlocks > 0;
  return {
    type,
    geometry,
    features: featuresOf(type, { journal: length > 0, resizeInode }),
    uuid: uuidBytes(options.uuid ?? randomUUID(), 'uuid'),
    hashSeed: uuidBytes(options.hashSeed ?? randomUUID(), 'hashSeed'),
    label,
    time,
    journalLength: length,
  };
}

/** @throws Ext2Error BAD_OPTION */
export function blockSizeOf({ blockSize = DEFAULT_BLOCK_SIZE }: FilesystemOptions): number {
  if (![1024, 2048, 4096].includes(blockSize)) {
    throw new Ext2Error('BAD_OPTION', `Blocks have 1024, 2048 or 4096 bytes, not ${blockSize}.`);
  }
  return blockSize;
}

/** Inodes that a file system of `size` bytes gets by its ratio. */
export function inodesByRatio({ inodeRatio = DEFAULT_INODE_RATIO }: FilesystemOptions, size: number): number {
  return Math.ceil(size / inodeRatio);
}

function uuidBytes(text: string, name: string): Uint8Array {
  const digits = text.replaceAll('-', '');
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) {
    throw new Ext2Error('BAD_OPTION', `${name}: ${JSON.stringify(text)} is no UUID.`);
  }
  return Buffer.from(digits, 'hex');
}
