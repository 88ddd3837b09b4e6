/** Fails once it runs. */
export function run(): void {
  throw new Error('no such luck');
}
