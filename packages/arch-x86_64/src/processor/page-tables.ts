import type { GuestMemory } from '@tsvmm/vm-memory';
import { PAGE_DIRECTORIES, PAGE_DIRECTORY_POINTERS, PML4 } from '../layout.ts';

const PRESENT_WRITABLE = 3n;
const LARGE_PAGE = 1n << 7n;
const GIB = 4;
const ENTRIES = 512;
const PAGE_SIZE = 4096;
const MIB_2 = 2n * 2n ** 20n;

/** Maps the first 4 GiB as they are, in pages of 2 MiB: what long mode cannot be entered without. */
export function writePageTables(memory: GuestMemory): void {
  const pointers = Array.from({ length: GIB }, (_, index) =>
    BigInt(PAGE_DIRECTORIES + index * PAGE_SIZE),
  ).map((directory) => directory | PRESENT_WRITABLE);
  const pages = BigUint64Array.from(
    { length: GIB * ENTRIES },
    (_, index) => (BigInt(index) * MIB_2) | PRESENT_WRITABLE | LARGE_PAGE,
  );
  writeEntries(memory, PML4, [BigInt(PAGE_DIRECTORY_POINTERS) | PRESENT_WRITABLE]);
  writeEntries(memory, PAGE_DIRECTORY_POINTERS, pointers);
  memory.copyIn(PAGE_DIRECTORIES, new Uint8Array(pages.buffer));
}

/** A table of 512 entries, of which the first are given and the others empty. */
function writeEntries(memory: GuestMemory, address: number, entries: readonly bigint[]): void {
  const table = new BigUint64Array(ENTRIES);
  table.set(entries);
  memory.copyIn(address, new Uint8Array(table.buffer));
}
