import {
  type BigIntStats,
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  statSync,
} from 'node:fs';
import { extendedAttributes, reasonOf, seekData, seekHole } from '@tsvmm/base';
import type { Attributes, Chunk, Entry, Range, Timestamp } from './entry.ts';
import { Ext2Error } from './errors.ts';
import { FileMode } from './inode/inode.ts';

/** How a directory is read. */
export interface ScanOptions {
  /** Who owns everything; as the files say unless given. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** Whether extended attributes and access lists are taken along; true unless given. */
  readonly xattrs?: boolean;
  /** Leaves the contents of directories out that other file systems are mounted on; false unless given. */
  readonly oneFileSystem?: boolean;
}

const READ_LENGTH = 1024 * 1024;
const SLASH = Buffer.from('/');

/** By the bits of st_mode, which inodes have too. */
const TYPES = new Map(
  Object.entries(FileMode).map(([type, bits]) => [bits as number, type as keyof typeof FileMode]),
);
const TYPE_BITS = 0xf000;

/**
 * The tree below a directory, the directory itself as the root, in the order of the names' bytes. Times of access are
 * not taken, which reading changes, so that the same tree gives the same entries. Calls of the file system are made on
 * this thread.
 * @throws Ext2Error UNREADABLE, NOT_A_DIRECTORY, while it is gone through
 */
export function* scanDirectory(path: string, options: ScanOptions = {}): Generator<Entry, void, undefined> {
  const top = Buffer.from(path);
  const scanner = new Scanner(top, options);
  yield* scanner.entries();
}

class Scanner {
  readonly #top: Buffer;
  readonly #options: ScanOptions;
  /** First names of files that have several, by device and inode. */
  readonly #firstNames = new Map<string, Buffer>();
  readonly #buffer = Buffer.allocUnsafe(READ_LENGTH);

  constructor(top: Buffer, options: ScanOptions) {
    this.#top = top;
    this.#options = options;
  }

  *entries(): Generator<Entry, void, undefined> {
    // Whoever names a link to a directory means the directory.
    const rootStat = this.#try(this.#top, () => statSync(this.#top, { bigint: true }));
    if (!rootStat.isDirectory()) {
      throw new Ext2Error('NOT_A_DIRECTORY', 'is no directory.', { path: this.#shown(this.#top) });
    }
    // A stack of files that are still to come, the next one last: trees may be deeper than calls.
    const pending: Buffer[] = [this.#top];
    for (let file = pending.pop(); file; file = pending.pop()) {
      const path = file;
      const stat = path === this.#top ? rootStat : this.#try(path, () => lstatSync(path, { bigint: true }));
      const entry = this.#entry(path, stat);
      yield entry;
      if (entry.type !== 'directory') continue;
      if (this.#options.oneFileSystem && stat.dev !== rootStat.dev) continue;
      const names = this.#try(path, () => readdirSync(path, { encoding: 'buffer' }));
      names.sort(Buffer.compare);
      for (const name of names.reverse()) pending.push(Buffer.concat([path, SLASH, name]));
    }
  }

  /** @param file its path, as it is opened */
  #entry(file: Buffer, stat: BigIntStats): Entry {
    const path = this.#inside(file);
    const mode = Number(stat.mode);
    const type = TYPES.get(mode & TYPE_BITS);
    if (type === undefined)
      throw new Ext2Error('UNREADABLE', 'is no kind of file.', { path: this.#shown(file) });
    if (type !== 'directory' && stat.nlink > 1n) {
      const key = `${stat.dev}:${stat.ino}`;
      const target = this.#firstNames.get(key);
      if (target) return { type: 'hard-link', path, target };
      this.#firstNames.set(key, path);
    }
    const { owner } = this.#options;
    const attributes: Attributes = {
      path,
      mode: mode & 0o7777,
      uid: owner?.uid ?? Number(stat.uid),
      gid: owner?.gid ?? Number(stat.gid),
      mtime: timestamp(stat.mtimeNs),
      ...this.#xattrs(file),
    };
    switch (type) {
      case 'symlink': {
        const target = this.#try(file, () => readlinkSync(file, { encoding: 'buffer' }));
        return { ...attributes, type, target };
      }
      case 'character-device':
      case 'block-device':
        return { ...attributes, type, device: deviceNumber(stat.rdev) };
      case 'file': {
        const size = Number(stat.size);
        const isSparse = Number(stat.blocks) * 512 < size;
        const ranges = isSparse ? this.#dataRanges(file, size) : undefined;
        const content = () => this.#content(file, ranges ?? [{ position: 0, length: size }]);
        return { ...attributes, type, size, content, ...(ranges && { dataRanges: ranges }) };
      }
      default:
        return { ...attributes, type };
    }
  }

  #xattrs(file: Buffer): { readonly xattrs?: ReadonlyMap<string, Uint8Array> } {
    if (this.#options.xattrs === false) return {};
    const xattrs = this.#try(file, () => extendedAttributes(file));
    return xattrs.size > 0 ? { xattrs } : {};
  }

  #dataRanges(file: Buffer, size: number): readonly Range[] {
    return this.#try(file, () => {
      const fd = openSync(file, 'r');
      try {
        const ranges: Range[] = [];
        for (let at = seekData(fd, 0); at !== undefined && at < size; ) {
          const end = Math.min(seekHole(fd, at) ?? size, size);
          ranges.push({ position: at, length: end - at });
          at = seekData(fd, end);
        }
        return ranges;
      } finally {
        closeSync(fd);
      }
    });
  }

  *#content(file: Buffer, ranges: readonly Range[]): Generator<Chunk, void, undefined> {
    if (ranges.every(({ length }) => length === 0)) return;
    const fd = this.#try(file, () => openSync(file, 'r'));
    try {
      for (const { position, length } of ranges) {
        for (let done = 0; done < length; ) {
          const wanted = Math.min(length - done, READ_LENGTH);
          const at = position + done;
          const got = this.#try(file, () => readSync(fd, this.#buffer, 0, wanted, at));
          if (got === 0) {
            throw new Ext2Error('BAD_CONTENT', `became shorter while it was read: it ends at ${at}.`, {
              path: this.#shown(file),
            });
          }
          yield { position: at, bytes: this.#buffer.subarray(0, got) };
          done += got;
        }
      }
    } finally {
      closeSync(fd);
    }
  }

  /** The path of a file below the directory. */
  #inside(file: Buffer): Buffer {
    return file.subarray(file === this.#top ? file.length : this.#top.length + 1);
  }

  /** For messages. */
  #shown(file: Buffer): string {
    return (file === this.#top ? file : this.#inside(file)).toString();
  }

  /** Does something with a file, and says with which when it fails. */
  #try<T>(file: Buffer, action: () => T): T {
    try {
      return action();
    } catch (cause) {
      const reason = reasonOf(cause);
      throw new Ext2Error('UNREADABLE', `cannot be read: ${reason}`, { path: this.#shown(file), cause });
    }
  }
}

function timestamp(nanoseconds: bigint): Timestamp {
  const rest = ((nanoseconds % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return { seconds: Number((nanoseconds - rest) / 1_000_000_000n), nanoseconds: Number(rest) };
}

/** Linux's 64-bit dev_t as the C library has it. */
function deviceNumber(value: bigint): { readonly major: number; readonly minor: number } {
  return {
    major: Number(((value >> 8n) & 0xfffn) | ((value >> 32n) & 0xffff_f000n)),
    minor: Number((value & 0xffn) | ((value >> 12n) & 0xffff_ff00n)),
  };
}
