import { CpioError } from './errors.ts';
import {
  FIELDS,
  FILE_TYPES,
  type FileType,
  HEADER_SIZE,
  type Header,
  MAGIC_NEWC,
  MAX_FIELD,
  PATH_MAX,
  padding,
  TRAILER,
} from './header.ts';

/** What every entry has besides its name. Nothing is taken from the clock or the user, so archives are reproducible. */
export interface Attributes {
  /** Permission bits: 0o644 for files and devices, 0o755 for directories, 0o777 for symlinks unless given. */
  readonly mode?: number;
  /** 0 unless given. */
  readonly uid?: number;
  /** 0 unless given. */
  readonly gid?: number;
  /** Seconds since 1970; 0 unless given. */
  readonly mtime?: number;
}

export interface DeviceNumber {
  readonly major: number;
  readonly minor: number;
}

export interface CpioWriterOptions {
  /** Whether missing parent directories are added, mode 0o755; true unless given. Linux drops entries without. */
  readonly parents?: boolean;
}

const encoder = new TextEncoder();
const ZEROS = new Uint8Array(4);

/**
 * Writes a newc archive entry by entry. The sink is called with its bytes in order; it must be done with a chunk
 * when it returns, or copy it, if the caller goes on to change the data it gave.
 */
export class CpioWriter {
  readonly #sink: (chunk: Uint8Array) => void;
  readonly #parents: boolean;
  readonly #directories = new Set<string>(['.']);
  #offset = 0;
  #ino = 0;
  #finished = false;

  constructor(sink: (chunk: Uint8Array) => void, options: CpioWriterOptions = {}) {
    this.#sink = sink;
    this.#parents = options.parents ?? true;
  }

  /** Bytes written so far. */
  get offset(): number {
    return this.#offset;
  }

  directory(name: string, attributes: Attributes = {}): void {
    this.#entry('directory', [name], 0, attributes, { mode: 0o755 });
    this.#directories.add(name);
  }

  /** A regular file; its text is written as UTF-8. */
  file(name: string, data: Uint8Array | string, attributes: Attributes = {}): void {
    this.hardLinks([name], data, attributes);
  }

