import type { UsbDevice, UsbSetup, UsbSpeed, UsbTransfer } from '../../src/index.ts';

/** A device with a bulk endpoint each way: what is sent to it comes back. It stalls, or takes its time, when told to. */
export class LoopbackDevice implements UsbDevice {
  readonly speed: UsbSpeed;
  readonly setups: UsbSetup[] = [];
  readonly cancelled: number[] = [];
  resets = 0;
  /** What the next transfer to the host is. */
  data = new Uint8Array(0);
  /** Endpoints whose transfers are kept in `pending` instead of being ended. */
  readonly slow = new Set<number>();
  readonly stalled = new Set<number>();
  readonly pending = new Map<number, UsbTransfer>();

  constructor(speed: UsbSpeed = 'high') {
    this.speed = speed;
  }

  reset(): void {
    this.resets++;
    this.pending.clear();
  }

  control(setup: UsbSetup, transfer: UsbTransfer): void {
    this.setups.push(setup);
    this.#serve(0, setup.requestType >= 0x80, transfer);
  }

  transfer(endpoint: number, transfer: UsbTransfer): void {
    this.#serve(endpoint, endpoint >= 0x80, transfer);
  }

  cancel(endpoint: number): void {
    this.cancelled.push(endpoint);
    this.pending.delete(endpoint);
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** Ends what was kept. */
  finish(endpoint: number): void {
    const transfer = this.pending.get(endpoint);
    this.pending.delete(endpoint);
    if (transfer) this.#move(endpoint >= 0x80, transfer);
  }

  #serve(endpoint: number, isIn: boolean, transfer: UsbTransfer): void {
    if (this.stalled.has(endpoint)) transfer.complete('stall', 0);
    else if (this.slow.has(endpoint)) this.pending.set(endpoint, transfer);
    else this.#move(isIn, transfer);
  }

  #move(isIn: boolean, transfer: UsbTransfer): void {
    if (isIn) {
      transfer.complete('success', transfer.write(this.data));
      return;
    }
    this.data = new Uint8Array(transfer.length);
    transfer.complete('success', transfer.read(this.data));
  }
}
