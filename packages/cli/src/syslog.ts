import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Writable } from 'node:stream';
import type { LogLevel } from './log-filter.ts';
import type { MessageSink } from './messages.ts';

/** Severities of RFC 5424, section 6.2.1, with the facility "user". */
const PRIORITIES: Readonly<Record<LogLevel, number>> = {
  off: 8 + 7,
  error: 8 + 3,
  warn: 8 + 4,
  info: 8 + 6,
  debug: 8 + 7,
  trace: 8 + 7,
};

/**
 * The host's system log, which `logger` of util-linux writes to: Node has no datagram sockets of the Unix kind.
 * The process is started by the first message. On a host without a system log, messages are dropped.
 */
export class SystemLog implements MessageSink {
  readonly #tag: string;
  readonly #socket: string;
  #logger: ChildProcessByStdio<Writable, null, null> | undefined;
  #failed = false;

  constructor(tag: string, socket = '/dev/log') {
    this.#tag = tag;
    this.#socket = socket;
  }

  write(level: LogLevel, text: string): void {
    const stdin = this.#start()?.stdin;
    for (const line of text.split('\n')) stdin?.write(`<${PRIORITIES[level]}>${line}\n`);
  }

  #start(): ChildProcessByStdio<Writable, null, null> | undefined {
    if (this.#failed || this.#logger !== undefined) return this.#logger;
    if (!existsSync(this.#socket)) {
      this.#failed = true;
      return undefined;
    }
    const args = ['--prio-prefix', `--id=${process.pid}`, '--tag', this.#tag, '--socket', this.#socket];
    // In a group of its own, so that Ctrl-C does not take the last messages away.
    const logger = spawn('logger', args, { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
    const drop = (): void => {
      this.#failed = true;
      this.#logger = undefined;
    };
    logger.on('error', drop);
    logger.stdin.on('error', drop);
    logger.unref();
    this.#logger = logger;
    return logger;
  }
}
