import { COMPOSITE_MAGIC } from '../detect.ts';
import { DiskError } from '../errors.ts';

/** A part of a composite disk (cdisk_spec.proto, ComponentDisk). */
export interface Component {
  /** Relative to the folder of the composite image, or absolute. */
  readonly path: string;
  /** Bytes from the start of the disk. */
  readonly offset: number;
  readonly writable: boolean;
}

/** What a composite image says: parts in the order of their offsets, each reaching to the next or to the end. */
export interface CompositeSpecification {
  readonly components: readonly Component[];
  /** Bytes of the disk. */
  readonly length: number;
}

const MAX_VERSION = 2;
const MAX_COMPONENTS = 4096;
/** Protocol buffers: wire types. */
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

class Message {
  readonly #bytes: Uint8Array;
  readonly #fail: (what: string) => DiskError;
  #at = 0;

  constructor(bytes: Uint8Array, fail: (what: string) => DiskError) {
    this.#bytes = bytes;
    this.#fail = fail;
  }

  *fields(): Generator<{ readonly number: number; readonly value: number | Uint8Array }> {
    while (this.#at < this.#bytes.length) {
      const key = this.#varint();
      const type = key % 8;
      const number = Math.floor(key / 8);
      if (type === VARINT) yield { number, value: this.#varint() };
      else if (type === BYTES) yield { number, value: this.#take(this.#varint()) };
      else if (type === FIXED64) this.#take(8);
      else if (type === FIXED32) this.#take(4);
      else throw this.#fail(`a field of wire type ${type}`);
    }
  }

  #varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw this.#fail('it ends early');
      value += (byte & 127) * scale;
      if (value > Number.MAX_SAFE_INTEGER) throw this.#fail('a number is out of range');
      if (byte < 128) return value;
    }
  }

  #take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#at) throw this.#fail('it ends early');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}

/** @throws DiskError BAD_IMAGE, UNSUPPORTED */
export function parseSpecification(bytes: Uint8Array, name: string): CompositeSpecification {
  const fail = (what: string) =>
    new DiskError('BAD_IMAGE', `${name} is no well-formed composite disk: ${what}.`);
  let version = 0;
  let length = 0;
  const components: Component[] = [];
  for (const { number, value } of new Message(bytes.subarray(COMPOSITE_MAGIC.length), fail).fields()) {
    if (number === 1 && typeof value === 'number') version = value;
    else if (number === 2 && typeof value !== 'number') components.push(parseComponent(value, fail));
    else if (number === 3 && typeof value === 'number') length = value;
    if (components.length > MAX_COMPONENTS) throw fail(`more than ${MAX_COMPONENTS} parts`);
  }
  if (version > MAX_VERSION) {
    throw new DiskError('UNSUPPORTED', `${name}: composite disks of version ${version} are not known.`);
  }
  components.sort((a, b) => a.offset - b.offset);
  if (components.length === 0) throw fail('it has no parts');
  for (const [index, { offset }] of components.entries()) {
    const end = components[index + 1]?.offset ?? length;
    if (offset >= end) throw fail(`the part at ${offset} ends at ${end}`);
  }
  return { components, length };
}

function parseComponent(bytes: Uint8Array, fail: (what: string) => DiskError): Component {
  let path = '';
  let offset = 0;
  let writable = false;
  for (const { number, value } of new Message(bytes, fail).fields()) {
    if (number === 1 && typeof value !== 'number') path = new TextDecoder().decode(value);
    else if (number === 2 && typeof value === 'number') offset = value;
    else if (number === 3 && typeof value === 'number') writable = value === 1;
    else if (number === 4 && value !== 0) throw fail('a part that starts inside its file');
  }
  if (path === '') throw fail('a part without a file');
  return { path, offset, writable };
}

export function serializeSpecification({ components, length }: CompositeSpecification): Uint8Array {
  const text = new TextEncoder();
  const parts = components.map(({ path, offset, writable }) => {
    const name = text.encode(path);
    return Uint8Array.from([
      ...[10, ...varint(name.length), ...name],
      ...[16, ...varint(offset)],
      ...(writable ? [24, 1] : []),
    ]);
  });
  return Uint8Array.from([
    ...text.encode(COMPOSITE_MAGIC),
    ...[8, MAX_VERSION],
    ...parts.flatMap((part) => [18, ...varint(part.length), ...part]),
    ...[24, ...varint(length)],
  ]);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return [...bytes, rest];
}
