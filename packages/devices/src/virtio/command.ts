import type { BalloonStats } from './balloon/stats.ts';
import type { ConsoleSize } from './console/console.ts';

/** What the user of a machine asks of one of its devices while it runs; plain data. */
export type DeviceCommand =
  /** A disk is to have `size` bytes. */
  | { readonly kind: 'resize-disk'; readonly size: number }
  /**
   * The balloon is to hold `size` bytes of the guest's memory, a multiple of 4096. With `wait`, it is done when the guest
   * has come there.
   */
  | { readonly kind: 'set-balloon'; readonly size: number; readonly wait: boolean }
  /** The terminal at a console has this size now. */
  | { readonly kind: 'resize-console'; readonly size: ConsoleSize }
  /** What the guest says of its memory. */
  | { readonly kind: 'balloon-stats' };

/** What a command answers. */
export type DeviceReply = BalloonStats | undefined;
