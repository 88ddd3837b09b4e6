/** What fio is to do with the disk. */
export interface FioJob {
  readonly name: string;
  readonly pattern: 'randread' | 'randwrite' | 'read' | 'write';
  /** Bytes of a request. */
  readonly blockSize: number;
  /** Requests under way at a time. */
  readonly depth: number;
}

/** What it has measured. */
export interface FioResult {
  readonly requests: number;
  /** Requests a second. */
  readonly rate: number;
  /** Microseconds from the request to its end: half of the requests, and 99 of 100, took no longer. */
  readonly median: number;
  readonly percentile99: number;
}

export const FIO_JOBS: readonly FioJob[] = [
  { name: '4k random read, depth 1', pattern: 'randread', blockSize: 4096, depth: 1 },
  { name: '4k random write, depth 1', pattern: 'randwrite', blockSize: 4096, depth: 1 },
  { name: '4k random read, depth 32', pattern: 'randread', blockSize: 4096, depth: 32 },
  { name: '4k random write, depth 32', pattern: 'randwrite', blockSize: 4096, depth: 32 },
  { name: '1M sequential read, depth 4', pattern: 'read', blockSize: 2 ** 20, depth: 4 },
  { name: '1M sequential write, depth 4', pattern: 'write', blockSize: 2 ** 20, depth: 4 },
];

/** fio's options for a job that is done past the page cache for some seconds. */
export function fioOptions({ pattern, blockSize, depth }: FioJob, file: string, seconds: number): string[] {
  return [
    ...['--name=job', `--filename=${file}`, `--rw=${pattern}`, `--bs=${blockSize}`, `--iodepth=${depth}`],
    ...['--ioengine=libaio', '--direct=1', '--thread', '--norandommap', '--randrepeat=0'],
    ...['--time_based', `--runtime=${seconds}`, '--minimal', '--terse-version=3'],
  ];
}

/** Where the numbers of reading and of writing start in a line of the terse format, version 3 (fio's HOWTO). */
const READ = 5;
const WRITE = 46;

/** Reads the line that `--minimal` prints. */
export function parseFio(output: string, { pattern, blockSize }: FioJob): FioResult {
  const line = output.split('\n').find((text) => text.startsWith('3;'));
  if (line === undefined) throw new Error(`fio has not measured anything:\n${output}`);
  const fields = line.split(';').slice(pattern.endsWith('read') ? READ : WRITE);
  const percentiles = fields.slice(12, 32).map((field) => field.split('%=').map(Number));
  const percentile = (wanted: number) =>
    percentiles.find(([percent]) => percent === wanted)?.[1] ?? Number.NaN;
  return {
    requests: (Number(fields[0]) * 1024) / blockSize,
    rate: Number(fields[2]),
    median: percentile(50),
    percentile99: percentile(99),
  };
}