  /**
   * A regular file of `size` bytes, from a source too large to hold.
   * @throws CpioError WRONG_SIZE when the source gives another number of bytes; the archive is spoilt then
   */
  async fileFrom(
    name: string,
    size: number,
    source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    attributes: Attributes = {},
  ): Promise<void> {
    this.#entry('file', [name], size, attributes, {});
    const wrong = () => new CpioError('WRONG_SIZE', `${name} was to have ${size} bytes.`, this.#offset);
    let left = size;
    for await (const chunk of source) {
      left -= chunk.length;
      if (left < 0) throw wrong();
      this.#write(chunk);
    }
    if (left > 0) throw wrong();
    this.#pad();
  }

  /** One regular file with several names. */
  hardLinks(names: readonly string[], data: Uint8Array | string, attributes: Attributes = {}): void {
    const bytes = typeof data === 'string' ? encoder.encode(data) : data;
    // The data goes with the last of the names, as GNU cpio has it.
    this.#entry('file', names, bytes.length, attributes, {});
    this.#write(bytes);
    this.#pad();
  }

  symlink(name: string, target: string, attributes: Attributes = {}): void {
    const bytes = encoder.encode(target);
    if (bytes.length === 0 || bytes.length >= PATH_MAX || bytes.includes(0)) {
      throw this.#badName(`The target of ${JSON.stringify(name)}`);
    }
    this.#entry('symlink', [name], bytes.length, attributes, { mode: 0o777 });
    this.#write(bytes);
    this.#pad();
  }

  device(
    name: string,
    type: 'character-device' | 'block-device',
    number: DeviceNumber,
    attributes: Attributes = {},
  ): void {
    this.#entry(type, [name], 0, attributes, { rdevmajor: number.major, rdevminor: number.minor });
  }

  fifo(name: string, attributes: Attributes = {}): void {
    this.#entry('fifo', [name], 0, attributes, {});
  }

  socket(name: string, attributes: Attributes = {}): void {
    this.#entry('socket', [name], 0, attributes, {});
  }

  /** Writes the trailer. Nothing can be written after it, but another archive can follow in the same file. */
  finish(): void {
    this.#checkOpen();
    this.#header(TRAILER, { nlink: 1 });
    this.#finished = true;
  }

  /** The headers of all the names, the last of which has the data. */
  #entry(
    type: FileType,
    names: readonly string[],
    size: number,
    attributes: Attributes,
    fields: Partial<Header>,
  ): void {
    this.#checkOpen();
    for (const name of names) this.#checkName(name);
    const { mode = fields.mode ?? 0o644, uid = 0, gid = 0, mtime = 0 } = attributes;
    const header = { ...fields, mode: FILE_TYPES[type] | (mode & 0o7777), uid, gid, mtime, filesize: size };
    for (const [field, value] of Object.entries(header)) {
      if (!Number.isInteger(value) || value < 0 || value > MAX_FIELD) {
        const message = `The format has 32 bits for '${field}'; ${value} does not fit.`;
        throw new CpioError('TOO_LARGE', message, this.#offset);
      }
    }
    if (this.#parents) for (const name of names) this.#addParents(name);
    const ino = ++this.#ino;
    const nlink = type === 'directory' ? 2 : names.length;
    for (const [index, name] of names.entries()) {
      const filesize = index === names.length - 1 ? size : 0;
      this.#header(name, { ...header, ino, nlink, filesize });
    }
  }

  #addParents(name: string): void {
    for (let slash = name.indexOf('/'); slash >= 0; slash = name.indexOf('/', slash + 1)) {
      const parent = name.slice(0, slash);
      if (!this.#directories.has(parent)) this.directory(parent);
    }
  }

  #header(name: string, fields: Partial<Header>): void {
    const bytes = encoder.encode(name);
    const values: Partial<Header> = { ...fields, namesize: bytes.length + 1 };
    const digits = FIELDS.map((field) => (values[field] ?? 0).toString(16).padStart(8, '0')).join('');
    const chunk = new Uint8Array(HEADER_SIZE + bytes.length + 1);
    encoder.encodeInto(MAGIC_NEWC + digits, chunk);
    chunk.set(bytes, HEADER_SIZE);
    this.#write(chunk);
    this.#pad();
  }

  #checkName(name: string): void {
    const parts = name.split('/');
    const bytes = encoder.encode(name);
    const isPath = parts.every((part) => part !== '' && part !== '..') && !name.includes('\0');
    if (!isPath || bytes.length >= PATH_MAX || name === TRAILER) {
      throw this.#badName(`The name ${JSON.stringify(name.slice(0, 80))}`);
    }
  }

  #badName(what: string): CpioError {
    const message = `${what} must be a relative path without '..' or NUL, shorter than ${PATH_MAX} bytes.`;
    return new CpioError('BAD_NAME', message, this.#offset);
  }

  #checkOpen(): void {
    if (this.#finished) {
      throw new CpioError('FINISHED', 'The trailer is written: begin another archive.', this.#offset);
    }
  }

  #write(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#sink(chunk);
    this.#offset += chunk.length;
  }

  #pad(): void {
    this.#write(ZEROS.subarray(0, padding(this.#offset)));
  }
}

/** The whole archive that `build` writes, with its trailer. */
export function cpioArchive(
  build: (writer: CpioWriter) => void,
  options?: CpioWriterOptions,
): Uint8Array<ArrayBuffer> {
  const chunks: Uint8Array[] = [];
  const writer = new CpioWriter((chunk) => chunks.push(chunk), options);
  build(writer);
  writer.finish();
  const archive = new Uint8Array(writer.offset);
  let at = 0;
  for (const chunk of chunks) {
    archive.set(chunk, at);
    at += chunk.length;
  }
  return archive;
}
