/**
 * The table through which the interpreter enters regions: one 32-byte record for each place where a region may be entered.
 * A decoded entry whose operation is REGION has the record's number as its immediate.
 */
export const RegionRecord = {
  /** Index of the region's function in the hart's WebAssembly table (i32). */
  slot: 0,
  /** The function's second parameter: which of the region's entries this is (i32). Today regions have one, 0. */
  entry: 4,
  /** Page of this entry minus the page that `base` is of, in pages (i32). Today both are the same, 0. */
  pageDelta: 8,
  /** `mappingKey` with which the region's pages were last verified; -1 never (i32). */
  verifiedKey: 12,
  /** `base` with which they were verified (u64). */
  verifiedBase: 16,
  /** The decoded entry that REGION replaced (8 bytes): the interpreter does it when the region asks for it. */
  original: 24,
} as const;

export const REGION_RECORD_SIZE = 32;

/** What a region's function returns. */
export const RegionExit = {
  /** Go on at the hart's pc, wherever that is; `interruptRequest` is to be looked at. */
  continue: 0,
  /** The interpreter must do the instruction at the hart's pc itself (TLB miss, fault, system instruction). */
  interpret: 1,
} as const;
