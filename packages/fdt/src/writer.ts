import { FdtError } from './errors.ts';
import {
  align4,
  BEGIN_NODE,
  END,
  END_NODE,
  HEADER_SIZE,
  LAST_COMPATIBLE_VERSION,
  MAGIC,
  PROP,
  RESERVATION_SIZE,
  VERSION,
} from './format.ts';
import type { DeviceTree, FdtNode, Reservation } from './tree.ts';
import { encodeU32, encodeU64 } from './values.ts';

export interface ToBytesOptions {
  /** Hardware id of the boot CPU; the tree's own unless given. */
  readonly bootCpuId?: number;
  /** The tree's own unless given. */
  readonly reservations?: readonly Reservation[];
  /** Most bytes the result may have. */
  readonly maxSize?: number;
}

const encoder = new TextEncoder();

/**
 * The flattened form of the tree, version 17: header, memory reservations, structure, strings.
 * @throws FdtError TOO_LARGE when it has more than `maxSize` bytes, BAD_VALUE for what does not fit its field
 */
export function toBytes(tree: DeviceTree, options: ToBytesOptions = {}): Uint8Array<ArrayBuffer> {
  const { bootCpuId = tree.bootCpuId, reservations = tree.reservations, maxSize } = options;
  const strings = new Strings();
  const structureSize = nodeSize(tree.root, strings) + 4;
  const structureOffset = HEADER_SIZE + (reservations.length + 1) * RESERVATION_SIZE;
  const stringsOffset = structureOffset + structureSize;
  const totalSize = stringsOffset + strings.size;
  if (totalSize > (maxSize ?? 0xffff_ffff)) {
    throw new FdtError(
      'TOO_LARGE',
      `The devicetree has ${totalSize} bytes, but there is room for ${maxSize}.`,
    );
  }

  const bytes = new Uint8Array(totalSize);
  const header = [
    MAGIC,
    totalSize,
    structureOffset,
    stringsOffset,
    HEADER_SIZE,
    VERSION,
    LAST_COMPATIBLE_VERSION,
    bootCpuId,
    strings.size,
    structureSize,
  ];
  bytes.set(encodeU32(header, 'header'));
  const ranges = reservations.flatMap(({ address, size }) => [address, size]);
  // The terminator is a reservation of nothing at zero, which the new bytes are.
  bytes.set(encodeU64(ranges, 'memory reservations'), HEADER_SIZE);
  const end = writeNode(bytes, new DataView(bytes.buffer), structureOffset, tree.root, strings);
  new DataView(bytes.buffer).setUint32(end, END);
  strings.writeTo(bytes, stringsOffset);
  return bytes;
}

/** The strings block: every property name once. */
class Strings {
  readonly #offsets = new Map<string, number>();
  size = 0;

  /** Bytes from the start of the block to `name`, which is added if it is new. */
  offsetOf(name: string): number {
    let offset = this.#offsets.get(name);
    if (offset === undefined) {
      offset = this.size;
      this.#offsets.set(name, offset);
      this.size += encoder.encode(name).length + 1;
    }
    return offset;
  }

  writeTo(bytes: Uint8Array, start: number): void {
    for (const [name, offset] of this.#offsets) bytes.set(encoder.encode(name), start + offset);
  }
}

/** Bytes of the node in the structure block; its names are put among the strings. */
function nodeSize(node: FdtNode, strings: Strings): number {
  let size = 4 + align4(encoder.encode(node.name).length + 1) + 4;
  for (const [name, value] of node.properties) {
    strings.offsetOf(name);
    size += 12 + align4(value.length);
  }
  for (const child of node.children.values()) size += nodeSize(child, strings);
  return size;
}

/** Writes the node and returns the offset behind it. */
function writeNode(
  bytes: Uint8Array,
  data: DataView,
  start: number,
  node: FdtNode,
  strings: Strings,
): number {
  const name = encoder.encode(node.name);
  data.setUint32(start, BEGIN_NODE);
  bytes.set(name, start + 4);
  let offset = start + 4 + align4(name.length + 1);
  for (const [name, value] of node.properties) {
    data.setUint32(offset, PROP);
    data.setUint32(offset + 4, value.length);
    data.setUint32(offset + 8, strings.offsetOf(name));
    bytes.set(value, offset + 12);
    offset += 12 + align4(value.length);
  }
  for (const child of node.children.values()) offset = writeNode(bytes, data, offset, child, strings);
  data.setUint32(offset, END_NODE);
  return offset + 4;
}
