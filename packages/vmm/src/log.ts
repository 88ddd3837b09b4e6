/** What happened, for people. */
export interface LogRecord {
  readonly level: 'error' | 'warn' | 'info' | 'debug' | 'trace';
  /** Which part says it: `vmm`, `hypervisor`, `devices`. */
  readonly target: string;
  readonly message: string;
}

export type Log = (record: LogRecord) => void;
