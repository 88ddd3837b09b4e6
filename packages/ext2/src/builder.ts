import { crc32c } from '@tsvmm/base';
import { directoryBlocks, LOST_AND_FOUND } from './directory/blocks.ts';
import { NameHasher } from './directory/hash.ts';
import { type Directory, Namespace, pathOf } from './directory/namespace.ts';
import { nameBytes, shownName } from './directory/path.ts';
import type { Attributes, Entry, FileEntry, InodeEntry, SymlinkEntry } from './entry.ts';
import { Ext2Error } from './errors.ts';
import { appendRun, type BlockMap, type MapContext, mapBlocks, type Run } from './inode/block-map.ts';
import { ContentWriter, type Pace } from './inode/content.ts';
import { maxIndirectBlocks } from './inode/indirect.ts';
import {
  encodeDevice,
  encodeInode,
  FileMode,
  InodeFlag,
  inodeSeed,
  MAP_LENGTH,
  setLinks,
} from './inode/inode.ts';
import { BlockAllocator } from './layout/allocator.ts';
import { RoCompat } from './layout/features.ts';
import { FIRST_INODE, type Geometry, INODE_SIZE, SUPERBLOCK_OFFSET } from './layout/geometry.ts';
import { writeGroups } from './layout/groups.ts';
import { encodeJournalSuperblock } from './layout/journal.ts';
import { backupGroups, DOUBLE_INDIRECT, resizeInode, resizeInodeBlocks } from './layout/resize-inode.ts';
import { encodeSuperblock, type SuperblockFields } from './layout/superblock.ts';
import type { Parameters } from './options.ts';
import { CoalescingWriter, type ImageTarget } from './target.ts';
import { placeAttributes } from './xattr/attributes.ts';
import { XattrBlocks } from './xattr/block-cache.ts';

const ROOT_INODE = 2;
const RESIZE_INODE = 7;
const JOURNAL_INODE = 8;
/** How many names a file, and without dir_nlink how many subdirectories a directory, may have. */
const MAX_LINKS = { ext2: 32_000, ext4: 65_000 } as const;
/** Symlinks shorter than i_block are kept in it. */
const MAX_FAST_SYMLINK = MAP_LENGTH - 1;
const MAX_ID = 2 ** 32 - 1;
/** i_blocks counts sectors with 32 bits in ext2; some of them map the others. */
const MAX_EXT2_SIZE = 2 ** 41 - 2 ** 32;
const DATA_BUFFER = 1024 * 1024;
const INODE_BUFFER = 64 * 1024;

/** What was made. */
export interface FilesystemSummary {
  /** Bytes. */
  readonly size: number;
  readonly blockSize: number;
  readonly freeBytes: number;
  readonly inodes: number;
  readonly freeInodes: number;
  readonly directories: number;
}

/** An inode's blocks and attributes, as they are before it is encoded. */
interface Body {
  readonly size: number;
  readonly map: BlockMap;
  /** Blocks besides those of the map. */
  readonly blocks: number;
}

const NO_BODY: Body = { size: 0, map: { bytes: Buffer.alloc(0), flags: 0, blocks: 0 }, blocks: 0 };

/**
 * Writes a file system while the entries come. Contents and inodes of files go to their places at once; names are kept,
 * and become directories in the end, when they are all known.
 */
export class FilesystemBuilder {
  readonly #target: ImageTarget;
  readonly #parameters: Parameters;
  readonly #geometry: Geometry;
  readonly #allocator: BlockAllocator;
  readonly #writer: CoalescingWriter;
  readonly #inodeWriter: CoalescingWriter;
  /** The inode that is being written. */
  readonly #inodeBytes = Buffer.alloc(INODE_SIZE);
  readonly #content: ContentWriter;
  readonly #xattrBlocks: XattrBlocks;
  readonly #namespace: Namespace;
  readonly #mapContext: MapContext;
  /** What metadata checksums start with; undefined without metadata_csum. */
  readonly #seed: number | undefined;
  /** Names of inodes that have more than one. */
  readonly #links = new Map<number, number>();
  #lastInode = FIRST_INODE - 1;
  #journal: SuperblockFields['journal'];

