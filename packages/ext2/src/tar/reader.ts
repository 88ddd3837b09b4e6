import { shownName } from '../directory/path.ts';
import type { Attributes, Chunk, Entry, Range, Timestamp } from '../entry.ts';
import { Ext2Error, type Ext2ErrorCode } from '../errors.ts';
import { ByteReader } from './byte-reader.ts';
import { decompressed } from './decompress.ts';
import { BLOCK_LENGTH, decodeHeader, type Header } from './header.ts';
import { decodeAclText, decodeDecimal, decodePax, decodeTime, type PaxRecord } from './pax.ts';
import { oldSparseMap, paxSparseMap, type SparseMap, SparseMapError } from './sparse.ts';

/** Bytes of extended headers and long names before an entry, at most: enough for all the attributes that Linux allows a file. */
const MAX_EXTENSION = 2 ** 20;
/** Bytes of the records that are about all entries, at most: each entry goes through them. */
const MAX_GLOBAL = 2 ** 16;
const XATTR_PREFIX = 'SCHILY.xattr.';
const LIBARCHIVE_XATTR_PREFIX = 'LIBARCHIVE.xattr.';
const ACLS: Readonly<Record<string, string>> = {
  'SCHILY.acl.access': 'system.posix_acl_access',
  'SCHILY.acl.default': 'system.posix_acl_default',
};
/** Links, devices, directories and FIFOs: whatever size they claim, no data follows. */
const WITHOUT_DATA: ReadonlySet<string> = new Set(['1', '2', '3', '4', '5', '6']);
const SELINUX = 'RHT.security.selinux';

/** What goes before an entry and is about it. */
interface Extensions {
  readonly records: readonly PaxRecord[];
  readonly path?: Buffer;
  readonly linkPath?: Buffer;
  /** Bytes of all these headers. */
  readonly length: number;
}

const NO_EXTENSIONS: Extensions = { records: [], length: 0 };

/**
 * The entries of a tar archive: v7, ustar, GNU's or pax, as it is or compressed by gzip or zstd, from a stream that is
 * read once. The contents of a file can be read until the next entry is asked for.
 * @throws Ext2Error BAD_ARCHIVE, TRUNCATED, UNSUPPORTED, BAD_ATTRIBUTE, while it is read
 */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<Entry, void, undefined> {
  const reader = new ByteReader(decompressed(source));
  try {
    yield* new TarReader(reader).entries();
  } finally {
    await reader.close();
  }
}

class TarReader {
  readonly #reader: ByteReader;
  /** Records for all entries that follow. */
  readonly #global = new Map<string, PaxRecord>();
  #globalLength = 0;
  /** Where the data of the current entry ends, padding included. */
  #end = 0;

  constructor(reader: ByteReader) {
    this.#reader = reader;
  }

  async *entries(): AsyncGenerator<Entry, void, undefined> {
    let extensions = NO_EXTENSIONS;
    for (;;) {
      await this.#reader.skip(this.#end - this.#reader.position);
      const position = this.#reader.position;
      const block = await this.#reader.read(BLOCK_LENGTH);
      const header = block && decodeHeader(block, position);
      if (!header) {
        if (!block && position === 0) throw this.#reader.truncated();
        return;
      }
      this.#setEnd(header.size);
      const extended = await this.#extension(header, extensions);
      if (extended) {
        extensions = extended;
        continue;
      }
      const records = [...this.#global.values(), ...extensions.records];
      const entry = await this.#entry(header, { ...extensions, records });
      extensions = NO_EXTENSIONS;
      if (entry) yield entry;
    }
  }

  #setEnd(size: number): void {
    this.#end = this.#reader.position + Math.ceil(size / BLOCK_LENGTH) * BLOCK_LENGTH;
  }

