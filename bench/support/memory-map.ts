import { readFileSync } from 'node:fs';

/** Resident memory of one kind. */
export interface MemoryUse {
  readonly kind: string;
  /** Bytes. */
  readonly resident: number;
}

interface Mapping {
  readonly start: number;
  readonly end: number;
  readonly permissions: string;
  readonly name: string;
  /** Bytes, without memory shared through files in memory: that is the guest's RAM. */
  readonly resident: number;
}

const HEADER = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)$/;

/** What the resident memory of a tsvmm is, besides the guest's RAM; most first. From /proc/PID/smaps (proc(5)). */
export function memoryUses(pid: number): readonly MemoryUse[] {
  const mappings = readMappings(pid);
  const ram = mappings.find(({ name }) => name.startsWith('/memfd:'));
  const totals = new Map<string, number>();
  for (const mapping of mappings) {
    const kind = kindOf(mapping, ram);
    if (kind !== undefined) totals.set(kind, (totals.get(kind) ?? 0) + mapping.resident);
  }
  return [...totals].map(([kind, resident]) => ({ kind, resident })).sort((a, b) => b.resident - a.resident);
}

function kindOf({ start, end, permissions, name }: Mapping, ram: Mapping | undefined): string | undefined {
  if (name.startsWith('/memfd:')) return undefined;
  // RAM is mapped over the end of the machine's WebAssembly memory: what lies right before it are the harts' blocks.
  if (ram !== undefined && (end === ram.start || start === ram.end)) return "harts' state and decoded code";
  if (name.startsWith('/')) return 'program and libraries';
  if (permissions.includes('x')) return 'generated machine code';
  if (name === '[heap]') return "C++ heap (V8's compilers, modules)";
  return 'JavaScript heaps, stacks and arenas of all threads';
}

function readMappings(pid: number): Mapping[] {
  const mappings: Mapping[] = [];
  let header: RegExpExecArray | null = null;
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    header = HEADER.exec(line) ?? header;
    const [, resident] = /^Rss: +(\d+) kB$/.exec(line) ?? [];
    if (header !== null && resident !== undefined) {
      const [, start = '', end = '', permissions = '', name = ''] = header;
      mappings.push({
        start: Number.parseInt(start, 16),
        end: Number.parseInt(end, 16),
        permissions,
        name,
        resident: Number(resident) * 1024,
      });
    }
  }
  return mappings;
}
