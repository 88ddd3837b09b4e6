/**
 * Runs what is timed: `pnpm bench` lists the programs, `pnpm bench NAME` runs one and prints a table,
 * `pnpm bench NAME --json` a line of JSON per row. Each compares with a peer that it measures in the same run.
 */
import { readdir } from 'node:fs/promises';
import { parseArgs } from 'node:util';

/** One comparison. */
export interface BenchmarkRow {
  /** What is compared. */
  readonly what: string;
  readonly ours: number;
  readonly peer: number;
  readonly unit: string;
  /** Speed, ours over the peer's: above 1 is ahead. `ours / peer` for rates, `peer / ours` for times and sizes. */
  readonly ratio: number;
}

/** What a file in this directory exports. */
export interface Benchmark {
  /** One line that says what is compared with what. */
  readonly description: string;
  run(report: (row: BenchmarkRow) => void): Promise<void>;
}

const { values, positionals } = parseArgs({
  args: process.argv.slice(2).filter((arg) => arg !== '--'),
  options: { json: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const names = await benchmarkNames();
if (positionals.length === 0) await list(names);
for (const name of positionals) {
  if (!names.includes(name)) {
    console.error(`There is no benchmark ${JSON.stringify(name)}; there are ${names.join(', ')}.`);
    process.exitCode = 1;
    continue;
  }
  await measure(name, values.json);
}

/** The names of the files beside this one that are benchmarks. */
async function benchmarkNames(): Promise<readonly string[]> {
  const files = await readdir(new URL('.', import.meta.url));
  return files
    .filter((file) => file.endsWith('.ts') && file !== 'run.ts')
    .map((file) => file.slice(0, -'.ts'.length))
    .toSorted();
}

async function load(name: string): Promise<Benchmark> {
  return await import(new URL(`${name}.ts`, import.meta.url).href);
}

async function list(all: readonly string[]): Promise<void> {
  const width = Math.max(...all.map((name) => name.length));
  for (const name of all) console.log(`${name.padEnd(width)}  ${(await load(name)).description}`);
}

async function measure(name: string, json: boolean): Promise<void> {
  const { description, run } = await load(name);
  const rows: BenchmarkRow[] = [];
  if (!json) console.log(`${name}: ${description}\n`);
  await run((row) => {
    if (json) console.log(JSON.stringify({ benchmark: name, ...row }));
    else rows.push(row);
  });
  if (!json) console.log(table(rows));
}

function table(rows: readonly BenchmarkRow[]): string {
  const cells = [
    ['what', 'ours', 'peer', 'unit', 'ratio'],
    ...rows.map(({ what, ours, peer, unit, ratio }) => [
      what,
      digits(ours),
      digits(peer),
      unit,
      `${ratio.toFixed(2)}x`,
    ]),
  ];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const align = (cell: string, column: number) => {
    const isNumber = column === 1 || column === 2 || column === 4;
    return isNumber ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0);
  };
  return cells.map((row) => row.map(align).join('  ').trimEnd()).join('\n');
}

/** Four significant digits, which is more than a measurement is good for. */
function digits(value: number): string {
  if (value === 0) return '0';
  const decimals = Math.max(0, 3 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(6, decimals));
}
