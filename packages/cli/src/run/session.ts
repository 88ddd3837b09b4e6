import { isTerminal, RawMode } from '@tsvmm/base';
import type { GuestEnd } from '../exit-status.ts';
import type { Messages } from '../messages.ts';
import { ESCAPE_HELP, type EscapeAction } from './escape.ts';
import { InputPump } from './input.ts';

const STDIN = 0;

/** What a session needs of a virtual machine. */
export interface SessionMachine {
  /** The console that takes standard input, if one does. */
  readonly console:
    | {
        readonly input: { write(bytes: Uint8Array): Promise<void> };
        resize?(size: { readonly columns: number; readonly rows: number }): Promise<void>;
      }
    | undefined;
  start(): Promise<void>;
  /** Ends the guest; `exit` then has the kind `stop`. */
  stop(): Promise<void>;
  readonly exit: Promise<{ readonly kind: GuestEnd; readonly reason: string }>;
}

/** What a session needs besides the machine. */
export interface SessionOptions {
  readonly messages: Messages;
  /** Ends the guest when aborted. */
  readonly signal: AbortSignal;
}

/**
 * Runs a machine to its end, with this process's standard input and output as its console. A terminal is raw
 * meanwhile. The guest is ended when its output has no reader any more.
 */
export async function runSession(
  machine: SessionMachine,
  { messages, signal }: SessionOptions,
): Promise<Awaited<SessionMachine['exit']>> {
  const { console } = machine;
  const terminal = console !== undefined && isTerminal(STDIN);
  const stop = (): void => {
    machine.stop().catch((error: unknown) => messages.error(`the guest cannot be stopped: ${String(error)}`));
  };
  const onOutputError = (error: NodeJS.ErrnoException): void => {
    if (error.code !== 'EPIPE') messages.error(`standard output: ${error.message}`);
    stop();
  };
  const onAction = (action: EscapeAction): void => {
    if (action === 'quit') stop();
    else for (const line of ESCAPE_HELP) messages.info(line);
  };
  if (terminal) messages.info('Ctrl-A x ends the guest, Ctrl-A h lists the other keys');
  using resources = new DisposableStack();
  if (terminal) resources.use(new RawMode(STDIN));
  process.stdout.on('error', onOutputError);
  resources.defer(() => process.stdout.off('error', onOutputError));
  signal.addEventListener('abort', stop, { once: true });
  resources.defer(() => signal.removeEventListener('abort', stop));
  if (console !== undefined) {
    const write = (bytes: Uint8Array) => console.input.write(bytes);
    resources.use(new InputPump(process.stdin, { write, onAction }, { terminal }));
  }
  await machine.start();
  if (terminal && console.resize !== undefined) resources.use(followTerminal(console.resize, messages));
  if (signal.aborted) stop();
  return await machine.exit;
}

/** Tells the guest when the terminal becomes larger or smaller. */
function followTerminal(
  resize: (size: { readonly columns: number; readonly rows: number }) => Promise<void>,
  messages: Messages,
): Disposable {
  const { stdout } = process;
  const onResize = (): void => {
    const { columns, rows } = stdout;
    if (columns === 0 || rows === 0) return;
    resize({ columns, rows }).catch((error: unknown) => messages.debugStack(error));
  };
  stdout.on('resize', onResize);
  return { [Symbol.dispose]: () => stdout.off('resize', onResize) };
}
