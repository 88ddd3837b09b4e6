/** One exit as a vCPU thread of the suite saw it. */
export type LoggedExit =
  | {
      readonly kind: 'read' | 'write';
      readonly address: number;
      readonly size: number;
      readonly value: bigint;
    }
  | { readonly kind: 'debug'; readonly bytes: readonly number[] };
