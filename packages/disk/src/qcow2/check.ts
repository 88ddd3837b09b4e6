import { DiskError } from '../errors.ts';
import { SegmentList } from '../segments.ts';
import type { Storage } from '../storage/storage.ts';
import { viewOf, writeU64 } from './big-endian.ts';
import { Incompatible } from './features.ts';
import { Qcow2Image } from './image.ts';
import { ClusterEntry, COPIED_HIGH, entryOffset } from './mapping.ts';
import { readRefcount, writeRefcount } from './refcounts.ts';
import { collectReferences, ErrorList, isCopied, type Progress, type References } from './references.ts';

/** What a check found. Clusters are counted unless said otherwise. */
export interface CheckResult {
  /** References that are not counted, and entries that no image may have: writing would destroy data. */
  readonly corruptions: number;
  /** Clusters that are counted more often than they are used: they waste space and do no harm. */
  readonly leaks: number;
  /**
   * The image has the dirty bit: its writer was killed. Until the next one, which makes all counts right before anything
   * else, they may be wrong without harm.
   */
  readonly isDirty: boolean;
  /** The first hundred of what is wrong, as sentences. */
  readonly messages: readonly string[];
  /** Clusters that the disk has. */
  readonly totalClusters: number;
  readonly allocatedClusters: number;
  readonly compressedClusters: number;
  readonly fragmentedClusters: number;
  /** Bytes from the start of the file to the end of the last cluster in use. */
  readonly imageEndOffset: number;
  /** What was wrong before the repair, when there was one. */
  readonly repaired?: { readonly corruptions: number; readonly leaks: number };
}

/** What to check, and whether to repair it. */
export interface CheckOptions {
  /** `'leaks'` frees what is leaked; `'all'` makes all refcounts right. Needs a writable storage. */
  readonly repair?: 'leaks' | 'all';
  readonly onProgress?: Progress;
}

/** Checks the refcounts and tables of a qcow2 image that nobody else writes, as `qemu-img check` does. */
export async function checkQcow2(storage: Storage, options: CheckOptions = {}): Promise<CheckResult> {
  const { repair, onProgress } = options;
  const image = await loadAlone(storage);
  const counted = await countAll(image, onProgress);
  const found = await compare(image, counted);
  const needsRepair =
    found.corruptions + found.leaks > 0 || image.isDirty || (repair === 'all' && image.isCorrupt);
  if (!repair || !needsRepair) return found;
  if (repair === 'leaks' && found.corruptions > 0) return found;
  await repairRefcounts(image, counted, found);
  const again = await loadAlone(storage);
  const after = await compare(again, await countAll(again, onProgress));
  if (after.corruptions === 0 && again.isCorrupt) await again.setIncompatible(Incompatible.corrupt, false);
  return { ...after, repaired: { corruptions: found.corruptions, leaks: found.leaks } };
}

/**
 * Makes the refcounts of an image right that was not closed, before it is written. `image` is out of date afterwards:
 * load it again.
 * @throws DiskError UNSUPPORTED when a reference count does not fit
 */
export async function recover(image: Qcow2Image): Promise<void> {
  const counted = await countAll(image);
  await repairRefcounts(image, counted, await compare(image, counted));
}

/** Leaks, which are what an interrupted writer leaves here, are freed where they are; everything else is written anew. */
async function repairRefcounts(image: Qcow2Image, counted: Counted, found: CheckResult): Promise<void> {
  if (found.corruptions > 0) await rebuildRefcounts(image);
  else await freeLeaks(image, counted);
}

async function loadAlone(storage: Storage): Promise<Qcow2Image> {
  return await Qcow2Image.load(storage, storage, await Qcow2Image.readHeader(storage));
}

/** All references, those to the refcount structures among them, and the blocks that those are in. */
interface Counted {
  readonly references: References;
  /** Number and byte offset of each refcount block that lies in the file. */
  readonly blocks: readonly (readonly [block: number, offset: number])[];
}

async function countAll(image: Qcow2Image, onProgress?: Progress): Promise<Counted> {
  const references = await collectReferences(image, onProgress);
  const { counts, errors } = references;
  const { geometry, header, refcounts, storage } = image;
  const { clusterSize } = geometry;
  const tableCluster = header.refcountTableOffset / clusterSize;
  for (let i = 0; i < header.refcountTableClusters; i++) {
    if ((tableCluster + i) * clusterSize < storage.size) counts.add(tableCluster + i);
    else errors.add('the refcount table lies past the end of the file');
  }
  const blocks: (readonly [block: number, offset: number])[] = [];
  const seen = new Set<number>();
  for (let block = 0; block < refcounts.blockCount; block++) {
    const offset = refcounts.blockOffset(block);
    if (offset === 0) continue;
    if (offset % clusterSize !== 0 || offset >= storage.size || seen.has(offset)) {
      errors.add(`refcount block ${block} cannot lie at offset ${offset}`);
      continue;
    }
    seen.add(offset);
    counts.add(offset / clusterSize);
    blocks.push([block, offset]);
  }
  return { references, blocks };
}

