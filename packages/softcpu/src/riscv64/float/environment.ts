/** Exception flags: the bits of `fflags` (RISC-V unprivileged, F chapter, "Floating-Point Control and Status Register"). */
export const Flag = {
  /** NX */
  inexact: 1,
  /** UF */
  underflow: 2,
  /** OF */
  overflow: 4,
  /** DZ */
  divideByZero: 8,
  /** NV */
  invalid: 16,
} as const;

/** Encodings of the rounding mode in instructions and, but for the last, in `frm`; 5 and 6 are reserved. */
export const RoundingMode = {
  /** RNE: to nearest, ties to even. */
  nearestEven: 0,
  /** RTZ: towards zero. */
  towardsZero: 1,
  /** RDN: towards −∞. */
  down: 2,
  /** RUP: towards +∞. */
  up: 3,
  /** RMM: to nearest, ties to maximum magnitude. */
  nearestMaxMagnitude: 4,
  /** DYN, in instructions only: the mode is in `frm`. */
  dynamic: 7,
} as const;