  private constructor(target: ImageTarget, parameters: Parameters, pace: Pace) {
    this.#target = target;
    this.#parameters = parameters;
    const { geometry, features } = parameters;
    this.#geometry = geometry;
    const hasChecksums = (features.roCompat & RoCompat.metadataCsum) !== 0;
    const seed = hasChecksums ? crc32c(0xffff_ffff, parameters.uuid) : undefined;
    this.#seed = seed;
    const { blockSize } = geometry;
    const allocator = new BlockAllocator(geometry);
    const writer = new CoalescingWriter(target, DATA_BUFFER);
    this.#allocator = allocator;
    this.#writer = writer;
    this.#inodeWriter = new CoalescingWriter(target, INODE_BUFFER);
    this.#content = new ContentWriter(blockSize, allocator, writer, pace);
    this.#xattrBlocks = new XattrBlocks(allocator, writer, blockSize, seed);
    this.#mapContext = { blockSize, features, allocator, writer, seed };
    this.#namespace = new Namespace(ROOT_INODE, () => this.#allocateInode());
    this.#namespace.addDirectory({
      ...this.#defaultAttributes(),
      type: 'directory',
      path: LOST_AND_FOUND,
      mode: 0o700,
    });
  }

  /** Starts a file system: reserves what is not for files. */
  static async create(target: ImageTarget, parameters: Parameters, pace: Pace): Promise<FilesystemBuilder> {
    const builder = new FilesystemBuilder(target, parameters, pace);
    await builder.#zeroMetadata();
    if (parameters.journalLength > 0) await builder.#writeJournal();
    if (parameters.geometry.reservedDescriptorBlocks > 0) await builder.#writeResizeInode();
    return builder;
  }

  /** Adds an entry; its contents are read before the promise is done. */
  async add(entry: Entry): Promise<void> {
    if (entry.type === 'hard-link') {
      const inode = this.#namespace.addLink(entry.path, entry.target);
      const links = (this.#links.get(inode) ?? 1) + 1;
      if (links > MAX_LINKS[this.#parameters.type]) {
        throw new Ext2Error('TOO_LARGE', `is one of more than ${links - 1} hard links to a file.`, {
          path: shownName(entry.path),
        });
      }
      this.#links.set(inode, links);
      return;
    }
    checkAttributes(entry);
    if (entry.type === 'directory') {
      this.#namespace.addDirectory(entry);
      return;
    }
    const inode = this.#namespace.addLeaf(entry.path, entry.type);
    await this.#writeInode(inode, entry, await this.#writeBody(inode, entry), 1);
  }

  /** Writes all that had to wait until the names were known. The superblock comes last. */
  async finish(): Promise<FilesystemSummary> {
    const { geometry, features, uuid, hashSeed, label, time } = this.#parameters;
    const directories = new Map<number, number>();
    const hasher = new NameHasher(hashSeed);
    for (const directory of this.#namespace.directories) {
      await this.#writeDirectory(directory, hasher);
      const group = Math.floor((directory.inode - 1) / geometry.inodesPerGroup);
      directories.set(group, (directories.get(group) ?? 0) + 1);
    }
    await this.#xattrBlocks.flush();
    await this.#inodeWriter.flush();
    await this.#writeLinkCounts();
    const usage = { allocator: this.#allocator, lastInode: this.#lastInode, directories };
    const table = await writeGroups(this.#writer, geometry, usage, this.#seed);
    const { freeBlocks, freeInodes } = table;
    const written = this.#allocator.allocated * geometry.blockSize;
    await this.#writeSuperblocks(table.descriptors, {
      features,
      uuid,
      hashSeed,
      label,
      time,
      freeBlocks,
      freeInodes,
      written,
      ...(this.#journal && { journal: this.#journal }),
    });
    return {
      size: geometry.blockCount * geometry.blockSize,
      blockSize: geometry.blockSize,
      freeBytes: freeBlocks * geometry.blockSize,
      inodes: geometry.inodeCount,
      freeInodes,
      directories: this.#namespace.directories.length,
    };
  }

  #allocateInode(): number {
    if (this.#lastInode >= this.#geometry.inodeCount) {
      throw new Ext2Error(
        'NO_INODES',
        `All ${this.#geometry.inodeCount} inodes are in use: make the file system with more, or with a smaller inode ratio.`,
      );
    }
    return ++this.#lastInode;
  }

  #defaultAttributes(): Attributes {
    const mtime = { seconds: this.#parameters.time, nanoseconds: 0 };
    return { path: '', mode: 0o755, uid: 0, gid: 0, mtime };
  }

  async #zeroMetadata(): Promise<void> {
    const { blockSize, groupCount } = this.#geometry;
    for (let group = 0; group < groupCount; group++) {
      const length = this.#geometry.metadataLength(group);
      if (length === 0) continue;
      await this.#target.writeZeroes(this.#geometry.blockBitmap(group) * blockSize, length * blockSize);
    }
  }

  async #writeJournal(): Promise<void> {
    const { journalLength: length, uuid } = this.#parameters;
    const { blockSize } = this.#geometry;
    const runs: Run[] = [];
    for (let logical = 0; logical < length; ) {
      const range = this.#allocator.allocate(length - logical);
      appendRun(runs, { logical, physical: range.start, length: range.length });
      await this.#target.writeZeroes(range.start * blockSize, range.length * blockSize);
      logical += range.length;
    }
    const first = runs[0]?.physical ?? 0;
    await this.#writer.write(first * blockSize, encodeJournalSuperblock(blockSize, length, uuid));
    const map = await mapBlocks(this.#mapContext, JOURNAL_INODE, runs);
    const size = length * blockSize;
    this.#journal = { map: map.bytes, size };
    await this.#writeOwnInode(JOURNAL_INODE, { size, map, blocks: length });
  }

  async #writeResizeInode(): Promise<void> {
    const { blockSize } = this.#geometry;
    const doubleIndirect = this.#allocator.allocateOne();
    for (const { block, bytes } of resizeInodeBlocks(this.#geometry, doubleIndirect)) {
      await this.#writer.write(block * blockSize, bytes);
    }
    const bytes = Buffer.alloc(MAP_LENGTH);
    bytes.writeUInt32LE(doubleIndirect, DOUBLE_INDIRECT * 4);
    const { size, blockCount } = resizeInode(this.#geometry);
    await this.#writeOwnInode(RESIZE_INODE, {
      size,
      map: { bytes, flags: 0, blocks: 0 },
      blocks: blockCount,
    });
  }

  async #writeOwnInode(inode: number, body: Body): Promise<void> {
    const attributes = { ...this.#defaultAttributes(), type: 'file', mode: 0o600 } as const;
    await this.#writeInode(inode, attributes, body, 1);
  }

  /** Writes what an inode stands for, and says where it is. */
  async #writeBody(inode: number, entry: Exclude<InodeEntry, { type: 'directory' }>): Promise<Body> {
    switch (entry.type) {
      case 'file':
        return await this.#writeFile(inode, entry);
      case 'symlink':
        return await this.#writeSymlink(inode, entry);
      case 'character-device':
      case 'block-device': {
        const { major, minor } = entry.device;
        if (!(isUpTo(major, 0xfff) && isUpTo(minor, 0xf_ffff))) {
          throw new Ext2Error('TOO_LARGE', `${major}:${minor} is no device number of 12 and 20 bits.`, {
            path: shownName(entry.path),
          });
        }
        return { ...NO_BODY, map: { bytes: encodeDevice(major, minor), flags: 0, blocks: 0 } };
      }
      case 'fifo':
      case 'socket':
        return NO_BODY;
    }
  }

  async #writeFile(inode: number, entry: FileEntry): Promise<Body> {
    const { blockSize } = this.#geometry;
    const limit =
      this.#parameters.type === 'ext2'
        ? Math.min(maxIndirectBlocks(blockSize) * blockSize, MAX_EXT2_SIZE)
        : (2 ** 32 - 1) * blockSize;
    if (!isUpTo(entry.size, limit)) {
      throw new Ext2Error(
        'TOO_LARGE',
        `a file of ${entry.size} bytes; with blocks of ${blockSize} bytes, ${limit} is the limit.`,
        { path: shownName(entry.path) },
      );
    }
    const runs = entry.size === 0 ? [] : await this.#content.write(entry);
    const map = await mapBlocks(this.#mapContext, inode, runs);
    return { size: entry.size, map, blocks: lengthOf(runs) };
  }

  async #writeSymlink(inode: number, entry: SymlinkEntry): Promise<Body> {
    const { blockSize } = this.#geometry;
    const target = nameBytes(entry.target);
    const size = target.length;
    if (size === 0 || size >= Math.min(blockSize, 4096) || target.includes(0)) {
      throw new Ext2Error(
        'BAD_PATH',
        `where the symlink points has to have 1 to ${Math.min(blockSize, 4096) - 1} bytes, none of them NUL.`,
        { path: shownName(entry.path) },
      );
    }
    if (size <= MAX_FAST_SYMLINK) {
      return { size, map: { bytes: Buffer.from(target), flags: 0, blocks: 0 }, blocks: 0 };
    }
    const bytes = Buffer.alloc(blockSize);
    bytes.set(target);
    return await this.#writeBlocks(inode, [bytes], size);
  }

  async #writeDirectory(directory: Directory, hasher: NameHasher): Promise<void> {
    const { inode, subdirectories } = directory;
    const { blockSize } = this.#geometry;
    const { type } = this.#parameters;
    const sum = this.#seed === undefined ? undefined : inodeSeed(inode, this.#seed);
    const { blocks, isIndexed } = directoryBlocks(directory, hasher, blockSize, sum);
    const body = await this.#writeBlocks(inode, blocks, blocks.length * blockSize);
    const links = 2 + subdirectories;
    const isOver = links >= MAX_LINKS[type];
    if (isOver && type === 'ext2') {
      throw new Ext2Error(
        'TOO_LARGE',
        `has ${subdirectories} subdirectories; ext2 allows ${MAX_LINKS.ext2 - 2}: use ext4.`,
        { path: pathOf(directory) },
      );
    }
    const attributes = directory.attributes ?? { ...this.#defaultAttributes(), type: 'directory' as const };
    const flags = body.map.flags | (isIndexed ? InodeFlag.index : 0);
    // dir_nlink: one link stands for more than can be counted.
    await this.#writeInode(inode, attributes, { ...body, map: { ...body.map, flags } }, isOver ? 1 : links);
  }

  async #writeBlocks(inode: number, blocks: readonly Buffer[], size: number): Promise<Body> {
    const runs: Run[] = [];
    for (const [logical, bytes] of blocks.entries()) {
      const physical = this.#allocator.allocateOne();
      await this.#writer.write(physical * this.#geometry.blockSize, bytes);
      appendRun(runs, { logical, physical, length: 1 });
    }
    const map = await mapBlocks(this.#mapContext, inode, runs);
    return { size, map, blocks: blocks.length };
  }

  async #writeInode(
    number: number,
    attributes: Attributes & { readonly type: keyof typeof FileMode },
    { size, map, blocks }: Body,
    links: number,
  ): Promise<void> {
    const { blockSize } = this.#geometry;
    const { type, mode, uid, gid, mtime, xattrs } = attributes;
    const placed =
      xattrs && xattrs.size > 0 ? placeAttributes(xattrs, blockSize, shownName(attributes.path)) : {};
    const xattrBlock = placed.block ? await this.#xattrBlocks.place(placed.block) : 0;
    encodeInode(
      this.#inodeBytes,
      number,
      {
        mode: FileMode[type] | mode,
        uid,
        gid,
        mtime,
        atime: attributes.atime ?? mtime,
        ctime: attributes.ctime ?? mtime,
        crtime: this.#parameters.time,
        links,
        size,
        allocatedBytes: (blocks + map.blocks + (xattrBlock === 0 ? 0 : 1)) * blockSize,
        flags: map.flags,
        map: map.bytes,
        xattrBlock,
        ...(placed.inode && { xattrs: placed.inode }),
      },
      this.#seed,
    );
    await this.#inodeWriter.write(this.#geometry.inodePosition(number), this.#inodeBytes);
  }

  /** Inodes are written when their first name comes; those that got more are written again. */
  async #writeLinkCounts(): Promise<void> {
    const bytes = Buffer.alloc(INODE_SIZE);
    for (const [inode, links] of this.#links) {
      const position = this.#geometry.inodePosition(inode);
      await this.#target.read(position, bytes);
      setLinks(inode, bytes, links, this.#seed);
      await this.#target.write(position, bytes);
    }
  }

  async #writeSuperblocks(descriptors: Buffer, fields: SuperblockFields): Promise<void> {
    const geometry = this.#geometry;
    const { blockSize } = geometry;
    for (const group of backupGroups(geometry)) {
      const bytes = Buffer.alloc(blockSize);
      bytes.set(encodeSuperblock(geometry, fields, group));
      const position = geometry.groupStart(group) * blockSize;
      await this.#writer.write(position, bytes);
      await this.#writer.write(position + blockSize, descriptors);
    }
    await this.#writer.write((geometry.groupStart(0) + 1) * blockSize, descriptors);
    await this.#writer.flush();
    await this.#target.flush();
    // The bytes before the superblock are for boot loaders.
    const bytes = Buffer.alloc(Math.max(blockSize, 2 * SUPERBLOCK_OFFSET));
    bytes.set(encodeSuperblock(geometry, fields, 0), SUPERBLOCK_OFFSET);
    await this.#target.write(0, bytes);
    await this.#target.flush();
  }
}

function checkAttributes({ path, mode, uid, gid }: Attributes): void {
  if (!isUpTo(mode, 0o7777)) {
    throw new Ext2Error('TOO_LARGE', `mode 0${mode.toString(8)} has more than 12 bits.`, {
      path: shownName(path),
    });
  }
  if (!isUpTo(uid, MAX_ID) || !isUpTo(gid, MAX_ID)) {
    throw new Ext2Error('TOO_LARGE', `its owner, ${uid}:${gid}, does not fit into 32 bits.`, {
      path: shownName(path),
    });
  }
}

function isUpTo(value: number, maximum: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= maximum;
}

function lengthOf(runs: readonly Run[]): number {
  return runs.reduce((sum, { length }) => sum + length, 0);
}
