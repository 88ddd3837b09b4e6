/** Exception codes of scause (privileged manual, table 28). */
export const Cause = {
  instructionAccessFault: 1,
  illegalInstruction: 2,
  breakpoint: 3,
  loadAddressMisaligned: 4,
  loadAccessFault: 5,
  storeAddressMisaligned: 6,
  storeAccessFault: 7,
  userCall: 8,
  instructionPageFault: 12,
  loadPageFault: 13,
  storePageFault: 15,
} as const;

/** Interrupt numbers: bits of sip and sie, and codes of scause. */
export const Interrupt = { software: 1, timer: 5, external: 9 } as const;

/** sip and sie bits that exist. */
export const SUPERVISOR_INTERRUPTS =
  (1 << Interrupt.software) | (1 << Interrupt.timer) | (1 << Interrupt.external);

/** Fields of sstatus (12.1.1), as masks of its low word. */
export const Status = {
  sie: 1 << 1,
  spie: 1 << 5,
  spp: 1 << 8,
  /** Floating-point state: 0 off, 1 initial, 2 clean, 3 dirty. */
  fs: 3 << 13,
  sum: 1 << 18,
  mxr: 1 << 19,
} as const;

/** What S-mode may change of sstatus. */
export const STATUS_WRITABLE = Status.sie | Status.spie | Status.spp | Status.fs | Status.sum | Status.mxr;

/** sstatus.UXL in the high word: 2, U-mode is 64 bits wide, always. */
export const STATUS_UXL_HIGH = 2;

/** Bits of page-table entries (12.3.1). */
export const PageFlag = {
  valid: 1 << 0,
  read: 1 << 1,
  write: 1 << 2,
  execute: 1 << 3,
  user: 1 << 4,
  global: 1 << 5,
  accessed: 1 << 6,
  dirty: 1 << 7,
  /** Not in the entry: the leaf was found above the last level. */
  superpage: 1 << 8,
} as const;

/** satp.MODE. */
export const TranslationMode = { bare: 0, sv39: 8, sv48: 9 } as const;

/** CSR numbers (table 4 and 5). */
export const Csr = {
  fflags: 0x001,
  frm: 0x002,
  fcsr: 0x003,
  sstatus: 0x100,
  sie: 0x104,
  stvec: 0x105,
  scounteren: 0x106,
  senvcfg: 0x10a,
  sscratch: 0x140,
  sepc: 0x141,
  scause: 0x142,
  stval: 0x143,
  sip: 0x144,
  stimecmp: 0x14d,
  siselect: 0x150,
  sireg: 0x151,
  stopei: 0x15c,
  satp: 0x180,
  stopi: 0xdb0,
  cycle: 0xc00,
  time: 0xc01,
  instret: 0xc02,
} as const;