  /** Takes a header that is about the next one; undefined when it is not such a one. */
  async #extension(header: Header, extensions: Extensions): Promise<Extensions | undefined> {
    const length = extensions.length + header.size;
    switch (header.typeflag) {
      case 'x':
      case 'X': {
        const records = await this.#records(header, length);
        return { ...extensions, length, records: [...extensions.records, ...records] };
      }
      case 'g':
        for (const record of await this.#records(header, header.size)) this.#setGlobal(header, record);
        return extensions;
      case 'L':
        return { ...extensions, length, path: await this.#longName(header, length) };
      case 'K':
        return { ...extensions, length, linkPath: await this.#longName(header, length) };
      default:
        return undefined;
    }
  }

  #setGlobal(header: Header, record: PaxRecord): void {
    const old = this.#global.get(record.key);
    if (old) this.#globalLength -= lengthOf(old);
    this.#globalLength += lengthOf(record);
    if (this.#globalLength > MAX_GLOBAL) {
      throw fail('BAD_ARCHIVE', header.path, `more than ${MAX_GLOBAL} bytes are said about all entries.`);
    }
    this.#global.set(record.key, record);
  }

  async #records(header: Header, length: number): Promise<readonly PaxRecord[]> {
    const records = decodePax(await this.#extensionBytes(header, length));
    if (!records) throw fail('BAD_ARCHIVE', header.path, 'the extended header is not well formed.');
    return records;
  }

  async #longName(header: Header, length: number): Promise<Buffer> {
    const bytes = await this.#extensionBytes(header, length);
    const end = bytes.indexOf(0);
    return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end));
  }

  async #extensionBytes(header: Header, length: number): Promise<Buffer> {
    if (length > MAX_EXTENSION) {
      throw fail(
        'BAD_ARCHIVE',
        header.path,
        `${length} bytes of headers are about one entry; ${MAX_EXTENSION} is the limit.`,
      );
    }
    const bytes = await this.#reader.read(header.size);
    if (!bytes) throw this.#reader.truncated();
    return bytes;
  }

  async #entry(header: Header, extensions: Extensions): Promise<Entry | undefined> {
    const { records } = extensions;
    const value = (key: string) => records.findLast((record) => record.key === key)?.value;
    const text = (key: string) => {
      const bytes = value(key);
      return bytes && bytes.length > 0 ? bytes : undefined;
    };
    const path = text('GNU.sparse.name') ?? text('path') ?? extensions.path ?? header.path;
    const number = (key: string, fallback: number): number => {
      const bytes = text(key);
      if (!bytes) return fallback;
      const decoded = decodeDecimal(bytes);
      if (decoded === undefined) throw fail('BAD_ARCHIVE', path, `its ${key} is no number.`);
      return decoded;
    };
    const size = WITHOUT_DATA.has(header.typeflag) ? 0 : number('size', header.size);
    this.#setEnd(size);
    const time = (key: string): Timestamp | undefined => {
      const bytes = text(key);
      if (!bytes) return undefined;
      const decoded = decodeTime(bytes);
      if (!decoded) throw fail('BAD_ARCHIVE', path, `its ${key} is no time.`);
      return decoded;
    };
    const [atime, ctime] = [time('atime'), time('ctime')];
    const xattrs = decodeXattrs(records, path);
    const attributes: Attributes = {
      path,
      mode: header.mode & 0o7777,
      uid: number('uid', header.uid),
      gid: number('gid', header.gid),
      mtime: time('mtime') ?? { seconds: header.mtime, nanoseconds: 0 },
      ...(atime && { atime }),
      ...(ctime && { ctime }),
      ...(xattrs.size > 0 && { xattrs }),
    };
    const linkPath = text('linkpath') ?? extensions.linkPath ?? header.linkPath;
    const device = { major: header.devmajor, minor: header.devminor };
    switch (header.typeflag) {
      case '0':
      case '\0':
      case '7':
        // Before there was a type for them, directories were files with a slash at the end.
        if (header.dialect === 'v7' && path.at(-1) === 0x2f) return { ...attributes, type: 'directory' };
        return this.#file(
          attributes,
          size,
          await this.#sparse(path, () => paxSparseMap(records, this.#reader)),
        );
      case 'S':
        return this.#file(attributes, size, await this.#oldSparse(header, path, size));
      case '1':
        return { type: 'hard-link', path, target: linkPath };
      case '2':
        return { ...attributes, type: 'symlink', target: linkPath };
      case '3':
        return { ...attributes, type: 'character-device', device };
      case '4':
        return { ...attributes, type: 'block-device', device };
      case '5':
      case 'D':
        return { ...attributes, type: 'directory' };
      case '6':
        return { ...attributes, type: 'fifo' };
      case 'V':
        // The label of the archive, which is no file.
        return undefined;
      default:
        throw fail('UNSUPPORTED', path, `entries of type ${JSON.stringify(header.typeflag)} are not known.`);
    }
  }

  async #oldSparse(header: Header, path: Buffer, size: number): Promise<SparseMap | undefined> {
    const map = await this.#sparse(path, () => oldSparseMap(header, this.#reader));
    // Blocks of the map are not counted as data.
    this.#setEnd(size);
    return map;
  }

  async #sparse(path: Buffer, read: () => Promise<SparseMap | undefined>): Promise<SparseMap | undefined> {
    try {
      return await read();
    } catch (cause) {
      if (!(cause instanceof SparseMapError)) throw cause;
      throw fail('BAD_ARCHIVE', path, `the map of its holes has ${cause.message}.`);
    }
  }

  #file(attributes: Attributes, stored: number, map: SparseMap | undefined): Entry {
    const ranges = map?.ranges ?? [{ position: 0, length: stored }];
    const announced = ranges.reduce((sum, { length }) => sum + length, 0) + (map?.length ?? 0);
    if (announced !== stored) {
      throw fail(
        'BAD_ARCHIVE',
        attributes.path,
        `the map of its holes is for ${announced} bytes; there are ${stored}.`,
      );
    }
    return {
      ...attributes,
      type: 'file',
      size: map?.size ?? stored,
      ...(map && { dataRanges: map.ranges }),
      content: () => this.#content(ranges),
    };
  }

  async *#content(ranges: readonly Range[]): AsyncGenerator<Chunk, void, undefined> {
    for (const { position, length } of ranges) {
      for (let done = 0; done < length; ) {
        const bytes = await this.#reader.readSome(length - done);
        yield { position: position + done, bytes };
        done += bytes.length;
      }
    }
  }
}

