/**
 * A session with a machine that sends back what it gets, in place of a guest: it starts in no time, and misbehaves when
 * told to. The line `crash` throws where nothing catches, `power` powers off, `deaf` stops taking input.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type GuestEnd, statusOfEnd } from '../../src/exit-status.ts';
import { Messages } from '../../src/messages.ts';
import { runSession, type SessionMachine } from '../../src/run/session.ts';
import { withSignals } from '../../src/signals.ts';

class EchoMachine implements SessionMachine {
  readonly exit: Promise<{ kind: GuestEnd; reason: string }>;
  readonly console = { input: { write: (bytes: Uint8Array) => this.#take(bytes) } };
  readonly #end: (exit: { kind: GuestEnd; reason: string }) => void;
  #timer: NodeJS.Timeout | undefined;
  #deaf = false;
  #tail = '';

  constructor() {
    const { promise, resolve } = Promise.withResolvers<{ kind: GuestEnd; reason: string }>();
    this.exit = promise;
    this.#end = resolve;
  }

  async start(): Promise<void> {
    process.stdout.write('started\n');
    // A guest keeps the process alive.
    this.#timer = setInterval(() => {}, 60_000);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#end({ kind: 'stop', reason: 'stopped' });
  }

  async #take(bytes: Uint8Array): Promise<void> {
    if (this.#deaf) await new Promise(() => {});
    this.#tail = (this.#tail + Buffer.from(bytes).toString('latin1')).slice(-16);
    await new Promise<void>((resolve) => process.stdout.write(bytes, () => resolve()));
    if (this.#tail.endsWith('crash\r')) setImmediate(() => Promise.reject(new Error('uncaught')));
    if (this.#tail.endsWith('deaf\r')) this.#deaf = true;
    if (/power[\r\n]$/.test(this.#tail)) await this.stop();
    // A guest is slower than a pipe.
    await delay(1);
  }
}

const messages = new Messages();
const status = await withSignals(async (signal) => {
  const { kind } = await runSession(new EchoMachine(), { messages, signal });
  return statusOfEnd(kind, true);
});
process.exit(status);
