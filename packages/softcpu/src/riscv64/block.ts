import { HartBlock } from '../core/layout.ts';

/** What RISC-V keeps in the part of a hart's block that is the architecture's. */
export const RiscvBlock = {
  /** Exception being raised: code (i32) and value for stval (u64). */
  trapCause: HartBlock.architecture,
  trapValue: HartBlock.architecture + 0x08,
  /** Result of a translation: guest-physical address (u64), and what the page-table entry says (i32, bits of the PTE). */
  physicalAddress: HartBlock.architecture + 0x10,
  pageFlags: HartBlock.architecture + 0x18,
  /** Offset of the datum in the WebAssembly memory, if it is in RAM (i32). */
  hostAddress: HartBlock.architecture + 0x1c,
  /** What a load that left the fast path gave: i64 as the register gets it. */
  loaded: HartBlock.architecture + 0x20,
  /** Value of a CSR that is not handled in WebAssembly: read from there, written to there (u64). */
  csrValue: HartBlock.architecture + 0x28,
  /** What the instruction that accesses it brought: bits to set or clear, or the new value (u64). */
  csrOperand: HartBlock.architecture + 0x50,
  /** Whether superpages are in the data TLBs, by half of the address space: bit 0 lower, bit 1 upper (i32). */
  superpages: HartBlock.architecture + 0x30,
  /** Guest-physical address of RAM (u64) and its size (u64); offset of the one in the other (i32). */
  ramBase: HartBlock.architecture + 0x38,
  ramSize: HartBlock.architecture + 0x40,
  ramOffset: HartBlock.architecture + 0x48,
  /** Taken jumps to one target that make it hot; 0 never (i32). */
  hotThreshold: HartBlock.architecture + 0x4c,
  /**
   * Fences other harts ask for (`core/mailbox.ts`).
   */
  mailbox: HartBlock.architecture + 0x60,
  /** Three decoded entries outside of any page: for an instruction that lies across two, and for one behind a region. */
  scratchEntries: HartBlock.architecture + 0x100,
} as const;