async function compare(image: Qcow2Image, { references, blocks }: Counted): Promise<CheckResult> {
  const { counts, errors } = references;
  const { geometry, header, refcounts, storage } = image;
  const { clusterSize } = geometry;
  const blockClusters = refcounts.blockEntries;
  const leaks = new ErrorList();
  const bytes = new Uint8Array(clusterSize);
  const view = viewOf(bytes);
  let end = 0;
  const covered = new Set<number>();
  /** Clusters in use of which refcount and references do not agree whether they are one. */
  const misjudged = new Set<number>();
  for (const [block, offset] of blocks) {
    covered.add(block);
    await storage.read(offset, SegmentList.of(bytes));
    const first = block * blockClusters;
    for (let i = 0; i < blockClusters; i++) {
      const count = readRefcount(view, i, header.refcountOrder);
      const expected = counts.get(first + i);
      if (count > 0 || expected > 0) end = Math.max(end, first + i + 1);
      if (count === expected) continue;
      if (expected > 0 && (count === 1) !== (expected === 1)) misjudged.add(first + i);
      const message = `cluster ${first + i} has refcount ${count} and ${expected} references`;
      if (count < expected) errors.add(message);
      else leaks.add(message);
    }
  }
  for (let block = 0; block * blockClusters < counts.end; block++) {
    if (covered.has(block)) continue;
    for (let cluster = block * blockClusters; cluster < (block + 1) * blockClusters; cluster++) {
      const expected = counts.get(cluster);
      if (expected > 0) errors.add(`cluster ${cluster} is in use and has no refcount`);
      if (expected === 1) misjudged.add(cluster);
    }
  }
  const isSingle = (cluster: number) => (counts.get(cluster) === 1) !== misjudged.has(cluster);
  await visitOwnership(image, errors, isSingle, false);
  return {
    corruptions: errors.count,
    leaks: leaks.count,
    isDirty: image.isDirty,
    messages: [...errors.messages, ...leaks.messages].slice(0, 100),
    totalClusters: Math.ceil(header.size / clusterSize),
    allocatedClusters: references.allocatedClusters,
    compressedClusters: references.compressedClusters,
    fragmentedClusters: references.fragmentedClusters,
    imageEndOffset: end * clusterSize,
  };
}

/** Compares the flags that say whether a cluster may be written in place with its refcount, or sets them by it. */
async function visitOwnership(
  image: Qcow2Image,
  errors: ErrorList,
  isSingle: (cluster: number) => boolean,
  repair: boolean,
): Promise<void> {
  const { geometry, header, storage } = image;
  const { clusterSize, entrySize, hasDataFile } = geometry;
  const l1 = image.copyL1(header.l1Size);
  const l1View = viewOf(l1);
  const entry = new ClusterEntry();
  const l2 = new Uint8Array(clusterSize);
  const l2View = viewOf(l2);
  const visit = (view: DataView, at: number, host: number, what: string): boolean => {
    const high = view.getUint32(at);
    if (isSingle(Math.floor(host / clusterSize)) === isCopied(high)) return false;
    errors.add(`${what} has the wrong flag for a cluster at offset ${host} by its refcount`);
    view.setUint32(at, (high ^ COPIED_HIGH) >>> 0);
    return true;
  };
  let isL1Changed = false;
  for (let i = 0; i < header.l1Size; i++) {
    const table = entryOffset(l1View.getUint32(i * 8), l1View.getUint32(i * 8 + 4));
    if (table === 0 || table % clusterSize !== 0 || table >= storage.size) continue;
    isL1Changed = visit(l1View, i * 8, table, `L1 entry ${i}`) || isL1Changed;
    if (hasDataFile) continue;
    await storage.read(table, SegmentList.of(l2));
    let isChanged = false;
    for (let at = 0; at < clusterSize; at += entrySize) {
      const { kind, host } = entry.read(geometry, l2View, at);
      if (kind === 'compressed' || host === 0 || host % clusterSize !== 0) continue;
      isChanged = visit(l2View, at, host, `the L2 entry at offset ${table + at}`) || isChanged;
    }
    if (repair && isChanged) await storage.write(table, SegmentList.of(l2));
  }
  if (repair && isL1Changed) await storage.write(header.l1TableOffset, SegmentList.of(l1));
}

