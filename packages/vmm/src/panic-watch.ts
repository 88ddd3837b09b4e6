const MARK = new TextEncoder().encode('Kernel panic - not syncing: ');
const LINE_END = 0x0a;
const MAXIMUM_REASON = 200;

/**
 * Reads along with a console for the line a Linux kernel prints when it panics.
 *
 * A panic that ends in a reboot looks like any other reboot from outside: Debian's riscv64 kernel is built without a
 * driver for pvpanic, and SBI is told no reason. The console is the one place where it is said.
 */
export class PanicWatch {
  /** Bytes of the mark seen so far; the mark's length while the reason is read. */
  #matched = 0;
  #reason: number[] = [];
  #panic: string | undefined;

  /** What the kernel gave as the reason, once it panicked. */
  get panic(): string | undefined {
    return this.#panic;
  }

  /** Takes what the guest wrote, in pieces of any size. */
  push(bytes: Uint8Array): void {
    if (this.#panic !== undefined) {
      return;
    }
    let index = 0;
    if (this.#matched === 0) {
      // The mark begins with a letter that is rare in logs: most pieces are done after this.
      index = bytes.indexOf(MARK[0] ?? 0);
      if (index < 0) {
        return;
      }
    }
    for (; index < bytes.length && this.#panic === undefined; index++) {
      this.#take(bytes[index] ?? 0);
    }
  }

  #take(byte: number): void {
    if (this.#matched === MARK.length) {
      if (byte !== LINE_END && this.#reason.length < MAXIMUM_REASON) {
        this.#reason.push(byte);
        return;
      }
      this.#panic = new TextDecoder().decode(Uint8Array.from(this.#reason)).trim();
      this.#reason = [];
    } else if (byte === MARK[this.#matched]) {
      this.#matched++;
    } else {
      // No proper prefix of the mark is also its suffix, but for a lone K.
      this.#matched = byte === MARK[0] ? 1 : 0;
    }
  }
}