function lengthOf({ key, value }: PaxRecord): number {
  return key.length + value.length;
}

function decodeXattrs(records: readonly PaxRecord[], path: Buffer): Map<string, Uint8Array> {
  const xattrs = new Map<string, Uint8Array>();
  for (const { key, value } of records) {
    const acl = ACLS[key];
    if (key.startsWith(XATTR_PREFIX)) xattrs.set(key.slice(XATTR_PREFIX.length), value);
    else if (key.startsWith(LIBARCHIVE_XATTR_PREFIX)) {
      const name = key
        .slice(LIBARCHIVE_XATTR_PREFIX.length)
        .replace(/%([0-9A-Fa-f]{2})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 16)));
      // The same attribute may come in both forms; they agree.
      xattrs.set(name, Buffer.from(value.toString('latin1'), 'base64'));
    } else if (acl !== undefined && value.length > 0) {
      const list = decodeAclText(value.toString());
      if (!list) {
        throw fail(
          'BAD_ATTRIBUTE',
          path,
          `the access list ${JSON.stringify(value.toString())} is not well formed, or has names without numbers: archive it with --numeric-owner.`,
        );
      }
      xattrs.set(acl, list);
    } else if (key === SELINUX) xattrs.set('security.selinux', Buffer.concat([value, Buffer.of(0)]));
  }
  return xattrs;
}

function fail(code: Ext2ErrorCode, path: string | Uint8Array, message: string): Ext2Error {
  return new Ext2Error(code, message, { path: shownName(path) });
}
