import type { ByteRing, DeviceCommand, VirtioDeviceModel } from '../../src/index.ts';
import type { GuestBuffer, VirtioDriver } from '../../test/support/guest.ts';

/** A part of a request: bytes for the device to read, or room for it to write. */
export type Piece = { readonly read: Uint8Array } | { readonly write: number };

/** A request as a driver makes it. */
export interface GuestRequest {
  readonly queue: number;
  readonly pieces: readonly Piece[];
}

/** What the host has of a device: the other ends of its streams, and a way to ask it something. */
export interface HostSide {
  readonly outputs: readonly ByteRing[];
  readonly inputs: readonly ByteRing[];
  /** Resolves with the answer, of which a refusal is one too. */
  command(command: DeviceCommand): Promise<void>;
}

/** A driver that keeps to the rules, after the hostile one. */
export interface HealthyDriver {
  readonly driver: VirtioDriver;
  readonly host: HostSide;
  /** Memory nobody uses, with bytes in it. */
  place(bytes: Uint8Array): GuestBuffer;
  /** Memory nobody uses, for the device to write. */
  room(length: number): GuestBuffer;
  bytes(buffer: GuestBuffer): Uint8Array;
  /** Sends a request and resolves with the bytes that were written. Rejects when it does not come back. */
  request(queue: number, buffers: readonly GuestBuffer[]): Promise<number>;
  /** Resolves when the condition holds; rejects when it does not come to that. */
  until(what: string, condition: () => boolean): Promise<void>;
}

/** One kind of device as its fuzzer knows it. */
export interface DeviceProfile {
  readonly model: VirtioDeviceModel;
  /** Feature bits that a proper driver accepts, beside those of rings. */
  readonly features: readonly number[];
  /** What drivers ask of it; parameters are whatever a program has. */
  readonly requests: readonly ((c: number, d: bigint, e: number) => GuestRequest)[];
  /** Streams from and to the host that the device has. */
  readonly outputs: number;
  readonly inputs: number;
  /** Pages of the guest's memory may become zero without being a buffer to write. */
  readonly mayDiscard?: boolean;
  /** Does something that a user or another program of the host may do: which, and with what, a program says. */
  disturb?(host: HostSide, which: number, value: number): void;
  /** Rejects when the device does not do all that it should for a proper driver. */
  check(driver: HealthyDriver): Promise<void>;
}

/** @throws Error */
export function expectThat(condition: boolean, what: string): void {
  if (!condition) throw new Error(`after a reset, ${what}`);
}
