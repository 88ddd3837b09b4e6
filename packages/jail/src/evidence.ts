import { readFileSync } from 'node:fs';

/** What /proc/PID/status must say of a process that is confined (proc_pid_status(5)). */
const EXPECTED: Readonly<Record<string, RegExp>> = {
  CapEff: /^0+$/,
  CapPrm: /^0+$/,
  CapBnd: /^0+$/,
  NoNewPrivs: /^1$/,
  Seccomp: /^2$/,
};

/** What of a process's confinement is not as it should be, for people; undefined when all is. */
export function breachOf(pid: number): string | undefined {
  const fields = new Map(
    readFileSync(`/proc/${pid}/status`, 'utf8')
      .split('\n')
      .map((line) => line.split(/:\s*/, 2) as [string, string]),
  );
  for (const [name, pattern] of Object.entries(EXPECTED)) {
    const value = fields.get(name) ?? 'missing';
    if (!pattern.test(value)) return `${name} is ${value}`;
  }
  return undefined;
}
