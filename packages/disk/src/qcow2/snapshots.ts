import { DiskError } from '../errors.ts';
import { SegmentList } from '../segments.ts';
import type { Storage } from '../storage/storage.ts';
import { readU64, viewOf } from './big-endian.ts';
import type { Qcow2Header } from './header.ts';

/** An internal snapshot. It keeps the clusters that it shares with the disk as they were. */
export interface Snapshot {
  readonly id: string;
  readonly name: string;
  /** When it was made: seconds since the epoch, and nanoseconds of the second. */
  readonly seconds: number;
  readonly nanoseconds: number;
  /** Nanoseconds that the guest had run. */
  readonly vmClock: bigint;
  /** Bytes of saved machine state; 0 for a snapshot of the disk alone. */
  readonly vmStateSize: number;
  /** Bytes of the disk. */
  readonly diskSize: number;
  readonly l1TableOffset: number;
  /** Entries. */
  readonly l1Size: number;
}

const ENTRY_LENGTH = 40;
const MAX_TABLE = 64 * 2 ** 20;

/** Where the snapshot table ends is known only when it has been read. */
export interface SnapshotTable {
  readonly snapshots: readonly Snapshot[];
  /** Bytes. */
  readonly length: number;
}

/** @throws DiskError BAD_IMAGE */
export async function readSnapshotTable(storage: Storage, header: Qcow2Header): Promise<SnapshotTable> {
  const snapshots: Snapshot[] = [];
  const bad = (what: string) =>
    new DiskError('BAD_IMAGE', `${storage.name}: the snapshot table ${what}. Check and repair the image.`);
  let at = header.snapshotsOffset;
  const read = async (length: number) => {
    if (at + length > storage.size || at + length - header.snapshotsOffset > MAX_TABLE)
      throw bad('is cut off');
    const bytes = new Uint8Array(length);
    await storage.read(at, SegmentList.of(bytes));
    at += length;
    return bytes;
  };
  for (let i = 0; i < header.snapshotCount; i++) {
    const view = viewOf(await read(ENTRY_LENGTH));
    const extraLength = view.getUint32(36);
    const idLength = view.getUint16(12);
    const nameLength = view.getUint16(14);
    const rest = await read(extraLength + idLength + nameLength);
    const extra = viewOf(rest.subarray(0, extraLength));
    const text = (start: number, length: number) =>
      new TextDecoder().decode(rest.subarray(start, start + length));
    // Entries start at multiples of 8; the file may end with the last name.
    at = Math.ceil(at / 8) * 8;
    const l1TableOffset = readU64(view, 0);
    if (l1TableOffset % 2 ** header.clusterBits !== 0)
      throw bad(`has an L1 table at offset ${l1TableOffset}`);
    snapshots.push({
      l1TableOffset,
      l1Size: view.getUint32(8),
      id: text(extraLength, idLength),
      name: text(extraLength + idLength, nameLength),
      seconds: view.getUint32(16),
      nanoseconds: view.getUint32(20),
      vmClock: view.getBigUint64(24),
      vmStateSize: extraLength >= 8 ? readU64(extra, 0) : view.getUint32(32),
      diskSize: extraLength >= 16 ? readU64(extra, 8) : header.size,
    });
  }
  return { snapshots, length: at - header.snapshotsOffset };
}

export async function readSnapshots(storage: Storage, header: Qcow2Header): Promise<readonly Snapshot[]> {
  return (await readSnapshotTable(storage, header)).snapshots;
}
