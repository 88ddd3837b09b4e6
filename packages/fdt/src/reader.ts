import { FdtError } from './errors.ts';
import {
  BEGIN_NODE,
  END,
  END_NODE,
  HEADER_SIZE,
  LAST_COMPATIBLE_VERSION,
  MAGIC,
  MAX_NAME,
  NOP,
  PROP,
  RESERVATION_SIZE,
  VERSION,
} from './format.ts';
import { DeviceTree, type FdtNode, type Reservation } from './tree.ts';

/**
 * The tree that `bytes` has in flattened form. What follows the size in its header is ignored. Values are copied.
 * @throws FdtError NOT_FDT, UNSUPPORTED_VERSION, TRUNCATED, BAD_STRUCTURE, DUPLICATE, TOO_DEEP
 */
export function parseFdt(bytes: Uint8Array): DeviceTree {
  return new Reader(bytes).tree();
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #data: DataView;
  readonly #stringsOffset: number;
  readonly #stringsEnd: number;
  readonly #structureEnd: number;
  /** Where the next token of the structure block is. */
  #offset: number;
  /** Property names by their offset: a blob repeats few of them many times. */
  readonly #names = new Map<number, string>();

  constructor(blob: Uint8Array) {
    const data = new DataView(blob.buffer, blob.byteOffset, blob.length);
    if (blob.length < 4 || data.getUint32(0) !== MAGIC) {
      throw new FdtError(
        'NOT_FDT',
        'The bytes do not start with the magic number of a devicetree, 0xd00dfeed.',
      );
    }
    if (blob.length < HEADER_SIZE) throw new FdtError('TRUNCATED', 'The devicetree ends inside its header.');
    const word = (index: number) => data.getUint32(index * 4);
    const [totalSize, version, lastCompatible] = [word(1), word(5), word(6)];
    if (version < LAST_COMPATIBLE_VERSION || lastCompatible > VERSION) {
      const message = `The devicetree is of version ${version}; versions 16 and 17 can be read: make it anew with dtc.`;
      throw new FdtError('UNSUPPORTED_VERSION', message);
    }
    if (totalSize > blob.length || totalSize < HEADER_SIZE) {
      const message = `The header says that the devicetree has ${totalSize} bytes, but ${blob.length} are there.`;
      throw new FdtError('TRUNCATED', message);
    }
    this.#bytes = blob.subarray(0, totalSize);
    this.#data = new DataView(blob.buffer, blob.byteOffset, totalSize);
    this.#offset = word(2);
    // Version 16 does not say how long the structure is.
    this.#structureEnd = version < 17 ? totalSize : word(2) + word(9);
    this.#stringsOffset = word(3);
    this.#stringsEnd = word(3) + word(8);
    if (this.#structureEnd > totalSize || this.#stringsEnd > totalSize || this.#offset % 4 !== 0) {
      throw new FdtError(
        'BAD_STRUCTURE',
        'The structure or strings block does not lie inside the devicetree.',
      );
    }
  }

  tree(): DeviceTree {
    const tree = new DeviceTree();
    tree.bootCpuId = this.#data.getUint32(28);
    tree.reservations = this.#reservations(this.#data.getUint32(16));
    this.#expect(BEGIN_NODE, 'the root node');
    if (this.#nodeName() !== '') throw this.#bad('the root node has a name');
    // A loop, not recursion: how deep nodes nest is for the blob to say.
    let node: FdtNode | null = tree.root;
    while (node !== null) node = this.#token(node);
    this.#expect(END, 'the end');
    return tree;
  }

  /** Reads one token inside `node` and returns the node that is open after it. */
  #token(node: FdtNode): FdtNode | null {
    const token = this.#word();
    if (token === NOP) return node;
    if (token === END_NODE) return node.parent;
    if (token === PROP) {
      if (node.children.size > 0) throw this.#bad('a property follows a node');
      this.#property(node);
      return node;
    }
    if (token !== BEGIN_NODE) throw this.#bad(`0x${token.toString(16)} is no token`);
    const name = this.#nodeName();
    if (name === '' || name.includes('/')) throw this.#bad(`${JSON.stringify(name)} is no name`);
    return node.add(name);
  }

  #property(node: FdtNode): void {
    const length = this.#word();
    const name = this.#propertyName(this.#word());
    const start = this.#offset;
    this.#skip(length);
    if (name === '' || name.includes('/')) throw this.#bad(`${JSON.stringify(name)} is no name`);
    if (node.properties.has(name)) {
      throw new FdtError('DUPLICATE', `${node.path} has two properties '${name}'.`);
    }
    node.set(name, this.#bytes.subarray(start, start + length));
  }

  #nodeName(): string {
    const name = this.#string(this.#offset, this.#structureEnd);
    // Names are printable ASCII, so a character is a byte.
    this.#skip(name.length + 1);
    return name;
  }

  #propertyName(at: number): string {
    let name = this.#names.get(at);
    if (name === undefined) {
      name = this.#string(this.#stringsOffset + at, this.#stringsEnd);
      this.#names.set(at, name);
    }
    return name;
  }

  /** The string at `start`, whose NUL must be before `end`, and near. */
  #string(start: number, end: number): string {
    const window = this.#bytes.subarray(start, Math.min(end, start + MAX_NAME + 1));
    const length = window.indexOf(0);
    if (start > end || length < 0) throw this.#bad('a name does not end');
    const name = String.fromCharCode(...window.subarray(0, length));
    if (!/^[!-~]*$/.test(name)) throw this.#bad('a name has characters that no name has');
    return name;
  }

  #reservations(start: number): Reservation[] {
    const reservations: Reservation[] = [];
    for (let at = start; ; at += RESERVATION_SIZE) {
      if (at + RESERVATION_SIZE > this.#bytes.length) throw this.#bad('the memory reservations do not end');
      const [address, size] = [this.#data.getBigUint64(at), this.#data.getBigUint64(at + 8)];
      if (address === 0n && size === 0n) return reservations;
      reservations.push({ address, size });
    }
  }

  #word(): number {
    const at = this.#offset;
    this.#skip(4);
    return this.#data.getUint32(at);
  }

  /** Passes `length` bytes and what pads them. */
  #skip(length: number): void {
    if (this.#offset + length > this.#structureEnd) throw this.#bad('the structure block ends early');
    this.#offset += length + (-length & 3);
  }

  #expect(token: number, what: string): void {
    if (this.#word() !== token) throw this.#bad(`${what} is missing`);
  }

  #bad(what: string): FdtError {
    return new FdtError('BAD_STRUCTURE', `The devicetree is damaged near byte ${this.#offset}: ${what}.`);
  }
}
