/** One exit as a vCPU thread of the suite saw it. */
export type LoggedExit =
  | {
      /** `in` and `out` are accesses of I/O ports. */
      readonly kind: 'read' | 'write' | 'in' | 'out';
      readonly address: number;
      readonly size: number;
      readonly value: bigint;
    }
  | { readonly kind: 'debug'; readonly bytes: readonly number[] };