/** Lowers the refcounts that are too high, where they are, and clears the dirty bit. */
async function freeLeaks(image: Qcow2Image, { references, blocks }: Counted): Promise<void> {
  const { counts } = references;
  const { geometry, header, refcounts, storage } = image;
  const bytes = new Uint8Array(geometry.clusterSize);
  const view = viewOf(bytes);
  for (const [block, offset] of blocks) {
    await storage.read(offset, SegmentList.of(bytes));
    let isChanged = false;
    for (let i = 0; i < refcounts.blockEntries; i++) {
      const expected = counts.get(block * refcounts.blockEntries + i);
      if (readRefcount(view, i, header.refcountOrder) <= expected) continue;
      writeRefcount(view, i, header.refcountOrder, expected);
      isChanged = true;
    }
    if (isChanged) await storage.write(offset, SegmentList.of(bytes));
  }
  await visitOwnership(image, new ErrorList(), (cluster) => counts.get(cluster) === 1, true);
  await storage.sync();
  if (image.isDirty) await image.setIncompatible(Incompatible.dirty, false);
}

/**
 * Counts all references and writes new refcounts, behind everything else in the file; the header points to them once they
 * are on stable storage. Clears the dirty bit.
 * @throws DiskError UNSUPPORTED when a reference count does not fit
 */
async function rebuildRefcounts(image: Qcow2Image): Promise<void> {
  const { storage, header, geometry, refcounts } = image;
  const { clusterSize } = geometry;
  const references: References = await collectReferences(image);
  const { counts } = references;
  const blockClusters = refcounts.blockEntries;
  const oldEnd = storage.isFixedSize ? endOfRefcounts(image) : Math.ceil(storage.size / clusterSize);
  const start = Math.max(counts.end, oldEnd);
  const used: number[] = [];
  for (let block = 0; block * blockClusters < counts.end; block++) {
    if (counts.hasAny(block * blockClusters, (block + 1) * blockClusters)) used.push(block);
  }
  // The new structures have to be counted in themselves.
  const blocks = new Set(used);
  let tableClusters = 1;
  for (let previous = -1; previous !== blocks.size + tableClusters; ) {
    previous = blocks.size + tableClusters;
    const end = start + blocks.size + tableClusters;
    for (let at = Math.floor(start / blockClusters); at * blockClusters < end; at++) blocks.add(at);
    tableClusters = Math.max(tableClusters, Math.ceil(((Math.max(...blocks) + 1) * 8) / clusterSize));
  }
  const total = blocks.size + tableClusters;
  if (storage.isFixedSize && (start + total) * clusterSize > storage.size) {
    throw new DiskError(
      'OUT_OF_RANGE',
      `${storage.name} is full: there is no room to rebuild its refcounts.`,
    );
  }
  const table = new Uint8Array(tableClusters * clusterSize);
  const bytes = new Uint8Array(clusterSize);
  const view = viewOf(bytes);
  let next = start;
  for (const block of [...blocks].sort((a, b) => a - b)) {
    bytes.fill(0);
    for (let i = 0; i < blockClusters; i++) {
      const cluster = block * blockClusters + i;
      const count = counts.get(cluster) + (cluster >= start && cluster < start + total ? 1 : 0);
      if (count > refcounts.maximum) {
        throw new DiskError(
          'UNSUPPORTED',
          `${storage.name}: cluster ${cluster} has ${count} references, which its refcounts cannot express.`,
        );
      }
      if (count > 0) writeRefcount(view, i, header.refcountOrder, count);
    }
    await storage.write(next * clusterSize, SegmentList.of(bytes));
    writeU64(viewOf(table), block * 8, next * clusterSize);
    next++;
  }
  await storage.write(next * clusterSize, SegmentList.of(table));
  await storage.sync();
  header.refcountTableOffset = next * clusterSize;
  header.refcountTableClusters = tableClusters;
  await image.writeRefcountTableLocation();
  await storage.sync();
  await visitOwnership(image, new ErrorList(), (cluster) => counts.get(cluster) === 1, true);
  await storage.sync();
  await image.setIncompatible(Incompatible.dirty, false);
}

/** One more than the last cluster of the present refcount structures. */
function endOfRefcounts({ header, refcounts, geometry }: Qcow2Image): number {
  const { clusterSize } = geometry;
  let end = header.refcountTableOffset / clusterSize + header.refcountTableClusters;
  for (let block = 0; block < refcounts.blockCount; block++) {
    end = Math.max(end, Math.ceil(refcounts.blockOffset(block) / clusterSize) + 1);
  }
  return end;
}
