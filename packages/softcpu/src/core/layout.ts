/**
 * Where things are in the shared WebAssembly memory. Offsets are bytes; "in the block" means from the start of the
 * hart's block, whose address every function gets as its first parameter.
 */

/** Bytes of a page, of guest memory and of everything here that is counted in pages. */
export const PAGE_SIZE = 4096;

/** Address of the first hart's block. */
export const HART_BASE = 0x1_0000;

/** Guest memory beside RAM, before the first hart's block: how many regions there are (i32), and an entry for each. */
export const MemoryRegionTable = { count: 0x40, entries: 0x80 } as const;

/** Guest-physical address and bytes (u64 each); offset in the WebAssembly memory, with bit 0 set of a read-only one (i32). */
export const MemoryRegionEntry = { base: 0x00, length: 0x08, page: 0x10, size: 0x20 } as const;

export const MAXIMUM_MEMORY_REGIONS = 64;

/** Fixed part of a hart's block: everything but the decoded code pages. */
export const HartBlock = {
  /** x0–x31, 8 bytes each; x0 is never written. */
  x: 0x000,
  /** f0–f31, 8 bytes each, single-precision values NaN-boxed. */
  f: 0x100,
  /** Address of the next instruction (u64). */
  pc: 0x200,
  /** Anything that wants the hart's attention sets a bit here (i32, atomic); see {@link Request}. */
  interruptRequest: 0x208,
  /** 1 while the hart waits in WFI or is stopped: its TLBs may be considered flushed when it comes back (i32, atomic). */
  idle: 0x20c,
  /** Current privilege: 0 U, 1 S (i32). */
  privilege: 0x210,
  /** Address of the data TLB of the current privilege and SUM (i32, from memory's start). */
  dataTlb: 0x214,
  /** Address of the code TLB of the current privilege (i32, from memory's start). */
  codeTlb: 0x218,
  /** Generation of address-space mappings in bits 31:1, 1 for user privilege in bit 0 (i32). */
  mappingKey: 0x21c,
  /** fflags in bits 4:0 (i32). */
  fflags: 0x220,
  /** frm, 0–7 (i32). */
  frm: 0x224,
  /** LR/SC reservation: virtual address (u64, -1 for none) and the value that was loaded (u64). */
  reservationAddress: 0x228,
  reservationValue: 0x230,
  /** mstatus as S-mode sees it (u64). */
  sstatus: 0x238,
  sie: 0x240,
  sip: 0x248,
  stvec: 0x250,
  sscratch: 0x258,
  sepc: 0x260,
  scause: 0x268,
  stval: 0x270,
  satp: 0x278,
  scounteren: 0x280,
  senvcfg: 0x288,
  /** Deadline of the supervisor timer in ticks of `time` (u64, all ones: none). */
  stimecmp: 0x290,
  siselect: 0x298,
  /** Access that the host completes: guest-physical address (u64), size in bytes (i32), data (u64). */
  mmioAddress: 0x2a0,
  mmioSize: 0x2a8,
  mmioData: 0x2b0,
  /** Instructions executed by the interpreter and by regions, when counting is on (u64 each). */
  interpreterInstructions: 0x2b8,
  regionInstructions: 0x2c0,
  /** IMSIC interrupt file of S-mode: eidelivery, eithreshold (i32), then pending and enable bits (64 × i32 each). */
  imsic: 0x300,
  /** Results of page walks, arguments of imports, and whatever else an architecture wants: 0x600–0xfff. */
  architecture: 0x600,
  /** Data TLBs: U, S, S with SUM; `DATA_TLB_ENTRIES` entries of `DATA_TLB_ENTRY_SIZE` bytes each. */
  dataTlbs: 0x1_0000,
  /** Code TLBs: U, S. */
  codeTlbs: 0x2_8000,
  /** Counters of taken jumps, hashed by the decoded entry's address (u16 each, 64 KiB in all). */
  hotCounters: 0x3_0000,
  /** Where regions find the region at a pc, by `core/region/jump-cache.ts` (128 KiB). */
  jumpCache: 0x4_0000,
  /** Records of `core/region/region-table.ts`, 65,536 of them. */
  regionTable: 0x10_0000,
  /** Decoded code pages, to the end of the block. */
  decodedPages: 0x40_0000,
} as const;

/** Bits of `interruptRequest`. */
export const Request = {
  /** An interrupt may have become pending: look at sip & sie and the interrupt file. */
  interrupt: 1,
  /** Leave `run`. */
  stop: 2,
  /** The timer's deadline has passed. */
  timer: 4,
  /** Fences asked for by another hart wait in its mailbox. */
  fence: 8,
  /** The translator has modules ready. */
  translated: 16,
} as const;

export const DATA_TLB_ENTRIES = 1024;
/** Read tag (u64), write tag (u64), host offset minus virtual address (i32), padding. */
export const DATA_TLB_ENTRY_SIZE = 32;
export const DataTlbEntry = { readTag: 0, writeTag: 8, addend: 16 } as const;
